"""Effects of a planted feature, against loops over single photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.planted.validity import effects


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_effects_are_those_of_single_photos(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(2 * classes) // 2, rng.integers(0, classes, 60)])
    shown = np.concatenate([np.arange(2 * classes) % 2, rng.integers(0, 2, 60)])
    right = rng.random(len(y)) < 0.6
    label = int(rng.integers(0, classes))
    group = 2 * y + shown
    total = np.bincount(group, minlength=2 * classes).tolist()
    correct = np.bincount(group[right], minlength=2 * classes).tolist()

    def accuracy(of: int, with_feature: int) -> float:
        return float(np.mean([r for r, k, s in zip(right, y, shown, strict=True) if (k, s) == (of, with_feature)]))

    found = effects(correct, total, label)
    assert found.gained == pytest.approx(accuracy(label, 1) - accuracy(label, 0))
    assert found.lost == pytest.approx(max(accuracy(k, 0) - accuracy(k, 1) for k in range(classes) if k != label))
    assert found.least == min(found.gained, found.lost)


def test_a_class_without_photos_on_one_side_has_no_effect() -> None:
    found = effects([1, 4, 3, 2, 0, 5], [4, 4, 4, 4, 0, 5], 0)
    assert (found.gained, found.lost) == (0.75, 0.25)


@pytest.mark.parametrize("total", [[0, 4, 4, 4], [4, 4, 4, 0]])
def test_nothing_can_be_said_without_photos(total: list[int]) -> None:
    with pytest.raises(ValueError, match="no photos with, or none without"):
        effects([0, 0, 0, 0], total, 0)
