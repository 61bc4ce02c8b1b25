"""Shards: which photos share a file, so that no file of the other forms becomes too large to handle."""

from __future__ import annotations

from collections.abc import Sequence

SHARD = 256 * 2**20
"""Bytes of photos that a file holds, about."""


def shards(sizes: Sequence[int], most: int) -> list[range]:
    """The photos of each file: consecutive ones, of `most` bytes together, or one that is larger.

    Args:
        sizes: bytes of each photo.
    """
    found: list[range] = []
    start = held = 0
    for place, size in enumerate(sizes):
        if held and held + size > most:
            found.append(range(start, place))
            start, held = place, 0
        held += size
    return [*found, range(start, len(sizes))] if sizes else []
