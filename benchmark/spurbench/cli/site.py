"""`spurbench site`: the leaderboard as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .grid import RESULTS


def site(
    out: Annotated[Path, typer.Option(help="Folder that index.html is written into. Example: --out site.")],
    results: options.Results = RESULTS,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing where a record is broken; exit 1. Example: --strict.")
    ] = False,
) -> None:
    """Write the leaderboard as a page: one file that needs no network, to be opened, sent or put on any server.

    Example: [bold]spurbench site --out site[/bold]
    """
    from ..errors import UsageError, plain
    from ..files import write_atomic
    from ..leaderboard import read_everything
    from ..render.site import Contents, to_page

    if not results.is_dir():
        raise UsageError(f"there is no results folder {results}; `spurbench run` makes one")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out takes a folder, and {out} is a file")
    everything = read_everything(results, strict=strict)
    for message in everything.broken:
        typer.echo(f"left out: {plain(message)}", err=True)
    page = to_page(
        Contents(
            everything.boards(),
            everything.records,
            everything.planted_board(),
            everything.published,
            everything.broken,
        )
    )
    write_atomic(out / "index.html", page.encode())
    typer.echo(f"written: {out / 'index.html'} ({len(everything.records) + len(everything.planted)} records)")
