"""The board's statistics on test sets as large as Waterbirds' and CelebA's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spurbench.stats import Outcomes, compare_worst, rank_methods, worst_group

SIZES = {"waterbirds": (2255, 2255, 642, 642), "celeba": (9767, 7535, 2480, 180)}


def outcomes(sizes: tuple[int, ...], seed: int) -> Callable[[], tuple[tuple[Outcomes], dict[str, Any]]]:
    """A maker of outcomes of ten seeds with two groups tied; new ones each time, as moments are kept."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(4), sizes)
    right = rng.random((10, len(groups))) < np.array([0.95, 0.93, 0.85, 0.85])[groups]
    return lambda: ((Outcomes(right, groups),), {})


@pytest.mark.benchmark(group="one method")
@pytest.mark.parametrize(("sizes", "most"), [("waterbirds", 3e-3), ("celeba", 8e-3)])
def test_worst_group(benchmark: Any, sizes: str, most: float) -> None:
    benchmark.pedantic(worst_group, setup=outcomes(SIZES[sizes], 0), rounds=50, warmup_rounds=2)
    if benchmark.stats:
        assert benchmark.stats["min"] < most


@pytest.mark.benchmark(group="two methods")
@pytest.mark.parametrize(("sizes", "most"), [("waterbirds", 8e-3), ("celeba", 20e-3)])
def test_compare_worst(benchmark: Any, sizes: str, most: float) -> None:
    one, other = outcomes(SIZES[sizes], 0), outcomes(SIZES[sizes], 1)
    benchmark.pedantic(compare_worst, setup=lambda: ((*one()[0], *other()[0]), {}), rounds=50, warmup_rounds=2)
    if benchmark.stats:
        assert benchmark.stats["min"] < most


@pytest.mark.benchmark(group="ranks")
def test_forty_methods_on_fifty_tables(benchmark: Any) -> None:
    scores = np.random.default_rng(0).random((50, 40))
    benchmark.pedantic(rank_methods, args=(scores, [f"data {i % 10}" for i in range(50)]), rounds=3, warmup_rounds=1)
    if benchmark.stats:
        assert benchmark.stats["min"] < 1
