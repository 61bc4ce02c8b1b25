"""Configurations: the paper's first, all distinct, the same for everyone with the same space."""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Mapping
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench.files import canonical_json
from spurbench.seeds import Seed
from spurbench.space import Choice, Distribution, LogUniform, describe_space, draw_configs

CHOICES = st.lists(st.integers(-5, 5) | st.text("ab", max_size=3), min_size=1, max_size=4, unique=True).map(
    lambda values: Choice(*values)
)
RANGES = st.builds(
    lambda low, ratio, share: LogUniform(low, low * ratio, low * ratio**share),
    st.floats(1e-6, 1e3),
    st.floats(1.5, 1e4),
    st.floats(0, 1),
)
SPACES = st.dictionaries(st.text("abcde", min_size=1, max_size=3), CHOICES | RANGES, max_size=4)
FINITE = st.dictionaries(st.text("abcde", min_size=1, max_size=3), CHOICES, max_size=3)
SEEDS = st.integers(0, 100).map(lambda n: Seed(("test", n)))


@given(SPACES, st.integers(1, 8), SEEDS)
def test_the_first_configuration_is_the_papers(space: dict[str, Distribution], n: int, seed: Seed) -> None:
    assert draw_configs(space, n, seed)[0] == {name: item.first for name, item in space.items()}


@given(SPACES, st.integers(1, 8), SEEDS)
def test_configurations_are_distinct_and_as_many_as_there_can_be(
    space: dict[str, Distribution], n: int, seed: Seed
) -> None:
    configs = [dict(config) for config in draw_configs(space, n, seed)]
    assert all(one != other for one, other in itertools.combinations(configs, 2))
    sizes = [len(item.values) if isinstance(item, Choice) else math.inf for item in space.values()]
    assert len(configs) == min(n, math.prod(sizes))


@given(SPACES, st.integers(1, 5), st.integers(0, 5), SEEDS)
def test_a_larger_budget_starts_with_the_smaller_one(
    space: dict[str, Distribution], n: int, more: int, seed: Seed
) -> None:
    assert draw_configs(space, n + more, seed)[: len(draw_configs(space, n, seed))] == draw_configs(space, n, seed)


@given(SPACES, st.integers(1, 8), SEEDS)
def test_the_same_space_gives_the_same_draws_in_whatever_order_it_is_written(
    space: dict[str, Distribution], n: int, seed: Seed
) -> None:
    assert draw_configs(dict(reversed(space.items())), n, seed) == draw_configs(space, n, seed)


def test_other_seeds_give_other_draws() -> None:
    space = {"lr": LogUniform(1e-5, 1e-1, 1e-3)}
    drawn = {draw_configs(space, 2, Seed(("configurations", seed)))[1]["lr"] for seed in range(20)}
    assert len(drawn) == 20


@given(FINITE, SEEDS)
@settings(max_examples=30)
def test_a_finite_space_is_exhausted(space: dict[str, Choice], seed: Seed) -> None:
    drawn = [dict(config) for config in draw_configs(space, 1000, seed)]
    names = list(space)
    expected = [
        dict(zip(names, values, strict=True)) for values in itertools.product(*(space[n].values for n in names))
    ]
    assert sorted(map(repr_of, drawn)) == sorted(map(repr_of, expected))


def repr_of(config: Mapping[str, object]) -> str:
    return repr(sorted(config.items()))


def test_an_empty_space_has_one_configuration() -> None:
    assert draw_configs({}, 10, Seed(())) == [{}]


def test_configurations_cannot_be_changed_by_a_method() -> None:
    config = draw_configs({"C": Choice(1.0, 2.0)}, 1, Seed(()))[0]
    with pytest.raises(TypeError):
        config["C"] = 3.0  # type: ignore[index]


@given(CHOICES, st.floats(0, 1, exclude_max=True))
def test_a_choice_draws_one_of_its_values(choice: Choice, uniform: float) -> None:
    assert choice.draw(uniform) in choice.values
    assert choice.draw(0.0) == choice.first == choice.values[0]
    assert choice.draw(math.nextafter(1.0, 0.0)) == choice.values[-1]


def test_each_value_of_a_choice_is_equally_likely() -> None:
    uniforms = (np.arange(9000) + 0.5) / 9000
    drawn = [Choice("a", "b", "c").draw(float(u)) for u in uniforms]
    assert [drawn.count(value) for value in "abc"] == [3000, 3000, 3000]


@given(RANGES, st.floats(0, 1, exclude_max=True))
def test_log_uniform_draws_to_four_digits_within_its_range(item: LogUniform, uniform: float) -> None:
    value = item.draw(uniform)
    assert item.low <= value <= item.high
    assert value in (float(f"{value:.4g}"), item.low, item.high)


def test_the_logarithm_of_log_uniform_draws_is_uniform() -> None:
    item = LogUniform(1e-4, 1e2, 1.0)
    logs = [math.log10(item.draw(i / 600)) for i in range(600)]
    assert logs == pytest.approx([-4 + 6 * i / 600 for i in range(600)], abs=1e-3)


def test_log_uniform_draws_never_leave_the_range() -> None:
    item = LogUniform(1.23444, 1.98765, 1.5)
    assert item.draw(0.0) == 1.23444
    assert item.draw(math.nextafter(1.0, 0.0)) == 1.98765


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (math.nan, 1.0), (1.0, math.nan)])
def test_log_uniform_needs_positive_ascending_bounds(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="LogUniform"):
        LogUniform(*bounds, first=1.0)


@pytest.mark.parametrize(("high", "paper"), [(math.inf, 1.0), (math.inf, math.inf), (2.0, math.nan), (2.0, math.inf)])
def test_log_uniform_needs_finite_numbers(high: float, paper: float) -> None:
    with pytest.raises(ValueError, match="LogUniform"):
        LogUniform(1.0, high, paper)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_choice_needs_finite_values(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Choice(1.0, value)


@pytest.mark.parametrize("values", [(), (1, 1), ("a", "b", "a"), (1, 1.0), (0, False)])
def test_choice_needs_distinct_values(values: tuple[int | str, ...]) -> None:
    with pytest.raises(ValueError, match="distinct"):
        Choice(*values)


@given(SPACES)
def test_descriptions_are_json_and_ignore_order(space: dict[str, Distribution]) -> None:
    assert canonical_json(describe_space(space)) == canonical_json(describe_space(dict(reversed(space.items()))))


@given(SPACES, SPACES)
def test_different_spaces_describe_differently(one: dict[str, Distribution], other: dict[str, Distribution]) -> None:
    assert (canonical_json(describe_space(one)) == canonical_json(describe_space(other))) == (one == other)


def test_a_narrow_range_gives_fewer_configurations_instead_of_hanging() -> None:
    def give_up(_: int, __: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 30.0)
    try:
        assert 1 <= len(draw_configs({"lr": LogUniform(1.0, 1.001, 1.0)}, 16, Seed(()))) <= 3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
