"""How often intervals enclose the truth and how often equal methods are told apart, in worlds whose truth is known.

The simulations are the measurements that docstrings quote; the quick tests are a few of them, with fewer repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm

from spurbench.stats import compare_accuracy, compare_worst, estimate, worst_group

from .stats_worlds import CELEBA, WATERBIRDS, World

CLEAR, TWO, ALL = (0.95, 0.93, 0.9, 0.8), (0.95, 0.93, 0.85, 0.85), (0.85,) * 4


@dataclass(frozen=True)
class Coverage:
    """Shares of test sets whose interval encloses the truth: ours, and what is left out of account by others."""

    ours: float
    seeds_alone: float
    examples_alone: float


def coverage(world: World, seeds: int, repeats: int) -> Coverage:
    rng, truth, z = np.random.default_rng(1), world.truth(), norm.isf(0.025)
    hits = np.zeros(3)
    for _ in range(repeats):
        outcomes = world.outcomes(seeds, rng)
        found, alone = worst_group(outcomes), estimate(outcomes.accuracies.min(axis=1).tolist())
        size = outcomes.sizes[outcomes.accuracies.mean(axis=0).argmin()]
        half = z * np.sqrt(found.estimate * (1 - found.estimate) / size)
        assert alone.low is not None
        assert alone.high is not None
        hits += found.low <= truth <= found.high, alone.low <= truth <= alone.high, abs(found.estimate - truth) <= half
    return Coverage(*(hits / repeats).tolist())


def rejections(a: World, b: World, seeds: int, shared: float, repeats: int) -> tuple[float, float, float]:
    """How often two methods are told apart at 5 %: by worst group, by accuracy; and the mean detectable difference.

    Of an example's difficulty, `shared` is the same for both.
    """
    rng = np.random.default_rng(2)
    found = []
    for _ in range(repeats):
        common, *own = (a.difficulty(rng) for _ in range(3))
        parts = [np.float32(shared**0.5) * common + np.float32((1 - shared) ** 0.5) * each for each in own]
        pair = a.outcomes(seeds, rng, parts[0]), b.outcomes(seeds, rng, parts[1])
        worst, plain = compare_worst(*pair), compare_accuracy(*pair)
        found.append((worst.p < 0.05, plain.p < 0.05, worst.detectable))
    worst_rate, plain_rate, detectable = np.mean(found, axis=0).tolist()
    return worst_rate, plain_rate, detectable


def power(seeds: int, null: int, repeats: int) -> float:
    """How often a difference that equal methods are told to be detectable is found where it is true."""
    world = World(CLEAR, deviation=0.01)
    _, _, detectable = rejections(world, world, seeds, 0.9, null)
    better = World((*CLEAR[:3], CLEAR[3] + detectable), deviation=0.01)
    return rejections(better, world, seeds, 0.9, repeats)[0]


@pytest.mark.parametrize("world", [World(CLEAR), World(CLEAR, deviation=0.03), World(CLEAR, strength=1), World(ALL)])
def test_intervals_enclose_the_truth(world: World) -> None:
    assert 0.89 < coverage(world, 3, 150).ours < 1


def test_one_source_of_noise_alone_is_not_enough() -> None:
    assert coverage(World(CLEAR), 10, 60).seeds_alone < 0.6
    assert coverage(World(CLEAR, deviation=0.03), 3, 100).examples_alone < 0.92


@pytest.mark.parametrize("world", [World(CLEAR), World(TWO, strength=1)])
def test_equal_methods_are_seldom_told_apart(world: World) -> None:
    worst, plain, _ = rejections(world, world, 3, 0.9, 120)
    assert worst < 0.11
    assert plain < 0.11


def test_a_detectable_difference_is_found_four_times_of_five() -> None:
    assert 0.68 < power(3, 25, 100) < 0.92


@pytest.mark.simulation
@pytest.mark.parametrize("sizes", [WATERBIRDS, CELEBA], ids=["waterbirds", "celeba"])
@pytest.mark.parametrize(
    ("accuracies", "strength", "deviation", "seeds", "least", "most"),
    [
        (CLEAR, 0.9, 0.0, 3, 0.93, 0.975),
        (CLEAR, 0.9, 0.01, 5, 0.93, 0.975),
        (CLEAR, 0.9, 0.03, 10, 0.93, 0.97),
        (CLEAR, 0.3, 0.0, 5, 0.93, 0.975),
        (CLEAR, 1.0, 0.0, 3, 0.93, 0.97),
        (TWO, 1.0, 0.0, 3, 0.93, 0.98),
        (TWO, 0.9, 0.0, 10, 0.93, 0.985),
        # Where groups tie only nearly under each seed, what is allowed for at exact ties is too much.
        (TWO, 0.9, 0.01, 3, 0.955, 0.995),
        (ALL, 0.9, 0.01, 10, 0.97, 1.0),
        (ALL, 1.0, 0.0, 3, 0.92, 0.975),
        (ALL, 0.9, 0.0, 10, 0.93, 0.985),
        # Every seed's minimum is off by chance that it shares with no other, and there is much of it.
        (ALL, 0.5, 0.0, 10, 0.89, 0.97),
    ],
)
def test_coverage_of_worst_groups(
    sizes: tuple[int, ...],
    accuracies: tuple[float, ...],
    strength: float,
    deviation: float,
    seeds: int,
    least: float,
    most: float,
) -> None:
    assert least < coverage(World(accuracies, sizes, strength, deviation), seeds, 1000).ours < most


@pytest.mark.simulation
@pytest.mark.parametrize("sizes", [WATERBIRDS, CELEBA], ids=["waterbirds", "celeba"])
@pytest.mark.parametrize("accuracies", [CLEAR, TWO, ALL], ids=["clear", "two", "all"])
@pytest.mark.parametrize(
    ("strength", "deviation", "seeds", "shared"),
    [(1.0, 0.0, 1, 0.3), (0.9, 0.0, 10, 0.9), (0.9, 0.01, 5, 0.3), (0.9, 0.03, 3, 0.9), (0.5, 0.01, 10, 0.9)],
)
def test_false_positives(
    sizes: tuple[int, ...],
    accuracies: tuple[float, ...],
    strength: float,
    deviation: float,
    seeds: int,
    shared: float,
) -> None:
    world = World(accuracies, sizes, strength, deviation)
    worst, plain, _ = rejections(world, world, seeds, shared, 600)
    assert 0.02 < worst < 0.08
    assert 0.02 < plain < 0.08


@pytest.mark.simulation
def test_methods_that_are_worst_on_opposite_groups_are_told_apart_too_often() -> None:
    """What is not solved: each method's second-worst group is two points off, and the other's worst."""
    one, other = World((0.95, 0.93, 0.87, 0.85)), World((0.95, 0.93, 0.85, 0.87))
    assert 0.1 < rejections(one, other, 10, 0.9, 300)[0] < 0.25


@pytest.mark.simulation
@pytest.mark.parametrize("seeds", [3, 10])
def test_power_at_the_detectable_difference(seeds: int) -> None:
    assert 0.74 < power(seeds, 100, 600) < 0.86
