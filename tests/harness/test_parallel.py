"""Work on every core: in order, one thread each, and never more at a time than memory allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from spurbench import parallel
from spurbench.parallel import cores, on_every_core

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if there were eight, whatever this machine has; and two torch threads before."""
    monkeypatch.setattr(parallel, "cores", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Crowd:
    """Work that notes how many are at it together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.threads: set[int] = set()
        self.torch_threads: set[int] = set()

    def __call__(self, piece: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
            self.torch_threads.add(torch.get_num_threads())
        # Long enough for whoever may run beside this to have begun.
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return piece * piece


def test_results_stand_in_the_order_of_the_pieces() -> None:
    def slow_first(piece: int) -> int:
        time.sleep(0.02 * (5 - piece))
        return piece

    assert on_every_core(slow_first, range(5), CPU) == list(range(5))
    assert on_every_core(slow_first, [], CPU) == []


def test_pieces_run_together_each_on_one_thread() -> None:
    crowd = Crowd()
    assert on_every_core(crowd, range(16), CPU) == [piece * piece for piece in range(16)]
    assert 2 <= crowd.most <= 8
    assert crowd.torch_threads == {1}
    assert threading.get_ident() not in crowd.threads


@pytest.mark.parametrize(
    ("piece_bytes", "limit", "most"), [(10, 30, 3), (10, 39, 3), (10, 10, 1), (10, 3, 1), (1, 99, 8)]
)
def test_no_more_run_together_than_memory_allows(piece_bytes: int, limit: int, most: int) -> None:
    crowd = Crowd()
    assert on_every_core(crowd, range(12), CPU, piece_bytes=piece_bytes, limit=limit) == [n * n for n in range(12)]
    assert crowd.most <= most
    assert (crowd.most > 1) == (most > 1)


@pytest.mark.parametrize(("pieces", "limit"), [(1, 99), (3, 1)])
def test_pieces_that_follow_each_other_get_one_thread_too(pieces: int, limit: int) -> None:
    """Or a result would depend on how many pieces there are, and on memory."""
    crowd = Crowd()
    on_every_core(crowd, range(pieces), CPU, piece_bytes=1, limit=limit)
    assert crowd.most == 1
    assert crowd.torch_threads == {1}


@pytest.mark.parametrize("device", ["cuda", "meta"])
def test_on_a_gpu_pieces_follow_each_other(device: str) -> None:
    crowd = Crowd()
    on_every_core(crowd, range(6), torch.device(device))
    assert crowd.most == 1
    assert crowd.threads == {threading.get_ident()}


@pytest.mark.parametrize("pieces", [1, 6])
def test_what_a_piece_raises_reaches_the_caller(pieces: int) -> None:
    def last_fails(piece: int) -> None:
        if piece == pieces - 1:
            raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match=f"piece {pieces - 1}"):
        on_every_core(last_fails, range(pieces), CPU)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("pieces", [0, 1, 6])
def test_torchs_number_of_threads_is_as_before(pieces: int) -> None:
    on_every_core(Crowd(), range(pieces), CPU)
    assert torch.get_num_threads() == 2


def test_the_number_of_cores_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    pieces = [torch.randn(200, 300, generator=generator) for _ in range(6)]
    found = []
    for count in (1, 2, 8):
        monkeypatch.setattr(parallel, "cores", lambda count=count: count)
        found.append(on_every_core(lambda x: (x @ x.T).sum(dim=1), pieces, CPU))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
