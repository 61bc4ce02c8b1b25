from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from spurbench.builder import drops
from spurbench.builder.drops import p_value
from spurbench.seeds import Seed

SEED = Seed(("drops",))
DRAWS = 9_999


def single(right: int, n: int) -> NDArray[np.int64]:
    return np.array([(int(i < right), 1) for i in range(n)])


def enumerated(cells: Sequence[NDArray[np.int64]]) -> float:
    """The share of the orders of units, those of one size among each other, that put one as far ahead of another."""

    def spread(units: Sequence[Sequence[int]]) -> float:
        left = list(units)
        accuracies = []
        for cell in cells:
            mine, left = left[: len(cell)], left[len(cell) :]
            accuracies.append((1 + sum(right for right, _ in mine)) / (2 + sum(n for _, n in mine)))
        return max(accuracies) - min(accuracies)

    units = [tuple(unit) for cell in cells for unit in cell.tolist()]
    sizes, found = [n for _, n in units], spread(units)
    orders = [order for order in permutations(units) if [n for _, n in order] == sizes]
    return float(np.mean([spread(order) >= found - 1e-12 for order in orders]))


def close(p: float, exact: float) -> bool:
    """Whether a p-value of DRAWS permutations is what it should be: one in 30,000 right ones is not."""
    return abs(p - (1 + DRAWS * exact) / (1 + DRAWS)) <= 4 * np.sqrt(exact * (1 - exact) / DRAWS)


@pytest.mark.parametrize(
    "cells",
    [
        [single(3, 3), single(1, 4)],
        [single(2, 3), single(0, 3), single(1, 2)],
        [single(2, 2), single(1, 2), single(1, 2), single(0, 2)],
        [np.array([(2, 2), (3, 4), (1, 1)]), np.array([(0, 3), (1, 2), (1, 5), (0, 1)])],
        [np.array([(4, 4), (0, 1)]), np.array([(1, 2), (1, 3)]), np.array([(0, 1), (2, 5), (0, 2)])],
    ],
)
def test_p_is_the_share_of_all_permutations(cells) -> None:
    assert close(p_value(cells, DRAWS, SEED), enumerated(cells))


@pytest.mark.parametrize(("right", "n"), [((18, 11), (25, 25)), ((30, 20), (40, 40)), ((9, 4), (20, 20))])
def test_two_backgrounds_of_one_size_are_fishers_test(right, n) -> None:
    table = [[right[0], n[0] - right[0]], [right[1], n[1] - right[1]]]
    exact = float(stats.fisher_exact(table).pvalue)
    assert close(p_value([single(r, k) for r, k in zip(right, n, strict=True)], DRAWS, SEED), exact)


def test_groups_of_photos_are_permuted_as_scipy_permutes_them() -> None:
    generator = np.random.default_rng(4)
    cells = [np.array([(generator.integers(0, 4), 3) for _ in range(n)]) for n in (8, 7)]
    # With units of one size accuracies are means over units.
    exact = stats.permutation_test(
        [cell[:, 0] / 3 for cell in cells],
        lambda x, y, axis: abs(x.mean(axis=axis) - y.mean(axis=axis)),
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    assert close(p_value(cells, DRAWS, SEED), float(exact))


def test_the_choice_among_backgrounds_is_accounted_for() -> None:
    generator = np.random.default_rng(0)
    n, simulations = 30, 600
    p = np.array(
        [
            p_value([single(right, n) for right in generator.binomial(n, 0.6, 5)], 199, SEED.derive(i))
            for i in range(simulations)
        ]
    )
    for level in (0.05, 0.2):
        # Too often at most once in a thousand runs; and not far too seldom either.
        assert (p <= level).sum() <= stats.binom.ppf(0.999, simulations, level)
        assert (p <= level).sum() >= stats.binom.ppf(0.001, simulations, 0.6 * level)


@pytest.mark.parametrize(
    ("sizes", "alike"), [(((25, 1), (50, 4)), 1.0), (((25, 1), (20, 10)), 1.0), (((25, 1), (50, 4), (50, 4)), 0.3)]
)
def test_units_of_different_sizes_are_no_evidence_either(sizes, alike) -> None:
    """Backgrounds that are equally hard, one with single photos and others with bursts, which stray further."""
    generator = np.random.default_rng(7)
    simulations, reached = 400, 0
    for simulation in range(simulations):
        cells = []
        for units, n in sizes:
            shared = generator.random(units) < 0.6
            own = generator.random((units, n)) < 0.6
            right = np.where(generator.random((units, n)) < alike, shared[:, None], own).sum(axis=1)
            cells.append(np.stack([right, np.full(units, n)], axis=1))
        reached += p_value(cells, 199, SEED.derive(simulation)) <= 0.05
    assert reached <= stats.binom.ppf(0.999, simulations, 0.05)


def test_a_background_with_few_photos_is_not_best_by_luck() -> None:
    assert drops.standing(single(26, 26)) < drops.standing(single(75, 76)) < drops.standing(single(76, 76))
    assert drops.standing(single(0, 5)) == 1 / 7


def test_photos_of_one_observation_are_no_evidence_of_their_own() -> None:
    bursts = [np.array([(5, 5)] * 4 + [(0, 5)] * 2), np.array([(5, 5)] * 2 + [(0, 5)] * 4)]
    apart = [single(20, 30), single(10, 30)]
    assert p_value(apart, DRAWS, SEED) < 0.05
    assert close(p_value(bursts, DRAWS, SEED), float(stats.fisher_exact([[4, 2], [2, 4]]).pvalue))


@pytest.mark.parametrize("right", [0, 1])
def test_where_nothing_differs_nothing_is_found(right) -> None:
    assert p_value([single(20 * right, 20), single(30 * right, 30)], 99, SEED) == 1
    assert p_value([np.array([(2 * right, 2)] * 9), single(9 * right, 9)], 99, SEED) == 1


def test_no_p_is_below_one_in_the_draws() -> None:
    assert p_value([single(90, 90), single(0, 90)], 99, SEED) == 0.01


@pytest.mark.parametrize("sizes", [(1, 1), (1, 4)])
def test_neither_the_order_of_units_nor_memory_matters(sizes, monkeypatch) -> None:
    generator = np.random.default_rng(1)
    cells = []
    for n in (20, 30, 25):
        total = generator.integers(sizes[0], sizes[1] + 1, n)
        cells.append(np.stack([generator.binomial(total, 0.6), total], axis=1))
    p = p_value(cells, 999, SEED)
    assert 0 < p < 1
    assert p_value([cell[::-1] for cell in cells], 999, SEED) == p
    monkeypatch.setattr(drops, "_BLOCK", 1_000)
    assert p_value(cells, 999, SEED) == p
