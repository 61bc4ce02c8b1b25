"""`spurbench export`: results as tables for other programs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .compare import Backbones, Datasets, Strict, tell
from .grid import RESULTS
from .show import By

if TYPE_CHECKING:
    from ..leaderboard import Everything


STDOUT = Path("-")


class Format(str, Enum):
    """What is written."""

    csv = "csv"
    json = "json"
    parquet = "parquet"
    latex = "latex"


class Lines(str, Enum):
    """What one line of the table is."""

    rows = "rows"
    seeds = "seeds"
    groups = "groups"


def export(
    out: Annotated[
        Path, typer.Option(help="File to write, .csv, .json, .parquet or .tex; - prints. Example: --out board.parquet.")
    ] = STDOUT,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="csv, json, parquet or latex. Example: --format json.",
            show_default="what the file's name says; csv",
        ),
    ] = None,
    results: options.Results = RESULTS,
    what: Annotated[
        Lines,
        typer.Option(
            help="A line for each row of the leaderboard, each seed, or each group of each seed. Example: --what seeds."
        ),
    ] = Lines.rows,
    selection: Annotated[
        By, typer.Option(help="How configurations are chosen. Example: --selection worst_class.")
    ] = By.worst_group,
    datasets: Datasets = None,
    backbones: Backbones = None,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged", help="LaTeX: one table, with a column for each data set and backbone. Example: --merged."
        ),
    ] = False,
    strict: Strict = False,
) -> None:
    """Write results as a table: for spreadsheets, pandas, R or a paper. In Python: spurbench.load_results().

    Example: [bold]spurbench export --format latex --out board.tex[/bold]
    """
    from ..errors import UsageError
    from ..files import write_atomic
    from ..leaderboard import read_everything
    from ..narrowing import places

    if not results.is_dir():
        raise UsageError(f"there is no results folder {results}; `spurbench run` makes one")
    form = form or _form_of(out)
    if form is Format.latex and what is not Lines.rows:
        raise UsageError(f"--format latex writes the leaderboard; --what {what.value} goes with csv, json or parquet")
    if merged and form is not Format.latex:
        raise UsageError("--merged goes with --format latex")
    if out == STDOUT and form is Format.parquet:
        raise UsageError("parquet is not text; give --out a file")
    everything = read_everything(results, strict=strict)
    tell(everything.broken)
    every = {(row.dataset, row.backbone) for row in everything.rows()}
    shown = places(every, options.names_of(datasets), options.names_of(backbones))
    everything = everything.within(shown)
    content = _content(everything, form, what, selection, merged=merged)
    if out == STDOUT:
        typer.echo(content.decode(), nl=False)
    else:
        write_atomic(out, content)
        typer.echo(f"written: {out} ({len(everything.rows())} records)")


def _form_of(out: Path) -> Format:
    from ..errors import UsageError

    suffixes = {".csv": Format.csv, ".json": Format.json, ".parquet": Format.parquet, ".tex": Format.latex}
    if out == STDOUT:
        return Format.csv
    if out.suffix.lower() not in suffixes:
        raise UsageError(f"what to write into {out}? End its name in {', '.join(suffixes)}, or give --format")
    return suffixes[out.suffix.lower()]


def _content(everything: Everything, form: Format, what: Lines, selection: By, *, merged: bool) -> bytes:
    if form is Format.latex:
        from ..board import Board
        from ..render.latex import to_latex

        board = Board(selection.value, tuple(everything.rows(selection.value)))
        return to_latex(board, merged=merged).encode()
    from ..frames import frame
    from ..render import frame_text

    table = frame(everything, selection.value, what.value)
    if form is Format.parquet:
        return table.to_parquet(index=False)
    return {"csv": frame_text.to_csv, "json": frame_text.to_json}[form.value](table).encode()
