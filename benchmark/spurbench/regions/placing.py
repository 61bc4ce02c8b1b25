"""Where a data set says that things are, as a tower sees its photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data import Ints, Photos, Places
from ..encode import BATCH, opened
from .frame import Frames
from .geometry import Floats


def photo_sizes(photos: Photos, rows: Sequence[int]) -> Ints:
    """(n, 2) widths and heights in pixels; the photos are opened for it. Raises DataError."""
    batches = [rows[i : i + BATCH["cpu"]] for i in range(0, len(rows), BATCH["cpu"])]
    sizes = opened(batches, lambda some: [image.size for image in photos.open(some)], photos.at_once, "cpu")
    return np.array([size for batch in sizes for size in batch], dtype=np.int64).reshape(-1, 2)


def in_view(places: Places, sizes: Ints, frames: Frames) -> Places:
    """Places in the frame of the view, from that of the picture.

    Args:
        places: of n photos.
        sizes: (n, 2) their widths and heights in pixels.
        frames: of the tower.
    """

    def moved(boxes: Floats) -> Floats:
        found = [frames.of(*size).to_view(some) for size, some in zip(sizes.tolist(), boxes, strict=True)]
        return np.stack(found) if found else boxes

    return Places(
        boxes=moved(places.boxes),
        objects=moved(places.objects),
        spurious=None if places.spurious is None else moved(places.spurious),
    )
