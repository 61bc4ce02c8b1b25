"""Opening photos: whatever the file holds becomes one 8-bit RGB image, or a message that names the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .errors import DataError
from .files import HashCache, sha256_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class PhotoFiles:
    """Photos in files, as a data set's `Photos`.

    Attributes:
        paths: the files, row by row.
    """

    paths: Sequence[Path]
    at_once = 1

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' files by `open_rgb`. Raises DataError."""
        return [open_rgb(self.paths[row]) for row in rows]

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        """sha256 over the content of the files, wherever they lie."""
        contents = hashes.files(dict(zip(ids, self.paths, strict=True)))
        return sha256_of(contents[i].encode() for i in ids)


def open_rgb(path: Path) -> Image.Image:
    """One RGB image, upright, 8 bits per channel; the first frame of an animation.

    CMYK, palette, grey and 16-bit images are converted; transparency is laid on white; EXIF rotation is applied.

    Raises:
        DataError: the file is empty, truncated, not an image, or too large to be a photo.
    """
    try:
        image: Image.Image
        with Image.open(path) as image:
            # Pillow only warns up to twice its limit, and warnings cannot be made errors in one thread alone.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise ValueError(f"{image.width} x {image.height} pixels are too many for a photo")
            image.load()
            if image.mode == "RGB" and "transparency" not in image.info and not image.getexif():
                return image.copy()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:
        reason = "empty file" if _is_empty(path) else f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: {reason}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        grey = np.clip(values * 255 / _white(image.mode, float(values.max(initial=0))), 0, 255)
        return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _white(mode: str, brightest: float) -> float:
    """The value that means white in a deep grey image; Pillow's own conversion clips at 255."""
    if mode.startswith("I;16"):
        return 65535.0
    # 32-bit integers hold whatever was put in them; floats are shares, or 8-bit values kept as floats.
    levels = (1.0, 255.0) if mode == "F" else (65535.0,)
    return next((level for level in levels if brightest <= level), brightest)


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False
