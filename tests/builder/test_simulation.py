"""Whether the builder's statistics do what they promise, in worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from spurbench.builder.simulation import World, null_world, simulate, true_world, trust
from spurbench.builder.table import Rule
from spurbench.errors import UsageError
from spurbench.seeds import Seed

SEED = Seed(("simulation",))
RULE = Rule(draws=999, resamples=999)
PUBLISHED = Rule(published=True)
LUCK = 0.001
"""How often a test of chance may fail that should not."""
BURSTS = ((1, 1), 0.0), ((2, 5), 0.6)


def most(runs: int, share: float) -> float:
    """The largest share of `runs` that is no wonder where the true share is this."""
    return float(binom.ppf(1 - LUCK, runs, share)) / runs


def least(runs: int, share: float) -> float:
    return float(binom.ppf(LUCK, runs, share)) / runs


def beyond(gap: int, n: int, p: float, backgrounds: int) -> float:
    """How likely the most and the least of so many binomials of n differ by more than a gap: a sum over the least."""
    least = np.arange(n + 1)
    up_to = binom.cdf(least + gap, n, p)
    within = (up_to - binom.cdf(least - 1, n, p)) ** backgrounds - (up_to - binom.cdf(least, n, p)) ** backgrounds
    return float(1 - within.sum())


def test_chance_is_kept_by_the_published_rule_alone() -> None:
    world = null_world(classes=12, photos=80)
    assert trust(world, simulate(world, RULE, 12, SEED)).any_kept <= most(12, 0.05)
    exact = beyond(4, 80, 0.6, 4)
    assert exact > 0.6
    kept = trust(world, simulate(world, PUBLISHED, 10, SEED)).kept
    assert kept == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 120))


def test_what_is_true_is_found_and_measured() -> None:
    world = true_world([0.4] * 8, photos=120)
    simulated = list(simulate(world, RULE, 12, SEED))
    result = trust(world, simulated)
    assert result.any_kept == 1
    assert result.kept > 0.8
    n = sum(len(found.kept) for found in simulated)
    assert result.covered is not None
    assert result.covered >= least(n, 0.94)
    assert result.bias is not None
    assert result.bias_found is not None
    # Of an accuracy of 60 photos, 0.8 or 0.4, two of them.
    assert abs(result.bias) < 4 * np.sqrt((0.16 + 0.24) / 60 / n)
    assert result.bias_found > 0.01


def test_photos_of_a_burst_are_as_often_right_and_come_out_alike() -> None:
    world = World([[0.7, 0.3]], photos=3_000, burst=(2, 2), alike=0.5)
    assert (world.table()["observation"].value_counts() == 2).all()
    (found,) = simulate(world, RULE, 1, SEED)
    easy, hard = (each.discovery.accuracy for each in found.classes[0].backgrounds)
    assert easy == pytest.approx(0.7, abs=0.05)
    assert hard == pytest.approx(0.3, abs=0.05)
    assert found.drop is not None
    independent = 2 * 1.96 * np.sqrt(2 * 0.21 / 1_500)
    # Two photos correlate by 0.5 squared, so the variance is 1.25 of what it would be.
    assert found.drop.high - found.drop.low == pytest.approx(np.sqrt(1.25) * independent, rel=0.08)


def test_the_same_seed_finds_the_same() -> None:
    world = replace(null_world(3), burst=(1, 3), alike=0.5)
    first, second, other = (list(simulate(world, RULE, 2, seed)) for seed in (SEED, SEED, SEED.derive("other")))
    assert first == second
    assert first[0] != first[1]
    assert first != other


@pytest.mark.parametrize(
    "wrong",
    [{"accuracies": [[0.5]]}, {"accuracies": [[0.5, 1.2]]}, {"photos": 0}, {"burst": (3, 2)}, {"alike": 2.0}],
)
def test_worlds_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(UsageError):
        replace(null_world(), **wrong)


@pytest.mark.simulation
@pytest.mark.parametrize(("burst", "alike"), BURSTS)
def test_chance_is_kept_in_at_most_one_of_twenty_worlds(burst, alike) -> None:
    # Bursts are shuffled one by one, which takes four times as long.
    world, runs = replace(null_world(), burst=burst, alike=alike), 40 if alike else 120
    assert trust(world, simulate(world, RULE, runs, SEED)).any_kept <= most(runs, 0.05)
    assert trust(world, simulate(world, PUBLISHED, 10, SEED)).kept > 0.6


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("accuracy", "backgrounds", "photos", "gap", "kept"),
    [
        (0.6, 2, 50, 0.077, 0.61),
        (0.6, 2, 200, 0.039, 0.32),
        (0.6, 4, 50, 0.141, 0.95),
        (0.6, 4, 100, 0.100, 0.90),
        (0.6, 4, 200, 0.071, 0.75),
        (0.8, 4, 100, 0.082, 0.79),
        (0.8, 6, 200, 0.072, 0.79),
    ],
)
def test_the_published_rule_keeps_as_much_by_chance_as_is_known(accuracy, backgrounds, photos, gap, kept) -> None:
    world = null_world(400, backgrounds, photos, accuracy)
    simulated = list(simulate(world, PUBLISHED, 10, SEED))
    exact = beyond(5 * photos // 100, photos, accuracy, backgrounds)
    error = np.sqrt(exact * (1 - exact) / 4_000)
    assert trust(world, simulated).kept == pytest.approx(exact, abs=4 * error)
    drops = np.array([each.drop_found for found in simulated for each in found.classes])
    assert drops.mean() == pytest.approx(gap, abs=0.0025)
    # The known shares count many gaps of 5 points exactly, which are more than 0.05 in floating point.
    assert (drops > 0.05).mean() == pytest.approx(kept, abs=0.02)


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("photos", "burst", "alike", "power"),
    [
        (40, (1, 1), 0.0, (0.0, 0.005, 0.04)),
        (120, (1, 1), 0.0, (0.01, 0.12, 0.55)),
        (200, (1, 1), 0.0, (0.04, 0.45, 0.90)),
        (200, (2, 5), 0.6, (0.005, 0.08, 0.35)),
    ],
)
def test_true_drops_are_found_and_measured(photos, burst, alike, power) -> None:
    drops, runs = (0.1, 0.2, 0.3), 25 if alike else 60
    world = replace(true_world(drops * 15, photos), burst=burst, alike=alike)
    simulated = list(simulate(world, RULE, runs, SEED))
    # Classes are judged anew each time, fifteen of each drop.
    for i in range(len(drops)):
        classes = [f"class {number}" for number in range(i, 45, 3)]
        results = [each for found in simulated for each in found.classes if each.label in classes]
        assert sum(each.kept for each in results) >= power[i] * len(results)
        covers = [
            each.drop.low <= world.drop(each.label, each.easy, each.hard) <= each.drop.high
            for each in results
            if each.drop is not None
        ]
        assert len(covers) == len(results) == 15 * runs
        assert np.mean(covers) >= least(len(covers), 0.94)
    result = trust(world, simulated)
    assert result.macro_covered is not None
    assert result.macro_covered >= least(sum(bool(found.kept) for found in simulated), 0.94)
    # The photos that chose the pair say too much, the others do not.
    errors = [
        each.drop.estimate - world.drop(each.label, each.easy, each.hard)
        for found in simulated
        for each in found.kept
        if each.drop is not None
    ]
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(len(errors))
    assert result.bias == pytest.approx(np.mean(errors))
    assert result.bias_found is not None
    assert result.bias_found > 0.02
