"""Run jobs in a worker process: it can be stopped when a cell takes too long, and may die without harm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..jobs import Finished, Job, Listener, Started, failed
from ..registry import Registries
from .worker import Handler, Worker


class ProcessExecutor:
    """One worker process at a time, started when first needed and again after it was stopped or died.

    Args:
        worker: made by `inline_worker`.
        cell_timeout: seconds that one cell may take, n cells that are computed at once n times as many; None for no
            limit. Encoding photos does not count.
    """

    def __init__(self, worker: Worker, cell_timeout: float | None = None) -> None:
        self._worker, self.cell_timeout = worker, cell_timeout

    def run(self, job: Job, listen: Listener) -> None:
        """Run a job in the worker; a cell in which the worker is stopped or dies is failed, the rest goes on."""
        if job.isolated:
            self._worker.stop()
        left = list(job.seeds)
        while left:
            self._worker.send(replace(job, seeds=tuple(left)))
            running: tuple[int, ...] = ()
            begun = False
            started = time.monotonic()
            while left:
                limit = self.cell_timeout * len(running) if running and self.cell_timeout is not None else None
                try:
                    event = self._worker.next_event(None if limit is None else started + limit)
                except TimeoutError:
                    self._worker.stop()
                    message = f"took longer than the limit of {self.cell_timeout:g} s (--cell-timeout) and was stopped"
                    self._fail(running, left, message, started, listen)
                    break
                except (EOFError, ConnectionError):
                    # Dying before any cell started would happen again for each of them.
                    gone = (running or left[:1]) if begun else tuple(left)
                    self._fail(gone, left, self._worker.epitaph(), started, listen)
                    break
                if isinstance(event, Started):
                    running, started, begun = event.seeds, time.monotonic(), True
                elif isinstance(event, Finished):
                    running = tuple(seed for seed in running if seed != event.result.seed)
                    left.remove(event.result.seed)
                listen(event)
        if job.isolated:
            self._worker.stop()

    def _fail(self, seeds: Sequence[int], left: list[int], message: str, started: float, listen: Listener) -> None:
        """Fail some of the seeds that are left."""
        seconds = (time.monotonic() - started) / len(seeds)
        for seed in tuple(seeds):
            left.remove(seed)
            listen(Finished(failed(seed, message), {}, seconds))

    def close(self) -> None:
        """Stop the worker."""
        self._worker.stop()


def inline_worker(plugins: Sequence[str], log: Path) -> Worker:
    """A worker that runs jobs as `InlineExecutor` does (see `Worker` for the arguments)."""
    return Worker(_inline, plugins, log)


def _inline(registries: Registries) -> Handler:
    """What handles jobs in the worker."""
    from .inline import InlineExecutor

    return InlineExecutor(registries).run
