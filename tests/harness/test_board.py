"""The board: ranks, which seeds are shown, numbers equal to brute force over counts, and text that nothing runs."""

from __future__ import annotations

import io
import itertools
import random
import re
import statistics
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console

from spurbench.board import Board, BoardRow, make_board
from spurbench.files import digest
from spurbench.record import Record
from spurbench.render.markdown import to_markdown
from spurbench.render.terminal import print_board

TOTAL = [10, 10, 10, 10]
TRAIN = [70, 5, 5, 20]
PARTS = {"protocol": 1}


def ok(seed: int, test: Sequence[int], total: Sequence[int] = TOTAL, **others: Sequence[int]) -> dict[str, Any]:
    """A seed whose selection rules chose candidates with the counts given; `worst_group` unless named otherwise."""
    chosen = {"worst_group": test, **others}
    return {
        "seed": seed,
        "status": "ok",
        "selection_total": list(TOTAL),
        "test_total": list(total),
        "configs": [{"C": float(i)} for i in range(len(chosen))],
        "candidates": [[i, 0, [1, 1, 1, 1], list(counts)] for i, counts in enumerate(chosen.values())],
        "selected": {
            rule: {"candidate": i, "test": list(counts), "predictions": ""}
            for i, (rule, counts) in enumerate(chosen.items())
        },
    }


def bad(seed: int, message: str = "out of memory") -> dict[str, Any]:
    return {"seed": seed, "status": "failed", "failure": {"message": message}}


def record(method: str, seeds: Sequence[dict[str, Any]], budget: int = 3, **changes: object) -> Record:
    return Record.model_validate(
        {
            "rules": "v1",
            "dataset": "birds",
            "backbone": "ViT-B/16",
            "method": method,
            "key": digest(PARTS),
            "key_parts": PARTS,
            "title": method,
            "paper": "",
            "supervision": [],
            "trains": "linear head",
            "refit": False,
            "prompts": "",
            "classes": ["landbird", "waterbird"],
            "attributes": ["land", "water"],
            "train_total": TRAIN,
            "budget": {"seeds": budget, "configurations": 8},
            "confidence": 0.95,
            "test_groups": "",
            "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {"0": 1.5, "1": 2.0}},
            "seeds": list(seeds),
            **changes,
        }
    )


def even(method: str, worst: int, seeds: int = 3, **changes: Any) -> Record:
    """A method whose every seed has `worst` right in the worst group."""
    return record(method, [ok(seed, [9, worst, 9, 9]) for seed in range(seeds)], **changes)


def rows(*records: Record) -> dict[str, BoardRow]:
    return {row.method: row for row in make_board(records).rows}


def test_equal_means_share_a_rank_and_the_next_one_is_skipped() -> None:
    made = make_board([even("d", 3), even("c", 5), even("b", 5), even("a", 7), even("e", 5)])
    assert [(row.method, row.rank) for row in made.rows] == [("a", 1), ("b", 2), ("c", 2), ("e", 2), ("d", 5)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_a_rank_is_one_more_than_the_number_of_better_methods(worst: list[int]) -> None:
    found = rows(*(even(f"m{i}", value) for i, value in enumerate(worst)))
    for i, value in enumerate(worst):
        assert found[f"m{i}"].rank == 1 + sum(other > value for other in worst)


@pytest.mark.parametrize(
    "seeds",
    [
        [ok(0, [10, 10, 10, 10]), ok(1, [10, 10, 10, 10])],
        [ok(0, [10, 10, 10, 10]), ok(1, [10, 10, 10, 10]), bad(2)],
        [ok(1, [10, 10, 10, 10]), ok(2, [10, 10, 10, 10]), ok(3, [10, 10, 10, 10])],
    ],
)
def test_partial_records_have_no_rank_and_come_last_however_good(seeds: list[dict[str, Any]]) -> None:
    made = make_board([record("partial", seeds), even("zz", 1), even("aa", 2)])
    assert [(row.method, row.rank, row.status) for row in made.rows] == [
        ("aa", 1, "complete"),
        ("zz", 2, "complete"),
        ("partial", None, "partial"),
    ]
    assert made.rows[2].wga is not None
    assert made.rows[2].wga.mean == 1


def test_a_failed_record_is_unranked_last_and_says_why() -> None:
    failed = record("aa", [bad(seed, f"no memory in seed {seed}") for seed in range(3)])
    made = make_board([failed, record("partial", [ok(0, [1, 1, 1, 1])]), even("zz", 1)])
    assert [(row.method, row.status, row.rank) for row in made.rows] == [
        ("zz", "complete", 1),
        ("partial", "partial", None),
        ("aa", "failed", None),
    ]
    last = made.rows[-1]
    assert (last.failure, last.seeds, last.wga, last.groups) == ("no memory in seed 0", 0, None, ())
    assert "- aa failed: no memory in seed 0" in to_markdown(make_board([failed])).splitlines()


def test_a_table_of_failures_alone_is_still_a_table() -> None:
    made = make_board([record("a", [bad(0)])])
    assert "nothing complete" in to_markdown(made)
    assert [row.status for row in made.rows] == ["failed"]


def test_all_methods_of_a_table_are_shown_over_the_seeds_that_every_complete_one_has() -> None:
    many = record("many", [ok(seed, [9, worst, 9, 9]) for seed, worst in enumerate([5, 5, 5, 0, 0])])
    few = even("few", 4)
    partial = record("partial", [ok(0, [9, 9, 9, 9])])
    found = rows(many, few, partial)
    assert {method: row.seeds for method, row in found.items()} == {"many": 3, "few": 3, "partial": 1}
    assert {method: row.rank for method, row in found.items()} == {"many": 1, "few": 2, "partial": None}
    assert found["many"].wga == rows(even("many", 5))["many"].wga
    assert [(group.correct, group.total) for group in found["many"].groups] == [(27, 30), (15, 30), (27, 30), (27, 30)]
    assert found["partial"].seeds_expected == 3
    alone = rows(many)["many"]
    assert (alone.seeds, alone.seeds_expected) == (5, 5)
    assert alone.wga is not None
    assert alone.wga.mean == pytest.approx(0.3)


def test_another_table_does_not_decide_how_many_seeds_are_shown() -> None:
    made = make_board([even("a", 5, seeds=5), even("a", 5, seeds=3, dataset="faces")])
    assert {row.dataset: row.seeds for row in made.rows} == {"birds": 5, "faces": 3}


def test_a_seed_that_is_not_shown_does_not_count_as_a_failure() -> None:
    longer = record("longer", [*(ok(seed, [9, 5, 9, 9]) for seed in range(3)), bad(3)])
    assert rows(longer, even("other", 4))["longer"].failure == ""
    assert rows(longer)["longer"].rank == 1


def test_tables_are_apart_and_ranked_apart() -> None:
    places = [("v1", "birds", "ViT-B/16"), ("v1", "birds", "RN50"), ("v1", "faces", "RN50"), ("quick", "birds", "RN50")]
    records = [
        even(method, worst, rules=rules, dataset=dataset, backbone=backbone)
        for rules, dataset, backbone in places
        for method, worst in (("a", 3), ("b", 4))
    ]
    tables = make_board(records).tables()
    assert [where for where, _ in tables] == sorted(places)
    assert all([(row.method, row.rank) for row in found] == [("b", 1), ("a", 2)] for _, found in tables)


def several() -> list[Record]:
    """Records of every kind, in several tables."""
    return [
        record(
            method,
            [ok(seed, [9, worst - seed, 8, 7]) for seed in range(seeds)] + [bad(seed) for seed in range(seeds, 3)],
            dataset=dataset,
            supervision=words,
        )
        for dataset in ("birds", "faces")
        for method, worst, seeds, words in (
            ("a", 5, 3, []), ("b", 5, 3, ["train_groups"]), ("c", 7, 5, []), ("d", 9, 2, []), ("e", 9, 2, []),
            ("f", 9, 0, []), ("g", 9, 0, []),
        )
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_records_changes_no_byte(seed: int) -> None:
    shuffled = several()
    random.Random(seed).shuffle(shuffled)
    one, other = make_board(several()), make_board(shuffled)
    assert one == other
    assert to_markdown(one) == to_markdown(other)


COUNTS = st.lists(
    st.integers(0, 30).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))), min_size=4, max_size=4
)


@given(COUNTS, st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5), st.data())
def test_every_number_equals_brute_force_over_counts(
    counts: list[tuple[int, int]], shares: list[list[float]], data: st.DataObject
) -> None:
    total = [n for _, n in counts]
    assume(sum(total))
    train = data.draw(st.lists(st.integers(0, 50), min_size=4, max_size=4))
    correct = [[round(share * n) for share, n in zip(each, total, strict=True)] for each in shares]
    seeds = [ok(seed, right, total) for seed, right in enumerate(correct)]
    row = rows(record("a", seeds, budget=len(seeds), train_total=train))["a"]

    present = [g for g in range(4) if total[g]]
    per_seed = [{g: Fraction(right[g], total[g]) for g in present} for right in correct]
    worst = [min(groups.values()) for groups in per_seed]
    share = [Fraction(sum(right), sum(total)) for right in correct]
    balanced = [sum(groups.values()) / len(present) for groups in per_seed]
    weight = sum(train[g] for g in present)
    weighted = [sum(groups[g] * train[g] for g in present) / weight if weight else None for groups in per_seed]
    gap = [a - w for a, w in zip(share, worst, strict=True)]
    for found, expected in (
        (row.wga, worst), (row.acc_test, share), (row.balanced, balanced), (row.gap, gap),
        (row.acc_train_weighted, weighted),
    ):  # fmt: skip
        known = [value for value in expected if value is not None]
        if not known:
            assert found is None
            continue
        assert found is not None
        assert found.mean == pytest.approx(float(sum(known) / len(known)), abs=1e-12)
        if len(known) == 1:
            assert (found.std, found.low, found.high) == (None, None, None)
            continue
        deviation = statistics.stdev([float(value) for value in known])
        assert found.std == pytest.approx(deviation, abs=1e-9)
        assert found.low is not None
        assert found.high is not None
        assert found.low + found.high == pytest.approx(2 * found.mean, abs=1e-9)
    names = ["landbird/land", "landbird/water", "waterbird/land", "waterbird/water"]
    assert [(group.group, group.correct, group.total) for group in row.groups] == [
        (names[g], sum(right[g] for right in correct), total[g] * len(correct)) for g in present
    ]
    for group in row.groups:
        assert group.accuracy == pytest.approx(group.correct / group.total)


def test_the_interval_is_students_over_seeds() -> None:
    """For 40, 50 and 60 %: t(0.975, 2) = 4.302653 (any table), deviation 0.1, so the half-width is 0.2484."""
    row = rows(record("a", [ok(seed, [9, worst, 9, 9]) for seed, worst in enumerate([4, 5, 6])]))["a"]
    assert row.wga is not None
    assert row.wga.std == pytest.approx(0.1)
    assert row.wga.high == pytest.approx(0.5 + 4.302653 * 0.1 / 3**0.5, abs=1e-6)
    assert row.wga.low == pytest.approx(0.5 - 4.302653 * 0.1 / 3**0.5, abs=1e-6)


def test_each_selection_rule_shows_its_own_choice() -> None:
    made = record("a", [ok(seed, [6, 6, 6, 6], average=[10, 2, 10, 10]) for seed in range(3)])
    by = {rule: make_board([made], rule).rows[0] for rule in ("worst_group", "average", "worst_class")}
    means = {rule: row.wga and row.wga.mean for rule, row in by.items()}
    assert means == {"worst_group": pytest.approx(0.6), "average": pytest.approx(0.2), "worst_class": None}
    assert by["worst_class"].rank is None
    assert {row.selection for row in by.values()} == {"worst_group", "average", "worst_class"}


def test_configurations_and_candidates_are_counted_apart() -> None:
    def seed(number: int, tried: Sequence[int]) -> dict[str, Any]:
        """A seed with one candidate for each configuration named."""
        candidates = [[config, i, None, [1, 1, 1, 1]] for i, config in enumerate(tried)]
        configs = [{"C": 1.0}, {"C": 0.1}, {"C": 10.0}]
        return {**ok(number, [1, 1, 1, 1]), "configs": configs, "candidates": candidates}

    row = rows(record("a", [seed(0, [0, 0, 0]), seed(1, [0, 2])], budget=2))["a"]
    assert (row.n_configs, row.n_candidates) == (2, 3)


NASTY = "<script>alert(1)</script> a|b `c` *d* [e](f) <!-- \r\n\n# g\n| h | \x1b[31m\x07 \\"


@pytest.mark.parametrize("field", ["method", "dataset", "backbone", "rules", "failure", "class", "attribute"])
def test_no_name_or_message_is_markdown_html_or_a_control_character(field: str) -> None:
    def document(name: str) -> str:
        changes: dict[str, Any] = {field: name} if field in ("dataset", "backbone", "rules") else {}
        if field == "class":
            changes["classes"] = [name, "other"]
        if field == "attribute":
            changes["attributes"] = [name, "other"]
        method = name if field == "method" else "mine"
        partial = [ok(0, [1, 2, 3, 4]), bad(1, name if field == "failure" else "failed")]
        return to_markdown(make_board([record(method, partial, **changes), even("other", 3, **changes)]))

    text, tame = document(NASTY), document("tame")
    assert "alert" in text
    assert "<script" not in text
    assert "<!--" not in text
    assert not set(text) & set(map(chr, [*range(10), *range(11, 32), 127]))
    assert len(text.splitlines()) == len(tame.splitlines())
    assert [cells(line) for line in text.splitlines()] == [cells(line) for line in tame.splitlines()]
    assert [line[:2] == "# " for line in text.splitlines()] == [line[:2] == "# " for line in tame.splitlines()]
    named = [re.sub(r"\\[^A-Za-z0-9\s]", "", line) for line in text.splitlines() if "alert" in line]
    for line in named:
        assert not set("`*[]<>|\\") & set(line[line.index("alert") : line.index("31m")])


def cells(line: str) -> int:
    """How many cells GitHub sees in a line of a table: a bar after a backslash is text."""
    return len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_the_names_tables_keep_their_shape(dataset: str, failure: str) -> None:
    assume(not any("\ud800" <= c <= "\udfff" for c in dataset + failure))
    made = make_board([record("mine", [ok(0, [1, 2, 3, 4]), bad(1, failure)], dataset=dataset)])
    widths = [
        [cells(line) for line in table]
        for is_table, table in itertools.groupby(to_markdown(made).split("\n"), lambda line: line.startswith("|"))
        if is_table
    ]
    assert [len(table) for table in widths] == [3] * 4
    assert all(len(set(table)) == 1 for table in widths)


def test_the_same_records_give_the_same_bytes() -> None:
    again = [Record.model_validate_json(made.model_dump_json()) for made in several()]
    assert to_markdown(make_board(several())) == to_markdown(make_board(again))


def test_no_records_are_an_empty_board_and_say_so() -> None:
    made = make_board([])
    assert made == Board("worst_group", ())
    assert "No records yet" in to_markdown(made)


def test_in_80_columns_a_long_name_leaves_room_for_numbers() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    told = ["train_groups", "attribute_text"]
    long = "contrastive_yang_vs:spurious_weight=1000.0:variant=as_released"
    print_board(make_board([even(long, 1, supervision=told), even("erm:C=1.0", 1)]), console)
    shown = console.export_text()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "…" not in shown
    assert re.search(r"contrastive_yang_vs +│ +10\.0 │ +- │", shown)
    assert "given train groups:" in shown
    assert ":spurious_weight=1000" in shown
    assert "│ erm:C=1.0" in shown
