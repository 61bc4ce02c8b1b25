from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from scipy import stats

from spurbench.builder.drops import accuracy
from spurbench.builder.intervals import averaged, resampled
from spurbench.builder.table import Interval
from spurbench.seeds import Seed

SEED = Seed(("intervals",))
LUCK = 0.001
units = st.lists(st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=40)


def single(right: int, n: int) -> NDArray[np.int64]:
    return np.array([(int(i < right), 1) for i in range(n)])


def of(cells: list[NDArray[np.int64]], resamples: int = 500, confidence: float = 0.95) -> Interval:
    drawn = [resampled(cell, resamples, SEED.derive(i)) for i, cell in enumerate(cells)]
    return averaged([accuracy(cell) for cell in cells], drawn, confidence)


def drop(easy: NDArray[np.int64], hard: NDArray[np.int64], seed: Seed, resamples: int = 500) -> Interval:
    drawn = [resampled(cell, resamples, seed.derive(i)) for i, cell in enumerate((easy, hard))]
    return averaged([accuracy(easy) - accuracy(hard)], [drawn[0] - drawn[1]], 0.95)


def test_twenty_of_twenty_are_not_certain() -> None:
    found = of([single(20, 20)])
    # Of photos named rightly as often as the bounds say, 20 of 20 are right in 2.5 % of cases: 0.83.
    assert found.estimate == found.high == 1
    assert 0.7 < found.low < 0.9
    both = drop(single(20, 20), single(20, 20), SEED)
    assert both.low < -0.08
    assert both.high > 0.08
    assert both.estimate == 0


@pytest.mark.parametrize(
    ("n", "easy", "hard"),
    [(20, 0.8, 0.5), (20, 0.97, 0.9), (20, 0.99, 0.97), (20, 0.99, 0.05), (30, 0.6, 0.6), (100, 0.95, 0.65)],
)
def test_intervals_of_a_drop_hold_the_truth(n, easy, hard) -> None:
    generator, runs, held = np.random.default_rng(n), 400, 0
    for run in range(runs):
        found = drop(single(generator.binomial(n, easy), n), single(generator.binomial(n, hard), n), SEED.derive(run))
        held += found.low <= easy - hard <= found.high
    assert held >= stats.binom.ppf(LUCK, runs, 0.94)


def test_intervals_of_bursts_hold_the_truth() -> None:
    generator, runs, held = np.random.default_rng(0), 400, 0
    for run in range(runs):
        # All photos of an observation come out alike.
        sizes = generator.integers(1, 6, (2, 20))
        cells = [
            np.stack([size * (generator.random(20) < p), size], axis=1)
            for size, p in zip(sizes, (0.8, 0.5), strict=True)
        ]
        found = drop(cells[0], cells[1], SEED.derive(run))
        held += found.low <= 0.3 <= found.high
    assert held >= stats.binom.ppf(LUCK, runs, 0.94)


def test_averages_of_many_classes_hold_the_truth() -> None:
    generator, runs, held = np.random.default_rng(0), 300, 0
    # That each class's interval is pulled towards one half would add up to an error of 4 points, with bounds of 2.
    classes, n = 30, 20
    drawn = {right: resampled(single(right, n), 4_000, SEED.derive(right)) for right in range(n + 1)}
    for _ in range(runs):
        right = generator.binomial(n, 0.9, classes).tolist()
        found = averaged([k / n for k in right], [generator.choice(drawn[k], 300) for k in right], 0.95)
        held += found.low <= 0.9 <= found.high
    assert held >= stats.binom.ppf(LUCK, runs, 0.94)
    # Nor are they so wide that nothing is said: less than half as much again as the standard error makes them.
    assert found.high - found.low < 1.5 * 2 * 1.96 * np.sqrt(0.9 * 0.1 / n / classes)


@given(units)
@settings(max_examples=50)
def test_bounds_lie_around_the_estimate(units) -> None:
    cell = np.array(units)
    narrow, wide = of([cell], 200, 0.5), of([cell], 200, 0.99)
    assert 0 <= wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high <= 1
    assert narrow.estimate == pytest.approx(cell[:, 0].sum() / cell[:, 1].sum())
    assert wide.low < wide.high


@given(units, st.randoms())
@settings(max_examples=30)
def test_the_order_of_units_does_not_matter(units, random) -> None:
    shuffled = list(units)
    random.shuffle(shuffled)
    assert (resampled(np.array(units), 50, SEED) == resampled(np.array(shuffled), 50, SEED)).all()


def test_copies_of_photos_say_nothing_new() -> None:
    cell = single(14, 20)
    assert resampled(4 * cell, 300, SEED) == pytest.approx(resampled(cell, 300, SEED))


def test_units_are_drawn_from_those_there_are_and_two_more() -> None:
    cell = np.array([(1, 2), (3, 3), (0, 1)])
    drawn = resampled(cell, 40_000, SEED)
    generator = np.random.default_rng(1)
    more = np.array([*cell.tolist(), (2, 2), (0, 2)])
    sums = more[generator.integers(0, 5, (40_000, 3))].sum(axis=1)
    assert stats.ks_2samp(drawn, sums[:, 0] / sums[:, 1]).pvalue > LUCK
