"""Where the birds are in photos that were made of CUB-200-2011's (Wah et al. 2011): its boxes, or its segmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from spurbench.errors import DataError, UnknownObjectsError

from ._boxes import Boxes, mask_box, photo_size, shares
from ._columns import located

FOLDER = "CUB_200_2011"
SEGMENTATIONS = "segmentations"
IMAGES, BOXES = "images.txt", "bounding_boxes.txt"
OUTSIDE = 0.02
"""How far, in shares of its edges, a box may stick out of its photo: some of CUB's do by a pixel or two."""


def bird_boxes(folder: Path, names: Sequence[str], photos: Sequence[Path]) -> Boxes:
    """(n, 4) boxes of the birds in shares of their photos; NaN where a segmentation shows nothing.

    Looked for in `folder`, in `CUB_200_2011/` in it or beside it, and beside it: `segmentations/<species>/<photo>.png`,
    which are right for photos of any size; or else `images.txt` and `bounding_boxes.txt`, in pixels of photos of the
    size that CUB's have.

    Args:
        folder: of the photos.
        names: (n,) `<species>/<photo>.jpg` as CUB has them.
        photos: (n,) the files.

    Raises:
        UnknownObjectsError: neither is there.
        DataError: a photo is not in what is there; or the photos are smaller than CUB's boxes say.
    """
    masks = segmentations(folder, names)
    if masks is not None:
        found = [mask_box(mask, photo) for mask, photo in zip(masks, photos, strict=True)]
        return np.array(found, dtype=np.float32).reshape(-1, 4)
    for place in _places(folder):
        if (place / IMAGES).is_file() and (place / BOXES).is_file():
            return _by_boxes(place, names, photos)
    raise UnknownObjectsError(
        f"{folder}: where the birds are is not known. Put {IMAGES} and {BOXES} of CUB-200-2011 "
        f"(https://www.vision.caltech.edu/datasets/cub_200_2011/) into {folder.parent / FOLDER}, or its folder "
        f"{SEGMENTATIONS} beside {folder.name}, which photos that were made smaller need"
    )


def segmentations(folder: Path, names: Sequence[str]) -> list[Path] | None:
    """The files of the birds' segmentations, looked for as `bird_boxes` does; None where CUB's folder is not.

    Args:
        folder: of the photos.
        names: (n,) `<species>/<photo>.jpg` as CUB has them.

    Raises:
        DataError: the folder is there, and a photo is not in it.
    """
    root = next((place / SEGMENTATIONS for place in _places(folder) if (place / SEGMENTATIONS).is_dir()), None)
    if root is None:
        return None
    masks = [(root / _of_cub(name)).with_suffix(".png") for name in names]
    for name, mask in zip(names, masks, strict=True):
        if not mask.is_file():
            raise DataError(f"{mask} is missing: the segmentation of {name}")
    return masks


def _places(folder: Path) -> tuple[Path, ...]:
    return folder, folder / FOLDER, folder.parent / FOLDER, folder.parent


def _by_boxes(root: Path, names: Sequence[str], photos: Sequence[Path]) -> Boxes:
    numbers = {name: number for number, (name,) in _lines(root / IMAGES, 1).items()}
    with located(root / BOXES):
        boxes = {number: _numbers(number, values) for number, values in _lines(root / BOXES, 4).items()}
    pixels = np.empty((len(names), 4), dtype=np.float64)
    for row, name in enumerate(names):
        number = numbers.get(_of_cub(name))
        if number not in boxes:
            raise DataError(f"{root / (BOXES if number else IMAGES)}: nothing about {_of_cub(name)}")
        left, top, width, height = boxes[number]
        pixels[row] = left, top, left + width, top + height
    sizes = np.array([photo_size(photo) for photo in photos], dtype=np.float64).reshape(-1, 2)
    _check_inside(pixels, sizes, names, root / BOXES)
    return shares(pixels, sizes)


def _check_inside(pixels: NDArray[np.float64], sizes: NDArray[np.float64], names: Sequence[str], path: Path) -> None:
    """Raises DataError for photos that are smaller than those that the boxes were drawn in."""
    outside = (pixels[:, 2:] > sizes * (1 + OUTSIDE) + 1).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        right, bottom = pixels[row, 2:]
        width, height = sizes[row]
        raise DataError(
            f"{path}: {int(outside.sum())} of {len(names)} boxes lie outside their photos; the first reaches to "
            f"{right:g}, {bottom:g} in {names[row]} of {width:g} x {height:g} pixels. These photos were made smaller: "
            f"put CUB's folder {SEGMENTATIONS} there, which is right for photos of any size"
        )


def _of_cub(name: str) -> str:
    """The species' folder and the file."""
    return "/".join(PurePosixPath(name).parts[-2:])


def _lines(path: Path, values: int) -> dict[str, list[str]]:
    """The lines of a file as a number and what stands behind it. Raises DataError."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for number, words in enumerate(lines, start=1):
        if len(words) != values + 1:
            raise DataError(f"{path}: line {number} should have {values + 1} columns, it has {len(words)}")
    return {words[0]: words[1:] for words in lines}


def _numbers(number: str, values: Sequence[str]) -> list[float]:
    try:
        found = [float(value) for value in values]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise DataError(f"the box of image {number} must be four numbers, not {' '.join(values)}")
    return found
