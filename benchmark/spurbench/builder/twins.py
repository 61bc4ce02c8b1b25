"""Near-duplicates: photos whose perceptual hashes differ in few bits, and which still agree at a second look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 64
SIDE = 16
"""Pixels of the grey thumbnail of the second look, each way."""
BRIGHTER = 32.0
"""Grey levels by which one may be brighter than the other."""
ROUGHNESS, LEAST = 0.35, 4.0
"""Root mean square difference, brightness aside: as a share of the contrast, and grey levels whatever the contrast.
Where hashes of two different photos happen to be close it is over half of the contrast, as measured on Waterbirds."""

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Twins:
    """Which photos are nearly the same.

    Attributes:
        look: for each photo the number of its look: photos of one look have the same hash and the same thumbnail.
        near: by look, the other looks that are nearly the same.
    """

    look: Sequence[int]
    near: Sequence[Sequence[int]]

    def around(self, photo: int) -> tuple[int, ...]:
        """A photo's look, and those near it."""
        return (self.look[photo], *self.near[self.look[photo]])


def find(hashes: Hashes, thumbnails: NDArray[np.uint8], distance: int) -> Twins:
    """The photos whose hashes differ in at most `distance` bits and whose thumbnails agree.

    Args:
        hashes: (n,)
        thumbnails: (n, SIDE * SIDE) grey levels.
    """
    numbers: dict[bytes, int] = {}
    seen = np.concatenate([hashes[:, None].view(np.uint8), thumbnails], axis=1)
    look = [numbers.setdefault(row.tobytes(), len(numbers)) for row in seen]
    first = np.unique(look, return_index=True)[1]
    near: list[list[int]] = [[] for _ in first]
    for i, j in close(hashes[first], distance):
        agree = alike(thumbnails[first[i]], thumbnails[first[j]])
        for a, b in zip(i[agree].tolist(), j[agree].tolist(), strict=True):
            near[a].append(b)
            near[b].append(a)
    return Twins(look, [sorted(others) for others in near])


def close(hashes: Hashes, distance: int) -> Iterator[tuple[Ints, Ints]]:
    """Every pair of hashes that differ in at most `distance` bits, once, some pairs at a time.

    Two of 64 bits that differ in d of them agree in one of any d + 1 sets of bits that share none (Norouzi et al. 2012,
    arXiv 1307.2982, section 2): only hashes that agree in one are compared.

    Args:
        hashes: (n,)

    Yields:
        places of the one and of the other, of equal length, at most n.
    """
    if not 0 <= distance < BITS:
        raise ValueError(f"distance must be in 0..{BITS - 1}, not {distance}")
    # Every (d + 1)th bit: neighbours are alike in photos, and a set of neighbours would tell few photos apart.
    sets = [np.uint64(sum(1 << bit for bit in range(first, BITS, distance + 1))) for first in range(distance + 1)]
    for number, mask in enumerate(sets):
        for i, j in _agreeing(hashes & mask):
            differing = hashes[i] ^ hashes[j]
            new = _ones(differing) <= distance
            # A pair that agrees in several sets is taken for the first of them.
            for earlier in sets[:number]:
                new &= (differing & earlier) != 0
            if new.any():
                yield i[new], j[new]


def _agreeing(keys: Hashes) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of equal keys: of each with the next of its kind, with the one after that, and so on."""
    order = np.argsort(keys, kind="stable")
    end = np.searchsorted(keys[order], keys[order], side="right")
    at, step = np.arange(len(keys)), 1
    while len(at := at[at + step < end[at]]):
        yield order[at], order[at + step]
        step += 1


def _ones(words: Hashes) -> NDArray[np.uint64]:
    """How many bits of each are set, counted in pairs, then fours, then bytes."""
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bytes_ = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    ones: NDArray[np.uint64] = (bytes_ * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return ones


def alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails agree: a hash knows no brightness, and is chance where a photo is all of one colour.

    Args:
        one, other: (n, SIDE * SIDE) grey levels.

    Returns:
        (n,)
    """
    a, b = one.astype(np.float32), other.astype(np.float32)
    brighter = a.mean(axis=1) - b.mean(axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    difference, least = np.square(a - b).mean(axis=1), np.minimum(np.square(a).mean(axis=1), np.square(b).mean(axis=1))
    agree: NDArray[np.bool_] = difference <= np.maximum(LEAST**2, ROUGHNESS**2 * least)
    agree &= np.abs(brighter) <= BRIGHTER
    return agree
