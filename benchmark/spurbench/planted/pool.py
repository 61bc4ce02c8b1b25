"""Planted models on several worker processes at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ..executors.worker import Handler, Worker
from ..record import Failure
from ..registry import Registries
from .jobs import Done, PlantedEvent, PlantedJob
from .record import PlantedSeed

Listener = Callable[[PlantedJob, PlantedEvent], None]


def planted_worker(plugins: Sequence[str], log: Path) -> Worker:
    """A worker that computes planted models (see `Worker` for the arguments)."""
    return Worker(_handler, plugins, log)


def _handler(registries: Registries) -> Handler:
    from .compute import PlantedWorker

    return PlantedWorker(registries)


class Inline:
    """In the place of a worker: computes in this process when it is asked for the job's outcome."""

    def __init__(self, registries: Registries) -> None:
        self._handle = _handler(registries)
        self._events: list[PlantedEvent] = []

    def send(self, job: PlantedJob) -> None:
        """Compute a job, and keep its events."""
        self._handle(job, self._events.append)

    def next_event(self) -> PlantedEvent:
        """The next of them."""
        return self._events.pop(0)

    def stop(self) -> None:
        """Nothing."""

    def epitaph(self) -> str:
        """Never asked for."""
        raise AssertionError("this process is still there")


def run_jobs(jobs: Sequence[PlantedJob], workers: Sequence[Worker | Inline], listen: Listener) -> None:
    """Run jobs on all workers, each taking the next when it is free; every job ends in one `Done`.

    A worker that dies fails its job, and is started again for the next.

    Args:
        listen: called for one event at a time, from threads of its own; what it raises ends the run.
    """
    waiting: queue.SimpleQueue[PlantedJob] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    lock, errors, stopped = threading.Lock(), list[BaseException](), threading.Event()

    def tell(job: PlantedJob, event: PlantedEvent) -> None:
        with lock:
            if not stopped.is_set():
                listen(job, event)

    def work(worker: Worker | Inline) -> None:
        try:
            while not stopped.is_set():
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                worker.send(job)
                event: PlantedEvent | None = None
                while not isinstance(event, Done):
                    try:
                        event = worker.next_event()
                    except (EOFError, ConnectionError, OSError):
                        if stopped.is_set():
                            return
                        failure = Failure(message=worker.epitaph())
                        event = Done(PlantedSeed(seed=job.seed, status="failed", failure=failure), 0.0)
                    tell(job, event)
        except BaseException as error:
            errors.append(error)
            stopped.set()

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            # A join without an end could not be interrupted.
            while thread.is_alive():
                thread.join(0.2)
    finally:
        stopped.set()
        for worker in workers:
            worker.stop()
    if errors:
        raise errors[0]
