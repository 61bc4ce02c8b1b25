"""`spurbench planted`: models that rely on something known, and who finds it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import say, show_log

if TYPE_CHECKING:
    from rich.console import Console

    from ..planted.jobs import PlantedEvent, PlantedJob
    from ..planted.plan import PlantedRow
    from ..planted.progress import Display
    from ..session import Session

RESULTS = Path("results")


def planted(
    family: Annotated[
        str,
        typer.Option(
            help="A named list of what is planted where. Example: --family embedded.",
            autocompletion=options.complete_families,
            rich_help_panel=options.GRID,
        ),
    ] = "small",
    bases: Annotated[
        str | None,
        typer.Option(
            help="Of the family's bases. Example: --bases sticker,digits.",
            rich_help_panel=options.GRID,
            show_default="all",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Classes to plant the feature with. Example: --labels dog,3.",
            rich_help_panel=options.GRID,
            show_default="all",
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(
            help="Cramer's V between feature and class in training. Example: --strengths 0.7,0.9.",
            rich_help_panel=options.GRID,
            show_default="the family's",
        ),
    ] = None,
    backbones: Annotated[
        str | None,
        typer.Option(
            help="Backbones to fine-tune. Example: --backbones RN50.",
            autocompletion=options.complete_backbones,
            rich_help_panel=options.GRID,
            show_default="the family's",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Models per setting; all must use the shortcut. Example: --seeds 5.",
            rich_help_panel=options.GRID,
            show_default="the family's",
        ),
    ] = None,
    discoverers: Annotated[
        str | None,
        typer.Option(
            help="Who is asked what a model relies on: names, globs, all; the first decides where mitigations are run. "
            "Example: --discoverers ravl,random.",
            rich_help_panel=options.GRID,
            show_default="the family's",
        ),
    ] = None,
    mitigate: Annotated[
        bool,
        typer.Option(
            "--mitigate",
            help="Also run the family's mitigations where discovery succeeded. Example: --mitigate.",
            rich_help_panel=options.GRID,
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Models made at once, each on one core; results do not depend on it. Example: --jobs 2.",
            rich_help_panel=options.HOW,
            show_default="one per core",
        ),
    ] = None,
    data_root: options.DataRoot = None,
    results: options.Results = RESULTS,
    cache: options.Cache = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    plugin: options.Plugin = None,
    force: options.Force = False,
    limit: options.Limit = None,
    memory_limit: options.MemoryLimit = "2G",
    offline: options.Offline = False,
    debug: options.Debug = False,
) -> None:
    """Plant a feature with a class, fine-tune models that come to rely on it, and see who finds that out.

    What is already done is not done again; killed at any moment, the same command goes on where it stopped.

    Example: [bold]spurbench planted --bases sticker --labels dog --strengths 0.9[/bold]
    """
    from rich.console import Console

    from ..errors import InterruptedRunError
    from ..files import bytes_of, default_cache, default_data_root
    from ..planted.family import Choice, load_family
    from ..planted.plan import limited, make_rows
    from ..session import Session

    found = load_family(family)
    choice = Choice(
        bases=options.names_of(bases),
        labels=options.names_of(labels),
        strengths=options.numbers_of("--strengths", strengths, 0.0, 1.0),
        backbones=options.names_of(backbones),
    )
    settings = choice.settings(found)
    session = Session(
        data_root=data_root or default_data_root(),
        results=results,
        cache=cache or default_cache(),
        device=device,
        precision=precision,
        plugins=tuple(plugin or ()),
        force=force,
        fetch=not offline,
    )
    room = bytes_of(memory_limit)
    asked = session.registries.discoverers.select(options.names_of(discoverers) or found.discoverers)
    console, messages = Console(), Console(stderr=True)
    show_log(messages)
    with messages.status("looking at data, weights and records"):
        rows = make_rows(session, settings, seeds or found.seeds, asked, mitigate=mitigate, memory_limit=room)
        rows = limited(rows, limit)
    session.results.mkdir(parents=True, exist_ok=True)
    _say_what_is_impossible(rows, console)
    failures: list[str] = []
    if any(row.jobs for row in rows):
        try:
            failures = _run(rows, session, jobs, console, debug=debug)
        except KeyboardInterrupt as interrupt:
            message = "interrupted; what was finished is kept, run the same command to go on"
            raise InterruptedRunError(message) from interrupt
    else:
        console.print(f"nothing to compute: {sum(len(row.done) for row in rows)} models cached", highlight=False)
    broken = _print_results(session, console)
    if failures:
        say(console, f"\n{len(failures)} models failed; run the same command to try them again:")
        for failure in failures:
            say(console, f"  {failure}")
    if failures or broken or any(row.reason for row in rows):
        raise typer.Exit(1)


def _run(rows: list[PlantedRow], session: Session, jobs: int | None, console: Console, *, debug: bool) -> list[str]:
    """Make the models; what failed, with where and why."""
    from ..parallel import cores
    from ..planted.jobs import Done
    from ..planted.pool import Inline, planted_worker
    from ..planted.run import run_rows

    log = session.cache / "logs" / f"planted-{os.getpid()}.log"
    total = sum(len(row.jobs) for row in rows)
    count = 1 if debug else min(jobs or cores(), total)
    workers = [
        Inline(session.registries) if debug else planted_worker(session.registries.plugins, log) for _ in range(count)
    ]
    failures: list[str] = []
    with _display(console, total) as show:

        def listen(row: PlantedRow, job: PlantedJob, event: PlantedEvent) -> None:
            where = f"{row.setting.dataset} · {row.backbone} · seed {job.seed}"
            if isinstance(event, Done) and event.result.failure is not None:
                failures.append(f"{where}: {event.result.failure.message}")
                if debug and event.result.failure.traceback:
                    console.print(event.result.failure.traceback, markup=False, highlight=False)
            show(where, event)

        run_rows(rows, workers, session.cache / "locks", listen)
    return failures


def _display(console: Console, total: int) -> Display:
    from ..planted.progress import Bars, Lines

    return Bars(console, total) if console.is_terminal else Lines(typer.echo, total)


def _say_what_is_impossible(rows: list[PlantedRow], console: Console) -> None:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault(row.reason, []).append(f"{row.setting.base.name} · {row.setting.backbone}")
    for reason, names in reasons.items():
        say(console, f"left out: {', '.join(dict.fromkeys(names))}: {reason}")


def _print_results(session: Session, console: Console) -> bool:
    """Print every table of the planted records, and write the leaderboard; true if some records are broken."""
    from ..leaderboard import read_everything, write_leaderboard
    from ..render.terminal import print_planted

    everything = read_everything(session.results)
    written = write_leaderboard(session.results, everything)
    print_planted(everything.planted_board(), console)
    say(console, f"written: {written}")
    for message in everything.broken:
        say(console, f"left out: {message}")
    return bool(everything.broken)
