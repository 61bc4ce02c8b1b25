"""RaVL's controlled setting (Varma et al. 2024, section 4.1): a small picture in one quadrant, a red square in another.

What every data set of this kind shares; each brings its own small pictures, glyphs, and says what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spurbench.attribute_text import AttributeText
from spurbench.cards import SPLITS, DatasetCard
from spurbench.data import Examples, Ints, Places
from spurbench.errors import DataError
from spurbench.files import HashCache, sha256_of

from ._boxes import shares, together
from ._planted import group_counts, parameters, share, which
from ._rows import laid_out
from .menagerie.exact import Draws

EDGE, QUADRANT = 56, 28
"""Of an image, and of the quadrants that the glyph and the square each fill one of."""
RED = (255, 0, 0)
ATTRIBUTES = ("clean", "square")
REJECT = (("a photo with a red square.", "a photo."), ("a red square.", "a black square."))
"""Concepts that have nothing to do with the classes."""
CITATION = "after Varma, Delbrouck, Chaudhari, Langlotz: RaVL, NeurIPS 2024"
_HASHED = 4096
"""Images whose pixels are put together to be hashed."""


class Glyphs(NamedTuple):
    """Small pictures to choose from for some of the splits.

    Attributes:
        splits: the splits' names.
        pictures: (m, QUADRANT, QUADRANT) uint8 grey.
        classes: (m,) what each shows.
    """

    splits: tuple[str, ...]
    pictures: NDArray[np.uint8]
    classes: Ints


@dataclass(frozen=True)
class PlantedGlyphs:
    """Images made of a glyph, and of a red square where there is one.

    Attributes:
        world: seed of all that is random about them.
        pictures: (m, QUADRANT, QUADRANT) uint8 grey glyphs.
        glyph: (n,) which of them each image shows.
        square: (n,) whether there is a red square.
        index: (n,) number that decides which quadrants the two are in.
    """

    world: int
    pictures: NDArray[np.uint8]
    glyph: Ints
    square: NDArray[np.bool_]
    index: Ints
    at_once: int = 32

    def __len__(self) -> int:
        return len(self.glyph)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' images."""
        return [Image.fromarray(pixels) for pixels in self.pixels(np.asarray(rows, dtype=np.int64))]

    def pixels(self, rows: Ints) -> NDArray[np.uint8]:
        """(n, EDGE, EDGE, 3) uint8 images of some rows."""
        first, second = _quadrants(self.world, self.index[rows])
        images = np.zeros((len(rows), EDGE, EDGE, 3), dtype=np.uint8)
        for image, row, own, other in zip(images, rows.tolist(), first.tolist(), second.tolist(), strict=True):
            image[_quadrant(own)] = self.pictures[self.glyph[row]][..., None]
            if self.square[row]:
                image[_quadrant(other)] = RED
        return images

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:  # noqa: ARG002
        """Over every pixel."""
        rows = np.arange(len(self))
        parts = range(0, len(self), _HASHED)
        return sha256_of(self.pixels(rows[start : start + _HASHED]).tobytes() for start in parts)


def boxes(world: int, index: Ints, square: NDArray[np.bool_]) -> Ints:
    """(n, 2, 4) left, top, right, bottom of glyph and square in pixels; zeros where there is no square."""
    corners = np.stack([np.stack([q % 2, q // 2, q % 2 + 1, q // 2 + 1], axis=1) for q in _quadrants(world, index)], 1)
    corners[:, 1] *= square[:, None]
    return corners.astype(np.int64) * QUADRANT


def _quadrants(world: int, index: Ints) -> tuple[Ints, Ints]:
    """(n,) quadrants of the glyph and of the square, never the same."""
    draws = Draws(world, index)
    first = draws.below("digit's quadrant", 4)
    return first, (first + 1 + draws.below("square's quadrant", 3)) % 4


def _quadrant(number: int) -> tuple[slice, slice]:
    top, left = QUADRANT * (number // 2), QUADRANT * (number % 2)
    return slice(top, top + QUADRANT), slice(left, left + QUADRANT)


class QuadrantSticker:
    """A data set of glyphs with a planted red square; a subclass says which glyphs, and what they are called.

    In training the square and the class `label` have Cramer's V `strength`; in validation and test every second image
    of every class has the square. No glyph is in two images.

    Attributes:
        name, world, classes, per_class: of the data set; `per_class` has the number of images of each class by split.
        planted_label: the class that the square goes with in training.
    """

    name: ClassVar[str]
    world: ClassVar[int]
    classes: ClassVar[tuple[str, ...]]
    per_class: ClassVar[Mapping[str, int]]
    card: DatasetCard
    planted_label: int

    def __init__(self, argument: str = "") -> None:
        found = parameters(self.name, argument, {"strength": 0.9, "label": "3"})
        strength = share(self.name, "strength", found["strength"])
        self.planted_label = which(self.name, "label", str(found["label"]), self.classes)
        counts = group_counts(self.per_class, len(self.classes), self.planted_label, strength)
        self.card = self._card(f"{self.name}:{argument}" if argument else self.name, counts)

    def load(self, root: Path) -> Examples:
        """Columns and images: train, val, test in this order, shuffled within each split. Raises DataError."""
        rows = laid_out(self.card, self.world)
        glyphs = self._glyphs(root)
        # Glyphs are dealt out before shuffling, group by group.
        y = np.empty_like(rows.y)
        y[rows.order] = rows.y
        glyph = self._chosen(glyphs, y, rows.split)
        return Examples(
            ids=rows.ids,
            y=rows.y,
            a=rows.a,
            split=rows.split,
            n_classes=len(self.classes),
            n_attributes=len(ATTRIBUTES),
            photos=PlantedGlyphs(
                self.world,
                np.concatenate([some.pictures for some in glyphs]),
                glyph[rows.order],
                rows.a == 1,
                rows.index,
            ),
        )

    def places(self, root: Path, rows: Ints) -> Places:  # noqa: ARG002
        """The quadrants of the glyphs, which make the class, and of the squares."""
        found = laid_out(self.card, self.world)
        glyph, square = np.moveaxis(
            shares(boxes(self.world, found.index[rows], found.a[rows] == 1), (EDGE, EDGE)), 1, 0
        )
        return Places(together(glyph, square), glyph, square)

    def _chosen(self, glyphs: Sequence[Glyphs], y: Ints, split: Ints) -> Ints:
        """(n,) a glyph for each row, by its number among all: none twice, whatever order they come in."""
        chosen = np.empty_like(y)
        start = 0
        for some in glyphs:
            here = np.isin(split, [SPLITS.index(name) for name in some.splits])
            keys = Draws(self.world, start + np.arange(len(some.classes))).uniform("which digit")
            for label, name in enumerate(self.classes):
                wanted, own = np.flatnonzero(here & (y == label)), np.flatnonzero(some.classes == label)
                if len(own) < len(wanted):
                    raise DataError(
                        f"{self.name}: {len(wanted)} of class {name} are needed for {', '.join(some.splits)}, "
                        f"there are {len(own)}"
                    )
                chosen[wanted] = start + own[np.argsort(keys[own], kind="stable")][: len(wanted)]
            start += len(some.classes)
        return chosen

    def _glyphs(self, root: Path) -> Sequence[Glyphs]:
        """The small pictures. Raises DataError."""
        raise NotImplementedError

    def _card(self, name: str, counts: Mapping[str, tuple[int, ...]]) -> DatasetCard:
        """The card of a data set of that name with those counts."""
        raise NotImplementedError


def beside_a_square(thing: str, setting: str) -> AttributeText:
    """The square in words; both arguments are nouns for what all classes are, `setting` one that starts like `photo`,
    with a consonant.
    """
    return AttributeText(
        values=("", "beside a red square"),
        class_free=f"a photo of a {thing} {{}}.",
        scenes=("a photo of a red square.", "a red square on black."),
        # A photo without a red square has a black one in its place.
        names=("black square", "red square"),
        settings=(setting, f"{setting} beside a red square"),
    )
