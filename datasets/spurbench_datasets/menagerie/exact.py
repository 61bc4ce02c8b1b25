"""Arithmetic that gives the same bits on every machine: counter-based random numbers, sine, smooth steps, noise.

Only additions, multiplications, divisions, square roots, comparisons and table look-ups are used on floating-point
numbers. IEEE 754 rounds each of them in one way; `sin`, `exp` or `np.sum`, whose last bits differ between processors
and versions, are kept out of everything that decides a pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_GOLDEN, _MIX_A, _MIX_B = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def mix(words: Words) -> Words:
    """One round of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words that leaves no pattern."""
    z = words + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


class Draws:
    """Random numbers of many images at once, each a function of (seed, image, name of the draw) and nothing else.

    So an image looks the same whichever others are rendered with it, in whatever order, in however many processes.

    Args:
        seed: of the world.
        images: (n,) index of each image.
    """

    def __init__(self, seed: int, images: Ints) -> None:
        with np.errstate(over="ignore"):
            stream = mix(np.full(1, seed % 2**64, dtype=np.uint64))
            self._state = mix(stream + mix(np.asarray(images).astype(np.uint64)))

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Floats:
        """(n,) float32 in low..high; `high` itself only where rounding reaches it, never with 0 and 1."""
        bits = self._words(name) >> np.uint64(40)
        share = bits.astype(np.float32) * np.float32(2.0**-24)
        return np.float32(low) + share * np.float32(high - low)

    def below(self, name: str, bound: int | Ints) -> Ints:
        """(n,) int64 in 0..bound-1."""
        # The top 32 bits times the bound never overflow; the bias of at most bound / 2^32 is of no account here.
        return ((self._words(name) >> np.uint64(32)) * np.asarray(bound, dtype=np.uint64) >> np.uint64(32)).astype(
            np.int64
        )

    def chance(self, name: str, probability: float | Floats) -> NDArray[np.bool_]:
        """(n,) True with the given probability."""
        return self.uniform(name) < np.asarray(probability, dtype=np.float32)

    def _words(self, name: str) -> Words:
        with np.errstate(over="ignore"):
            return mix(self._state ^ mix(np.full(1, _number(name), dtype=np.uint64)))


def _number(name: str) -> int:
    """A 64-bit number for a name (FNV-1a): `hash` differs from one Python process to the next."""
    number = 0xCBF29CE484222325
    for byte in name.encode():
        number = (number ^ byte) * 0x100000001B3 % 2**64
    return number


def sine(turns: Floats) -> Floats:
    """sin(2 pi turns), to about 1e-3: a parabola per half turn with one correcting term."""
    t = turns - np.floor(turns + np.float32(0.5))
    rough = np.float32(8.0) * t * (np.float32(1.0) - np.float32(2.0) * np.abs(t))
    refined: Floats = rough * (np.float32(0.775) + np.float32(0.225) * np.abs(rough))
    return refined


def cosine(turns: Floats) -> Floats:
    """cos(2 pi turns), as `sine`."""
    return sine(turns + np.float32(0.25))


def smooth(x: Floats) -> Floats:
    """0 below 0, 1 above 1, a smooth cubic between."""
    t = np.clip(x, np.float32(0.0), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


def blend(first: Floats, second: Floats, share: Floats) -> Floats:
    """`first` where share is 0, `second` where it is 1."""
    return first + (second - first) * share


def noise(key: str, size: int, cells_y: int, cells_x: int, octaves: int = 4, ridged: bool = False) -> Floats:
    """A (size, size) field of fractal value noise that tiles, stretched to 0..1.

    Args:
        key: names the field.
        size: edge in pixels, a power of two.
        cells_y, cells_x: lattice cells of the coarsest octave; more of them in one direction makes streaks.
        octaves: each with twice the cells and half the weight of the one before.
        ridged: fold each octave at its middle, which turns blobs into veins.
    """
    total = np.zeros((size, size), dtype=np.float32)
    weight = np.float32(1.0)
    for octave in range(octaves):
        rows, columns = min(cells_y << octave, size), min(cells_x << octave, size)
        lattice = Draws(octave, np.arange(rows * columns)).uniform(f"noise {key}").reshape(rows, columns)
        top, bottom, dy = _between(size, rows)
        left, right, dx = _between(size, columns)
        upper = blend(lattice[top][:, left], lattice[top][:, right], dx[None, :])
        lower = blend(lattice[bottom][:, left], lattice[bottom][:, right], dx[None, :])
        layer = blend(upper, lower, dy[:, None])
        if ridged:
            layer = np.float32(1.0) - np.abs(np.float32(2.0) * layer - np.float32(1.0))
        total += weight * layer
        weight *= np.float32(0.5)
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def _between(size: int, cells: int) -> tuple[Ints, Ints, Floats]:
    """For each of `size` pixels: the lattice points on both sides, and how far it is from the first to the second."""
    position = np.arange(size, dtype=np.float32) * np.float32(cells / size)
    before = np.floor(position).astype(np.int64)
    return before % cells, (before + 1) % cells, smooth(position - before.astype(np.float32))
