"""The builder's statistics on as many photos as CounterAnimal has, and on many more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from spurbench.builder import halves, pairs, splits
from spurbench.builder.simulation import simulate, true_world
from spurbench.builder.table import Rule
from spurbench.seeds import Seed

pytestmark = pytest.mark.slow
SEED = Seed(("bench",))


def seconds(function: Callable[[], object]) -> float:
    """Of processor time, which a busy machine does not stretch."""
    started = time.process_time()
    function()
    return time.process_time() - started


@pytest.mark.benchmark(group="builder statistics")
@pytest.mark.parametrize("burst", [(1, 1), (2, 5)])
def test_forty_five_classes(benchmark: Any, burst: tuple[int, int]) -> None:
    """45 classes before 4 backgrounds of 100 photos, 9,999 permutations each, and 2,000 resamples."""
    world = replace(true_world([0.3] * 45), burst=burst)
    assert benchmark.pedantic(lambda: seconds(lambda: next(simulate(world, Rule(), 1, SEED))), rounds=1) < 5


@pytest.mark.benchmark(group="builder statistics")
def test_a_hundred_thousand_photos(benchmark: Any) -> None:
    """From halves to splits."""
    table = true_world([0.3] * 50, photos=500).table()
    table["correct"] = table["accuracy"] > 0.6

    def run() -> None:
        table["half"] = halves.assign(table, Rule(), SEED)
        assert len(splits.assign(table, pairs.find(table, Rule(), SEED), SEED)) == 100_000

    assert benchmark.pedantic(lambda: seconds(run), rounds=1) < 30
