"""Presence: thresholds against every possible division, scores that are equal, offsets of classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spurbench.suspects.presence import agreement, otsu, presence

SCORES = arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 3)), elements=st.integers(-9, 9).map(float))


def scatter(scores: npt.NDArray[np.float64], above: npt.NDArray[np.bool_]) -> float:
    """Sum of squares within the two parts."""
    return sum(float(((part - part.mean()) ** 2).sum()) for part in (scores[above], scores[~above]) if len(part))


@given(SCORES)
def test_no_division_leaves_less_variance_within(scores: npt.NDArray[np.float64]) -> None:
    for column, threshold in zip(scores.T, otsu(scores), strict=True):
        best = min(scatter(column, column > cut) for cut in column)
        assert scatter(column, column > threshold) == pytest.approx(best, abs=1e-9)


@given(SCORES)
def test_the_threshold_lies_in_the_middle_of_a_gap(scores: npt.NDArray[np.float64]) -> None:
    for column, threshold in zip(scores.T, otsu(scores), strict=True):
        if len(np.unique(column)) > 1:
            low, high = column[column <= threshold].max(), column[column > threshold].min()
            assert threshold == pytest.approx((low + high) / 2)
        else:
            assert not (column > threshold).any()


def test_two_heaps_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    scores = np.where(truth, 0.31, 0.22) + rng.normal(0, 0.01, 200)
    assert np.array_equal(scores > otsu(scores[:, None])[0], truth)


def test_neighbouring_numbers_are_told_apart() -> None:
    low = 0.25
    high = np.nextafter(low, 1.0)
    scores = np.array([[low], [high], [low], [high]])
    assert (scores[:, 0] > otsu(scores)[0]).tolist() == [False, True, False, True]


def test_a_class_with_one_photo_or_none_shows_nothing() -> None:
    found = presence(np.array([[0.1, 0.9], [0.2, 0.3], [0.4, 0.3]]), np.array([2, 0, 0]), 3)
    assert found.present.tolist() == [[False, False], [False, False], [True, False]]
    assert np.isnan(found.thresholds[1]).all()
    assert found.thresholds[0] == pytest.approx([0.3, 0.3])


@given(st.integers(0, 99), st.lists(st.integers(-8, 8), min_size=3, max_size=3))
def test_offsets_of_classes_change_nothing(seed: int, offsets: list[int]) -> None:
    rng = np.random.default_rng(seed)
    scores, y = rng.integers(0, 64, (40, 4)) / 64, rng.integers(0, 3, 40)
    moved = presence(scores + np.array(offsets, dtype=float)[y, None], y, 3)
    assert np.array_equal(moved.present, presence(scores, y, 3).present)


@given(st.integers(0, 99))
def test_the_order_of_photos_and_words_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, y = rng.random((40, 5)), rng.integers(0, 3, 40)
    photos, words = rng.permutation(40), rng.permutation(5)
    whole = presence(scores, y, 3).present
    assert np.array_equal(presence(scores[photos][:, words], y[photos], 3).present, whole[photos][:, words])


@given(st.integers(0, 99))
def test_agreement_is_the_correlation_within_classes(seed: int) -> None:
    """With one indicator for each class, a regression leaves exactly what varies within classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 50)
    present = rng.random((50, 4)) < rng.random((3, 4))[y]
    indicators = np.eye(3)[y]
    left = present - indicators @ np.linalg.lstsq(indicators, present.astype(float), rcond=None)[0]
    found = agreement(present, y)
    for i in range(4):
        for j in range(4):
            product = np.sqrt((left[:, i] ** 2).sum() * (left[:, j] ** 2).sum())
            expected = (left[:, i] * left[:, j]).sum() / product if product > 1e-9 else 0.0
            assert found[i, j] == pytest.approx(expected, abs=1e-9)


def test_a_word_on_all_photos_of_each_class_agrees_with_none_and_opposites_fully() -> None:
    y = np.array([0, 0, 0, 1, 1, 1])
    water = np.array([1, 0, 0, 1, 1, 0], dtype=bool)
    present = np.stack([water, ~water, y == 0, np.zeros(6, dtype=bool)], axis=1)
    found = agreement(present, y)
    assert found[0, 1] == pytest.approx(-1)
    assert (found[2:] == 0).all()
    assert (found[:, 2:] == 0).all()
