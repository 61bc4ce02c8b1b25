"""Where a data set's regions come from: cells, drawn boxes, or a network's proposals; and what decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import Dataset, Examples, Places
from ..errors import DataError
from ..files import HashCache, sha256_of
from .files import Found, read_boxes
from .geometry import Floats
from .spec import RegionSpec

FORMAT = 1
"""Raised when regions or their embeddings come out otherwise than before."""
BEYOND = 1.0
"""Pixels by which boxes may lie beyond a photo's edges, as rounded and one-based ones do; they are cut off there."""


@dataclass(frozen=True)
class Drawn:
    """Boxes of n photos.

    Attributes:
        boxes: (n, r, 4), rows of NaN behind where a photo has fewer; in pixels or in shares.
        found: what a file says of each photo, where the boxes are in pixels; None where they are in shares.
        file: that file.
    """

    boxes: Floats
    found: Sequence[Sequence[Found]] | None = None
    file: Path | None = None

    def of(self, row: int, width: int, height: int) -> Floats:
        """(r, 4) boxes of one photo, in shares of the picture. Raises DataError for one that lies outside."""
        boxes = self.boxes[row]
        if self.found is None:
            return np.asarray(boxes)
        size = np.array([width, height, width, height], dtype=np.float32)
        outside = ((boxes[:, :2] < -BEYOND) | (boxes[:, 2:] > size[2:] + BEYOND)).any(axis=1)
        # One that begins behind the edge would be cut to nothing.
        outside |= (boxes[:, :2] >= size[:2]).any(axis=1) | (boxes[:, 2:] <= 0).any(axis=1)
        if outside.any():
            name, corners, where = self.found[row][int(outside.argmax())]
            listed = ", ".join(f"{value:g}" for value in corners)
            raise DataError(
                f"{self.file}: {where}: the box {listed} lies outside of {name!r}, a photo of {width} x {height} pixels"
            )
        return np.asarray(np.clip(boxes / size, 0, 1))


@dataclass(frozen=True)
class Source:
    """The regions of a data set's photos, before it is known how a tower sees them.

    Attributes:
        spec: what was asked for.
        content: sha256 over what decides the boxes besides spec and photos; empty for cells.
        drawn: the boxes, of kind `boxes` and `file`.
    """

    spec: RegionSpec
    content: str = ""
    drawn: Drawn | None = None

    @property
    def identity(self) -> list[str]:
        """What records and features are keyed by, besides data and backbone."""
        return ["boxes" if self.spec.kind == "file" else str(self.spec), self.content, f"format {FORMAT}"]


def open_source(spec: RegionSpec, dataset: Dataset, examples: Examples, root: Path, hashes: HashCache) -> Source:
    """Where the regions of a spec come from; boxes are read.

    Raises:
        UsageError: a file of boxes that is not there.
        DataError: boxes that are broken, that the data set does not know, or of which there is none.
        WeightsError: proposals without the network's weights.
    """
    if spec.kind == "file":
        assert spec.file is not None
        found, content = read_boxes(spec.file, examples.ids)
        most = max(map(len, found))
        boxes = np.full((len(found), most, 4), np.nan, dtype=np.float32)
        for row, some in enumerate(found):
            boxes[row, : len(some)] = np.array([corners for _, corners, _ in some]).reshape(-1, 4)
        return Source(spec, hashlib.sha256(content).hexdigest(), Drawn(boxes, found, spec.file))
    if spec.kind == "boxes":
        boxes = _own(dataset, examples, root)
        return Source(spec, sha256_of([repr(boxes.shape).encode(), boxes.tobytes()]), Drawn(boxes))
    if spec.kind == "proposals":
        from .proposals import find_weights

        return Source(spec, hashes.file(find_weights()))
    return Source(spec)


def _own(dataset: Dataset, examples: Examples, root: Path) -> Floats:
    """(n, r, 4) the data set's own boxes, in shares of the picture, checked. Raises DataError."""
    name = dataset.card.name
    ask = getattr(dataset, "places", None)
    if ask is None:
        raise DataError(f"{name} knows no boxes of its photos; regions 'boxes:FILE' reads them from a file")
    places: Places = ask(root, np.arange(len(examples)))
    boxes = np.ascontiguousarray(places.boxes, dtype=np.float32)
    if boxes.ndim != 3 or boxes.shape[0] != len(examples) or boxes.shape[2] != 4:
        raise DataError(f"the boxes of {name} must be ({len(examples)}, r, 4), not {boxes.shape}")
    there = ~np.isnan(boxes).all(axis=2)
    if not there.any():
        raise DataError(f"{name} has not one box")
    with np.errstate(invalid="ignore"):
        good = (boxes >= 0).all(axis=2) & (boxes <= 1).all(axis=2) & (boxes[..., 2:] > boxes[..., :2]).all(axis=2)
    wrong = np.argwhere(there & ~good)
    if len(wrong):
        row, number = (int(index) for index in wrong[0])
        listed = ", ".join(f"{value:g}" for value in boxes[row, number])
        raise DataError(
            f"the boxes of {name} must lie within the photo, in shares of its width and height; "
            f"{examples.ids[row]!r} has {listed}"
        )
    return boxes
