"""`spurbench robustness`: hard against easy accuracy, and what is more than the easy one lets one expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import say
from .grid import RESULTS

FORMS = (".svg", ".png")


def robustness(
    results: options.Results = RESULTS,
    dataset: Annotated[
        str,
        typer.Option(
            help="A data set of easy and hard photos. Example: --dataset counteranimal.",
            autocompletion=options.complete_datasets,
        ),
    ] = "counteranimal",
    out: Annotated[
        Path | None,
        typer.Option(help="Picture to draw, .svg or .png. Example: --out robustness.svg.", show_default="none"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON. Example: --json.")] = False,
) -> None:
    """Show how robust models are for how accurate they are: published ones, and own records beside them.

    Own records are those of `spurbench run --methods zero_shot` (CLIP) and `--methods own_head` (supervised models).

    Example: [bold]spurbench robustness --out robustness.svg[/bold]
    """
    from dataclasses import asdict

    from ..board import make_board
    from ..errors import DataError, UsageError
    from ..files import write_atomic
    from ..published import published_folder, read_published
    from ..record import read_records
    from ..robustness import robustness as compute

    if out is not None and out.suffix.lower() not in FORMS:
        raise UsageError(f"--out takes a file that ends in {' or '.join(FORMS)}, not {out}")
    if results != RESULTS and not results.is_dir():
        raise UsageError(f"there is no results folder {results}; `spurbench run` makes one")
    broken: list[str] = []
    printed = read_published(published_folder(results), broken)
    found = compute(printed, make_board(read_records(results, broken)), dataset)
    for message in broken:
        typer.echo(f"left out: {message}", err=True)
    if not found.points:
        raise DataError(
            f"nothing is known of easy and hard accuracies on '{dataset}': {published_folder(results)} has no row, and "
            f"{results} no complete record; run `spurbench run --methods zero_shot --datasets {dataset}`"
        )
    if out is not None:
        from ..render.robustness_plot import draw

        write_atomic(
            out,
            draw(
                found,
                f"{dataset}: accuracy before easy and before hard backgrounds",
                "svg" if out.suffix.lower() == ".svg" else "png",
            ),
        )
    if as_json:
        effective = [{**asdict(point), "effective_robustness": found.effective(point)} for point in found.points]
        lines = {"fits": [asdict(fit) for fit in found.fits], "models": effective}
        typer.echo(json.dumps(lines, indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    from ..render.robustness_terminal import print_robustness

    console = Console()
    print_robustness(found, console)
    if out is not None:
        say(console, f"written: {out}")
