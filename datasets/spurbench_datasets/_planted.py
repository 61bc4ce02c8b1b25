"""Planting a spurious object into a data set at a stated strength (Varma et al. 2024, RaVL, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spurbench.errors import UsageError

from ._columns import did_you_mean


def cramers_v(with_object: Sequence[float], totals: Sequence[float]) -> float:
    """Cramer's V between class and presence of an object: 0 independent, 1 one determines the other.

    Args:
        with_object: number of examples of each class that show it.
        totals: number of examples of each class.
    """
    n, shown = sum(totals), sum(with_object)
    if shown in (0, n):
        return 0.0
    chi2 = 0.0
    for present, total in zip(with_object, totals, strict=True):
        expected = total * shown / n
        chi2 += (present - expected) ** 2 * (1 / expected + 1 / (total - expected))
    return math.sqrt(chi2 / n)


def planted_counts(totals: Sequence[int], label: int, strength: float) -> list[int]:
    """How many examples of each class get the object, so that Cramer's V comes as near as can be to `strength`.

    As in RaVL, the object starts on all of class `label` and on nothing else; then one example after the other, of
    each class in turn, changes sides, until half of every class has: V has come down from 1 to 0, and the counts on the
    way that are nearest to the target are taken. Larger classes have their turn more often.
    """
    turns = sorted(
        ((2 * k + 1) / total, number) for number, total in enumerate(totals) for k in range((total + 1) // 2)
    )
    found = [total if number == label else 0 for number, total in enumerate(totals)]
    best, distance = list(found), abs(cramers_v(found, totals) - strength)
    for _, number in turns:
        found[number] += -1 if number == label else 1
        off = abs(cramers_v(found, totals) - strength)
        if off < distance:
            best, distance = list(found), off
    return best


def parameters(name: str, argument: str, defaults: dict[str, float | str]) -> dict[str, float | str]:
    """`key=value:key=value` over defaults. Raises UsageError for unknown keys and values that are no numbers."""
    found = dict(defaults)
    for item in filter(None, argument.split(":")):
        key, equals, value = item.partition("=")
        if key not in defaults or not equals:
            known = ", ".join(f"{key}={value}" for key, value in defaults.items())
            raise UsageError(f"{name}: '{item}' is not one of its parameters ({known}){did_you_mean(key, defaults)}")
        if isinstance(defaults[key], str):
            found[key] = value
            continue
        try:
            found[key] = float(value)
        except ValueError:
            raise UsageError(f"{name}: {key} must be a number, not '{value}'") from None
    return found


def share(name: str, key: str, value: float | str, low: float = 0.0, high: float = 1.0) -> float:
    """A number that must lie in low..high. Raises UsageError."""
    number = float(value)
    if not low <= number <= high:
        raise UsageError(f"{name}: {key} must lie in {low:g} to {high:g}, not {value}")
    return number
