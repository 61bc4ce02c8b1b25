from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from spurbench.builder import halves
from spurbench.builder.table import Rule
from spurbench.builder.units import named
from spurbench.seeds import Seed

from .judged import photos

SEED = Seed(("halves",))
BY_PHOTOGRAPHER = Rule(split_by="photographer")
rows = st.lists(
    st.tuples(
        st.sampled_from(["bear", "crab"]),
        st.sampled_from(["grass", "snow", "water"]),
        st.sampled_from(["", "", "o1", "o2", "o3", "o4"]),
        st.sampled_from(["", "ann", "bob", "cy"]),
    ),
    max_size=30,
)


@given(rows, st.sampled_from([Rule(), BY_PHOTOGRAPHER]))
@settings(max_examples=40)
def test_what_goes_together_is_never_parted(rows, rule) -> None:
    table = photos(rows)
    half = halves.assign(table, rule, SEED)
    assert set(half) <= {"discovery", "evaluation"}
    column = table["photographer"] if rule is BY_PHOTOGRAPHER else table["observation"]
    assert (half[column != ""].groupby(column[column != ""]).nunique() == 1).all()
    alone = table[(table["observation"] != "") & (table["photographer"] == "")]
    assert (half[alone.index].groupby(alone["observation"]).nunique() == 1).all()


@given(rows, st.sampled_from([Rule(), BY_PHOTOGRAPHER]), st.randoms())
@settings(max_examples=40)
def test_the_order_of_rows_does_not_matter(rows, rule, random) -> None:
    table = photos(rows)
    order = list(range(len(table)))
    random.shuffle(order)
    half, shuffled = halves.assign(table, rule, SEED), halves.assign(table.iloc[order], rule, SEED)
    assert shuffled.index.tolist() == order
    assert shuffled.sort_index().tolist() == half.tolist()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=40))
@settings(max_examples=40)
def test_single_photos_are_halved_within_each_cell(rows) -> None:
    table = photos((*row, "", "") for row in rows)
    halved = table.assign(half=halves.assign(table, Rule(), SEED))
    for _, cell in halved.groupby(["label", "background"]):
        counts = Counter(cell["half"])
        assert abs(counts["discovery"] - counts["evaluation"]) == len(cell) % 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
@settings(max_examples=40)
def test_observations_are_halved_as_nearly_as_the_largest_allows(sizes) -> None:
    table = photos(("bear", "snow", f"o{i}", "") for i, n in enumerate(sizes) for _ in range(n))
    counts = Counter(halves.assign(table, Rule(), SEED))
    assert abs(counts["discovery"] - counts["evaluation"]) <= max(sizes)


def test_photographers_of_several_classes_leave_every_cell_with_two_halves() -> None:
    generator = np.random.default_rng(0)
    table = photos(
        (f"class {generator.integers(4)}", f"background {generator.integers(3)}", "", f"p{generator.integers(150)}")
        for _ in range(1_200)
    )
    table["half"] = halves.assign(table, BY_PHOTOGRAPHER, SEED)
    share = (table["half"] == "discovery").groupby([table["label"], table["background"]]).mean()
    # Tossed coins, of 150 units with 8 photos each in 12 cells, would leave cells with 35 %.
    assert share.between(0.45, 0.55).all()


def test_units_are_photographers_then_observations_then_photos() -> None:
    table = photos([("a", "x", "7", "ann"), ("a", "y", "7", ""), ("b", "x", "", "ann"), ("b", "x", "", "")])
    table["photo_id"] = ["1", "2", "3", "7"]
    by_observation, by_photographer = named(table, "observation"), named(table, "photographer")
    assert by_observation[0] == by_observation[1]
    assert by_observation.nunique() == 3
    assert by_photographer[0] == by_photographer[2]
    assert by_photographer[0] == by_photographer[1], "an observation is its photographer's as a whole"
    assert by_photographer.nunique() == 2


def test_only_what_is_kept_gets_a_half() -> None:
    table = photos([("a", "x", "", "")] * 10)
    alone = halves.assign(table.iloc[4:], Rule(), SEED)
    table.loc[:3, "status"] = "duplicate"
    half = halves.assign(table, Rule(), SEED)
    assert half[:4].tolist() == [""] * 4
    assert half[4:].tolist() == alone.tolist()
    assert half.name == "half"


def test_other_classes_do_not_matter() -> None:
    table = photos([("a", "x", "", "")] * 9 + [("b", "x", f"o{i // 3}", "") for i in range(11)])
    alone = halves.assign(table[:9], Rule(), SEED)
    assert halves.assign(table, Rule(), SEED)[:9].tolist() == alone.tolist()


def test_each_photo_is_in_either_half_half_of_the_time() -> None:
    table = photos([("a", "x", "", "")] * 5 + [("a", "y", f"o{i // 2}", "") for i in range(6)])
    found = np.array([halves.assign(table, Rule(), Seed((i,))) == "discovery" for i in range(200)])
    # The standard deviation of 200 tosses is 0.035.
    assert np.abs(found.mean(axis=0) - 0.5).max() < 0.14


def test_with_the_published_rule_all_choose() -> None:
    table = photos([("a", "x", "", "")] * 3)
    table.loc[1, "status"] = "tiny"
    assert halves.assign(table, Rule(published=True), SEED).tolist() == ["discovery", "", "discovery"]


@pytest.mark.parametrize("rule", [Rule(), Rule(published=True)])
def test_of_no_photos_there_are_no_halves(rule) -> None:
    assert halves.assign(photos([]), rule, SEED).tolist() == []


def test_people_who_shared_an_observation_are_one_unit() -> None:
    table = photos([("a", "x", "7", "ann"), ("a", "y", "7", "bob"), ("b", "x", "9", "bob"), ("b", "x", "", "cid")])
    unit = named(table, "photographer")
    assert unit[0] == unit[1] == unit[2] != unit[3]
    assert named(table.iloc[::-1], "photographer").sort_index().tolist() == unit.tolist()
