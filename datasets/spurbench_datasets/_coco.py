"""COCO's files of instances: which things are where in which photo."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from spurbench.data import Ints
from spurbench.errors import DataError
from spurbench.files import write_atomic

from ._boxes import shares

_FORMAT = 1
"""Raised when an index holds something else than before."""

WHOLE, SIZE, NAME, BOX = "a whole number", "a whole number above 0", "a name", "four numbers"


@dataclass(frozen=True)
class Instances:
    """What is annotated in n photos: m instances of c categories, those of a photo together and the largest first.

    Attributes:
        ids: (n,) COCO's numbers of the photos, ascending.
        files: (n,) str, names of the photos.
        categories: (c,) str, names.
        photo: (m,) row of each instance's photo, ascending.
        category: (m,) number of its category.
        boxes: (m, 4) float32 left, top, right, bottom in shares of the photo.

    Raises:
        DataError: columns that do not fit each other.
    """

    ids: Ints
    files: NDArray[np.str_]
    categories: NDArray[np.str_]
    photo: Ints
    category: Ints
    boxes: NDArray[np.float32]

    def __post_init__(self) -> None:
        n, m = len(self.ids), len(self.photo)
        good = (
            self.ids.shape == self.files.shape == (n,)
            and self.photo.shape == self.category.shape == (m,)
            and self.boxes.shape == (m, 4)
            and all(column.dtype == np.int64 for column in (self.ids, self.photo, self.category))
            and self.files.dtype.kind == self.categories.dtype.kind == "U"
            and (np.diff(self.ids) > 0).all()
            and (np.diff(self.photo, prepend=0, append=n) >= 0).all()
            and (
                m == 0
                or (self.photo[-1] < n and 0 <= self.category.min() <= self.category.max() < len(self.categories))
            )
        )
        if not good:
            raise DataError("the columns of photos and instances do not fit each other")

    def shows(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """(n, len(names)) whether there is an instance of each category in each photo. Raises DataError if unknown."""
        known = self.categories.tolist()
        missing = [name for name in names if name not in known]
        if missing:
            raise DataError(f"has no category {missing[0]!r}, only {', '.join(known)}")
        column = np.full(len(known), len(names))
        column[[known.index(name) for name in names]] = np.arange(len(names))
        found = np.zeros((len(self.ids), len(names) + 1), dtype=np.bool_)
        found[self.photo, column[self.category]] = True
        return found[:, :-1]

    def of(self, photo: int) -> slice:
        """The instances of one photo."""
        start, end = np.searchsorted(self.photo, [photo, photo + 1]).tolist()
        return slice(start, end)


def read_instances(path: Path) -> Instances:
    """The instances in one of COCO's files, as `instances_train2017.json`.

    Reading the largest takes some fifteen seconds; what was found is kept beside it, where that can be written,
    until the file changes.

    Raises:
        DataError: absent, no JSON, or not as COCO's files are; says where.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    stamp = np.array([_FORMAT, status.st_size, status.st_mtime_ns], dtype=np.int64)
    index = path.with_name(f".{path.name}.index.npz")
    kept = _kept(index, stamp)
    if kept is not None:
        return kept
    try:
        found = _checked(_parsed(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    content = io.BytesIO()
    np.savez(content, stamp=stamp, **{item.name: getattr(found, item.name) for item in fields(found)})
    try:
        write_atomic(index, content.getvalue())
    except OSError:
        return found  # a folder that cannot be written to: it is read anew each time
    return found


def _kept(index: Path, stamp: Ints) -> Instances | None:
    """What was kept of a file, or None if nothing usable was."""
    try:
        with np.load(index, allow_pickle=False) as arrays:
            if not np.array_equal(arrays["stamp"], stamp):
                return None
            return Instances(**{item.name: arrays[item.name] for item in fields(Instances)})
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, DataError):
        return None


def _parsed(path: Path) -> Any:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number of JSON")

    def lean(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop("segmentation", None)
        return entry

    try:
        # Outlines are most of a file: without them the largest takes half the memory, one gigabyte.
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_hook=lean, parse_constant=refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON: {error}") from error


def _checked(content: Any) -> Instances:
    """The columns, everything that is used checked."""
    if not isinstance(content, dict):
        raise DataError("must be an object with images, annotations and categories")
    names = _table(content, "categories", {"id": WHOLE, "name": NAME})
    images = _table(content, "images", {"id": WHOLE, "file_name": NAME, "width": SIZE, "height": SIZE})
    things = _table(content, "annotations", {"image_id": WHOLE, "category_id": WHOLE, "bbox": BOX})
    ids = np.array(images["id"], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    numbers = np.array(names["id"], dtype=np.int64)
    for what, column in (("images", ids), ("categories", numbers)):
        values, times = np.unique(column, return_counts=True)
        if (times > 1).any():
            raise DataError(f"{what}: id {values[times.argmax()]} occurs more than once")
    photo = _rows_of(np.array(things["image_id"], dtype=np.int64), ids[order], "image_id")
    by_number = np.argsort(numbers, kind="stable")
    category = by_number[_rows_of(np.array(things["category_id"], dtype=np.int64), numbers[by_number], "category_id")]
    sizes = np.array([images["width"], images["height"]], dtype=np.float64).T[order]
    pixels = np.array(things["bbox"], dtype=np.float64).reshape(-1, 4)
    pixels[:, 2:] += pixels[:, :2]
    boxes = shares(pixels, sizes[photo])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    largest_first = np.lexsort((-area, photo))
    # Some of COCO's boxes have no extent.
    kept = largest_first[np.isfinite(area[largest_first])]
    files = np.array(images["file_name"], dtype=np.str_)[order]
    return Instances(
        ids[order], files, np.array(names["name"], dtype=np.str_), photo[kept], category[kept], boxes[kept]
    )


def _rows_of(values: Ints, known: Ints, name: str) -> Ints:
    """Where each value is in the ascending `known`. Raises DataError."""
    at = np.searchsorted(known, values)
    wrong = np.ones(len(values), dtype=np.bool_) if not len(known) else known[np.minimum(at, len(known) - 1)] != values
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"annotations[{row}]: there is nothing with the {name} {values[row]}")
    return at.astype(np.int64)


def _table(content: dict[str, Any], name: str, columns: Mapping[str, str]) -> dict[str, list[Any]]:
    """A list of objects as columns, each of a kind in _FITS. Raises DataError naming the first entry that is not."""
    rows = content.get(name)
    if not isinstance(rows, list):
        raise DataError(f"'{name}' must be a list")
    found: dict[str, list[Any]] = {column: [] for column in columns}
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{name}[{number}] must be an object, not {_shown(row)}")
        for column, kind in columns.items():
            value = row.get(column)
            if not _FITS[kind](value):
                raise DataError(f"{name}[{number}]: '{column}' must be {kind}, not {_shown(value)}")
            found[column].append(value)
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**53


def _is_box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(type(v) in (int, float) and abs(v) < 2**53 for v in value)


_FITS: Mapping[str, Callable[[Any], bool]] = {
    WHOLE: _is_whole,
    SIZE: lambda value: _is_whole(value) and value > 0,
    NAME: lambda value: type(value) is str and 0 < len(value) < 256 and value.isprintable(),
    BOX: _is_box,
}
