from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from spurbench.builder import pairs
from spurbench.builder.table import ClassResult, Found, Rule, Share
from spurbench.seeds import Seed

from .judged import Cell, Units, judged, single

SEED = Seed(("pairs",))
RULE = Rule(draws=999, resamples=200)
PUBLISHED = replace(RULE, published=True)


def find(table: pd.DataFrame, rule: Rule = RULE) -> Found:
    return pairs.find(table, rule, SEED)


def only(table: pd.DataFrame, rule: Rule = RULE) -> ClassResult:
    (result,) = find(table, rule).classes
    return result


def clear(label: str) -> dict[Cell, tuple[Units, Units]]:
    """A class whose snow is hard, and whose few photos of water say nothing."""
    return {
        (label, "grass"): (single(36, 40), single(33, 40)),
        (label, "rock"): (single(30, 40), single(31, 40)),
        (label, "snow"): (single(10, 40), single(13, 39)),
        (label, "water"): (single(0, 19), single(20, 20)),
    }


def equal(label: str, right: int = 25) -> dict[Cell, tuple[Units, Units]]:
    """A class that has nothing to find."""
    return {(label, name): (single(right, 40), single(right, 40)) for name in ("grass", "snow")}


def test_the_pair_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    found = find(judged(clear("bear")))
    (bear,) = found.kept
    assert (bear.easy, bear.hard, bear.reason) == ("grass", "snow", "")
    assert bear.drop_found == found.drop_found == pytest.approx(36 / 40 - 10 / 40)
    assert bear.drop is not None
    assert bear.drop.estimate == pytest.approx(33 / 40 - 13 / 39)
    assert bear.drop.low < bear.drop.estimate < bear.drop.high
    # The one class is the average, bounds and all.
    assert found.drop == bear.drop
    assert found.easy is not None
    assert found.hard is not None
    assert found.easy.estimate == pytest.approx(33 / 40)
    assert found.hard.estimate == pytest.approx(13 / 39)
    assert [each.name for each in bear.backgrounds] == ["grass", "rock", "snow", "water"]
    assert bear.backgrounds[2].discovery == Share(10, 40)
    assert bear.backgrounds[2].evaluation == Share(13, 39)


def test_the_evaluation_half_has_no_say() -> None:
    table = judged(clear("bear") | equal("crab"))
    turned = table.assign(correct=table["correct"] ^ (table["half"] == "evaluation"))
    for result, other in zip(find(table).classes, find(turned).classes, strict=True):
        assert replace(result, backgrounds=(), drop=None) == replace(other, backgrounds=(), drop=None)
    bear = find(turned).kept[0]
    # Here the photos that choose and those that report say the opposite: a drop is what it is.
    assert bear.drop is not None
    assert bear.drop.estimate == pytest.approx(7 / 40 - 26 / 39)
    assert bear.drop.high < 0


def test_averages_count_each_kept_class_once() -> None:
    found = find(judged(clear("bear") | {("ant", name): cell for (_, name), cell in wide().items()} | equal("crab")))
    assert [result.label for result in found.kept] == ["ant", "bear"]
    assert found.drop is not None
    assert found.drop_found == pytest.approx((0.65 + 0.4) / 2)
    assert found.drop.estimate == pytest.approx((33 / 40 - 13 / 39 + 0.35) / 2)
    bounds = [result.drop.high - result.drop.low for result in found.kept if result.drop is not None]
    # Errors of two classes add up as squares do.
    assert found.drop.high - found.drop.low == pytest.approx(np.hypot(*bounds) / 2, rel=0.15)


def wide() -> dict[Cell, tuple[Units, Units]]:
    return {
        ("", "sand"): (single(180, 200), single(170, 200)),
        ("", "tree"): (single(100, 200), single(100, 200)),
    }


def test_p_values_are_adjusted_for_the_classes_that_were_tested() -> None:
    generator = np.random.default_rng(3)
    cells: dict[Cell, tuple[Units, Units]] = {
        (f"class {i}", name): (single(generator.binomial(40, p), 40), single(20, 40))
        for i in range(8)
        for name, p in (("grass", 0.75), ("snow", 0.5))
    }
    cells[("class 9", "grass")] = (single(3, 30), single(3, 30))
    results = find(judged(cells)).classes
    tested = [result for result in results if result.p_value is not None]
    assert len(tested) == 8
    assert results[-1].p_adjusted is None
    raw = sorted((result.p_value or 0.0, result.label) for result in tested)
    adjusted = {
        label: min(1, max((8 - j) * p for j, (p, _) in enumerate(raw[: i + 1]))) for i, (p, label) in enumerate(raw)
    }
    for result in tested:
        assert result.p_adjusted == pytest.approx(adjusted[result.label])
        assert result.kept == (adjusted[result.label] <= 0.05)
    assert 0 < sum(result.kept for result in tested) < 8


@given(st.randoms())
@settings(max_examples=10)
def test_neither_the_order_nor_the_names_of_photos_matter(random) -> None:
    bursts: dict[Cell, tuple[Units, Units]] = {
        ("crab", "sand"): ([(3, 4), (2, 2), (4, 4)] * 3, [(2, 3)] * 8),
        ("crab", "sea"): ([(0, 4), (1, 2), (1, 4)] * 3, [(1, 3)] * 8),
    }
    table = judged(clear("bear") | bursts)
    found = find(table)
    order = list(range(len(table)))
    random.shuffle(order)
    assert find(table.iloc[order]) == found
    assert find(table.assign(photo_id=[f"{i:05}" for i in order])) == found


def test_names_of_backgrounds_matter_only_by_their_order() -> None:
    cells = clear("bear")
    new = {"grass": "B", "rock": "C", "snow": "K", "water": "Z"}
    renamed = only(judged({(label, new[name]): cell for (label, name), cell in cells.items()}))
    bear = only(judged(cells))
    assert (renamed.easy, renamed.hard, renamed.p_value) == ("B", "K", bear.p_value)
    assert renamed.drop_found == bear.drop_found


def test_another_class_changes_nothing_but_the_adjustment() -> None:
    cells = {key: (units[::2], units[1::2]) for key, (units, _) in clear("bear").items()}
    rule = replace(RULE, min_cell=10)
    alone, both = only(judged(cells), rule), find(judged(equal("ant") | cells), rule).classes[1]
    assert both.p_adjusted == pytest.approx(2 * (alone.p_adjusted or 0))
    assert replace(both, p_adjusted=alone.p_adjusted) == alone


def test_few_photos_stand_lower_and_of_equals_the_first_by_name_is_taken() -> None:
    cells: dict[Cell, tuple[Units, Units]] = {
        ("bear", name): (single(right, 40), single(20, 40))
        for name, right in (("d", 30), ("b", 30), ("c", 10), ("a", 10), ("e", 20))
    }
    assert (only(judged(cells)).easy, only(judged(cells)).hard) == ("b", "a")
    more: dict[Cell, tuple[Units, Units]] = {
        ("bear", "d"): (single(60, 80), single(20, 40)),
        ("bear", "c"): (single(8, 32), single(20, 40)),
    }
    assert (only(judged(cells | more)).easy, only(judged(cells | more)).hard) == ("d", "a")
    none = only(judged(equal("bear")))
    assert (none.easy, none.hard, none.drop_found, none.p_value, none.kept) == ("grass", "snow", 0, 1, False)


def test_what_is_left_out_is_not_counted() -> None:
    table = judged(clear("bear"))
    more = judged({("bear", "snow"): (single(40, 40), single(40, 40)), ("crab", "sea"): (single(9, 9), [])})
    more["photo_id"] = "more " + more["photo_id"]
    more["status"], more["half"], more["correct"] = "duplicate", "", np.nan
    found = find(pd.concat([table, more]))
    assert found.classes[0] == only(table)
    assert found.classes[1].reason == "none of its photos is left"
    assert found.classes[1].backgrounds == ()


def test_each_half_must_have_enough_photos_before_two_backgrounds() -> None:
    cells: dict[Cell, tuple[Units, Units]] = {
        ("bear", "grass"): (single(20, 20), single(20, 20)),
        ("bear", "snow"): (single(0, 20), single(0, 19)),
        ("bear", "sea"): ([(0, 20)], [(0, 18)]),
    }
    bear = only(judged(cells))
    assert not bear.kept
    assert (bear.easy, bear.hard, bear.drop_found, bear.drop, bear.p_value) == ("", "", None, None, None)
    assert (
        bear.reason
        == "fewer than two backgrounds have 20 photos in each half: grass 20 + 20, snow 20 + 19, sea 20 + 18"
    )
    assert only(judged(cells), replace(RULE, min_cell=19)).kept
    assert find(judged(cells)).drop is None
    assert find(judged(cells)).drop_found is None


def test_a_class_is_not_kept_for_a_small_drop_or_for_what_may_be_chance() -> None:
    table = judged(clear("bear"))
    assert only(table, replace(RULE, min_drop=0.65)).kept
    small = only(table, replace(RULE, min_drop=0.66))
    assert small.reason == "the drop of 65.0 points from grass (90.0 %) to snow (25.0 %) is below 66 points"
    assert not small.kept
    luck = judged({("crab", "sand"): (single(20, 30), single(9, 30)), ("crab", "sea"): (single(15, 30), single(9, 30))})
    reason = find(pd.concat([luck, table.assign(photo_id="b " + table["photo_id"])])).classes[1].reason
    assert reason.startswith("the drop of 16.7 points from sand (66.7 %) to sea (50.0 %) may be chance: p = 0.")
    assert reason.endswith(", adjusted for 2 classes, is above 0.05")
    both = only(luck, replace(RULE, min_drop=0.2)).reason
    assert "is below 20 points; " in both
    assert "may be chance" in both


def published(right: int, other: int, n: int) -> ClassResult:
    cells: dict[Cell, tuple[Units, Units]] = {
        ("bear", "grass"): (single(right, n), []),
        ("bear", "snow"): (single(other, n), []),
    }
    return only(judged(cells), PUBLISHED)


def test_the_published_rule_keeps_what_varies_by_more_than_five_points() -> None:
    kept = published(120, 109, 200)
    assert kept.kept
    assert kept.drop_found == pytest.approx(0.055)
    assert (kept.drop, kept.p_value, kept.p_adjusted, kept.reason) == (None, None, None, "")
    assert kept.backgrounds[0].evaluation == Share(0, 0)
    assert published(120, 110, 200).reason == (
        "the drop of 5.0 points from grass (60.0 %) to snow (55.0 %) is not above 5 points"
    )
    # As shares in floating point these differ by more than 0.05.
    assert 13 / 20 - 12 / 20 > 0.05
    assert not published(13, 12, 20).kept
    assert published(13, 1, 19).reason == "fewer than two backgrounds have 20 photos: grass 19, snow 19"


def test_the_published_rule_has_nothing_to_report_but_what_it_chose_by() -> None:
    found = find(judged({key: (units, []) for key, (units, _) in clear("bear").items()}), PUBLISHED)
    assert (found.easy, found.hard, found.drop) == (None, None, None)
    assert found.drop_found == pytest.approx(0.65)


def test_photographers_are_units_where_they_are_to_be() -> None:
    cells: dict[Cell, tuple[Units, Units]] = {
        ("bear", "grass"): (single(25, 30), single(25, 30)),
        ("bear", "snow"): (single(5, 30), single(5, 30)),
    }
    table = judged(cells)
    # Two people before each background, and what they took came out the same.
    table["photographer"] = [
        f"{a} {b} {c}" for a, b, c in zip(table["background"], table["half"], table["correct"], strict=True)
    ]
    assert only(table).kept
    assert (only(table, replace(RULE, split_by="photographer")).p_value or 0) > 0.3


def test_a_background_without_photos_is_never_of_a_pair() -> None:
    cells: dict[Cell, tuple[Units, Units]] = {
        ("bear", "grass"): (single(25, 30), single(25, 30)),
        ("bear", "snow"): (single(5, 30), []),
        ("bear", "water"): ([], single(5, 30)),
    }
    assert only(judged(cells), replace(RULE, min_cell=0)).easy == ""


def test_importing_the_statistics_needs_no_torch() -> None:
    modules = "halves, pairs, simulation, splits"
    program = f"import sys; from spurbench.builder import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_class_is_no_error() -> None:
    found = find(judged(clear("bear")).iloc[:0])
    assert (found.classes, found.kept, found.drop) == ((), (), None)
