"""What a person sees while a plan runs: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from .jobs import Event, Finished, Note, Stage, Started
from .plan import Plan, Row
from .work import Work

SHORT = 60


@dataclass(frozen=True)
class Failed:
    """A failed cell."""

    row: Row
    seed: int
    message: str
    traceback: str


class Tally:
    """Counts cells: done before, done now, failed, and the failures with their rows."""

    def __init__(self, plan: Plan) -> None:
        self.cached = plan.count("done")
        self.impossible = plan.count("impossible")
        self.todo = sum(len(row.todo()) for row in plan.rows)
        self.done = 0
        self.failures: list[Failed] = []

    def add(self, row: Row, event: Finished) -> None:
        """Count a finished cell."""
        if event.result.failure is None:
            self.done += 1
        else:
            failure = event.result.failure
            self.failures.append(Failed(row, event.result.seed, failure.message, failure.traceback))

    @property
    def text(self) -> str:
        """The counts in a line."""
        left = self.todo - self.done - len(self.failures)
        parts = [f"{self.done} done", f"{self.cached} cached", f"{len(self.failures)} failed", f"{left} to go"]
        return " · ".join([*parts, *([f"{self.impossible} impossible"] if self.impossible else [])])


def where(row: Row) -> str:
    """A row's name for a line of progress."""
    return f"{row.dataset} · {row.backbone} · {row.method}"


class OverallBar(BarColumn):
    """A bar for the whole run, and none for the line that says what runs now."""

    def render(self, task: Task) -> ProgressBar | Text:  # type: ignore[override]
        """The bar, or nothing."""
        return Text("") if task.total is None else super().render(task)


class OverallTime(TimeRemainingColumn):
    """Time left for the whole run."""

    def render(self, task: Task) -> Text:
        """The time, or nothing."""
        return Text("") if task.total is None else super().render(task)


class LiveDisplay:
    """A bar measured in expected seconds, so that its end is a time; what runs now; and the counts."""

    def __init__(self, plan: Plan, work: Sequence[Work], console: Console) -> None:
        self.tally = Tally(plan)
        self._console = console
        self._work = {row.path: item for row, item in zip(plan.rows, work, strict=True)}
        total = sum(item.total(len(row.todo())) for row, item in zip(plan.rows, work, strict=True))
        self._progress = Progress(
            TextColumn("{task.description}"), OverallBar(bar_width=24), OverallTime(), console=console
        )
        self._task = self._progress.add_task(self.tally.text, total=total or 1.0)
        self._now = self._progress.add_task("", total=None, visible=False)
        self._finished = 0.0

    def __enter__(self) -> LiveDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, row: Row, event: Event) -> None:
        """Show an event."""
        work = self._work[row.path]
        if isinstance(event, Stage):
            share = event.done / event.total if event.total else 0.0
            count = f" {event.done:,}/{event.total:,}" if event.total else ""
            self._show(f"{row.dataset} · {row.backbone}: {event.text}{count}", self._finished + share * work.encode)
            if event.total and event.done == event.total:
                self._finished += work.encode
        elif isinstance(event, Note):
            self._console.print(event.text, markup=False, highlight=False)
        elif isinstance(event, Started):
            seeds = f"seed {event.seeds[0]}" if len(event.seeds) == 1 else f"{len(event.seeds)} seeds"
            self._show(f"{where(row)} · {seeds}", self._finished)
        else:
            self.tally.add(row, event)
            self._finished += work.per_cell
            self._progress.update(self._task, completed=self._finished, description=self.tally.text)

    def _show(self, text: str, completed: float) -> None:
        self._progress.update(self._now, description=escape(text), visible=True)
        self._progress.update(self._task, completed=completed, description=self.tally.text)


class LineDisplay:
    """One line per cell, and one for every tenth of encoding: for logs and CI."""

    def __init__(self, plan: Plan, write: Callable[[str], None]) -> None:
        self.tally = Tally(plan)
        self._write = write
        self._tenth = -1
        self._told: set[str] = set()

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, row: Row, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Stage) and event.total:
            tenth = 10 * event.done // event.total
            if tenth != self._tenth:
                self._tenth = tenth
                self._write(f"{row.dataset} · {row.backbone}: {event.text} {event.done}/{event.total}")
        elif isinstance(event, Note):
            self._tenth = -1
            self._write(event.text)
        elif isinstance(event, Finished):
            self.tally.add(row, event)
            failure = event.result.failure
            outcome = f"done in {event.seconds:.1f} s" if failure is None else f"failed: {self._once(failure.message)}"
            self._write(f"[{self.tally.text}] {where(row)} · seed {event.result.seed}: {outcome}")

    def _once(self, message: str) -> str:
        """A message in full the first time, in short when many cells fail alike."""
        if message in self._told and len(message) > SHORT:
            return f"{message[:SHORT]}... (as before)"
        self._told.add(message)
        return message
