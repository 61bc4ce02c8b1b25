"""Jobs and the events they give rise to: what passes between a plan and an executor, as plain picklable values."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import SpurbenchError, plain
from .record import Failure, SeedResult
from .rules import Rules

Arrays: TypeAlias = "dict[str, NDArray[np.int16]]"


@dataclass(frozen=True)
class Job:
    """What an executor is asked to compute: some seeds of one row. Picklable; names, not objects."""

    key: str
    """The key that the row had when it was planned; what is computed must still have it."""
    dataset: str
    backbone: str
    method: str
    seeds: tuple[int, ...]
    rules: Rules
    data_root: Path
    cache: Path
    device: str
    precision: str
    memory_limit: int
    """Bytes that a batched fit may use for itself."""
    isolated: bool
    """Run in a worker of its own: other people's code may leave anything behind in its process."""


@dataclass(frozen=True)
class Stage:
    """What is being done now, for a person to read; `done` of `total` where that is known."""

    text: str
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"{self.text} {self.done:,}/{self.total:,}" if self.total else self.text


@dataclass(frozen=True)
class Note:
    """Something worth keeping on the screen."""

    text: str


@dataclass(frozen=True)
class Started:
    """One seed, or several at once, are being computed from now on."""

    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Finished:
    """A seed has a result, good or failed."""

    result: SeedResult
    predictions: Arrays
    seconds: float
    peak_memory: int = 0
    """Most bytes held meanwhile; 0 where nobody looked."""


Event: TypeAlias = "Stage | Note | Started | Finished"
Listener: TypeAlias = Callable[[Event], None]


class Executor(Protocol):
    """Somewhere to run jobs. Every seed of a job ends in exactly one `Finished`, whatever happens."""

    def run(self, job: Job, listen: Listener) -> None:
        """Run a job, telling `listen` of events as they come."""

    def close(self) -> None:
        """Free what is held."""


def failed(seed: int, error: BaseException | str, trace: str = "") -> SeedResult:
    """The result of a seed that failed."""
    ours = isinstance(error, SpurbenchError | str)
    message = str(error) if ours else f"{type(error).__name__}: {error}{_place(error)}"
    return SeedResult(seed=seed, status="failed", failure=Failure(message=plain(message), traceback=plain(trace)))


def _place(error: BaseException | str) -> str:
    """Where the innermost frame of an exception is, e.g. ` (my.py:19)`."""
    frames = traceback.extract_tb(error.__traceback__) if isinstance(error, BaseException) else []
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def short_traceback(error: BaseException) -> str:
    """The traceback with file names instead of machine paths, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames]
    return "\n".join([*lines, f"{type(error).__name__}: {error}"])
