"""`spurbench list` and `spurbench leaderboard`: what there is, and what came out."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .grid import RESULTS


class Kind(str, Enum):
    """What can be listed."""

    methods = "methods"
    datasets = "datasets"
    backbones = "backbones"
    inferences = "inferences"
    discoverers = "discoverers"


class By(str, Enum):
    """How a configuration is chosen from validation."""

    worst_group = "worst_group"
    worst_class = "worst_class"
    average = "average"


COLUMNS = {
    "methods": ("name", "title", "supervision", "inputs", "trains", "paper"),
    "datasets": ("name", "usage", "title", "classes", "attributes", "licence", "here"),
    "backbones": ("name", "title", "licence", "here"),
    "inferences": ("name", "title", "usage", "supervision", "paper"),
    "discoverers": ("name", "title", "usage", "paper"),
}
WIDE, WIDE_ONLY = 120, {"usage", "classes", "attributes"}
"""Terminals narrower than this do without some columns, and without titles of methods, whose names say as much."""


def list_cards(
    kind: Annotated[Kind, typer.Argument(help="methods, datasets, backbones, inferences (of groups) or discoverers")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, for machines. Example: list methods --json.")
    ] = False,
    data_root: options.DataRoot = None,
    cache: options.Cache = None,
    plugin: options.Plugin = None,
) -> None:
    """Show the cards: supervision, inputs, what is trained, paper, licence, and what is on this machine.

    Example: [bold]spurbench list methods[/bold]
    """
    from ..files import default_cache, default_data_root
    from ..listing import list_kind
    from ..registry import load_registries

    rows = list_kind(
        kind.value, load_registries(plugin or ()), data_root or default_data_root(), cache or default_cache()
    )
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    left_out = set() if console.width >= WIDE else WIDE_ONLY | ({"title"} if kind is Kind.methods else set())
    columns = [name for name in COLUMNS[kind.value] if name not in left_out]
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == "name")
    for row in rows:
        table.add_row(*(Text(str(row.get(name, ""))) for name in columns))
    console.print(table)
    console.print("--json shows everything", highlight=False)


def leaderboard(
    results: options.Results = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write; - prints. Example: --output -.",
            show_default="leaderboard.md beside the results",
        ),
    ] = None,
    selection: Annotated[
        By, typer.Option(help="How configurations are chosen. Example: --selection worst_class.")
    ] = By.worst_group,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing; exit 1 and print the difference if the file is not up to date. Strict by itself.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit 1 for a file that is broken, changed by hand, misplaced or of another version, instead of "
            "leaving it out with a warning. Example: --strict.",
        ),
    ] = False,
) -> None:
    """Make the leaderboard again from the records. `spurbench export` writes its numbers as tables.

    A file that cannot be trusted is named and left out, unless --strict or --check.

    Example: [bold]spurbench leaderboard --selection average --output -[/bold]
    """
    from ..errors import UsageError, plain
    from ..files import write_atomic
    from ..leaderboard import difference, leaderboard_path, read_everything

    if not results.is_dir():
        raise UsageError(f"there is no results folder {results}; `spurbench run` makes one")
    everything = read_everything(results, strict=strict or check)
    for message in everything.broken:
        typer.echo(f"left out: {message}", err=True)
    text = everything.document(selection.value)
    count = len(everything.rows()) + len(everything.planted)
    path = output or leaderboard_path(results)
    if check:
        changes = difference(path, text)
        if changes:
            typer.echo(plain(changes))
            typer.echo(f"{path} is not what the records in {results} say; run `spurbench leaderboard`", err=True)
            raise typer.Exit(1)
        typer.echo(f"{path} is up to date with {count} records")
    elif str(path) == "-":
        typer.echo(text, nl=False)
    else:
        write_atomic(path, text.encode())
        left_out = f", {len(everything.broken)} files left out" if everything.broken else ""
        typer.echo(f"written: {path} ({count} records{left_out})")
