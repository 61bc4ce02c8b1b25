"""Tracks: methods are ranked among those that are told as much of the spurious attribute."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Track = Literal["none", "attribute text", "val groups", "train groups"]
TRACKS: tuple[Track, ...] = ("none", "attribute text", "val groups", "train groups")
"""From the least told to the most."""
_WORDS: dict[str, Track] = {
    "attribute_text": "attribute text",
    "val_groups": "val groups",
    "train_groups": "train groups",
}


def track_of(supervision: Iterable[str]) -> Track:
    """The track of a method by its declared supervision: that of the word that tells most.

    `val_labels`, classes of validation photos without their groups, says nothing of the attribute.
    """
    return max((_WORDS.get(word, "none") for word in supervision), key=TRACKS.index, default="none")
