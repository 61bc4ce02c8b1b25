"""`spurbench pretrain`: make the weights of the embedded backbones again, from nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from ..backbones import Pretrainable

PRETRAINED = Path("pretrained")
SHIPPED, MADE, CONTROL = "shipped", "made now", "control"


def complete_pretrainable(incomplete: str) -> list[str]:
    """Names of the backbones that can be made."""
    from ..registry import load_registries

    return [name for name in ["all", *_pretrainable(load_registries())] if name.startswith(incomplete)]


def pretrain(
    name: Annotated[
        str,
        typer.Argument(help="A backbone that can be made from nothing, or all.", autocompletion=complete_pretrainable),
    ] = "all",
    out: Annotated[
        Path, typer.Option(help="Folder; each backbone gets one of its own below it. Example: --out /tmp/weights.")
    ] = PRETRAINED,
    control: Annotated[
        bool,
        typer.Option(
            "--control", help="Train its counterpart without the shortcut as well. Example: menagerie-rn --control."
        ),
    ] = False,
    plugin: options.Plugin = None,
) -> None:
    """Make a backbone's weights from nothing, and compare their accuracy with that of the shipped ones.

    Takes 5 to 15 minutes a backbone on two cores. Killed, it goes on at the last finished epoch. Exit status 1 if the
    accuracies differ by more than the stated tolerance.

    Example: [bold]spurbench pretrain menagerie-rn --out /tmp/weights[/bold]
    """
    from rich.console import Console

    from ..errors import UnknownNameError
    from ..registry import load_registries

    known = _pretrainable(load_registries(plugin or ()))
    if name != "all" and name not in known:
        raise UnknownNameError("pretrainable backbone", name, known)
    console, good = Console(), True
    for chosen in known if name == "all" else [name]:
        good &= _make(known[chosen], out / chosen, control, console)
    if not good:
        raise typer.Exit(1)


def _pretrainable(registries: Any) -> dict[str, Pretrainable]:
    names = [name for name in registries.backbones.names() if hasattr(registries.backbones.thing(name), "pretrain")]
    return {name: registries.backbones.get(name) for name in names}


def _make(backbone: Pretrainable, folder: Path, control: bool, console: Console) -> bool:
    """Train, judge and describe one backbone; whether it is as good as the shipped one."""
    name, own = backbone.card.name, folder / "control"
    for where, without in ((folder, False), *(((own, True),) if control else ())):
        title = f"{name}{' (control)' if without else ''}"
        with _Progress(title, console) as tell:
            backbone.pretrain(where, without, tell)
    with console.status("judging on fresh photos"):
        accuracies = {SHIPPED: backbone.judge(None), MADE: backbone.judge(folder)}
        if control:
            accuracies[CONTROL] = backbone.judge(own)
    backbone.describe(folder, {key: value for key, value in accuracies.items() if key != SHIPPED})
    _print(name, accuracies, console)
    console.print(f"written: {folder}", markup=False, highlight=False, soft_wrap=True)
    off = {key: abs(value - accuracies[MADE][key]) for key, value in accuracies[SHIPPED].items()}
    worst = max(off, key=lambda key: off[key])
    good = off[worst] <= backbone.tolerance
    verdict = "matches the shipped weights" if good else f"does NOT match the shipped weights ({worst})"
    console.print(
        f"{name} {verdict}: at most {off[worst]:.3f} apart, tolerance {backbone.tolerance:g}", highlight=False
    )
    return good


def _print(name: str, accuracies: dict[str, dict[str, float]], console: Console) -> None:
    from rich.table import Table

    table = Table(title=f"{name}: zero-shot accuracy on fresh photos", title_justify="left")
    table.add_column("weights")
    for column in accuracies[MADE]:
        table.add_column(column, justify="right")
    for weights, values in accuracies.items():
        table.add_row(weights, *(f"{value:.3f}" for value in values.values()))
    console.print(table)


class _Progress:
    """A live bar in a terminal, a line now and then elsewhere."""

    def __init__(self, title: str, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.title, self.console, self.started, self.told = title, console, time.monotonic(), 0.0
        self.first: int | None = None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:.0f} %"),
            TextColumn("{task.fields[more]}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task(f"{title}: taking photos", total=None, more="")

    def __enter__(self) -> Callable[[int, int, float], None]:
        if not self.console.is_terminal:
            self.console.print(f"{self.title}: taking photos")
        self.bar.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def _tell(self, done: int, total: int, loss: float) -> None:
        if self.first is None:
            self.first, self.started = done, time.monotonic()
        rate = (done - self.first) / max(time.monotonic() - self.started, 1e-9)
        more = f"{rate:.0f} photos/s, loss {loss:.2f}"
        self.bar.update(self.task, description=self.title, completed=done, total=total, more=more)
        if not self.console.is_terminal and (done == total or time.monotonic() - self.told > 20):
            self.told = time.monotonic()
            self.console.print(f"{self.title}: {done}/{total} photos, {more}", highlight=False)
