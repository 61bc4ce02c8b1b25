"""Masks that lie beside photos, in a tree like theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from spurbench.errors import DataError
from spurbench.images import SUFFIXES

MASKS = "masks"
"""Name of the folder in which the photos' own tree is repeated."""


def masks_of(folder: Path, names: Sequence[str]) -> list[str | None]:
    """The masks of photos, by their paths relative to the folder; None for photos that have none.

    Args:
        folder: of the photos, in which the folder of masks is.
        names: the photos' paths relative to it. A mask has the same, with any suffix that images have; .png goes first.

    Raises:
        DataError: there is no folder of masks; says what to put there.
    """
    if not (folder / MASKS).is_dir():
        raise DataError(
            f"where things are in the photos is not known. Put masks into {folder / MASKS}, in the same folders and "
            "under the same names as the photos: bright where the object is, black elsewhere"
        )
    return [_mask_of(folder, PurePosixPath(MASKS, name)) for name in names]


def _mask_of(folder: Path, path: PurePosixPath) -> str | None:
    suffixes = (".png", *sorted(SUFFIXES - {".png"}))
    found = (path.with_suffix(suffix) for suffix in suffixes)
    return next((str(mask) for mask in found if (folder / mask).is_file()), None)
