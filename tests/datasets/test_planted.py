from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats.contingency import association

from spurbench.errors import UsageError
from spurbench_datasets._planted import (
    cramers_v,
    group_counts,
    largest_planted,
    parameters,
    planted_counts,
    share,
    which,
)

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


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=5), st.data(), st.floats(0, 1))
def test_no_more_examples_could_be_planted(
    available: list[tuple[int, int]], data: st.DataObject, strength: float
) -> None:
    label = data.draw(st.integers(0, len(available) - 1))
    taken = largest_planted(available, label, strength)
    each = sum(taken[0])
    assert all(sum(pair) == each for pair in taken), "as many of one class as of another"
    assert all(0 <= takes <= has for row in zip(available, taken, strict=True) for has, takes in zip(*row, strict=True))
    shown = [pair[1] for pair in taken]
    if each:
        assert shown == planted_counts([each] * len(available), label, strength)

    # One example more of each class would take all of some kind, to within what rounding to whole examples does.
    shares = [n / 1000 for n in planted_counts([1000] * len(available), label, strength)]
    needed = [
        (part * (each + 1), has)
        for n, row in zip(shares, available, strict=True)
        for part, has in zip((1 - n, n), row, strict=True)
    ]
    assert any(takes + 1.1 > has for takes, has in needed)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.7, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_scarcest_kind_decides_how_many_are_planted(strength: float, n_classes: int) -> None:
    label = 1
    for scarce in range(2 * n_classes):
        sizes = [3000] * (2 * n_classes)
        sizes[scarce] = 200
        available = list(zip(sizes[::2], sizes[1::2], strict=True))
        taken = largest_planted(available, label, strength)
        each = sum(taken[0])
        assert cramers_v([n for _, n in taken], [each] * n_classes) == pytest.approx(strength, abs=0.005)
        rate = taken[scarce // 2][scarce % 2] / each
        # Either nearly all of the scarce kind are taken, or none of them are needed.
        assert taken[scarce // 2][scarce % 2] >= 198 or rate < 200 / 3000
        if rate < 200 / 3000:
            assert max(n for pair in taken for n in pair) >= 2990


def test_nothing_can_be_planted_of_what_is_not_there() -> None:
    assert largest_planted([(9, 0), (9, 9)], 0, 0.9) == [(0, 0), (0, 0)]
    assert largest_planted([(0, 9), (9, 0)], 0, 1.0) == [(0, 9), (9, 0)]


def test_counts_of_groups() -> None:
    counts = group_counts({"train": 600, "val": 150, "test": 61}, 3, 2, 0.9)
    assert counts["val"] == (75,) * 6
    assert counts["test"] == (30,) * 6
    with_object = counts["train"][1::2]
    assert list(with_object) == planted_counts([600] * 3, 2, 0.9)
    assert [without + shown for without, shown in zip(counts["train"][::2], with_object, strict=True)] == [600] * 3


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


@pytest.mark.parametrize(("written", "number"), [("dog", 0), ("hot-dog", 1), ("1", 1), ("2", 2)])
def test_choices_are_made_by_name_or_number(written: str, number: int) -> None:
    assert which("set", "label", written, ("dog", "hot dog", "cat")) == number


@pytest.mark.parametrize("written", ["3", "-1", "hot dog", "", "1.0", "\u00b2", "Dog"])
def test_other_choices_are_refused_by_name(written: str) -> None:
    with pytest.raises(UsageError, match=f"set: label must be one of dog, hot-dog, cat, not '{written}'"):
        which("set", "label", written, ("dog", "hot dog", "cat"))
