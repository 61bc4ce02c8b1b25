"""p-values against literal permutations, exact enumeration and SciPy; Holm's adjustment against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, kstest, permutation_test

from spurbench.discovery.significance import Gaps, holm, p_values
from spurbench.seeds import Seed

SEED = Seed(("p",))


def gaps_of(present: np.ndarray, right: np.ndarray, y: np.ndarray, classes: int) -> Gaps:
    """(c, n) presence, (n,) right and class, counted in loops."""
    tables = np.zeros((4, len(present), classes), np.int64)
    for c, row in enumerate(present):
        for inside, ok, k in zip(row, right, y, strict=True):
            tables[0 if inside else 2, c, k] += 1
            tables[1 if inside else 3, c, k] += ok
    return Gaps(*(torch.from_numpy(table) for table in tables))


def score(present: np.ndarray, right: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    total = 0.0
    for k, w in enumerate(weight):
        inside, outside = right[(y == k) & present], right[(y == k) & ~present]
        if len(inside) and len(outside):
            total += w * abs(inside.mean() - outside.mean())
    return total


def test_gaps_are_zero_where_nothing_is_compared() -> None:
    gaps = Gaps(*(torch.tensor([row]) for row in ([0, 3, 4], [0, 3, 1], [5, 0, 2], [2, 0, 2])))
    assert gaps.compared.tolist() == [[False, False, True]]
    assert gaps.gap.tolist() == [[0.0, 0.0, 0.25 - 1.0]]


def test_p_values_are_those_of_all_permutations_within_classes() -> None:
    y = np.array([0] * 6 + [1] * 5 + [2] * 2)
    right = np.array([1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1], dtype=bool)
    present = np.array(
        [
            [1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0],
            [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1],
        ],
        dtype=bool,
    )
    weight = np.array([[0.5, 1.0, 0.3], [1.0, 0.2, 0.7], [0.4, 1.0, 1.0]])
    found = p_values(gaps_of(present, right, y, 3), torch.from_numpy(weight), SEED)
    first = set(itertools.permutations(right[:6].tolist()))
    second = set(itertools.permutations(right[6:11].tolist()))
    for c in range(3):
        actual = score(present[c], right, y, weight[c])
        reached = [
            score(present[c], np.array([*one, *two, *right[11:]]), y, weight[c]) >= actual - 1e-12
            for one, two in itertools.product(first, second)
        ]
        expected = np.mean(reached)
        assert float(found[c]) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 9999) + 2e-4)
        assert 0.02 < expected < 0.9


def test_one_class_is_scipys_permutation_test_and_fishers_where_it_is_symmetric() -> None:
    inside, outside = np.repeat([1, 0], [9, 3]), np.repeat([1, 0], [3, 9])
    gaps = Gaps(*(torch.tensor([[value]]) for value in (12, 9, 12, 3)))
    found = float(p_values(gaps, torch.ones(1, 1).double(), SEED)[0])
    assert found == pytest.approx(fisher_exact([[9, 3], [3, 9]]).pvalue, abs=0.008)
    theirs = permutation_test(
        (inside, outside),
        lambda a, b, axis: np.abs(a.mean(axis=axis) - b.mean(axis=axis)),
        vectorized=True,
        alternative="greater",
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    assert found == pytest.approx(theirs.pvalue, abs=0.01)


def test_what_cannot_vary_is_no_evidence() -> None:
    # All right, all wrong, never present, always present.
    gaps = Gaps(*(torch.tensor([row]) for row in ([5, 5, 0, 5], [5, 0, 0, 3], [5, 5, 5, 0], [5, 0, 2, 0])))
    assert p_values(gaps, torch.ones(1, 4).double(), SEED).tolist() == [1.0]
    assert p_values(Gaps(*[torch.zeros(0, 4, dtype=torch.int64)] * 4), torch.ones(0, 4), SEED).tolist() == []


def test_a_gap_that_no_permutation_reaches_has_the_least_p_value_there_is() -> None:
    gaps = Gaps(*(torch.tensor([[value]]) for value in (40, 40, 40, 0)))
    assert p_values(gaps, torch.ones(1, 1).double(), SEED).tolist() == [1 / 10_000]
    assert p_values(gaps, torch.ones(1, 1).double(), SEED, draws=99).tolist() == [1 / 100]


def test_p_values_of_chance_are_uniform() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=800)
    present = rng.random((300, 800)) < 0.4
    gaps = [gaps_of(present[[c]], rng.random(800) < 0.7, y, 4) for c in range(300)]
    joined = Gaps(
        *(torch.cat([getattr(g, name) for g in gaps]) for name in ("n_in", "correct_in", "n_out", "correct_out"))
    )
    found = p_values(joined, torch.ones(300, 4).double(), SEED, draws=499).numpy()
    assert kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < (found <= 0.05).mean() < 0.09


def test_blocks_make_all_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    from spurbench.discovery import significance

    gaps = Gaps(*(torch.tensor([row]) for row in ([12, 9], [9, 5], [12, 11], [4, 6])))
    whole = p_values(gaps, torch.ones(1, 2).double(), SEED, draws=999)
    monkeypatch.setattr(significance, "_BLOCK", 64)
    assert float(p_values(gaps, torch.ones(1, 2).double(), SEED, draws=999)[0]) == pytest.approx(float(whole[0]))


@given(st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.04, 0.3, 0.9, 1.0]), max_size=8))
def test_holm_is_the_procedure_in_plain_loops(p: list[float]) -> None:
    found = holm(torch.tensor(p, dtype=torch.float64)).tolist()
    for level in (0.0011, 0.019, 0.05, 0.11, 0.35, 0.99):
        rejected = set()
        for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[i] * (len(p) - step) > level:
                break
            rejected.add(i)
        assert {i for i, value in enumerate(found) if value <= level} == rejected
    assert all(value <= 1 for value in found)
