"""Planting a spurious object into a data set at a stated strength (Varma et al. 2024, RaVL, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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


def largest_planted(available: Sequence[tuple[int, int]], label: int, strength: float) -> list[tuple[int, int]]:
    """How many examples to take without and with the object, as many of one class as of another, and as many as there
    are, so that Cramer's V comes as near as can be to `strength`.

    Args:
        available: number of examples of each class without and with the object.
        label: the class that the object goes with.
        strength: Cramer's V.
    """
    n_classes = len(available)

    def rates(part: float) -> list[float]:
        """Shares with the object when every class has made `part` of its changes towards independence."""
        return [1 - part if number == label else part for number in range(n_classes)]

    low, high = 0.0, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        weaker = cramers_v(rates(middle), [1.0] * n_classes) < strength
        low, high = (low, middle) if weaker else (middle, high)
    bounds = [
        there / part
        for counts, rate in zip(available, rates(high), strict=True)
        for there, part in zip(counts, (1 - rate, rate), strict=True)
        if part > 1e-9
    ]
    # The counts of whole examples are within one of the shares: a few less fit at the latest.
    for each in range(int(min(bounds) + 1e-6), 0, -1):
        shown = planted_counts([each] * n_classes, label, strength)
        taken = [(each - with_object, with_object) for with_object in shown]
        if all(has >= takes for row in zip(available, taken, strict=True) for has, takes in zip(*row, strict=True)):
            return taken
    return [(0, 0)] * n_classes


def group_counts(
    per_class: Mapping[str, int], n_classes: int, label: int, strength: float
) -> dict[str, tuple[int, ...]]:
    """A card's counts, by split and by group: planted in training, with half of every class in the other splits.

    Args:
        per_class: number of examples of each class, by split.
        n_classes: number of classes.
        label: the class that the object goes with in training.
        strength: Cramer's V there.
    """
    planted = planted_counts([per_class["train"]] * n_classes, label, strength)
    counts = {split: (total // 2,) * 2 * n_classes for split, total in per_class.items()}
    counts["train"] = tuple(count for shown in planted for count in (per_class["train"] - shown, shown))
    return counts


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


def which(name: str, key: str, value: str, choices: Sequence[str]) -> int:
    """Number of one of several names; blanks in them may be written as dashes, and the number itself is taken too.

    Raises:
        UsageError: it is none of them.
    """
    written = [choice.replace(" ", "-") for choice in choices]
    if value in written:
        return written.index(value)
    if value.isascii() and value.isdigit() and int(value) < len(choices):
        return int(value)
    raise UsageError(f"{name}: {key} must be one of {', '.join(written)}, not '{value}'{did_you_mean(value, written)}")


def share(name: str, key: str, value: float | str, low: float = 0.0, high: float = 1.0) -> float:
    """A number that must lie in low..high. Raises UsageError."""
    number = float(value)
    if not low <= number <= high:
        raise UsageError(f"{name}: {key} must lie in {low:g} to {high:g}, not {value}")
    return number
