"""Boxes as `Places` has them: shares of a photo, NaN where there is none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from spurbench.errors import DataError
from spurbench.images import open_rgb
from spurbench.masks import same_shape

Boxes = NDArray[np.float32]
SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that turn a photo by a quarter."""


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


def mask_pixels(path: Path, photo: Path) -> NDArray[np.bool_]:
    """(h, w) what a mask shows: the pixels that are at least half as bright as its brightest one; none of a black one.

    So masks of 0 and 1, of 0 and 255, and those in which grey says how sure somebody was, all serve; and cut-outs of
    one colour, of which what is opaque shows it.

    Raises:
        DataError: it is no image, not of its photo's shape, or transparent and of several colours.
    """
    grey = _levels(path)
    height, width = grey.shape
    wide, high = photo_size(photo)
    if not same_shape((width, height), (wide, high)):
        raise DataError(
            f"{path}: the mask is {width} x {height} pixels, its photo {photo.name} is {wide} x {high}; draw it in the "
            "photo's proportions"
        )
    # Half of the brightest, rounded up: twice the grey would not fit into 8 bits.
    return np.asarray(grey >= max((int(grey.max()) + 1) // 2, 1))


def _levels(path: Path) -> NDArray[np.uint8]:
    """(h, w) how much each pixel of a mask shows. Raises DataError."""
    try:
        colours, alpha = np.asarray(open_rgb(path)), None
        layer = _transparent(path)
    except Exception as error:  # Pillow raises what its decoders stumble over
        raise DataError(f"{path}: the mask {_what_is_wrong(path, error)}") from error
    if layer is not None:
        colours, alpha = layer[..., :3], layer[..., 3]
    if alpha is None or alpha.min() == alpha.max():
        return np.asarray(colours.max(axis=2))
    seen = colours[alpha > 0]
    if (seen != seen[0]).any():
        raise DataError(
            f"{path}: the mask has both colours and transparency, either of which could be meant; save it without "
            "transparency, bright where the object is and black elsewhere"
        )
    return alpha


def _transparent(path: Path) -> NDArray[np.uint8] | None:
    """(h, w, 4) colours as they were before anything is laid behind them, and opacity, of an upright image; None for
    one without transparency, or of more than 8 bits.
    """
    with Image.open(path) as image:
        clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        if not clear or image.mode.startswith(("I", "F")):
            return None
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))


def _what_is_wrong(path: Path, error: Exception) -> str:
    """Why a mask could not be opened, and what to do about it."""
    cause = error.__cause__ if isinstance(error, DataError) else error
    if path.is_file() and not path.stat().st_size:
        return "is an empty file; save it again, or remove it"
    if isinstance(cause, UnidentifiedImageError):
        return "is no image that can be read; save it as PNG, or remove it"
    if isinstance(cause, Image.DecompressionBombError):
        return "has more pixels than any photo; save it in its photo's size"
    if isinstance(cause, PermissionError | FileNotFoundError):
        return f"cannot be opened ({cause.strerror}); make it readable, or remove it"
    said = str(cause).replace(str(path), path.name)
    return f"cannot be read ({said}); save it again, in its photo's size, or remove it"


def mask_box(path: Path, photo: Path) -> Boxes:
    """(4,) box of what a mask shows, NaN for a black one. Raises DataError as `mask_pixels`."""
    shown = mask_pixels(path, photo)
    height, width = shown.shape
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.full(4, np.nan, dtype=np.float32)
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return shares(box, (width, height))
