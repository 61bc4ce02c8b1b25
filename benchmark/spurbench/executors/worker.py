"""A worker process: jobs go in, events come out; it may be stopped, or die, without harm to whoever gave the jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, TypeAlias

from ..registry import Registries

Handler: TypeAlias = Callable[[Any, Callable[[Any], None]], None]
"""Called in the worker with a job, and with what takes the events that the job gives rise to."""


class Worker:
    """One process at a time, started when a job is sent and again after it was stopped or died.

    Args:
        make: a function of a module, called in the worker; gives what handles jobs.
        plugins: loaded in the worker as they were here.
        log: what the worker and whatever it runs print goes to this file.
    """

    def __init__(self, make: Callable[[Registries], Handler], plugins: Sequence[str], log: Path) -> None:
        self.make, self.plugins, self.log = make, tuple(plugins), log
        self._context = get_context("spawn")
        self._process: Any = None
        self._pipe: Any = None

    def send(self, job: Any) -> None:
        """Give the worker a job; one at a time."""
        if self._process is None or not self._process.is_alive():
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._pipe, theirs = self._context.Pipe()
            arguments = (theirs, self.make, self.plugins, self.log)
            self._process = self._context.Process(target=_live, args=arguments, daemon=True)
            self._process.start()
            theirs.close()
        self._pipe.send(job)

    def next_event(self, deadline: float | None = None) -> Any:
        """The next event. Raises TimeoutError at the deadline (of `time.monotonic`), EOFError if the worker is gone.

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

    def stop(self) -> None:
        """End the process, and whatever it started."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                # Whatever the worker started goes with it: it leads a process group of its own.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def epitaph(self) -> str:
        """Why a worker that is gone is gone, and where its log is."""
        self._process.join(5)
        code = self._process.exitcode
        self.stop()
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", usually because memory ran out" if name == "SIGKILL" else ""
            cause = f"killed by {name}{hint}"
        else:
            cause = f"it ended by itself with status {code}"
        return f"the worker process died: {cause}; its log is {self.log}"


def _live(pipe: Any, make: Callable[[Registries], Handler], plugins: Sequence[str], log: Path) -> None:
    """The worker's life: jobs in, events out, until the pipe closes or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    _write_to(log)
    threading.Thread(target=_die_with_parent, daemon=True).start()

    from ..registry import load_registries

    handle = make(load_registries(plugins))
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        handle(job, pipe.send)


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
