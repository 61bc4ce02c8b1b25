"""Near-duplicates among a hundred thousand photos, against comparing every pair."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from spurbench.builder import twins

pytestmark = pytest.mark.slow
N, DISTANCE = 100_000, 4
Pairs = set[tuple[int, int]]


def hashes() -> np.ndarray:
    """Random but for every tenth, which is an earlier one with up to six other bits; the first bits are mostly alike,
    as they are in photos."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, N, dtype=np.uint64)
    words = np.where(rng.random(N) < 0.7, words & np.uint64(2**64 - 2**12), words)
    for row in range(10, N, 10):
        flipped = rng.choice(64, int(rng.integers(0, 7)), replace=False)
        words[row] = words[rng.integers(0, row)] ^ np.uint64(sum(1 << int(bit) for bit in flipped))
    return words


def every_pair(words: np.ndarray) -> Pairs:
    """A block of rows against all that come after."""
    table = np.array([word.bit_count() for word in range(1 << 16)], dtype=np.uint8)
    found: Pairs = set()
    for start in range(0, len(words), 64):
        differing = (words[start : start + 64, None] ^ words[None, start:]).view(np.uint16)
        count = table[differing].reshape(-1, len(words) - start, 4).sum(axis=2, dtype=np.uint8)
        i, j = np.nonzero(count <= DISTANCE)
        found |= {(start + a, start + b) for a, b in zip(i.tolist(), j.tolist(), strict=True) if a < b}
    return found


def ours(words: np.ndarray) -> Pairs:
    return {
        (min(pair), max(pair))
        for i, j in twins.close(words, DISTANCE)
        for pair in zip(i.tolist(), j.tolist(), strict=True)
    }


@pytest.mark.benchmark(group="twins")
def test_against_every_pair(benchmark: Any) -> None:
    """Comparing every pair takes minutes for all; a quarter of them shows it."""
    words = hashes()
    part = words[: N // 4]
    started = time.process_time()
    expected = every_pair(part)
    plain = time.process_time() - started
    started = time.process_time()
    assert ours(part) == expected
    quarter = time.process_time() - started
    assert len(expected) > 500
    started = time.process_time()
    found = benchmark.pedantic(lambda: ours(words), rounds=1)
    seconds = time.process_time() - started
    numbers = {"seconds": seconds, "quarter": quarter, "every_pair_of_a_quarter": plain, "pairs": len(found)}
    benchmark.extra_info.update(numbers)
    print({name: round(value, 2) for name, value in numbers.items()})
    assert seconds < 20
