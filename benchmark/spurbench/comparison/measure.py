"""Two records of the same test examples -> the difference of each measure, with a paired test where one can be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..board import ArraysOf, make_row, only_seeds, outcomes_of
from ..record import Record
from ..rules import Selection
from ..stats import Difference, Estimate, Outcomes, compare_accuracy, compare_worst, holm

Name = Literal["wga", "hard", "acc_test"]
TESTS: dict[Name, Callable[[Outcomes, Outcomes, float], Difference]] = {
    "wga": compare_worst,
    "acc_test": compare_accuracy,
}
"""Class-averaged accuracy on hard photos has no paired test."""


@dataclass(frozen=True)
class Side:
    """One of the two records that are compared, and where its predictions come from."""

    record: Record
    arrays_of: ArraysOf


@dataclass(frozen=True)
class Measure:
    """One measure of both sides, means over the same seeds.

    Attributes:
        name: worst-group accuracy on test, class-averaged accuracy on hard photos, or accuracy on test.
        a, b, difference: shares (0..1); the difference is b - a.
        test: of `difference`, by the same test examples and seeds; None where there is none.
        adjusted: p-value of the test, by Holm over all tests of this measure in the comparison.
    """

    name: Name
    a: float
    b: float
    difference: float
    test: Difference | None = None
    adjusted: float | None = None


def why_other_examples(a: Record, b: Record) -> str:
    """Why two records of one data set and backbone are not about the same examples and features, or ""."""
    if a.test_groups != b.test_groups:
        return "the test examples, or their groups, are not the same"
    for part, what in (("data", "data"), ("backbone", "backbone")):
        if a.key_parts.get(part) != b.key_parts.get(part):
            return f"the {what} had another fingerprint"
    if a.prompts and b.prompts and a.prompts != b.prompts:
        return f"other prompts: {a.prompts} and {b.prompts}"
    return ""


def measure(a: Side, b: Side, selection: Selection, seeds: Collection[int]) -> tuple[tuple[Measure, ...], str]:
    """Every measure over some seeds that both have; and why they are not tested, where they are not."""
    shown = sorted(seeds)
    rows = [make_row(only_seeds(side.record, shown), selection, shown[-1] + 1) for side in (a, b)]
    values: list[tuple[Name, Estimate | None, Estimate | None]]
    if "hard" in {row.ranked_by for row in rows}:
        hard = [None if row.easy_hard is None else row.easy_hard.hard for row in rows]
        values = [("hard", hard[0], hard[1])]
    else:
        values = [("wga", rows[0].wga, rows[1].wga)]
    values.append(("acc_test", rows[0].acc_test, rows[1].acc_test))
    reason = why_other_examples(a.record, b.record)
    right = None if reason else [_right(side, selection, shown) for side in (a, b)]
    if right is not None and None in right:
        which = " and ".join(name for name, some in zip("AB", right, strict=True) if some is None)
        reason = f"predictions of {which} are missing, or are not those of the counts"
    found = []
    for name, one, other in values:
        if one is None or other is None:
            continue
        test = None
        if right is not None and right[0] is not None and right[1] is not None and name in TESTS:
            test = TESTS[name](right[1], right[0], a.record.confidence)
        found.append(Measure(name, one.mean, other.mean, other.mean - one.mean, test))
    return tuple(found), reason


def _right(side: Side, selection: Selection, seeds: Sequence[int]) -> Outcomes | None:
    return outcomes_of(side.record, selection, seeds, side.arrays_of(side.record))


def adjust(compared: Sequence[tuple[Measure, ...]]) -> list[tuple[Measure, ...]]:
    """The same measures with p-values by Holm over all tests of each measure."""
    done = [list(some) for some in compared]
    for name in TESTS:
        places = [
            (i, j, one.test.p)
            for i, some in enumerate(done)
            for j, one in enumerate(some)
            if one.name == name and one.test is not None
        ]
        for (i, j, _), p in zip(places, holm([p for _, _, p in places]), strict=True):
            done[i][j] = replace(done[i][j], adjusted=p)
    return [tuple(some) for some in done]
