"""`spurbench run` and `spurbench plan`: the grid, computed or only looked at."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from . import options
from .console import say, show_log

if TYPE_CHECKING:
    from rich.console import Console

    from ..executors.inline import InlineExecutor
    from ..plan import Plan
    from ..progress import Failed, LineDisplay, LiveDisplay, Tally
    from ..session import Session
    from ..work import Work

RESULTS = Path("results")


def run(
    methods: options.Methods = None,
    backbones: options.Backbones = None,
    datasets: options.Datasets = None,
    suite: options.Suite = None,
    seeds: options.Seeds = None,
    configs: options.Configs = None,
    rules: options.RulesName = None,
    prompts: options.Prompts = None,
    attributes: options.Attributes = None,
    data_root: options.DataRoot = None,
    results: options.Results = RESULTS,
    cache: options.Cache = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    plugin: options.Plugin = None,
    force: options.Force = False,
    limit: options.Limit = None,
    cell_timeout: options.CellTimeout = None,
    memory_limit: options.MemoryLimit = "2G",
    offline: options.Offline = False,
    debug: options.Debug = False,
) -> None:
    """Train every method on every backbone and data set, and print and write the leaderboard.

    What is already done is not done again; killed at any moment, the same command goes on where it stopped.

    Example: [bold]spurbench run --methods all --backbones RN50,ViT-B/16 --datasets waterbirds[/bold]
    """
    from rich.console import Console

    from ..errors import InterruptedRunError
    from ..execute import run_plan
    from ..files import bytes_of

    session = session_of(
        methods, backbones, datasets, suite, seeds, configs, rules, prompts, attributes, data_root, results, cache,
        device, precision, plugin, force, fetch=not offline,
    )  # fmt: skip
    room = bytes_of(memory_limit)
    console, messages = Console(), Console(stderr=True)
    show_log(messages)
    with messages.status("looking at data, weights and records"):
        plan = session.plan().limited(limit)
    # Now, not after hours of computing, is the time to learn that nothing can be written there.
    session.results.mkdir(parents=True, exist_ok=True)
    _say_what_is_impossible(plan, console)
    _say_what_the_suite_leaves_out(plan, console)
    tally = None
    if any(row.todo() for row in plan.rows):
        from ..executors.process import ProcessExecutor, inline_worker

        log = session.cache / "logs" / f"run-{os.getpid()}.log"
        executor = (
            _inline(session) if debug else ProcessExecutor(inline_worker(session.registries.plugins, log), cell_timeout)
        )
        try:
            with _display(plan, session, console) as display:
                run_plan(
                    plan,
                    session.registries,
                    executor,
                    data_root=session.data_root,
                    cache=session.cache,
                    device=session.torch_device,
                    precision=session.precision,
                    memory_limit=room,
                    listen=display,
                )
        except KeyboardInterrupt as interrupt:
            message = "interrupted; what was finished is kept, run the same command to go on"
            raise InterruptedRunError(message) from interrupt
        finally:
            executor.close()
        tally = display.tally
    else:
        console.print(f"nothing to compute: {plan.count('done')} cells cached", highlight=False)
    broken = _print_results(session, plan, console)
    if tally is not None and tally.failures:
        _print_failures(tally, console, debug=debug)
    if broken or (tally is not None and tally.failures):
        raise typer.Exit(1)


def plan(
    methods: options.Methods = None,
    backbones: options.Backbones = None,
    datasets: options.Datasets = None,
    suite: options.Suite = None,
    seeds: options.Seeds = None,
    configs: options.Configs = None,
    rules: options.RulesName = None,
    prompts: options.Prompts = None,
    attributes: options.Attributes = None,
    data_root: options.DataRoot = None,
    results: options.Results = RESULTS,
    cache: options.Cache = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    plugin: options.Plugin = None,
    force: options.Force = False,
    limit: options.Limit = None,
) -> None:
    """Show the cells of a run: done, stale, missing, failed or impossible, and why; and the time left. Runs nothing.

    Example: [bold]spurbench plan --backbones RN50 --datasets waterbirds --seeds 10[/bold]
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    session = session_of(
        methods, backbones, datasets, suite, seeds, configs, rules, prompts, attributes, data_root, results, cache,
        device, precision, plugin, force, fetch=False,
    )  # fmt: skip
    console = Console()
    planned = session.plan().limited(limit)
    work = _work(planned, session)
    table = Table(title=f"rules {planned.rules.name}", title_justify="left")
    for heading in ("data set · backbone", "method", "cells", "why"):
        table.add_column(heading, overflow="fold")
    reasons: dict[str, int] = {}
    for row in planned.rows:
        states: dict[str, int] = {}
        for cell in row.cells:
            states[cell.status] = states.get(cell.status, 0) + 1
        why = next((cell.reason for cell in row.cells if cell.reason), "")
        # A long reason shared by many rows is told once, below the table.
        short = why if len(why) < 60 else f"see [{reasons.setdefault(why, len(reasons) + 1)}]"
        cells = ", ".join(f"{count} {status}" for status, count in states.items())
        table.add_row(Text(f"{row.dataset} · {row.backbone}"), Text(row.method), Text(cells), Text(short))
    console.print(table)
    for why, number in reasons.items():
        say(console, f"[{number}] {why}")
    _say_what_the_suite_leaves_out(planned, console)
    todo = sum(len(row.todo()) for row in planned.rows)
    seconds = sum(item.total(len(row.todo())) for row, item in zip(planned.rows, work, strict=True))
    measured = all(item.measured or not row.todo() for row, item in zip(planned.rows, work, strict=True))
    rough = "" if measured else ", rough"
    about = f", about {timedelta(seconds=round(seconds))}{rough}" if todo else ""
    unkeyed = sum(bool(row.todo()) and not row.key for row in planned.rows)
    more = "; what must be fetched first is not counted" if unkeyed else ""
    say(console, f"{todo} cells to compute, {planned.count('done')} done{about}{more}")


def session_of(
    methods: str | None,
    backbones: str | None,
    datasets: str | None,
    suite: str | None,
    seeds: int | None,
    configs: int | None,
    rules: str | None,
    prompts: str | None,
    attributes: Path | None,
    data_root: Path | None,
    results: Path,
    cache: Path | None,
    device: str,
    precision: str,
    plugin: list[str] | None,
    force: bool,
    *,
    fetch: bool,
) -> Session:
    """What the options of `run` ask for."""
    from ..files import default_cache, default_data_root
    from ..session import Session

    told = None
    if attributes is not None:
        from ..suspects.told import told_attribute

        told = told_attribute(attributes)
    return Session(
        methods=methods,
        backbones=backbones,
        datasets=datasets,
        suite=suite,
        seeds=seeds,
        configs=configs,
        rules_name=rules,
        prompts=prompts,
        attribute=told,
        data_root=data_root or default_data_root(),
        results=results,
        cache=cache or default_cache(),
        device=device,
        precision=precision,
        plugins=tuple(plugin or ()),
        force=force,
        fetch=fetch,
    )


def _inline(session: Session) -> InlineExecutor:
    from ..executors.inline import InlineExecutor

    return InlineExecutor(session.registries)


def _work(plan: Plan, session: Session) -> list[Work]:
    from ..work import expected_work

    inputs = {row.method: session.registries.methods.get(row.method).card.inputs for row in plan.rows}
    return expected_work(plan, inputs, session.cache, session.torch_device)


def _display(plan: Plan, session: Session, console: Console) -> LiveDisplay | LineDisplay:
    from ..progress import LineDisplay, LiveDisplay

    if console.is_terminal:
        return LiveDisplay(plan, _work(plan, session), console)
    return LineDisplay(plan, lambda line: typer.echo(line))


def _say_what_is_impossible(plan: Plan, console: Console) -> None:
    reasons: dict[str, list[str]] = {}
    for row in plan.rows:
        if row.cells and row.cells[0].status == "impossible":
            reasons.setdefault(row.cells[0].reason, []).append(row.method)
    for reason, methods in reasons.items():
        names = ", ".join(dict.fromkeys(methods))
        say(console, f"left out: {names}: {reason}")


def _say_what_the_suite_leaves_out(plan: Plan, console: Console) -> None:
    on: dict[tuple[str, ...], list[str]] = {}
    for dataset, methods in plan.left_out.items():
        on.setdefault(methods, []).append(dataset)
    for methods, datasets in on.items():
        say(console, f"not part of the suite on {', '.join(datasets)}: {', '.join(methods)} (name them to run them)")


def _print_results(session: Session, plan: Plan, console: Console) -> bool:
    """Print and write the board of every readable record; true if some are not."""
    from ..leaderboard import read_everything, write_leaderboard
    from ..render.published import beside
    from ..render.terminal import print_board

    everything = read_everything(session.results)
    written = write_leaderboard(session.results, everything)
    shown = {(plan.rules.name, row.dataset, row.backbone) for row in plan.rows}
    board = everything.board().of(shown)
    print_board(board, console)
    for line in beside(everything.published, board):
        say(console, f"as published: {line}")
    say(console, f"written: {written}")
    for message in everything.broken:
        say(console, f"left out: {message}")
    return bool(everything.broken)


def _print_failures(tally: Tally, console: Console, *, debug: bool) -> None:
    from ..progress import where

    console.print(f"\n{len(tally.failures)} cells failed:", style="bold red", highlight=False)
    grouped: dict[tuple[str, str], list[Failed]] = {}
    for failure in tally.failures:
        grouped.setdefault((where(failure.row), failure.message), []).append(failure)
    told: dict[str, str] = {}
    for (name, message), failures in grouped.items():
        text = message if message not in told else f"as {told[message]}"
        told.setdefault(message, name)
        say(console, f"  {name} · seed {', '.join(str(failure.seed) for failure in failures)}: {text}")
        if failures[0].traceback and debug:
            say(console, f"\n{failures[0].traceback}\n")
        elif failures[0].traceback:
            say(console, f"    traceback: {failures[0].row.path}")
    say(console, "run the same command to try them again")
