"""What becomes of jobs on several workers, some of which die."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from spurbench.executors.worker import Worker
from spurbench.jobs import Job
from spurbench.planted.jobs import Doing, Done, PlantedEvent, PlantedJob
from spurbench.planted.pool import run_jobs
from spurbench.planted.record import Found, Mitigated, PlantedSeed
from spurbench.rules import load_rules

from .conftest import MakeSeed


def job(seed: int, before: PlantedSeed | None = None) -> PlantedJob:
    here = Path()
    made = Job("", "data", "tiny", "model", (seed,), load_rules("v1"), here, here, "cpu", "fp32", 2**30, False)
    return PlantedJob(made, 0, (("ravl", "r"), ("random", "q")), (("mend", "m"),), 0.6, before)


class Obedient(Worker):
    """A worker that does what it is sent, in this process; seeds it `dies_at` it dies of."""

    def __init__(self, model: MakeSeed, dies_at: tuple[int, ...] = ()) -> None:
        super().__init__(lambda _: lambda job, tell: None, (), Path("worker.log"))
        self.model, self.dies_at = model, dies_at
        self.sent: list[int] = []
        self.events: list[Any] = []
        self.stopped = False

    def send(self, job: PlantedJob) -> None:
        self.sent.append(job.seed)
        end = EOFError() if job.seed in self.dies_at else Done(self.model(job.seed), 1.0)
        self.events = [Doing("working"), end]

    def next_event(self, deadline: float | None = None) -> Any:
        event = self.events.pop(0)
        if isinstance(event, Exception):
            raise event
        return event

    def stop(self) -> None:
        self.stopped = True

    def epitaph(self) -> str:
        return "the worker process died: killed by SIGSEGV; its log is worker.log"


def test_every_job_ends_once_and_a_death_costs_one(model: MakeSeed) -> None:
    workers = [Obedient(model, dies_at=(3,)), Obedient(model, dies_at=(3,))]
    ended: dict[int, str] = {}
    lock = threading.Lock()

    def listen(job: PlantedJob, event: PlantedEvent) -> None:
        assert lock.acquire(blocking=False), "events come one at a time"
        if isinstance(event, Done):
            assert job.seed not in ended
            ended[job.seed] = event.result.failure.message if event.result.failure else ""
        lock.release()

    run_jobs([job(seed) for seed in range(8)], workers, listen)
    assert sorted(ended) == list(range(8))
    assert "SIGSEGV" in ended.pop(3)
    assert set(ended.values()) == {""}
    assert sorted([*workers[0].sent, *workers[1].sent]) == list(range(8)), "each is sent to one worker"
    assert all(worker.stopped for worker in workers)


def test_what_the_listener_raises_ends_the_run(model: MakeSeed) -> None:
    worker = Obedient(model)

    def listen(job: PlantedJob, event: PlantedEvent) -> None:
        raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"):
        run_jobs([job(seed) for seed in range(4)], [worker], listen)
    assert worker.sent == [0]
    assert worker.stopped


def test_what_is_missing_is_what_nobody_answered_under_the_present_key(model: MakeSeed) -> None:
    good = {"ravl": Found(key="r", findings=1, hits=[1] * 10), "random": Found(key="q", findings=1, hits=[0])}
    mended = {"mend": Mitigated(key="m", error="diverged")}
    asked = model(0).model_copy(update={"found": good, "mitigated": mended})
    assert not job(0, asked).missing(0.1)
    assert job(0).missing(0.1), "nothing is known yet"
    assert job(0, asked.model_copy(update={"found": {"ravl": good["ravl"]}})).missing(0.1)
    stale = {**good, "random": good["random"].model_copy(update={"key": "old"})}
    assert job(0, asked.model_copy(update={"found": stale})).missing(0.1)
    assert job(0, asked.model_copy(update={"mitigated": {}})).missing(0.1)
    missed = {**good, "ravl": good["ravl"].model_copy(update={"hits": [1] * 6})}
    assert not job(0, asked.model_copy(update={"found": missed, "mitigated": {}})).missing(0.1), "0.6 is not above 0.6"
    assert not job(0, model(0)).missing(0.4), "it gains exactly 40 points: nobody is asked"
