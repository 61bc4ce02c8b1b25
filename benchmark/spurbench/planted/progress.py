"""What a person sees while planted models are made: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .jobs import Done, PlantedEvent


class Display(Protocol):
    """Shows events; used as a context."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, where: str, event: PlantedEvent) -> None:
        """Show an event of the model that `where` names."""


def outcome(event: Done) -> str:
    """What came of a model, in a few words."""
    result = event.result
    if result.failure is not None:
        return f"failed: {result.failure.message}"
    assert result.gained is not None
    assert result.lost is not None
    text = f"gains {100 * result.gained:.0f}, loses {100 * result.lost:.0f} points by the feature"
    if result.found:
        name, found = next(iter(result.found.items()))
        text += f"; {name} P@10 {found.precision_at(10):.1f}"
    return f"{text} ({event.seconds:.0f} s)"


class Bars:
    """A bar for all models, and a line for each that is being made."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._all = self._progress.add_task("models", total=total)
        self._now: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._now.values():
            self._progress.remove_task(task)
        self._progress.stop()

    def __call__(self, where: str, event: PlantedEvent) -> None:
        """Show an event."""
        if isinstance(event, Done):
            task = self._now.pop(where, None)
            if task is not None:
                self._progress.remove_task(task)
            self._console.print(f"{where}: {outcome(event)}", markup=False, highlight=False)
            self._progress.advance(self._all)
            return
        if where not in self._now:
            self._now[where] = self._progress.add_task("", total=None)
        self._progress.update(self._now[where], description=escape(f"{where}: {event.text}"))


class Lines:
    """One line per model: for logs and CI."""

    def __init__(self, write: Callable[[str], None], total: int) -> None:
        self._write, self._total, self._done = write, total, 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, where: str, event: PlantedEvent) -> None:
        """Write what came of a model."""
        if isinstance(event, Done):
            self._done += 1
            self._write(f"[{self._done}/{self._total}] {where}: {outcome(event)}")
