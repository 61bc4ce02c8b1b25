"""Comparisons: numbers as brute force has them, tests as the statistics give them, and nothing dropped in silence."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.comparison import (
    Measure,
    MethodComparison,
    MethodOf,
    Results,
    ResultsComparison,
    by_fault,
    compare_methods,
    compare_results,
    read_results,
)
from spurbench.comparison.across import across
from spurbench.comparison.measure import adjust
from spurbench.planted.record import PlantedRecord
from spurbench.record import Record
from spurbench.render.comparison import method_summary, method_tables, rank_tables, record_tables, results_summary
from spurbench.render.comparison_markdown import MOST, to_markdown
from spurbench.stats import Difference, Outcomes, compare_accuracy, compare_worst

Write = Callable[..., Record]
SIZES = (40, 30, 20, 50)
ROWS = np.repeat(np.arange(4), SIZES)


def outcomes(random: np.random.Generator, shares: Sequence[float], seeds: int = 3) -> Any:
    """(seeds, n) of which the given share of each group is right, on average."""
    return random.random((seeds, len(ROWS))) < np.asarray(shares)[ROWS]


def worst(right: Any) -> float:
    """Mean over seeds of the least of the groups' accuracies, from the definition."""
    return float(sum(min(sum(row[g == ROWS]) / SIZES[g] for g in range(4)) for row in right) / len(right))


def compared(folder: Path, a: str = "a", b: str = "b", selection: Any = "worst_group") -> MethodComparison:
    every = read_results(folder, "results")
    return compare_methods(MethodOf(a, every), MethodOf(b, every), selection)


def test_each_tables_numbers_are_those_of_the_definition_and_of_the_paired_tests(
    write_outcomes: Write, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    right = {}
    for backbone in ("RN50", "ViT-B/16", "ViT-L/14"):
        for method, shares in {"a": (0.9, 0.5, 0.6, 0.9), "b": (0.9, 0.8, 0.7, 0.8)}.items():
            right[backbone, method] = outcomes(random, shares)
            write_outcomes(tmp_path, method, right[backbone, method], ROWS, backbone=backbone)
    found = compared(tmp_path)
    assert [pair.backbone for pair in found.pairs] == ["RN50", "ViT-B/16", "ViT-L/14"]
    raw: dict[str, list[float]] = {"wga": [], "acc_test": []}
    for pair in found.pairs:
        a, b = (right[pair.backbone, method] for method in "ab")
        one, other = Outcomes(a, ROWS), Outcomes(b, ROWS)
        assert (pair.seeds, pair.why_not, pair.notes) == ((3, 3, 3), "", ())
        assert [measure.name for measure in pair.measures] == ["wga", "acc_test"]
        expected = ((worst(a), worst(b), compare_worst(other, one)), (a.mean(), b.mean(), compare_accuracy(other, one)))
        for measure, (of_a, of_b, test) in zip(pair.measures, expected, strict=True):
            assert measure.a == pytest.approx(of_a)
            assert measure.b == pytest.approx(of_b)
            assert measure.difference == pytest.approx(of_b - of_a)
            assert measure.test == test
            assert measure.test is not None
            assert measure.test.difference == pytest.approx(measure.difference)
            raw[measure.name].append(measure.test.p)
    for place, name in enumerate(raw):
        order = sorted(range(3), key=lambda i: raw[name][i])
        stepped = [min(1.0, (3 - place) * raw[name][i]) for place, i in enumerate(order)]
        for i, p in zip(order, itertools.accumulate(stepped, max), strict=True):
            assert found.pairs[i].measures[place].adjusted == pytest.approx(p)


def test_asking_the_other_way_round_turns_every_sign(write_outcomes: Write, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for method, shares in {"a": (0.9, 0.5, 0.6, 0.9), "b": (0.9, 0.6, 0.7, 0.8)}.items():
        write_outcomes(tmp_path, method, outcomes(random, shares), ROWS)
    there, back = compared(tmp_path), compared(tmp_path, "b", "a")
    for one, other in zip(there.pairs[0].measures, back.pairs[0].measures, strict=True):
        assert one.test is not None
        assert other.test is not None
        assert (one.a, one.b, one.difference) == (other.b, other.a, -other.difference)
        assert one.test.low == pytest.approx(-other.test.high)
        assert one.test.high == pytest.approx(-other.test.low)
        assert one.test.p == pytest.approx(other.test.p)
    assert there.across[0].mean == -back.across[0].mean


def test_the_seeds_that_both_have_are_compared(write_outcomes: Write, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    a, b = (outcomes(random, (0.9, 0.5, 0.6, 0.9), seeds) for seeds in (5, 3))
    write_outcomes(tmp_path, "a", a, ROWS)
    write_outcomes(tmp_path, "b", b, ROWS)
    (pair,) = compared(tmp_path).pairs
    assert pair.seeds == (5, 3, 3)
    assert next(method_tables(compared(tmp_path))).rows[0][1] == "3 of 5 and 3"
    assert pair.measures[0].a == pytest.approx(worst(a[:3]))
    assert pair.measures[0].test == compare_worst(Outcomes(b, ROWS), Outcomes(a[:3], ROWS))


def test_each_selection_rule_compares_its_own_choices(write_outcomes: Write, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    good, bad = (outcomes(random, [share] * 4) for share in (0.9, 0.5))
    write_outcomes(tmp_path, "a", {"worst_group": good, "average": bad}, ROWS)
    write_outcomes(tmp_path, "b", {"worst_group": bad, "average": bad}, ROWS)
    assert compared(tmp_path).pairs[0].measures[0].difference == pytest.approx(worst(bad) - worst(good))
    assert compared(tmp_path, selection="average").pairs[0].measures[0].difference == 0
    (pair,) = compared(tmp_path, selection="worst_class").pairs
    assert (pair.measures, pair.why_not) == ((), "a has nothing selected by worst_class")


def fail(folder: Path, write: Write) -> None:
    record = write(folder, "b", outcomes(np.random.default_rng(4), [0.8] * 4), ROWS)
    seeds = [*record.seeds[:2], {"seed": 2, "status": "failed", "failure": {"message": "out of memory"}}]
    path = folder / "v1" / "birds" / "RN50" / "b.json"
    path.write_text(Record.model_validate({**record.model_dump(), "seeds": seeds}).model_dump_json())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder, write: None, "no record of b that can be read"),
        (fail, "b is incomplete: 2 of 3 seeds"),
        (
            lambda folder, write: write(folder, "b", outcomes(np.random.default_rng(4), [0.8] * 4), ROWS[::-1]),
            "the test examples, or their groups, are not the same",
        ),
        (
            lambda folder, write: write(
                folder, "b", outcomes(np.random.default_rng(4), [0.8] * 4), ROWS, key_parts={"data": "other"}
            ),
            "the data had another fingerprint",
        ),
        (
            lambda folder, write: write(
                folder, "b", outcomes(np.random.default_rng(4), [0.8] * 4), ROWS, prompts="imagenet80"
            ),
            "other prompts: photo and imagenet80",
        ),
    ],
)
def test_a_table_that_cannot_be_compared_says_why(
    spoil: Callable[..., None], why: str, write_outcomes: Write, tmp_path: Path
) -> None:
    right = outcomes(np.random.default_rng(5), [0.7] * 4)
    write_outcomes(tmp_path, "a", right, ROWS, prompts="photo")
    spoil(tmp_path, write_outcomes)
    for method in "ab":
        write_outcomes(tmp_path, method, right, ROWS, backbone="ViT-B/16")
    found = compared(tmp_path)
    assert (found.pairs[0].measures, found.pairs[0].why_not, found.pairs[0].seeds) == ((), why, (0, 0, 0))
    assert [one.tables for one in found.across] == [1, 1], "what is not compared is in no mean"
    remarks = list(method_tables(found))[-1]
    assert ("birds · RN50 · v1", why) in remarks.rows


def test_without_predictions_there_are_differences_and_no_tests(write_outcomes: Write, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    a, b = (outcomes(random, [share] * 4) for share in (0.7, 0.8))
    write_outcomes(tmp_path, "a", a, ROWS)
    write_outcomes(tmp_path, "b", b, ROWS)
    (tmp_path / "v1" / "birds" / "RN50" / "a.npz").unlink()
    (pair,) = compared(tmp_path).pairs
    assert pair.why_not == "not tested: predictions of A are missing, or are not those of the counts"
    assert [measure.test for measure in pair.measures] == [None, None]
    assert pair.measures[0].difference == pytest.approx(worst(b) - worst(a))


def test_what_a_reader_should_know_is_said(write_outcomes: Write, tmp_path: Path) -> None:
    right = outcomes(np.random.default_rng(7), [0.7] * 4)
    write_outcomes(tmp_path, "a", right, ROWS)
    write_outcomes(tmp_path, "b", right, ROWS, supervision=["val_groups"], budget={"seeds": 3, "configurations": 2})
    (pair,) = compared(tmp_path).pairs
    assert pair.notes == (
        "not told as much: A none, B val groups",
        "not the same budget: A may try 8 configurations a seed, B 2",
    )


def test_easy_and_hard_photos_are_compared_by_what_ranks_them(easy_hard_record: Callable[..., Record]) -> None:
    a = easy_hard_record([9, 4, 8, 6], [10, 10, 10, 20], method="a")
    b = easy_hard_record([9, 5, 8, 8], [10, 10, 10, 20], method="b")
    both = Results("results", (a, b))
    (pair,) = compare_methods(MethodOf("a", both), MethodOf("b", both), "worst_group").pairs
    assert [measure.name for measure in pair.measures] == ["hard", "acc_test"]
    assert pair.measures[0].a == pytest.approx((4 / 10 + 6 / 20) / 2)
    assert pair.measures[0].difference == pytest.approx((5 / 10 + 8 / 20) / 2 - (4 / 10 + 6 / 20) / 2)


def of_differences(values: Sequence[float]) -> list[Measure]:
    return [Measure("wga", 0.5, 0.5 + value, value) for value in values]


def exact_p(differences: Sequence[float]) -> float:
    """Two-sided p-value of the signed-rank sum, over all 2^n assignments of signs; no ties among the differences."""
    ranks = {value: place for place, value in enumerate(sorted(map(abs, differences)), 1)}
    n, total = len(differences), sum(ranks.values())
    seen = sum(ranks[abs(value)] for value in differences if value > 0)
    sums = [sum(rank for rank, up in zip(ranks.values(), signs, strict=True) if up)
            for signs in itertools.product((0, 1), repeat=n)]  # fmt: skip
    extreme = sum(abs(2 * one - total) >= abs(2 * seen - total) for one in sums)
    return float(extreme / 2**n)


@given(st.lists(st.integers(1, 999), min_size=6, max_size=9, unique=True), st.data())
def test_over_tables_the_test_is_exact(sizes: list[int], data: st.DataObject) -> None:
    signs = data.draw(st.lists(st.sampled_from((-1, 1)), min_size=len(sizes), max_size=len(sizes)))
    values = [sign * size / 1000 for sign, size in zip(signs, sizes, strict=True)]
    found = across("v1", of_differences(values), 0.95)
    assert found.p == pytest.approx(exact_p(values), abs=1e-12)
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert (found.tables, found.better, found.worse) == (len(values), signs.count(1), signs.count(-1))


def test_too_few_tables_are_said_to_be_too_few() -> None:
    """The least that five differences of one sign can give is 2 / 2^5 = 0.0625; six give 0.03125."""
    five = across("v1", of_differences([0.1, 0.2, 0.3, 0.4, 0.5, 0.0]), 0.95)
    assert five.p is None
    assert "5 of 6 tables differ; with fewer than 6" in five.why_not
    six = across("v1", of_differences([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 0.95)
    assert six.p == pytest.approx(2 / 2**6)
    assert six.why_not == ""
    assert across("v1", of_differences([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 0.99).p is None


def test_each_measure_has_a_family_of_tests_of_its_own() -> None:
    def tested(name: Any, p: float) -> Measure:
        return Measure(name, 0.5, 0.6, 0.1, Difference(0.1, 0.0, 0.2, p, 0.05, 0.14))

    found = adjust([(tested("wga", 0.02), tested("acc_test", 0.5)), (replace(tested("wga", 0.9), test=None),),
                    (tested("wga", 0.03),)])  # fmt: skip
    assert [[one.adjusted for one in some] for some in found] == [[0.04, 0.5], [None], [0.04]]


RIGHT = {name: outcomes(np.random.default_rng(10), [share] * 4) for name, share in {"low": 0.5, "high": 0.9}.items()}


@pytest.fixture
def before(write_outcomes: Write, tmp_path: Path) -> Path:
    """Two methods, the better one `high`, in two tables."""
    for backbone in ("RN50", "ViT-B/16"):
        for method, right in RIGHT.items():
            write_outcomes(tmp_path / "before", method, right, ROWS, backbone=backbone)
    return tmp_path / "before"


def results(a: Path, b: Path) -> ResultsComparison:
    return compare_results(read_results(a, "a"), read_results(b, "b"), "worst_group")


def test_the_same_results_have_not_changed_and_say_so(before: Path) -> None:
    found = results(before, before)
    assert (found.added, found.removed, found.changed, found.rekeyed, found.unchanged) == ((), (), (), (), 4)
    assert (found.ranks, found.bests) == ((), ())
    assert results_summary(found) == "nothing changed: 4 records are the same"


def test_every_kind_of_change_is_told_apart(before: Path, write_outcomes: Write, tmp_path: Path) -> None:
    after = tmp_path / "after"
    better = outcomes(np.random.default_rng(11), [0.95] * 4)
    write_outcomes(after, "low", better, ROWS)
    write_outcomes(after, "high", RIGHT["high"], ROWS, key_parts={"method": "rewritten"})
    write_outcomes(after, "low", RIGHT["low"], ROWS, backbone="ViT-B/16", times={"updated": "later", "seconds": {}})
    write_outcomes(after, "new", RIGHT["low"], ROWS, backbone="ViT-B/16")
    found = results(before, after)
    assert found.added == (("v1", "birds", "ViT-B/16", "new"),)
    assert found.removed == (("v1", "birds", "ViT-B/16", "high"),)
    assert found.rekeyed == (("v1", "birds", "RN50", "high"),)
    assert found.unchanged == 1, "when it was made is no number"
    (changed,) = found.changed
    assert (changed.cell, changed.fields, changed.seeds) == (("v1", "birds", "RN50", "low"), ("seeds",), (3, 3, 3))
    assert changed.measures[0].difference == pytest.approx(worst(better) - worst(RIGHT["low"]))
    assert changed.measures[0].test == compare_worst(Outcomes(better, ROWS), Outcomes(RIGHT["low"], ROWS))
    assert [(one.backbone, one.method, one.a, one.b) for one in found.ranks] == [
        ("RN50", "low", 2, 1),
        ("RN50", "high", 1, 2),
        ("ViT-B/16", "new", None, 1),
    ]
    assert [(one.backbone, one.track, one.a, one.b) for one in found.bests] == [("RN50", "none", ("high",), ("low",))]
    assert results_summary(found) == (
        "records: 1 changed, 1 in B alone, 1 in A alone, 1 with another key and the same numbers, 1 the same; "
        "3 rank changes; another best, or others not told from it, in 1 track"
    )


def test_back_again_every_change_is_reversed(before: Path, write_outcomes: Write, tmp_path: Path) -> None:
    after = tmp_path / "after"
    write_outcomes(after, "low", RIGHT["high"], ROWS)
    write_outcomes(after, "high", RIGHT["low"], ROWS)
    write_outcomes(after, "new", RIGHT["low"], ROWS)
    there, back = results(before, after), results(after, before)
    assert (there.added, there.removed) == (back.removed, back.added)
    swapped = {("low", 2, 1), ("high", 1, 2)}
    assert {(one.method, one.a, one.b) for one in there.ranks} == swapped | {("new", None, 2)}
    assert {(one.method, one.b, one.a) for one in back.ranks} == swapped
    assert [(one.a, one.b) for one in there.bests] == [(one.b, one.a) for one in back.bests]


def test_a_change_of_track_or_tier_is_a_change(before: Path, write_outcomes: Write, tmp_path: Path) -> None:
    after = tmp_path / "after"
    for backbone in ("RN50", "ViT-B/16"):
        write_outcomes(after, "low", RIGHT["low"], ROWS, backbone=backbone)
        told = ["val_groups"] if backbone == "RN50" else []
        write_outcomes(after, "high", RIGHT["high"], ROWS, backbone=backbone, supervision=told, tier="reproduced")
    found = results(before, after)
    assert [one.fields for one in found.changed] == [("supervision", "tier"), ("tier",)]
    assert all(one.measures[0].difference == 0 for one in found.changed)
    assert found.bests == ()
    assert [(one.backbone, one.track, one.method, one.a, one.b) for one in found.ranks] == [
        ("RN50", "none", "high", 1, None),
        ("RN50", "val groups", "high", None, 1),
    ]


def test_who_comes_or_goes_moves_nobody_elses_rank(before: Path, write_outcomes: Write, tmp_path: Path) -> None:
    after, best = tmp_path / "after", outcomes(np.random.default_rng(13), [0.99] * 4)
    shutil.copytree(before, after)
    write_outcomes(after, "first", best, ROWS)
    came, gone = results(before, after), results(after, before)
    assert [(one.method, one.a, one.b) for one in came.ranks] == [("first", None, 1)]
    assert (came.bests, gone.ranks, gone.bests, gone.apart) == ((), (), (), "")
    assert (came.added, gone.removed) == ((("v1", "birds", "RN50", "first"),),) * 2


def test_who_is_told_from_the_best_is_a_change_although_no_rank_is(
    before: Path, write_outcomes: Write, tmp_path: Path
) -> None:
    after = tmp_path / "after"
    shutil.copytree(before, after)
    near = RIGHT["high"].copy()
    near[0, np.flatnonzero(near[0])[:2]] = False
    write_outcomes(after, "low", near, ROWS)
    found = results(before, after)
    assert found.ranks == ()
    (change,) = found.bests
    assert (change.a, change.b, change.tied_a, change.tied_b) == (("high",), ("high",), (), ("low",))
    table = next(table for table in rank_tables(found))
    assert table.rows == (("birds · RN50 · v1", "none", "high", "high, ≈ low"),)
    (after / "v1" / "birds" / "RN50" / "low.npz").unlink()
    assert results(before, after).bests == (), "without predictions nobody knows"


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({"rules": "quick"}, "A has rules v1, B quick"),
        ({"dataset": "cars"}, "A has data sets birds, B cars"),
        ({"backbone": "RN101"}, "A has backbones RN50, ViT-B/16, B RN101"),
    ],
)
def test_results_that_share_no_table_say_what_each_has(
    changes: dict[str, str], apart: str, before: Path, write_outcomes: Write, tmp_path: Path
) -> None:
    write_outcomes(tmp_path / "after", "low", RIGHT["low"], ROWS, **changes)
    found = results(before, tmp_path / "after")
    assert (found.apart, found.ranks, found.bests) == (apart, (), ())
    assert results_summary(found) == f"nothing in common: {apart}"
    assert not [*record_tables(found), *rank_tables(found)]


def test_results_without_a_record_leave_the_others_listed(before: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = results(tmp_path / "empty", before)
    assert results_summary(found) == "nothing in common: A has no record that can be read, B has records"
    (table,) = record_tables(found)
    assert table.rows == (("birds · RN50 · v1", "high, low"), ("birds · ViT-B/16 · v1", "high, low"))


def test_a_method_is_compared_with_one_of_other_results(before: Path, write_outcomes: Write, tmp_path: Path) -> None:
    other = tmp_path / "other"
    mine = write_outcomes(other, "mine", outcomes(np.random.default_rng(14), [0.8] * 4), ROWS)
    write_outcomes(other, "mine", RIGHT["low"][:, ::-1], ROWS[::-1], backbone="ViT-B/16")
    one, another = read_results(before, "before"), read_results(other, "other")
    found = compare_methods(MethodOf("low", one), MethodOf("mine", another), "worst_group")
    assert (found.a, found.b) == ("low (before)", "mine (other)")
    first, second = found.pairs
    right = np.stack([another.arrays_of(mine)[f"{seed}.worst_group"] == ROWS // 2 for seed in range(3)])  # type: ignore[index]
    assert first.measures[0].test == compare_worst(Outcomes(right, ROWS), Outcomes(RIGHT["low"], ROWS))
    assert (second.measures, second.why_not) == ((), "the test examples, or their groups, are not the same")
    assert [len(table.rows) for table in method_tables(found) if table.caption.startswith("Over all")] == []
    assert "on average" not in method_summary(found)


def test_files_with_the_same_fault_are_told_of_once() -> None:
    old = "was written by another version of this program: its schema_version is 2, this one reads 4"
    messages = [f"results/v1/a/b/m{i}.json {old}" for i in range(3)]
    other = "results/v1/a/b/x.json is empty; restore it"
    assert by_fault([messages[0], other, *messages[1:]]) == [
        f"3 files with the same fault, the first: {messages[0]}",
        other,
    ]


def test_seeds_that_both_have_are_compared_and_counted(before: Path, write_outcomes: Write, tmp_path: Path) -> None:
    after = tmp_path / "after"
    more = np.concatenate([RIGHT["low"][:2], outcomes(np.random.default_rng(12), [0.6] * 4, 3)])
    write_outcomes(after, "low", more, ROWS, budget={"seeds": 3, "configurations": 8})
    (changed,) = results(before, after).changed
    assert changed.seeds == (3, 5, 3)
    assert changed.measures[0].difference == pytest.approx(worst(more[:3]) - worst(RIGHT["low"]))


def test_another_traceback_of_the_same_failure_is_no_change() -> None:
    def failed(message: str, traceback: str) -> dict[str, Any]:
        return {"seed": 0, "status": "failed", "failure": {"message": message, "traceback": traceback}}

    def both(one: Mapping[str, Any], other: Mapping[str, Any], make: Any) -> ResultsComparison:
        return compare_results(Results("a", (make(one),)), Results("b", (make(other),)), "worst_group")

    def make(seed: Mapping[str, Any]) -> Record:
        fields = {
            "rules": "v1", "dataset": "d", "backbone": "b", "method": "m", "key_parts": {}, "title": "", "paper": "",
            "key": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "supervision": [],
            "trains": "", "refit": False, "prompts": "", "classes": ["x", "y"], "attributes": ["u", "v"],
            "train_total": [1, 1, 1, 1], "budget": {"seeds": 1, "configurations": 1}, "confidence": 0.95,
            "test_groups": "", "times": {"updated": "", "seconds": {}}, "seeds": [seed],
        }  # fmt: skip
        return Record.model_validate(fields)

    assert both(failed("no memory", "line 1"), failed("no memory", "line 2"), make).unchanged == 1
    (changed,) = both(failed("no memory", "line 1"), failed("no disk", "line 1"), make).changed
    assert (changed.fields, changed.measures, changed.why_not) == (("seeds",), (), "no seed that both have")


def test_planted_settings_are_compared_too() -> None:
    def setting(dataset: str, regions: int) -> PlantedRecord:
        seed = {
            "seed": 0, "status": "failed", "failure": {"message": "x"}, "regions": regions,
        }  # fmt: skip
        return PlantedRecord.model_validate(
            {
                "base": "digits", "dataset": dataset, "backbone": "RN", "model": "erm_finetune", "label": 0,
                "strength": 0.9, "region_spec": "grid3", "key_parts": {},
                "key": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "classes": ["x", "y"],
                "attributes": ["u", "v"], "train_total": [1, 1, 1, 1], "test_total": [1, 1, 1, 1], "seeds": [seed],
                "times": {"updated": "", "seconds": {}},
            }
        )  # fmt: skip

    a = Results("a", (), (setting("same", 1), setting("other", 1), setting("gone", 1)))
    b = Results("b", (), (setting("same", 1), setting("other", 2)))
    found = compare_results(a, b, "worst_group")
    assert found.changed_planted == (("planted", "other", "RN", "erm_finetune"),)
    assert found.removed == (("planted", "gone", "RN", "erm_finetune"),)
    assert found.unchanged == 1


def test_files_that_cannot_be_read_are_counted_where_the_result_is_summed_up(before: Path, tmp_path: Path) -> None:
    after = tmp_path / "after"
    shutil.copytree(before, after)
    (after / "v1" / "birds" / "RN50" / "low.json").write_text("{")
    found = results(before, after)
    assert found.removed == (("v1", "birds", "RN50", "low"),)
    assert results_summary(found).endswith("1 file of B cannot be read and counts as missing")


NASTY = "<script>alert(1)</script> a|b `c` **d** [e](f) <!--\n# g \u202e\x1b[31m"


def test_no_name_is_markdown_or_html(write_outcomes: Write, tmp_path: Path) -> None:
    write_outcomes(tmp_path / "a", "mine", RIGHT["low"], ROWS, dataset=NASTY)
    write_outcomes(tmp_path / "b", "mine", RIGHT["high"], ROWS, dataset=NASTY)
    write_outcomes(tmp_path / "b", NASTY, RIGHT["low"], ROWS, dataset=NASTY)
    for text in (
        to_markdown(results(tmp_path / "a", tmp_path / "b")),
        to_markdown(compared(tmp_path / "b", "mine", NASTY)),
    ):
        assert "alert(1)" in text
        for bare in ("<script", "<!--", "a|b", "`c`", "**d**", "[e](f)", "\n# g", "\x1b"):
            assert bare not in text, bare


def test_a_comment_begins_with_what_it_comes_to_and_stays_short(write_outcomes: Write, tmp_path: Path) -> None:
    for i in range(MOST + 5):
        write_outcomes(tmp_path / "b", f"method{i:03}", RIGHT["low"], ROWS)
    write_outcomes(tmp_path / "a", "first", RIGHT["low"], ROWS)
    text = to_markdown(results(tmp_path / "a", tmp_path / "b"))
    assert text.startswith("**Records: 65 in B alone, 1 in A alone, 0 the same; 65 rank changes** (A = a, B = b")
    assert text.index("Ranks, of") < text.index("<details>")
    assert "... and 5 more" in text
    assert "method064" not in text.split("Ranks, of")[1].split("<details>")[0]
