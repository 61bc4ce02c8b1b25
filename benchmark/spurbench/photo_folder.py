"""Photos of a data set as files, for programs that read folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .cards import DatasetCard
from .data import Examples
from .errors import UsageError
from .files import safe_name

QUALITY = 95
"""As JPEG counts it: what a later compression can still be told from."""
BATCH = 256


def write_photos(
    examples: Examples, card: DatasetCard, split: str, folder: Path, progress: Callable[[int, int], None]
) -> int:
    """Write a split's photos as `folder/class/attribute/ID.jpg`, and return how many they are.

    Names are made safe for every file system. A file that is there already is written again.

    Raises:
        UsageError: the data set has no photos.
        DataError: a photo cannot be read.
    """
    if examples.photos is None:
        raise UsageError(f"data set '{card.name}' has no photos to write: it brings its own features")
    rows = examples.rows(split).tolist()
    step = max(BATCH, examples.photos.at_once)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        for row, image in zip(some, examples.photos.open(some), strict=True):
            place = folder / safe_name(card.classes[examples.y[row]]) / safe_name(card.attributes[examples.a[row]])
            place.mkdir(parents=True, exist_ok=True)
            # Renamed when it is whole; not flushed one by one, which would take ten times as long.
            temporary = place / f"{safe_name(examples.ids[row])}.part"
            image.save(temporary, "JPEG", quality=QUALITY)
            temporary.replace(temporary.with_suffix(".jpg"))
        progress(start + len(some), len(rows))
    return len(rows)
