from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import zoom
from scipy.stats.contingency import association
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from spurbench.cards import SPLITS
from spurbench.data import Examples
from spurbench.errors import UsageError
from spurbench.files import HashCache
from spurbench.registry import load_registries
from spurbench_datasets.digits_sticker import EDGE, QUADRANT, DigitsSticker, PlantedDigits

UNLIKELY = 1e-3
FINGERPRINT = "8633dbaa9941fae5b091b2fd202dfc88eb0b832d6724d0838ac68e0142e48f4f"
"""sha256 of all pixels: they are whole-number arithmetic on digits that scikit-learn never changes."""


@pytest.fixture(scope="module")
def examples() -> Examples:
    return DigitsSticker().load(Path("nowhere"))


def photos_of(examples: Examples) -> PlantedDigits:
    assert isinstance(examples.photos, PlantedDigits)
    return examples.photos


@pytest.fixture(scope="module")
def photos(examples: Examples) -> PlantedDigits:
    return photos_of(examples)


@pytest.fixture(scope="module")
def pixels(photos: PlantedDigits) -> NDArray[np.uint8]:
    """(1720, 56, 56, 3)."""
    return photos.pixels(np.arange(len(photos)))


@pytest.fixture(scope="module")
def quadrants(photos: PlantedDigits) -> NDArray[np.int64]:
    """(n, 2) quadrant of digit and square, by `boxes`."""
    corners = photos.boxes(np.arange(len(photos)))
    return np.asarray(corners[..., 1] // QUADRANT * 2 + corners[..., 0] // QUADRANT)


def crop(image: NDArray[np.uint8], box: NDArray[np.int64]) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    return image[top:bottom, left:right]


def test_counts_are_those_on_the_card(examples: Examples) -> None:
    card = DigitsSticker().card
    assert {split: tuple(examples.group_totals(split)) for split in SPLITS} == dict(card.counts)
    assert card.counts["val"] == (12, 12) * 10
    assert card.counts["test"] == (29, 29) * 10
    assert len(examples) == len(set(examples.ids)) == 1720
    assert np.array_equal(examples.split, np.sort(examples.split))


def test_no_digit_is_in_two_images(photos: PlantedDigits) -> None:
    assert len(set(photos.digit.tolist())) == len(photos)


def test_classes_are_what_was_written(examples: Examples, photos: PlantedDigits) -> None:
    assert np.array_equal(examples.y, load_digits().target[photos.digit])
    assert DigitsSticker().card.classes[3] == "three"


@pytest.mark.parametrize(("strength", "label"), [(0.9, 3), (0.5, 0), (0.0, 7), (1.0, 9)])
def test_the_square_goes_with_one_digit_in_training_alone(strength: float, label: int) -> None:
    examples = DigitsSticker(f"strength={strength}:label={label}").load(Path())
    found = {split: np.array(examples.group_totals(split)).reshape(-1, 2) for split in SPLITS}
    assert association(found["train"], method="cramer") == pytest.approx(strength, abs=0.01)
    if strength > 0:
        assert found["train"][:, 1].argmax() == label
    assert (found["train"].sum(axis=1) == 90).all()
    for split in ("val", "test"):
        assert np.array_equal(found[split][:, 0], found[split][:, 1])


def test_images_are_a_digit_a_square_and_nothing_else(
    examples: Examples, photos: PlantedDigits, pixels: NDArray[np.uint8]
) -> None:
    assert np.array_equal(photos.square, examples.a == 1)
    for image, boxes, square in zip(pixels, photos.boxes(np.arange(len(photos))), photos.square, strict=True):
        rest = image.copy()
        digit = crop(rest, boxes[0])
        assert digit.shape == (QUADRANT, QUADRANT, 3)
        assert (digit == digit[..., :1]).all(), "digits are grey"
        assert digit.max() > 200
        digit[:] = 0
        assert boxes[1].any() == square
        if square:
            red = crop(rest, boxes[1])
            assert red.shape == (QUADRANT, QUADRANT, 3)
            assert (red == (255, 0, 0)).all()
            red[:] = 0
        assert not rest.any(), "the rest is black"


def test_digits_and_squares_are_in_any_quadrants(photos: PlantedDigits, quadrants: NDArray[np.int64]) -> None:
    pairs = Counter(map(tuple, quadrants[photos.square].tolist()))
    assert set(pairs) == {(one, other) for one in range(4) for other in range(4) if one != other}
    assert stats.chisquare(list(pairs.values())).pvalue > UNLIKELY
    assert stats.chisquare(np.bincount(quadrants[~photos.square, 0])).pvalue > UNLIKELY


def test_where_a_digit_is_says_nothing_about_it(examples: Examples, quadrants: NDArray[np.int64]) -> None:
    for column in (examples.y, examples.a, examples.split):
        table = stats.contingency.crosstab(quadrants[:, 0], column).count
        assert stats.chi2_contingency(table).pvalue > UNLIKELY


def test_digits_are_enlarged_bilinearly(photos: PlantedDigits, pixels: NDArray[np.uint8]) -> None:
    small = load_digits().images[photos.digit] * 255 / 16
    scale = QUADRANT / 8
    off = []
    for image, box, digit in zip(pixels, photos.boxes(np.arange(len(photos)))[:, 0], small, strict=True):
        large = zoom(digit, scale, order=1, mode="nearest", grid_mode=True)
        off.append(crop(image, box)[..., 0] - large)
    # Rounded down twice: the small digit to whole grey levels, and the large one.
    assert np.max(off) <= 1e-9
    assert np.min(off) > -2
    assert np.abs(np.array(off) + 0.5).mean() < 0.5


def test_enlarging_whole_grey_levels_is_right_to_one_of_them(photos: PlantedDigits, pixels: NDArray[np.uint8]) -> None:
    # Written as a matrix: each row the two weights of one large pixel, in shares of what the small ones lie apart.
    at = np.clip((np.arange(QUADRANT) + 0.5) * 8 / QUADRANT - 0.5, 0, 7)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(8)), 0)
    small = np.floor(load_digits().images[photos.digit] * 255 / 16)
    large = weights @ small @ weights.T
    boxes = photos.boxes(np.arange(len(photos)))[:, 0]
    found = np.stack([crop(image, box)[..., 0] for image, box in zip(pixels, boxes, strict=True)])
    assert np.abs(found - large).max() <= 1
    assert np.array_equal(found, np.floor(large + 1e-9))


@pytest.mark.parametrize("rows", [[3, 1719, 0, 3], np.array([5, 4]), range(2)])
def test_photos_are_opened_in_any_order(photos: PlantedDigits, pixels: NDArray[np.uint8], rows: Any) -> None:
    opened = photos.open(rows)
    assert [(image.mode, image.size) for image in opened] == [("RGB", (EDGE, EDGE))] * len(rows)
    assert np.array_equal(np.stack([np.asarray(image) for image in opened]), pixels[list(rows)])
    assert np.array_equal(photos.boxes(np.asarray(rows)), photos.boxes(np.arange(1720))[list(rows)])


def test_opening_nothing(photos: PlantedDigits) -> None:
    assert photos.open([]) == []


def test_pixels_are_the_same_everywhere(pixels: NDArray[np.uint8]) -> None:
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == FINGERPRINT


def test_the_fingerprint_covers_every_pixel(photos: PlantedDigits) -> None:
    few = PlantedDigits(photos.digit[:40], photos.square[:40], photos.index[:40])
    other_digit, other_square, elsewhere = few.digit.copy(), few.square.copy(), few.index.copy()
    other_digit[7], other_square[7], elsewhere[7] = photos.digit[50], ~few.square[7], 10**6
    while np.array_equal(photos_at(few, elsewhere).boxes(np.array([7])), few.boxes(np.array([7]))):
        elsewhere[7] += 1
    variants = [
        few,
        PlantedDigits(other_digit, few.square, few.index),
        PlantedDigits(few.digit, other_square, few.index),
        photos_at(few, elsewhere),
        PlantedDigits(few.digit[::-1], few.square[::-1], few.index[::-1]),
    ]
    ids = [str(row) for row in range(40)]
    found = [variant.fingerprint(ids, HashCache(None)) for variant in variants]
    assert len(set(found)) == len(variants)
    same = PlantedDigits(few.digit, few.square, few.index, at_once=1)
    assert same.fingerprint(ids, HashCache(None)) == found[0]


def photos_at(photos: PlantedDigits, index: NDArray[np.int64]) -> PlantedDigits:
    return PlantedDigits(photos.digit, photos.square, index)


def test_rows_are_shuffled_within_their_splits(examples: Examples) -> None:
    for split in SPLITS:
        groups = examples.groups[examples.rows(split)]
        expected = float(np.square(np.bincount(groups) / len(groups)).sum())
        for lag in (1, 2, 10):
            hits = int((groups[lag:] == groups[:-lag]).sum())
            assert stats.binomtest(hits, len(groups) - lag, expected).pvalue > UNLIKELY


def test_which_digits_are_in_which_split_is_no_matter_of_their_order(examples: Examples, photos: PlantedDigits) -> None:
    # scikit-learn's digits are sorted by writer.
    for split in range(3):
        rows = photos.digit[examples.split == split]
        assert stats.kstest(rows / 1797, "uniform").pvalue > UNLIKELY


def test_parameters_change_training_and_nothing_else(examples: Examples) -> None:
    other = DigitsSticker("strength=0.2:label=8").load(Path())
    evaluated = examples.split > 0
    for column in ("y", "a", "split"):
        assert np.array_equal(getattr(other, column)[evaluated], getattr(examples, column)[evaluated])
    rows = np.flatnonzero(evaluated)
    assert np.array_equal(photos_of(other).pixels(rows), photos_of(examples).pixels(rows))
    assert not np.array_equal(other.a[~evaluated], examples.a[~evaluated])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("strength=1.01", "digits-sticker: strength must lie in 0 to 1, not 1.01"),
        ("strength=x", "strength must be a number, not 'x'"),
        ("label=10", "label must lie in 0 to 9, not 10"),
        ("label=-1", "label must lie in 0 to 9, not -1"),
        ("label=2.5", "label must be a digit, not 2.5"),
        ("label=three", "label must be a number, not 'three'"),
        ("labl=3", "'labl=3' is not one of its parameters .*; did you mean label?"),
    ],
)
def test_bad_parameters_are_named(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DigitsSticker(argument)


def test_it_is_registered() -> None:
    registry = load_registries().datasets
    assert type(registry.get("digits-sticker")) is DigitsSticker
    assert registry.get("digits-sticker:label=8").card.name == "digits-sticker:label=8"


def test_the_square_is_a_shortcut_that_misleads(examples: Examples, pixels: NDArray[np.uint8]) -> None:
    # Average colours show the square and little of the digit; where the square is must not matter.
    small = pixels.reshape(-1, 14, 4, 14, 4, 3).mean(axis=(2, 4))
    x = np.concatenate([small.reshape(len(small), -1), small.mean(axis=(1, 2))], axis=1) / 255
    train, test = examples.rows("train"), examples.rows("test")
    predicted = LogisticRegression(C=10.0, max_iter=300).fit(x[train], examples.y[train]).predict(x[test])
    y, a = examples.y[test], examples.a[test]
    of_threes = [(predicted == 3)[(y != 3) & (a == value)].mean() for value in (0, 1)]
    assert of_threes[1] > of_threes[0] + 0.3
