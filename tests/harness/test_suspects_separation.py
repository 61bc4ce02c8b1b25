"""Separation: counts and information against loops and scikit-learn, p-values against all permutations, error rates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from spurbench.seeds import Seed
from spurbench.suspects.separation import BLOCK, count, separate

SEED = Seed(("test", 0))
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def photos(seed: int, n: int = 60, words: int = 6, classes: int = 3) -> tuple[Bools, Bools, Ints]:
    rng = np.random.default_rng(seed)
    shares = rng.random(words)
    return rng.random((n, words)) < shares, rng.random(n) < 0.7, rng.integers(0, classes, n)


@given(st.integers(0, 199))
def test_counts_are_those_of_counting_one_by_one(seed: int) -> None:
    present, right, y = photos(seed)
    found = count(present, right, y, 4)
    for k in range(4):
        own = [i for i in range(60) if y[i] == k]
        assert (found.total[k], found.right[k]) == (len(own), sum(bool(right[i]) for i in own))
        for word in range(6):
            shown = [i for i in own if present[i, word]]
            assert found.total_in[k, word] == len(shown)
            assert found.right_in[k, word] == sum(bool(right[i]) for i in shown)


@settings(max_examples=40)
@given(st.integers(0, 199), st.integers(1, 12))
def test_information_is_that_of_scikit_learn(seed: int, min_photos: int) -> None:
    present, right, y = photos(seed)
    found = separate(present, right, y, 4, SEED, min_photos=min_photos, permutations=9)
    for word in range(6):
        whole = 0.0
        for k in range(4):
            shown, hit = present[y == k, word], right[y == k]
            asked = min(int(shown.sum()), int((~shown).sum())) >= min_photos
            expected = mutual_info_score(shown, hit) if asked else 0.0
            assert found.by_class[k, word] == pytest.approx(expected, abs=1e-12)
            whole += len(hit) / len(y) * expected
        assert found.information[word] == pytest.approx(whole, abs=1e-12)


def information(shown: list[bool], right: list[bool]) -> float:
    """In nats, by the definition."""
    n, total = len(shown), 0.0
    for a, b in itertools.product((True, False), repeat=2):
        joint = sum(s == a and r == b for s, r in zip(shown, right, strict=True)) / n
        if joint:
            total += joint * math.log(joint / (shown.count(a) / n * (right.count(b) / n)))
    return total


def test_p_values_are_those_of_all_permutations() -> None:
    shown = np.array(
        [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]], dtype=bool
    )
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    right = np.array([0, 0, 0, 1, 1, 1, 0, 0, 1], dtype=bool)

    def statistics(first: tuple[int, ...], second: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """(2, 3) twice the photos times the information, with these photos of each class right."""
        rows = []
        for members, some in ((range(5), first), (range(5, 9), second)):
            hit = [i in some for i in members]
            rows.append([2 * len(hit) * information(shown[list(members), w].tolist(), hit) for w in range(3)])
        return np.array(rows)

    observed = statistics((3, 4), (5, 8))
    every = [
        statistics(first, second)
        for first in itertools.combinations(range(5), 2)
        for second in itertools.combinations(range(5, 9), 2)
    ]
    of_words = [drawn.sum(axis=0).max() for drawn in every]
    of_pairs = [drawn.max() for drawn in every]
    found = separate(shown, right, y, 2, SEED, min_photos=1, permutations=19_999)
    for w in range(3):
        exact = np.mean([most >= observed[:, w].sum() - 1e-9 for most in of_words])
        assert found.p_value[w] == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 19_999))
        for k in range(2):
            exact = np.mean([most >= observed[k, w] - 1e-9 for most in of_pairs])
            assert found.p_by_class[k, w] == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 19_999))
    assert min(found.p_value) < 0.5, "some of what is compared differs from 1"


def test_the_order_of_words_changes_nothing_and_that_of_photos_no_count() -> None:
    present, right, y = photos(3, words=9)
    whole = separate(present, right, y, 3, SEED, min_photos=3, permutations=199)
    rng = np.random.default_rng(0)
    words, order = rng.permutation(9), rng.permutation(60)
    turned = separate(present[:, words], right, y, 3, SEED, min_photos=3, permutations=199)
    assert np.array_equal(turned.p_value, whole.p_value[words])
    assert np.array_equal(turned.p_by_class, whole.p_by_class[:, words])
    mixed = separate(present[order], right[order], y[order], 3, SEED, min_photos=3, permutations=199)
    assert np.array_equal(mixed.by_class, whole.by_class)


def test_one_seed_gives_one_result_and_another_seed_another() -> None:
    present, right, y = photos(4)
    one, two = (separate(present, right, y, 3, SEED, permutations=199) for _ in range(2))
    assert np.array_equal(one.p_value, two.p_value)
    other = separate(present, right, y, 3, Seed(("test", 1)), permutations=199)
    assert not np.array_equal(one.p_value, other.p_value)


def test_permutations_in_several_blocks_count_as_so_many() -> None:
    present, right, y = photos(5)
    present[:, 0] = right
    found = separate(present, right, y, 3, SEED, min_photos=2, permutations=2 * BLOCK + 7)
    assert found.p_value[0] == 1 / (2 * BLOCK + 8), "no permutation is as good as the truth"


def test_classes_that_never_vary_say_nothing() -> None:
    present, right, y = photos(6, n=90)
    right[y == 0], right[y == 1] = True, False
    alone = y == 2
    found = separate(present, right, y, 3, SEED, min_photos=2, permutations=499)
    third = separate(present[alone], right[alone], y[alone], 3, SEED, min_photos=2, permutations=499)
    assert not found.by_class[:2].any()
    assert (found.p_by_class[:2] == 1).all()
    assert np.array_equal(found.p_value, third.p_value)


def test_a_word_that_tells_classes_apart_is_not_suspected_for_one_being_harder() -> None:
    rng = np.random.default_rng(7)
    y = np.repeat([0, 1], 200)
    right = rng.random(400) < np.where(y == 0, 0.95, 0.4)
    present = rng.random((400, 1)) < np.where(y == 0, 0.8, 0.2)[:, None]
    assert mutual_info_score(present[:, 0], right) > 0.04
    assert separate(present, right, y, 2, SEED, permutations=999).p_value[0] > 0.05


def test_too_few_photos_with_or_without_are_not_asked() -> None:
    right = np.array([True] * 10 + [False] * 10)
    present = np.stack([right, np.arange(20) == 19, np.arange(20) < 19, np.ones(20, dtype=bool)], axis=1)
    found = separate(present, right, np.zeros(20, dtype=np.int64), 1, SEED, min_photos=2, permutations=99)
    assert found.information[0] == pytest.approx(math.log(2))
    assert not found.information[1:].any()
    assert (found.p_value[1:] == 1).all()


def test_without_any_word_to_ask_about_every_p_value_is_one() -> None:
    present, right, y = photos(8)
    found = separate(present, right, y, 3, SEED, min_photos=1000, permutations=99)
    assert (found.p_value == 1).all()
    assert (found.p_by_class == 1).all()


def test_of_many_words_that_mean_nothing_one_survives_in_five_percent_of_cases() -> None:
    rng = np.random.default_rng(9)
    n, words, runs = 120, 25, 240
    y = np.repeat([0, 1, 2], n // 3)
    wrong = wrong_pairs = 0
    for run in range(runs):
        # Words that go together, and are rare or common: what an adjustment by the number of words would not know.
        common = rng.random((n, 1)) < 0.4
        present = np.where(rng.random((n, words)) < 0.7, common, rng.random((n, words)) < rng.uniform(0.2, 0.8, words))
        right = rng.random(n) < np.array([0.9, 0.7, 0.5])[y]
        found = separate(present, right, y, 3, SEED.derive(run), min_photos=5, permutations=199)
        wrong += bool((found.p_value <= 0.05).any())
        wrong_pairs += bool((found.p_by_class <= 0.05).any())
    # Of 240 at 5 %, 2 to 24 with a probability of 0.999.
    assert 2 <= wrong <= 24
    assert wrong_pairs <= 24
