"""Independent pieces of numeric work on every core, each on one thread: the number of cores decides no result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

A = TypeVar("A")
R = TypeVar("R")


class Map(Protocol):
    """Calls the function on each item and lists what it returned, in the order of the items."""

    def __call__(self, function: Callable[[A], R], items: Iterable[A], /) -> list[R]:
        """What the function returned, item by item."""
        ...


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_by_one(function: Callable[[A], R], items: Iterable[A], /) -> list[R]:
    """The map of a single thread."""
    return [function(item) for item in items]


@contextmanager
def workers(threads: int) -> Iterator[Map]:
    """A map over that many threads. Torch's own threads are off meanwhile: they would split sums by their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads <= 1:
            yield one_by_one
            return
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def spread(function: Callable[[A], R], items: Iterable[A], /) -> list[R]:
                return list(pool.map(function, items))

            yield spread
    finally:
        torch.set_num_threads(before)


def on_every_core(
    work: Callable[[A], R], pieces: Sequence[A], device: torch.device, *, piece_bytes: int = 0, limit: int = 2**62
) -> list[R]:
    """`work` of each piece, in order; on a GPU one after the other.

    Args:
        piece_bytes: what one piece takes while it is worked on.
        limit: bytes that the pieces being worked on may take together; one is always worked on.
    """
    if device.type != "cpu":
        return one_by_one(work, pieces)
    room = max(1, limit // piece_bytes) if piece_bytes else len(pieces)
    with workers(min(cores(), len(pieces), room)) as spread:
        return spread(work, pieces)
