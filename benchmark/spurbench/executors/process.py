"""Run jobs in a worker process: it can be stopped when a cell takes too long, and may die without harm."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

from ..jobs import Finished, Job, Listener, Started, failed


class ProcessExecutor:
    """One worker process at a time, started when first needed and again after it was stopped or died.

    Args:
        plugins: loaded in the worker as they were here.
        log: what the worker and the methods print goes to this file.
        cell_timeout: seconds that one cell may take, n cells that are computed at once n times as many; None for no
            limit. Encoding photos does not count.
    """

    def __init__(self, plugins: Sequence[str], log: Path, cell_timeout: float | None = None) -> None:
        self.plugins, self.log, self.cell_timeout = tuple(plugins), log, cell_timeout
        self._context = get_context("spawn")
        self._process: Any = None
        self._pipe: Any = None

    def run(self, job: Job, listen: Listener) -> None:
        """Run a job in the worker; a cell in which the worker is stopped or dies is failed, the rest goes on."""
        if job.isolated:
            self._stop()
        left = list(job.seeds)
        while left:
            self._ensure_worker()
            self._pipe.send(replace(job, seeds=tuple(left)))
            running: tuple[int, ...] = ()
            begun = False
            started = time.monotonic()
            while left:
                limit = self.cell_timeout * len(running) if running and self.cell_timeout is not None else None
                try:
                    event = self._next_event(None if limit is None else started + limit)
                except TimeoutError:
                    self._stop()
                    message = f"took longer than the limit of {self.cell_timeout:g} s (--cell-timeout) and was stopped"
                    self._fail(running, left, message, started, listen)
                    break
                except (EOFError, ConnectionError):
                    message = f"the worker process died: {self._epitaph()}; its log is {self.log}"
                    # Dying before any cell started would happen again for each of them.
                    self._fail((running or left[:1]) if begun else tuple(left), left, message, started, listen)
                    break
                if isinstance(event, Started):
                    running, started, begun = event.seeds, time.monotonic(), True
                elif isinstance(event, Finished):
                    running = tuple(seed for seed in running if seed != event.result.seed)
                    left.remove(event.result.seed)
                listen(event)
        if job.isolated:
            self._stop()

    def _fail(self, seeds: Sequence[int], left: list[int], message: str, started: float, listen: Listener) -> None:
        """Fail some of the seeds that are left."""
        seconds = (time.monotonic() - started) / len(seeds)
        for seed in tuple(seeds):
            left.remove(seed)
            listen(Finished(failed(seed, message), {}, seconds))

    def close(self) -> None:
        """Stop the worker."""
        self._stop()

    def _next_event(self, deadline: float | None) -> Any:
        """The worker's next event. Raises TimeoutError at the deadline, EOFError if the worker is gone.

        A child of the worker may hold its end of the pipe open, so the process itself is looked at every second.
        """
        while True:
            wait = 1.0 if deadline is None else min(1.0, max(0.0, deadline - time.monotonic()))
            if self._pipe.poll(wait):
                return self._pipe.recv()
            if not self._process.is_alive() and not self._pipe.poll(0):
                raise EOFError
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError

    def _ensure_worker(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=work, args=(theirs, self.plugins, self.log), daemon=True)
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                # Whatever the worker started goes with it: it leads a process group of its own.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def _epitaph(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        self._stop()
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", usually because memory ran out" if name == "SIGKILL" else ""
            return f"killed by {name}{hint}"
        return f"it ended by itself with status {code}"


def work(pipe: Any, plugins: Sequence[str], log: Path) -> None:
    """The worker's life: jobs in, events out, until the pipe closes or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    _write_to(log)
    threading.Thread(target=_die_with_parent, daemon=True).start()

    from ..registry import load_registries
    from .inline import InlineExecutor

    executor = InlineExecutor(load_registries(plugins))
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        executor.run(job, pipe.send)


def _write_to(log: Path) -> None:
    """Send this process's standard output and error, down to the C libraries', to a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
