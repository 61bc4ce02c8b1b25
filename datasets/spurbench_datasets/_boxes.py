"""Boxes as `Places` has them: shares of a photo, NaN where there is none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spurbench.errors import DataError
from spurbench.images import open_rgb

Boxes = NDArray[np.float32]
SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that turn a photo by a quarter."""
ASPECT = 0.02
"""By how much, as a share, a mask's aspect may differ from its photo's: sizes are rounded when photos are reduced."""


def shares(pixels: NDArray[Any], sizes: NDArray[Any] | tuple[int, int]) -> Boxes:
    """Boxes in shares of their photos.

    Args:
        pixels: (..., 4) left, top, right, bottom in pixels, right and bottom exclusive.
        sizes: (..., 2) or (2,) width and height of the photos in pixels.

    Returns:
        (..., 4) float32, cut off at the photo's edges; NaN where nothing is left.
    """
    edges = np.concatenate([np.asarray(sizes, dtype=np.float64)] * 2, axis=-1)
    found = np.clip(np.asarray(pixels, dtype=np.float64) / edges, 0, 1)
    empty = ~((found[..., 2] > found[..., 0]) & (found[..., 3] > found[..., 1]))
    return np.where(empty[..., None], np.nan, found).astype(np.float32)


def together(*kinds: Boxes) -> Boxes:
    """(n, r, 4) all boxes of each photo, from (n, 4) of each kind; those that are there come first, in this order."""
    boxes = np.stack(kinds, axis=1)
    order = np.argsort(np.isnan(boxes[..., 0]), axis=1, kind="stable")
    return np.take_along_axis(boxes, order[..., None], axis=1)


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo as it is shown, upright; only its header is read. Raises DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                sideways = image.getexif().get(0x0112) in SIDEWAYS
                return (image.height, image.width) if sideways else (image.width, image.height)
    except Exception as error:  # Pillow raises what its decoders stumble over
        raise DataError(f"{path}: {type(error).__name__}: {error}") from error


def mask_box(path: Path, photo: Path) -> Boxes:
    """(4,) box of what a mask shows: the pixels that are at least half as bright as its brightest one.

    So masks of 0 and 1, of 0 and 255, and those in which grey says how sure somebody was, all serve.

    Raises:
        DataError: it is no image, or not of its photo's shape.
    """
    grey = np.asarray(open_rgb(path)).max(axis=2).astype(np.int64)
    height, width = grey.shape
    wide, high = photo_size(photo)
    if abs(width * high - height * wide) > ASPECT * height * wide + max(width, wide, height, high):
        raise DataError(f"{path}: the mask is {width} x {height} pixels, its photo {photo.name} is {wide} x {high}")
    rows, columns = (np.flatnonzero((2 * grey >= max(grey.max(), 1)).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.full(4, np.nan, dtype=np.float32)
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return shares(box, (width, height))
