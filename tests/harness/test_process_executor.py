"""What an executor makes of a worker that is slow or dies, cell by cell or with several cells at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from spurbench.executors.process import ProcessExecutor
from spurbench.executors.worker import Worker
from spurbench.jobs import Event, Finished, Job, Note, Started
from spurbench.record import SeedResult, Selected
from spurbench.rules import load_rules

DIES, HANGS = EOFError(), TimeoutError()


class Scripted(Worker):
    """Workers that, one after the other, tell what is written down for them."""

    def __init__(self, scripts: Sequence[Sequence[Event | Exception]]) -> None:
        super().__init__(lambda _: lambda job, tell: None, (), Path("worker.log"))
        self.scripts = [list(script) for script in scripts]
        self.sent: list[tuple[int, ...]] = []
        self.deadlines: list[float | None] = []

    def send(self, job: Any) -> None:
        self.sent.append(job.seeds)
        self.script = self.scripts.pop(0)

    def next_event(self, deadline: float | None = None) -> Any:
        self.deadlines.append(deadline)
        event = self.script.pop(0)
        if isinstance(event, Exception):
            raise event
        return event

    def stop(self) -> None:
        pass

    def epitaph(self) -> str:
        return "the worker process died: killed by SIGSEGV; its log is worker.log"


def good(seed: int) -> Finished:
    chosen = Selected(candidate=0, test=[1], predictions="")
    result = SeedResult(
        seed=seed, status="ok", selection_total=[1], test_total=[1], configs=[{}],
        candidates=[(0, 0, [1], [1])], selected={"worst_group": chosen},  # type: ignore[list-item]
    )  # fmt: skip
    return Finished(result, {}, 1.0)


def run(worker: Scripted, seeds: tuple[int, ...] = (0, 1, 2), limit: float | None = None) -> dict[int, str]:
    """The failure of each seed, in the order in which they ended; empty where it has a result."""
    events: list[Event] = []
    here, rules = Path(), load_rules("quick")
    ProcessExecutor(worker, limit).run(
        Job("", "data", "", "mine", seeds, rules, here, here, "cpu", "fp32", 2**30, False), events.append
    )
    ended = [event.result for event in events if isinstance(event, Finished)]
    assert sorted(result.seed for result in ended) == sorted(seeds), "every seed ends exactly once"
    return {result.seed: result.failure.message if result.failure else "" for result in ended}


def test_seeds_computed_at_once_all_end() -> None:
    worker = Scripted([[Note("encoding"), Started((0, 1, 2)), good(0), good(1), good(2)]])
    assert run(worker) == {0: "", 1: "", 2: ""}
    assert worker.sent == [(0, 1, 2)]


def test_a_worker_that_dies_at_several_seeds_fails_them_all() -> None:
    ended = run(Scripted([[Started((0, 1, 2)), DIES]]))
    assert all("the worker process died: killed by SIGSEGV; its log is worker.log" in why for why in ended.values())


def test_where_seeds_are_done_again_one_by_one_the_one_that_kills_the_worker_fails_alone() -> None:
    first = [Started((0, 1, 2)), Started((0,)), good(0), Started((1,)), DIES]
    worker = Scripted([first, [Started((2,)), good(2)]])
    ended = run(worker)
    assert (ended[0], ended[2]) == ("", "")
    assert "died" in ended[1]
    assert worker.sent == [(0, 1, 2), (2,)], "a new worker goes on with what is left"


@pytest.mark.parametrize("before", [[], [Note("reading")]])
def test_a_worker_that_dies_before_any_cell_fails_what_is_left_for_it(before: list[Event]) -> None:
    worker = Scripted([[*before, DIES]])
    assert all("died" in why for why in run(worker).values())
    assert worker.sent == [(0, 1, 2)]


def test_a_worker_that_dies_between_cells_costs_the_next_one_only() -> None:
    worker = Scripted([[Started((0,)), good(0), DIES], [Started((2,)), good(2)]])
    ended = run(worker)
    assert (ended[0], ended[2]) == ("", "")
    assert "died" in ended[1]


def test_seeds_computed_at_once_may_take_as_long_together_as_one_by_one() -> None:
    worker = Scripted([[Note("encoding"), Started((0, 1, 2)), HANGS]])
    now = time.monotonic()
    ended = run(worker, limit=100.0)
    assert set(ended.values()) == {"took longer than the limit of 100 s (--cell-timeout) and was stopped"}
    assert worker.deadlines[:2] == [None, None], "what comes before the first cell has no limit"
    assert worker.deadlines[2] == pytest.approx(now + 300, abs=30)


def test_a_cell_that_takes_too_long_is_stopped_alone() -> None:
    worker = Scripted([[Started((0,)), HANGS], [Started((1,)), good(1), Started((2,)), good(2)]])
    now = time.monotonic()
    ended = run(worker, limit=100.0)
    assert "100 s" in ended[0]
    assert (ended[1], ended[2]) == ("", "")
    assert worker.deadlines[1] == pytest.approx(now + 100, abs=30)
    assert worker.sent == [(0, 1, 2), (1, 2)]


def test_without_a_limit_nothing_has_a_deadline() -> None:
    worker = Scripted([[Started((0, 1, 2)), good(0), good(1), good(2)]])
    run(worker)
    assert set(worker.deadlines) == {None}
