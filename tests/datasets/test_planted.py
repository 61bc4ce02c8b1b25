from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats.contingency import association

from spurbench.errors import UsageError
from spurbench_datasets._planted import cramers_v, parameters, planted_counts, share

Table = list[tuple[int, int]]
TABLES: st.SearchStrategy[Table] = st.lists(
    st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))), min_size=2, max_size=12
)
TOTALS = st.lists(st.integers(1, 40), min_size=2, max_size=8)
STRENGTHS = st.floats(0, 1)


def scipys(shown: list[int], totals: list[int]) -> float:
    table = np.array([shown, np.subtract(totals, shown)])
    return float(association(table, method="cramer")) if table.sum(axis=1).all() else 0.0


@given(TABLES)
def test_cramers_v_is_scipys(table: Table) -> None:
    shown, totals = ([row[column] for row in table] for column in (0, 1))
    assert cramers_v(shown, totals) == pytest.approx(scipys(shown, totals), abs=1e-9)


def test_cramers_v_at_its_ends() -> None:
    assert cramers_v([5, 0, 0], [5, 7, 9]) == pytest.approx(1)
    assert cramers_v([2, 3, 4], [4, 6, 8]) == pytest.approx(0)
    assert cramers_v([0, 0], [3, 3]) == 0, "an object that is nowhere goes with nothing"
    assert cramers_v([3, 3], [3, 3]) == 0


def path(totals: list[int], label: int) -> list[list[int]]:
    """All counts on the way from the object on one class alone to the object on half of every class.

    Written from the other end than `planted_counts`: at time t, a class of n has made floor(t n + 1/2) of its changes.
    """
    times = sorted({(2 * k + 1) / (2 * total) for total in totals for k in range((total + 1) // 2)})
    counts = [[total * (number == label) for number, total in enumerate(totals)]]
    for time in times:
        for number, total in enumerate(totals):
            changes = sum((2 * k + 1) / (2 * total) <= time for k in range((total + 1) // 2))
            now = list(counts[-1])
            now[number] = total - changes if number == label else changes
            if now != counts[-1]:
                counts.append(now)
    return counts


@given(TOTALS, st.data(), STRENGTHS)
def test_counts_are_the_nearest_on_the_way_to_independence(totals: list[int], data: st.DataObject, goal: float) -> None:
    label = data.draw(st.integers(0, len(totals) - 1))
    found = planted_counts(totals, label, goal)
    off = [abs(scipys(counts, totals) - goal) for counts in path(totals, label)]
    assert abs(scipys(found, totals) - goal) == pytest.approx(min(off), abs=1e-9)


@given(TOTALS, st.data(), STRENGTHS)
def test_every_class_can_give_what_is_asked_of_it(totals: list[int], data: st.DataObject, goal: float) -> None:
    label = data.draw(st.integers(0, len(totals) - 1))
    found = planted_counts(totals, label, goal)
    assert all(0 <= count <= total for count, total in zip(found, totals, strict=True))
    # No class goes past its half: the object stays with the label or with nothing.
    assert found[label] >= totals[label] // 2
    assert all(n <= (total + 1) // 2 for i, (n, total) in enumerate(zip(found, totals, strict=True)) if i != label)


@given(TOTALS, st.data(), STRENGTHS, STRENGTHS)
def test_a_stronger_goal_is_never_met_by_a_weaker_object(
    totals: list[int], data: st.DataObject, one: float, two: float
) -> None:
    label = data.draw(st.integers(0, len(totals) - 1))
    weak, strong = (cramers_v(planted_counts(totals, label, goal), totals) for goal in sorted((one, two)))
    assert weak <= strong + 1e-12


@pytest.mark.parametrize("totals", [[600] * 4, [90] * 10])
def test_data_sets_come_within_one_example_of_their_goal(totals: list[int]) -> None:
    label = 3
    goals = np.linspace(0, 1, 101).tolist()
    counts = [planted_counts(totals, label, goal) for goal in goals]
    for goal, found in zip(goals, counts, strict=True):
        v = scipys(found, totals)
        steps = [[n + by * (i == j) for i, n in enumerate(found)] for j in range(len(totals)) for by in (-1, 1)]
        changes = [abs(scipys(s, totals) - v) for s in steps if 0 <= min(s) <= max(s) <= totals[0]]
        assert abs(v - goal) <= max(changes)
        others = [n for i, n in enumerate(found) if i != label]
        assert max(others) - min(others) <= 1, "classes take turns"
        assert abs(totals[0] - found[label] - others[0]) <= 1
    with_label = [found[label] for found in counts]
    assert all(weaker <= stronger for weaker, stronger in pairwise(with_label))


@given(TOTALS, st.data())
def test_strength_1_is_all_of_the_class_and_nothing_else(totals: list[int], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(totals) - 1))
    assert planted_counts(totals, label, 1.0) == [total * (i == label) for i, total in enumerate(totals)]


@given(st.lists(st.integers(1, 30).map(lambda half: 2 * half), min_size=2, max_size=8), st.data())
def test_strength_0_is_independence(totals: list[int], data: st.DataObject) -> None:
    found = planted_counts(totals, data.draw(st.integers(0, len(totals) - 1)), 0.0)
    assert cramers_v(found, totals) == 0
    assert 0 < sum(found) < sum(totals), "an object that all or none have would be independent, too"


DEFAULTS: dict[str, float | str] = {"strength": 0.9, "label": "dog"}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", DEFAULTS),
        ("strength=0.5", {"strength": 0.5, "label": "dog"}),
        ("label=cat:strength=1e-1", {"strength": 0.1, "label": "cat"}),
        ("label=a=b", {"strength": 0.9, "label": "a=b"}),
        (":strength=1:", {"strength": 1.0, "label": "dog"}),
    ],
)
def test_parameters(argument: str, expected: dict[str, float | str]) -> None:
    before = dict(DEFAULTS)
    assert parameters("set", argument, DEFAULTS) == expected
    assert before == DEFAULTS


@given(st.text(alphabet="abcdelnrstgh=.:0", max_size=12))
def test_what_is_not_a_parameter_is_refused_by_name(argument: str) -> None:
    items = [item for item in argument.split(":") if item]
    assume(not all(re.fullmatch(r"(label|strength)=.*", item) for item in items))
    with pytest.raises(UsageError, match=r"^set: .*(parameters \(strength=0.9, label=dog\)|must be a number)"):
        parameters("set", argument, DEFAULTS)


def test_a_near_miss_is_asked_about() -> None:
    with pytest.raises(UsageError, match="'strenth=1' is not one of its parameters .*; did you mean strength?"):
        parameters("set", "strenth=1", DEFAULTS)


@given(st.floats())
def test_shares_lie_between_their_bounds(value: float) -> None:
    if 0 <= value <= 1:
        assert share("set", "strength", value) == value
    else:
        with pytest.raises(UsageError, match="set: strength must lie in 0 to 1, not"):
            share("set", "strength", value)


def test_bounds_of_ones_own() -> None:
    assert share("set", "label", 9.0, 0, 9) == 9
    with pytest.raises(UsageError, match="label must lie in 0 to 9, not 10"):
        share("set", "label", 10.0, 0, 9)
