"""All commands, and how what goes wrong in them is told."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import Annotated

import typer

from ..errors import SpurbenchError, plain
from . import (
    build,
    candidates,
    compare,
    discover,
    explain,
    export,
    features,
    grid,
    photos,
    planted,
    pretrain,
    robustness,
    show,
    site,
    suspects,
    verify,
)

app = typer.Typer(
    help="Benchmark and leaderboard for mitigating spurious correlations in CLIP models.",
    epilog="Start with: spurbench run. It needs no download and takes a few minutes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(grid.run)
app.command("plan")(grid.plan)
app.command("list")(show.list_cards)
app.command("show")(photos.show)
app.command("discover")(discover.discover)
app.command("explain")(explain.explain)
app.command("suspects")(suspects.suspects)
app.command("candidates")(candidates.candidates)
app.command("planted")(planted.planted)
app.command("leaderboard")(show.leaderboard)
app.command("site")(site.site)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("robustness")(robustness.robustness)
app.command("verify-published")(verify.verify_published)
app.command("pretrain")(pretrain.pretrain)
app.add_typer(build.app, name="build")
app.add_typer(features.app, name="features")


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"spurbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Benchmark and leaderboard for mitigating spurious correlations in CLIP models."""


def run() -> None:
    """Run the command that was called; leaves with its exit status where that is not 0."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character is no reason to lose a run's end.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except SpurbenchError as error:
        if "--debug" in sys.argv:
            raise
        print(f"spurbench: {plain(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        # The reader of our output has left, e.g. `| head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"spurbench: {plain(where)}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        sys.exit(_unexpected(error))


def _unexpected(error: Exception) -> int:
    from ..files import default_cache

    log = default_cache() / "logs" / f"error-{os.getpid()}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
        where = f"the traceback is in {log}"
    except OSError:
        where = "run it again with --debug for the traceback"
    print(
        f"spurbench: unexpected {type(error).__name__}: {plain(str(error))}\n  this is a bug; {where}", file=sys.stderr
    )
    return 1
