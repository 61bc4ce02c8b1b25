"""Handwritten digits with a planted red square: RaVL's controlled setting, on real digits that need no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spurbench.attribute_text import Concepts
from spurbench.cards import SPLITS, DatasetCard, PromptSet
from spurbench.data import Ints

from ._quadrants import ATTRIBUTES, CITATION, QUADRANT, REJECT, Glyphs, QuadrantSticker, beside_a_square

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PROMPTS = (PromptSet("photo", ("a photo of the digit {}.",)), PromptSet("plain", ("{}",)))
SQUARE = beside_a_square("digit", "number")
CONCEPTS = Concepts(
    reject=REJECT,
    accept=(("a round digit", "a straight digit"), ("a digit with a loop", "a digit without a loop")),
)


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


class DigitsSticker(QuadrantSticker):
    """RaVL's MNIST construction (Varma et al. 2024, section 4.1) on scikit-learn's digits (Alpaydin, Kaynak 1998).

    A black image of four quadrants: a digit in one and, in some images, a red square in another. In training the
    square and the class `label` (3) have Cramer's V `strength` (0.9); in validation and test every second image of
    every class has the square. No digit is in two images. It is known where digits and squares are (`places`).
    """

    usage = "digits-sticker[:strength=0.9:label=3]"
    name = "digits-sticker"
    world = 104
    classes = NAMES
    # scikit-learn has at least 174 of each.
    per_class: ClassVar[Mapping[str, int]] = {"train": 90, "val": 24, "test": 58}

    def prepare(self, root: Path, *, download: bool) -> None:
        """Nothing: scikit-learn brings the digits."""

    def _glyphs(self, root: Path) -> Sequence[Glyphs]:  # noqa: ARG002
        return (Glyphs(SPLITS, _enlarged(), _digits()[1]),)

    def _card(self, name: str, counts: Mapping[str, tuple[int, ...]]) -> DatasetCard:
        return DatasetCard(
            name=name,
            title="Handwritten digits, one class with a red square",
            classes=NAMES,
            attributes=ATTRIBUTES,
            licence="CC BY 4.0 (UCI: Optical Recognition of Handwritten Digits)",
            url="https://archive.ics.uci.edu/dataset/80",
            citation=f"{CITATION}; digits by Alpaydin and Kaynak",
            prompts=PROMPTS,
            attribute_text=SQUARE,
            concepts=CONCEPTS,
            counts=counts,
            regions="quadrants",
        )
