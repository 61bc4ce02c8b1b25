"""Masks that lie beside photos, in a tree like theirs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from spurbench.errors import DataError, UnknownObjectsError
from spurbench.images import SUFFIXES

from ._boxes import mask_pixels

MASKS = "masks"
"""Name of the folder in which the photos' own tree is repeated."""


def has_masks(folder: Path) -> bool:
    """Whether anything has the name that the folder of masks has, be it a link to nowhere."""
    return os.path.lexists(folder / MASKS)


def masks_of(folder: Path, names: Sequence[str]) -> list[str | None]:
    """The masks of photos, by their paths relative to the folder; None for photos that have none.

    Args:
        folder: of the photos, in which the folder of masks is.
        names: the photos' paths relative to it. A mask has the same, with any suffix that images have; .png goes first.

    Raises:
        UnknownObjectsError: there is no folder of masks; says what to put there.
        DataError: what has its name is no folder.
    """
    place = folder / MASKS
    if not has_masks(folder):
        raise UnknownObjectsError(
            f"{folder}: where things are in the photos is not known. Put masks into {place}, in the same folders and "
            "under the same names as the photos: bright where the object is, black elsewhere"
        )
    if not place.is_dir():
        raise DataError(
            f"{place} must be a folder of masks, in the same folders and under the same names as the photos"
        )
    return [_mask_of(folder, PurePosixPath(MASKS, name)) for name in names]


def read_masks(masks: Sequence[Path | None], photos: Sequence[Path]) -> list[NDArray[np.uint8] | None]:
    """What masks show, as data sets hand it out (see `spurbench.masks`): 255 for the object, 0 elsewhere.

    Args:
        masks: (n,) files, None for photos that have none.
        photos: (n,) their photos' files.

    Returns:
        (h, w) each, zeros for a black one; None where there is no file.

    Raises:
        DataError: a file that is no mask, or not of its photo's shape.
    """

    def read(mask: Path | None, photo: Path) -> NDArray[np.uint8] | None:
        return None if mask is None else np.where(mask_pixels(mask, photo), np.uint8(255), np.uint8(0))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, masks, photos))


def _mask_of(folder: Path, path: PurePosixPath) -> str | None:
    suffixes = (".png", *sorted(SUFFIXES - {".png"}))
    found = (path.with_suffix(suffix) for suffix in suffixes)
    return next((str(mask) for mask in found if (folder / mask).is_file()), None)
