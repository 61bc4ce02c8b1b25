"""Opening photos: whatever the file holds becomes one 8-bit RGB image, or a message that names the file."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
        tolerant: whether a JPEG that was cut short is shown as far as it goes (`cut_short` names them); otherwise it is
            an error, as a file that is no photo always is.
    """

    paths: Sequence[Path]
    tolerant: bool = False
    at_once = 1

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' files by `open_rgb`, or by `open_tolerant`. Raises DataError."""
        paths = [self.paths[row] for row in rows]
        return [open_tolerant(path)[0] if self.tolerant else open_rgb(path) for path in paths]

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
        return _decoded(path)
    except Exception as error:
        raise _unreadable(path, error) from error


def open_tolerant(path: Path) -> tuple[Image.Image, bool]:
    """As `open_rgb`, but a JPEG that was cut short is shown as far as it goes, grey where nothing is left of it.

    Returns:
        the image, and whether it was cut short, be it by its end mark alone.

    Raises:
        DataError: nothing can be shown, for the reasons of `open_rgb`.
    """
    try:
        return open_rgb(path), False
    except DataError:
        # Pillow's own switch is a global one, which would hide broken photos from other threads as well.
        with contextlib.suppress(Exception):
            return _decoded(io.BytesIO(_ended(path.read_bytes()))), True
        raise


def cut_short(paths: Iterable[Path]) -> list[Path]:
    """Those JPEGs of which `open_tolerant` shows a part only. Of whole ones little more than the end is read."""
    return [path for path in paths if _lacks_end(path) and _is_cut(path)]


def _lacks_end(path: Path) -> bool:
    """Whether a file begins as a JPEG does, and has no end mark near its end, behind which cameras write notes."""
    try:
        with path.open("rb", buffering=0) as stream:
            if stream.read(len(_START)) != _START:
                return False
            size = stream.seek(0, io.SEEK_END)
            stream.seek(max(0, size - _NEAR))
            return _END not in stream.read(_NEAR)
    except OSError:
        return False


def _is_cut(path: Path) -> bool:
    try:
        return open_tolerant(path)[1]
    except DataError:
        return False


_NEAR = 1024
_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_SEGMENT = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A JPEG's marks, but for those within the pixels: stuffed bytes and restarts."""


def _ended(content: bytes) -> bytes:
    """A JPEG without what is incomplete behind its last whole segment, and with the end mark after which libjpeg fills
    in the missing pixels.

    Raises:
        ValueError: it is no JPEG.
    """
    if not content.startswith(_START):
        raise ValueError("not a JPEG")
    whole = 2
    while (mark := _SEGMENT.search(content, whole)) is not None and mark[0] != _END:
        whole = mark.end() + int.from_bytes(content[mark.end() : mark.end() + 2], "big")
        if whole > len(content) or mark.end() + 2 > len(content):
            return content[: mark.start()] + _END
    return content + _END


def _decoded(file: Path | BinaryIO) -> Image.Image:
    image: Image.Image
    with Image.open(file) as image:
        # Pillow only warns up to twice its limit, and warnings cannot be made errors in one thread alone.
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise ValueError(f"{image.width} x {image.height} pixels are too many for a photo")
        image.load()
        if image.mode == "RGB" and "transparency" not in image.info and not image.getexif():
            return image.copy()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = "empty file" if _is_empty(path) else f"{type(error).__name__}: {error}"
    return DataError(f"{path}: {reason}")


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
