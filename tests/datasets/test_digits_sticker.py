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
from spurbench_datasets._quadrants import EDGE, QUADRANT, PlantedGlyphs, boxes
from spurbench_datasets.digits_sticker import DigitsSticker, _enlarged

UNLIKELY = 1e-3
FINGERPRINT = "8633dbaa9941fae5b091b2fd202dfc88eb0b832d6724d0838ac68e0142e48f4f"
"""sha256 of all pixels: they are whole-number arithmetic on digits that scikit-learn never changes."""


@pytest.fixture(scope="module")
def examples() -> Examples:
    return DigitsSticker().load(Path("nowhere"))


def photos_of(examples: Examples) -> PlantedGlyphs:
    assert isinstance(examples.photos, PlantedGlyphs)
    return examples.photos


@pytest.fixture(scope="module")
def photos(examples: Examples) -> PlantedGlyphs:
    return photos_of(examples)


@pytest.fixture(scope="module")
def pixels(photos: PlantedGlyphs) -> NDArray[np.uint8]:
    """(1720, 56, 56, 3)."""
    return photos.pixels(np.arange(len(photos)))


@pytest.fixture(scope="module")
def quadrants(photos: PlantedGlyphs) -> NDArray[np.int64]:
    """(n, 2) quadrant of digit and square, by `boxes`."""
    corners = boxes_of(photos, np.arange(len(photos)))
    return np.asarray(corners[..., 1] // QUADRANT * 2 + corners[..., 0] // QUADRANT)


def boxes_of(photos: PlantedGlyphs, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2, 4) of digit and square."""
    return boxes(photos.world, photos.index[rows], photos.square[rows])


def planted(
    digit: NDArray[np.int64], square: NDArray[np.bool_], index: NDArray[np.int64], at_once: int = 32
) -> PlantedGlyphs:
    """Images of other digits, squares and places than the data set's."""
    return PlantedGlyphs(DigitsSticker.world, _enlarged(), digit, square, index, at_once)


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


def test_no_digit_is_in_two_images(photos: PlantedGlyphs) -> None:
    assert len(set(photos.glyph.tolist())) == len(photos)


def test_classes_are_what_was_written(examples: Examples, photos: PlantedGlyphs) -> None:
    assert np.array_equal(examples.y, load_digits().target[photos.glyph])
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
    examples: Examples, photos: PlantedGlyphs, pixels: NDArray[np.uint8]
) -> None:
    assert np.array_equal(photos.square, examples.a == 1)
    for image, corners, square in zip(pixels, boxes_of(photos, np.arange(len(photos))), photos.square, strict=True):
        rest = image.copy()
        digit = crop(rest, corners[0])
        assert digit.shape == (QUADRANT, QUADRANT, 3)
        assert (digit == digit[..., :1]).all(), "digits are grey"
        assert digit.max() > 200
        digit[:] = 0
        assert corners[1].any() == square
        if square:
            red = crop(rest, corners[1])
            assert red.shape == (QUADRANT, QUADRANT, 3)
            assert (red == (255, 0, 0)).all()
            red[:] = 0
        assert not rest.any(), "the rest is black"


def test_digits_and_squares_are_in_any_quadrants(photos: PlantedGlyphs, quadrants: NDArray[np.int64]) -> None:
    pairs = Counter(map(tuple, quadrants[photos.square].tolist()))
    assert set(pairs) == {(one, other) for one in range(4) for other in range(4) if one != other}
    assert stats.chisquare(list(pairs.values())).pvalue > UNLIKELY
    assert stats.chisquare(np.bincount(quadrants[~photos.square, 0])).pvalue > UNLIKELY


def test_where_a_digit_is_says_nothing_about_it(examples: Examples, quadrants: NDArray[np.int64]) -> None:
    for column in (examples.y, examples.a, examples.split):
        table = stats.contingency.crosstab(quadrants[:, 0], column).count
        assert stats.chi2_contingency(table).pvalue > UNLIKELY


def test_digits_are_enlarged_bilinearly(photos: PlantedGlyphs, pixels: NDArray[np.uint8]) -> None:
    small = load_digits().images[photos.glyph] * 255 / 16
    scale = QUADRANT / 8
    off = []
    for image, box, digit in zip(pixels, boxes_of(photos, np.arange(len(photos)))[:, 0], small, strict=True):
        large = zoom(digit, scale, order=1, mode="nearest", grid_mode=True)
        off.append(crop(image, box)[..., 0] - large)
    # Rounded down twice: the small digit to whole grey levels, and the large one.
    assert np.max(off) <= 1e-9
    assert np.min(off) > -2
    assert np.abs(np.array(off) + 0.5).mean() < 0.5


def test_enlarging_whole_grey_levels_is_right_to_one_of_them(photos: PlantedGlyphs, pixels: NDArray[np.uint8]) -> None:
    # Written as a matrix: each row the two weights of one large pixel, in shares of what the small ones lie apart.
    at = np.clip((np.arange(QUADRANT) + 0.5) * 8 / QUADRANT - 0.5, 0, 7)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(8)), 0)
    small = np.floor(load_digits().images[photos.glyph] * 255 / 16)
    large = weights @ small @ weights.T
    corners = boxes_of(photos, np.arange(len(photos)))[:, 0]
    found = np.stack([crop(image, box)[..., 0] for image, box in zip(pixels, corners, strict=True)])
    assert np.abs(found - large).max() <= 1
    assert np.array_equal(found, np.floor(large + 1e-9))


@pytest.mark.parametrize("rows", [[3, 1719, 0, 3], np.array([5, 4]), range(2)])
def test_photos_are_opened_in_any_order(photos: PlantedGlyphs, pixels: NDArray[np.uint8], rows: Any) -> None:
    opened = photos.open(rows)
    assert [(image.mode, image.size) for image in opened] == [("RGB", (EDGE, EDGE))] * len(rows)
    assert np.array_equal(np.stack([np.asarray(image) for image in opened]), pixels[list(rows)])
    assert np.array_equal(boxes_of(photos, np.asarray(rows)), boxes_of(photos, np.arange(1720))[list(rows)])


def test_opening_nothing(photos: PlantedGlyphs) -> None:
    assert photos.open([]) == []


def test_pixels_are_the_same_everywhere(pixels: NDArray[np.uint8]) -> None:
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == FINGERPRINT


def test_the_fingerprint_covers_every_pixel(photos: PlantedGlyphs) -> None:
    few = planted(photos.glyph[:40], photos.square[:40], photos.index[:40])
    other_digit, other_square, elsewhere = few.glyph.copy(), few.square.copy(), few.index.copy()
    other_digit[7], other_square[7], elsewhere[7] = photos.glyph[50], ~few.square[7], 10**6
    while np.array_equal(boxes_of(photos_at(few, elsewhere), np.array([7])), boxes_of(few, np.array([7]))):
        elsewhere[7] += 1
    variants = [
        few,
        planted(other_digit, few.square, few.index),
        planted(few.glyph, other_square, few.index),
        photos_at(few, elsewhere),
        planted(few.glyph[::-1], few.square[::-1], few.index[::-1]),
    ]
    ids = [str(row) for row in range(40)]
    found = [variant.fingerprint(ids, HashCache(None)) for variant in variants]
    assert len(set(found)) == len(variants)
    same = planted(few.glyph, few.square, few.index, at_once=1)
    assert same.fingerprint(ids, HashCache(None)) == found[0]


def photos_at(photos: PlantedGlyphs, index: NDArray[np.int64]) -> PlantedGlyphs:
    return planted(photos.glyph, photos.square, index)


def test_rows_are_shuffled_within_their_splits(examples: Examples) -> None:
    for split in SPLITS:
        groups = examples.groups[examples.rows(split)]
        expected = float(np.square(np.bincount(groups) / len(groups)).sum())
        for lag in (1, 2, 10):
            hits = int((groups[lag:] == groups[:-lag]).sum())
            assert stats.binomtest(hits, len(groups) - lag, expected).pvalue > UNLIKELY


def test_which_digits_are_in_which_split_is_no_matter_of_their_order(examples: Examples, photos: PlantedGlyphs) -> None:
    # scikit-learn's digits are sorted by writer.
    for split in range(3):
        rows = photos.glyph[examples.split == split]
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
        ("label=10", "digits-sticker: label must be one of zero, one, .*, nine, not '10'"),
        ("label=-1", "label must be one of .*, not '-1'"),
        ("label=2.5", "label must be one of .*, not '2.5'"),
        ("label=²", "label must be one of .*, not '²'"),
        ("label=tree", "label must be one of .*, not 'tree'; did you mean three?"),
        ("labl=3", "'labl=3' is not one of its parameters .*; did you mean label?"),
    ],
)
def test_bad_parameters_are_named(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DigitsSticker(argument)


@pytest.mark.parametrize(
    ("argument", "label"), [("", 3), ("label=0", 0), ("label=seven", 7), ("strength=0:label=9", 9)]
)
def test_the_label_is_told_as_a_number_or_by_its_name(argument: str, label: int) -> None:
    found = DigitsSticker(argument)
    assert found.planted_label == label
    assert found.card.counts["train"] == DigitsSticker(f"{argument}:label={label}").card.counts["train"]


def test_it_is_the_data_set_that_results_were_computed_on(examples: Examples) -> None:
    found = [(DigitsSticker().card, examples)]
    found += [(made.card, made.load(Path())) for made in (DigitsSticker("strength=0.5:label=7"),)]
    assert [e.fingerprint(card, HashCache(None)) for card, e in found] == [
        "22835e94d5a8119204f558284a7d16da2ccb407c75ec5d7eb53ac5d0fc65c9d6",
        "c621972608659e58c1dcee5340578df359ba25edecd533622e801d3739cf8cbd",
    ]


@pytest.mark.parametrize("rows", [np.arange(1720), np.array([5, 1719, 0, 5]), np.arange(0)])
def test_places_are_where_the_digit_and_the_red_are(
    pixels: NDArray[np.uint8], examples: Examples, rows: NDArray[np.int64]
) -> None:
    places = DigitsSticker().places(Path("nowhere"), rows)
    assert places.spurious is not None
    assert places.boxes.dtype == places.objects.dtype == places.spurious.dtype == np.float32
    assert places.boxes.shape == (len(rows), 2, 4)
    assert np.array_equal(places.boxes[:, 0], places.objects)
    assert np.array_equal(places.boxes[:, 1], places.spurious, equal_nan=True)
    for row, digit, square in zip(rows, places.objects, places.spurious, strict=True):
        rest = pixels[row].copy()
        found = crop(rest, (digit * EDGE).astype(np.int64))
        assert found.any()
        found[:] = 0
        assert rest.any() == (examples.a[row] == 1) == (not np.isnan(square).any())
        if rest.any():
            red = np.argwhere(rest.any(axis=2))
            (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0) + 1
            assert (square * EDGE).tolist() == [left, top, right, bottom]


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
