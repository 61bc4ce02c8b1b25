"""Near-duplicates against comparing every pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.builder import twins

SIZE = twins.SIDE**2


def all_pairs(words: list[int], distance: int) -> set[tuple[int, int]]:
    return {
        (i, j) for (i, one), (j, other) in combinations(enumerate(words), 2) if (one ^ other).bit_count() <= distance
    }


def found(words: list[int], distance: int) -> list[tuple[int, int]]:
    blocks = twins.close(np.array(words, dtype=np.uint64), distance)
    return [(min(pair), max(pair)) for i, j in blocks for pair in zip(i.tolist(), j.tolist(), strict=True)]


@st.composite
def near_words(draw: st.DrawFn) -> list[int]:
    """Words near few others, so that there are many pairs at every distance about the limit."""
    base = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    flips = st.lists(st.integers(0, 63), max_size=8)
    return [
        draw(st.sampled_from(base)) ^ sum(1 << bit for bit in set(draw(flips))) for _ in range(draw(st.integers(0, 25)))
    ]


@given(near_words(), st.integers(0, 7))
def test_every_close_pair_is_found_once(words: list[int], distance: int) -> None:
    pairs = found(words, distance)
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == all_pairs(words, distance)


def test_a_thousand_random_words_with_planted_ones() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, 1_000, dtype=np.uint64).tolist()
    words += [words[i] ^ sum(1 << int(bit) for bit in rng.choice(64, 1 + i % 6, replace=False)) for i in range(300)]
    pairs = found(words, 4)
    assert set(pairs) == all_pairs(words, 4)
    assert len(pairs) == 200


@pytest.mark.parametrize("distance", [-1, 64])
def test_distances_that_are_none(distance: int) -> None:
    with pytest.raises(ValueError, match="must be in 0..63"):
        next(twins.close(np.zeros(2, dtype=np.uint64), distance))


def scene(seed: int, contrast: float = 1.0) -> np.ndarray:
    """A smooth grey thumbnail."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 190, (4, 4))
    made: np.ndarray = 125 + contrast * (np.kron(coarse, np.ones((4, 4))).ravel() - 125)
    return made


def grey(values: np.ndarray) -> np.ndarray:
    levels: np.ndarray = np.clip(values, 0, 255).round().astype(np.uint8)[None]
    return levels


def test_copies_agree_and_others_do_not() -> None:
    noise = np.random.default_rng(9).normal(0, 2, SIZE)
    assert twins.alike(grey(scene(0)), grey(scene(0) + noise))
    assert twins.alike(grey(scene(0)), grey(scene(0) + 20))
    assert not twins.alike(grey(scene(0)), grey(scene(0) + 50))
    assert not twins.alike(grey(scene(0)), grey(scene(1)))
    # Two foggy scenes of little contrast, each with its own bird.
    fog = scene(0, contrast=0.05)
    birds = [fog.copy() for _ in range(2)]
    birds[0][100:104] -= 60
    birds[1][140:144] -= 60
    assert not twins.alike(grey(birds[0]), grey(birds[1]))
    assert twins.alike(grey(birds[0]), grey(birds[0] + noise))


def test_flat_photos_agree_only_where_they_are_equally_bright() -> None:
    black, dark, white = (np.full((1, SIZE), level, dtype=np.uint8) for level in (0, 20, 255))
    assert twins.alike(black, dark)
    assert not twins.alike(black, white)


def test_looks_and_their_neighbours() -> None:
    hashes = np.array([7, 7, 7, 6, 2**63], dtype=np.uint64)
    pictures = np.concatenate([grey(scene(0)), grey(scene(0)), grey(scene(1)), grey(scene(0) + 3), grey(scene(0))])
    found = twins.find(hashes, pictures, 1)
    assert found.look == [0, 0, 1, 2, 3]
    assert [found.around(photo) for photo in range(5)] == [(0, 2), (0, 2), (1,), (2, 0), (3,)]


def test_no_photos() -> None:
    found = twins.find(np.empty(0, np.uint64), np.empty((0, SIZE), np.uint8), 4)
    assert (found.look, found.near) == ([], [])
