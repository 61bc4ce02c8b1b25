"""Spaces of hyper-parameters, and configurations drawn from them; the first is the paper's own where it has one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from .seeds import Seed

Value: TypeAlias = "float | int | str | bool"
Config: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, init=False)
class Values:
    """A list of distinct plain values, the first of which is tried first."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        kind = type(self).__name__
        if not values or len(set(values)) != len(values):
            raise ValueError(f"{kind} needs one or more distinct values, not {values}")
        if any(type(value) not in (float, int, str, bool) for value in values):
            raise ValueError(f"{kind} needs plain numbers, strings or booleans, not {values}")
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise ValueError(f"{kind} needs finite values, not {values}")
        object.__setattr__(self, "values", values)

    @property
    def first(self) -> Value:
        """The value of the first configuration."""
        return self.values[0]

    def pinned(self, text: str) -> Choice:
        """Nothing but the value that is written so. Raises ValueError, naming those that there are."""
        for value in self.values:
            if text == str(value) or (_is_number(value) and _number(text) == value):
                return Choice(value)
        raise ValueError(f"must be one of {', '.join(map(str, self.values))}, not '{text}'")


class Choice(Values):
    """One of a list of values, each equally likely. The first is tried first."""

    def draw(self, uniform: float) -> Value:
        """The value for a number in [0, 1)."""
        return self.values[int(uniform * len(self.values))]

    def describe(self) -> dict[str, object]:
        """What the record's key says of it."""
        return {"choice": list(self.values)}


class Switch(Values):
    """A value that is not searched over: the first, unless whoever runs the method pins another of them."""

    def draw(self, uniform: float) -> Value:  # noqa: ARG002
        """The first."""
        return self.first

    def describe(self) -> dict[str, object]:
        """What the record's key says of it."""
        return {"switch": list(self.values)}


@dataclass(frozen=True)
class LogUniform:
    """A positive number whose logarithm is uniform between those of `low` and `high`; `first` is tried first."""

    low: float
    high: float
    first: float

    def __post_init__(self) -> None:
        if not (0 < self.low < self.high < math.inf and self.low <= self.first <= self.high):
            raise ValueError(f"LogUniform needs 0 < low <= first <= high < inf, low < high; got {self}")

    def draw(self, uniform: float) -> float:
        """The value for a number in [0, 1), rounded to four digits so that records stay readable."""
        value = math.exp(math.log(self.low) + uniform * (math.log(self.high) - math.log(self.low)))
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def pinned(self, text: str) -> Choice:
        """Nothing but the number that is written so. Raises ValueError for one that is out of range, or none."""
        number = _number(text)
        if number is None or not self.low <= number <= self.high:
            raise ValueError(f"must be a number from {self.low:g} to {self.high:g}, not '{text}'")
        return Choice(number)

    def describe(self) -> dict[str, object]:
        """What the record's key says of it."""
        return {"log_uniform": [self.low, self.high], "first": self.first}


MOST_ATTEMPTS = 10_000
"""Draws after which a space counts as exhausted: a range may hold fewer distinct values than are asked for."""

Distribution: TypeAlias = "Choice | Switch | LogUniform"


def check_space(space: object) -> None:
    """Raise ValueError unless this is a mapping from names to distributions."""
    if not isinstance(space, Mapping):
        raise ValueError(f"space must be a mapping from names to distributions, not {type(space).__name__}")
    for name, item in space.items():
        if not isinstance(name, str) or not isinstance(item, Values | LogUniform):
            raise ValueError(f"space[{name!r}] must be a Choice, a Switch or a LogUniform, not {item!r}")


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def describe_space(space: Mapping[str, Distribution]) -> dict[str, object]:
    """A JSON-like description of a space, for keys: equal spaces describe equally."""
    return {name: space[name].describe() for name in sorted(space)}


def draw_configs(space: Mapping[str, Distribution], n: int, seed: Seed) -> list[Config]:
    """`n` distinct configurations: the first of the space, then random ones; fewer where the space has fewer.

    The i-th random draw depends on the seed, i and the space alone, so methods with the same space get the same
    configurations, and a larger budget starts with those of a smaller one.
    """
    configs: list[Config] = []
    names = sorted(space)
    draw: dict[str, Value] = {name: space[name].first for name in names}
    finite = all(isinstance(space[name], Values) for name in names)
    size = math.prod(len(item.values) for item in space.values() if isinstance(item, Choice)) if finite else math.inf
    attempt = 0
    while attempt < MOST_ATTEMPTS:
        if draw not in configs:
            configs.append(MappingProxyType(dict(draw)))
        if len(configs) >= min(n, size):
            break
        generator = seed.derive("configuration", attempt).numpy()
        draw = {name: space[name].draw(float(generator.random())) for name in names}
        attempt += 1
    return configs
