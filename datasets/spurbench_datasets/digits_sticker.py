"""Handwritten digits with a planted red square: RaVL's controlled setting, on real digits that need no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spurbench.attribute_text import AttributeText, Concepts
from spurbench.cards import SPLITS, DatasetCard, PromptSet
from spurbench.data import Examples, Ints
from spurbench.errors import UsageError
from spurbench.files import HashCache, sha256_of

from ._planted import parameters, planted_counts, share
from .menagerie.exact import Draws

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
EDGE, QUADRANT = 56, 28
"""Of an image, and of the quadrants that the digit and the square each fill one of."""
RED = (255, 0, 0)
PER_CLASS = {"train": 90, "val": 24, "test": 58}
"""Digits of each class; scikit-learn has at least 174 of each."""
_SQUARE = AttributeText(
    values=("", "beside a red square"),
    class_free="a photo of a digit {}.",
    scenes=("a photo of a red square.", "a red square on black."),
    # A photo without a red square has a black one in its place.
    names=("black square", "red square"),
    settings=("number", "number beside a red square"),
)
_CONCEPTS = Concepts(
    reject=(("a photo with a red square.", "a photo."), ("a red square.", "a black square.")),
    accept=(("a round digit", "a straight digit"), ("a digit with a loop", "a digit without a loop")),
)
_WORLD = 104


@dataclass(frozen=True)
class PlantedDigits:
    """Images made of a digit, and of a red square where there is one.

    Attributes:
        digit: (n,) row in scikit-learn's digits.
        square: (n,) whether there is a red square.
        index: (n,) number that decides which quadrants the two are in.
    """

    digit: Ints
    square: NDArray[np.bool_]
    index: Ints
    at_once: int = 32

    def __len__(self) -> int:
        return len(self.digit)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' images."""
        return [Image.fromarray(pixels) for pixels in self.pixels(np.asarray(rows, dtype=np.int64))]

    def pixels(self, rows: Ints) -> NDArray[np.uint8]:
        """(n, EDGE, EDGE, 3) uint8 images of some rows."""
        first, second = self._quadrants(rows)
        images = np.zeros((len(rows), EDGE, EDGE, 3), dtype=np.uint8)
        for image, row, own, other in zip(images, rows.tolist(), first.tolist(), second.tolist(), strict=True):
            image[_quadrant(own)] = _enlarged()[self.digit[row]][..., None]
            if self.square[row]:
                image[_quadrant(other)] = RED
        return images

    def boxes(self, rows: Ints) -> Ints:
        """(n, 2, 4) left, top, right, bottom of digit and square; zeros where there is no square."""
        corners = np.stack(
            [np.stack([q % 2, q // 2, q % 2 + 1, q // 2 + 1], axis=1) for q in self._quadrants(rows)], axis=1
        )
        corners[:, 1] *= self.square[rows][:, None]
        return corners.astype(np.int64) * QUADRANT

    def _quadrants(self, rows: Ints) -> tuple[Ints, Ints]:
        """(n,) quadrants of the digit and of the square, never the same."""
        draws = Draws(_WORLD, self.index[rows])
        first = draws.below("digit's quadrant", 4)
        return first, (first + 1 + draws.below("square's quadrant", 3)) % 4

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:  # noqa: ARG002
        """Over every pixel."""
        return sha256_of([self.pixels(np.arange(len(self))).tobytes()])


def _quadrant(number: int) -> tuple[slice, slice]:
    top, left = QUADRANT * (number // 2), QUADRANT * (number % 2)
    return slice(top, top + QUADRANT), slice(left, left + QUADRANT)


@cache
def _digits() -> tuple[NDArray[np.float64], Ints]:
    """(1797, 8, 8) in 0..16, and (1797,) classes."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images, found.target.astype(np.int64)


@cache
def _enlarged() -> NDArray[np.uint8]:
    """(1797, QUADRANT, QUADRANT) uint8 grey digits, enlarged bilinearly in whole-number arithmetic."""
    small = _digits()[0].astype(np.int64) * 255 // 16
    # Positions in 56ths of a small pixel: pixel i of the large image lies at (i + 1/2) * 8 / 28 - 1/2.
    at = np.clip((2 * np.arange(QUADRANT) + 1) * 8 - QUADRANT, 0, 7 * 2 * QUADRANT)
    before, after = at // (2 * QUADRANT), np.minimum(at // (2 * QUADRANT) + 1, 7)
    part = at % (2 * QUADRANT)
    rows = small[:, before] * (2 * QUADRANT - part)[None, :, None] + small[:, after] * part[None, :, None]
    whole = rows[:, :, before] * (2 * QUADRANT - part) + rows[:, :, after] * part
    return (whole // (2 * QUADRANT) ** 2).astype(np.uint8)


class DigitsSticker:
    """RaVL's MNIST construction (Varma et al. 2024, section 4.1) on scikit-learn's digits (Alpaydin, Kaynak 1998).

    A black image of four quadrants: a digit in one and, in some images, a red square in another. In training the
    square and the class `label` (3) have Cramer's V `strength` (0.9); in validation and test every second image of
    every class has the square. No digit is in two images.
    """

    usage = "digits-sticker[:strength=0.9:label=3]"

    def __init__(self, argument: str = "") -> None:
        name = "digits-sticker"
        found = parameters(name, argument, {"strength": 0.9, "label": 3.0})
        strength = share(name, "strength", found["strength"])
        label = share(name, "label", found["label"], 0, 9)
        if label != int(label):
            raise UsageError(f"{name}: label must be a digit, not {label}")
        planted = planted_counts([PER_CLASS["train"]] * 10, int(label), strength)
        halves = {split: (PER_CLASS[split] // 2, PER_CLASS[split] // 2) * 10 for split in ("val", "test")}
        self.card = DatasetCard(
            name=f"{name}:{argument}" if argument else name,
            title="Handwritten digits, one class with a red square",
            classes=NAMES,
            attributes=("clean", "square"),
            licence="CC BY 4.0 (UCI: Optical Recognition of Handwritten Digits)",
            url="https://archive.ics.uci.edu/dataset/80",
            citation="after Varma, Delbrouck, Chaudhari, Langlotz: RaVL, NeurIPS 2024; digits by Alpaydin and Kaynak",
            prompts=(PromptSet("photo", ("a photo of the digit {}.",)), PromptSet("plain", ("{}",))),
            attribute_text=_SQUARE,
            concepts=_CONCEPTS,
            counts={
                "train": tuple(count for shown in planted for count in (PER_CLASS["train"] - shown, shown)),
                **halves,
            },
        )

    def prepare(self, root: Path, *, download: bool) -> None:
        """Nothing: scikit-learn brings the digits."""

    def load(self, root: Path) -> Examples:  # noqa: ARG002
        """Columns and images: train, val, test in this order, shuffled within each split."""
        card = self.card
        split = np.repeat(np.arange(len(SPLITS)), [sum(card.counts[name]) for name in SPLITS])
        group = np.concatenate([np.repeat(np.arange(len(card.groups)), card.counts[name]) for name in SPLITS])
        index = np.arange(len(group), dtype=np.int64)
        draws = Draws(_WORLD, index)
        order = np.lexsort((draws.uniform("order"), split))
        y, a = group // 2, group % 2
        digit = np.zeros(len(y), dtype=np.int64)
        classes = _digits()[1]
        keys = Draws(_WORLD, np.arange(len(classes))).uniform("which digit")
        for label in range(len(NAMES)):
            rows = np.flatnonzero(y == label)
            own = np.flatnonzero(classes == label)
            digit[rows] = own[np.argsort(keys[own], kind="stable")][: len(rows)]
        y, a, digit = y[order], a[order], digit[order]
        return Examples(
            ids=[f"{SPLITS[code]}-{row:05d}" for row, code in zip(index.tolist(), split.tolist(), strict=True)],
            y=y,
            a=a,
            split=split,
            n_classes=len(card.classes),
            n_attributes=len(card.attributes),
            photos=PlantedDigits(digit, a == 1, index),
        )
