"""Tracks, ties with the best, ranks across tables: each number again from counts and predictions, by plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spurbench.board import Board, BoardRow, make_board, track_of
from spurbench.calibration import auroc, calibration_error, score
from spurbench.files import digest
from spurbench.record import GROUPS, Record, array_hash, predictions_name
from spurbench.render.markdown import to_markdown
from spurbench.stats import Outcomes, tied_with_best, worst_group

SIZES = (300, 150, 100, 250)
GROUP = np.repeat(np.arange(4), SIZES).astype(np.int16)
SEEDS, RULES = 3, ("worst_group", "average")
Arrays = Mapping[str, NDArray[np.int16]]
Some = tuple[list[Record], dict[str, Arrays]]


def made(method: str, skill: float, key: int, **changes: Any) -> tuple[Record, Arrays]:
    """A record of random predictions: each example right with probability `skill`, less in group 2; and its arrays."""
    random = np.random.default_rng(key)
    share = np.where(GROUP == 2, skill - 0.2, skill)
    arrays = {GROUPS: GROUP}
    seeds = []
    for seed in range(SEEDS):
        chosen = {}
        candidates = []
        for i, rule in enumerate(RULES):
            right = random.random(len(GROUP)) < share
            y = GROUP // 2
            classes = np.where(right, y, 1 - y).astype(np.int16)
            arrays[predictions_name(seed, rule)] = classes
            counts = [int(right[group == GROUP].sum()) for group in range(4)]
            candidates.append([i, 0, [1, 1, 1, 1], counts])
            logits = random.random((len(GROUP), 2))
            logits[np.arange(len(GROUP)), classes] += 1
            chosen[rule] = {
                "candidate": i,
                "test": counts,
                "predictions": array_hash(classes),
                "scores": score(logits, y, classes).model_dump(),
                "parameters": 10 * seed + i,
            }
        seeds.append(
            {
                "seed": seed,
                "status": "ok",
                "selection_total": [2, 2, 2, 2],
                "test_total": list(SIZES),
                "configs": [{"C": 1.0}, {"C": 2.0}],
                "candidates": candidates,
                "selected": chosen,
            }
        )
    document = {
        "rules": "v1",
        "dataset": "birds",
        "backbone": "RN50",
        "method": method,
        "key": digest({}),
        "key_parts": {},
        "title": method,
        "paper": "",
        "supervision": [],
        "trains": "linear head",
        "refit": False,
        "prompts": "",
        "classes": ["landbird", "waterbird"],
        "attributes": ["land", "water"],
        "train_total": [70, 5, 5, 20],
        "budget": {"seeds": SEEDS, "configurations": 2},
        "confidence": 0.95,
        "test_groups": array_hash(GROUP),
        "times": {
            "updated": "2026-01-01T00:00:00+00:00",
            "seconds": {"0": 1.0, "1": 2.0, "2": 6.0},
            "peak_memory": {"0": 10**9, "1": 2 * 10**9, "2": 10**9},
        },
        "seeds": seeds,
    }
    return Record.model_validate({**document, **changes}), arrays


def board(some: Sequence[tuple[Record, Arrays]], selection: Any = "worst_group") -> Board:
    known = {id(record): arrays for record, arrays in some}
    return make_board([record for record, _ in some], selection, lambda record: known.get(id(record)))


def field() -> list[tuple[Record, Arrays]]:
    """Three methods told nothing, two of them alike; and two of other tracks."""
    skills: list[tuple[str, float, list[str]]] = [("good", 0.85, []), ("alike", 0.84, []), ("poor", 0.4, [])]
    told = [("groups", 0.8, ["train_groups", "attribute_text"]), ("text", 0.7, ["attribute_text"])]
    return [made(name, skill, i, supervision=words) for i, (name, skill, words) in enumerate([*skills, *told])]


def outcomes(record: Record, arrays: Arrays, selection: str = "worst_group") -> Outcomes:
    """Which predictions are right, example by example."""
    groups = arrays[GROUPS].tolist()
    right = [
        [int(k) == group // 2 for k, group in zip(arrays[predictions_name(seed, selection)], groups, strict=True)]
        for seed in range(len(record.seeds))
    ]
    return Outcomes(np.array(right), np.array(groups))


def test_the_word_that_tells_most_decides_the_track() -> None:
    assert track_of([]) == track_of(["val_labels"]) == "none"
    assert track_of(["attribute_text", "val_labels"]) == "attribute text"
    assert track_of(["val_groups", "attribute_text"]) == "val groups"
    for words in itertools.permutations(["attribute_text", "train_groups", "val_groups"]):
        assert track_of(words) == "train groups"


def test_ranks_begin_anew_in_every_track_and_tracks_stand_in_order() -> None:
    rows = board(field()).rows
    assert [(row.track, row.rank) for row in rows] == [
        ("none", 1), ("none", 2), ("none", 3), ("attribute text", 1), ("train groups", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("selection", RULES)
def test_intervals_and_ties_are_those_of_the_predictions(selection: str) -> None:
    some = field()
    rows = {row.method: row for row in board(some, selection).rows}
    known = {record.method: outcomes(record, arrays, selection) for record, arrays in some}
    for method, row in rows.items():
        assert row.worst == worst_group(known[method], 0.95)
        assert row.wga is not None
        assert row.worst is not None
        assert row.worst.estimate == pytest.approx(row.wga.mean, abs=1e-12)
    inside = sorted((row for row in rows.values() if row.track == "none"), key=lambda row: row.rank or 0)
    found = tied_with_best([known[row.method] for row in inside], 0.95)
    assert inside[0].standing is None
    for row, standing in zip(inside[1:], found[1:], strict=True):
        assert row.standing is not None
        assert row.standing.best == inside[0].method
        assert standing.difference is not None
        assert (row.standing.adjusted, row.standing.tied) == (standing.adjusted, standing.tied)
        # The board says how far behind the best, `stats` how far before the other.
        assert row.standing.difference.difference == -standing.difference.difference
        assert (row.standing.difference.low, row.standing.difference.high) == (
            -standing.difference.high, -standing.difference.low,
        )  # fmt: skip
    assert rows["alike"].leads
    assert rows["good"].leads
    assert not rows["poor"].leads
    # Alone in their tracks, they lead and are compared with nobody.
    assert rows["text"].standing is rows["groups"].standing is None


def test_what_a_row_says_of_scores_cost_and_oracle_is_in_the_record() -> None:
    (record, arrays), *_ = some = field()
    row = next(row for row in board(some).rows if row.method == record.method)
    scores = [result.selected["worst_group"].scores for result in record.seeds]
    assert row.calibration_error is not None
    assert row.calibration_error.mean == pytest.approx(np.mean([calibration_error(s) for s in scores if s]))
    assert row.auroc is not None
    totals = [int((arrays[GROUPS] // 2 == k).sum()) for k in (0, 1)]
    assert row.auroc.mean == pytest.approx(np.mean([auroc(s, totals) or 0 for s in scores if s]))
    best = [
        max(min(c / n for c, n in zip(x.test or [], SIZES, strict=True)) for x in r.candidates) for r in record.done
    ]
    assert row.oracle is not None
    assert row.oracle.mean == pytest.approx(np.mean(best))
    assert (row.parameters, row.seconds, row.seconds_per_seed, row.peak_memory) == (20, 9.0, 3.0, 2 * 10**9)


def test_without_predictions_ranks_stay_and_nothing_is_said_of_ties() -> None:
    known, unknown = board(field()), make_board([record for record, _ in field()])
    assert [(row.method, row.rank) for row in known.rows] == [(row.method, row.rank) for row in unknown.rows]
    assert all(row.worst is None and row.standing is None for row in unknown.rows)


def test_other_test_examples_are_not_compared() -> None:
    (good, arrays), (alike, others), *_ = field()
    moved = {name: array[::-1].copy() for name, array in others.items()}
    alike = alike.model_copy(update={"test_groups": array_hash(moved[GROUPS])})
    rows = {row.method: row for row in board([(good, arrays), (alike, moved)]).rows}
    assert rows["alike"].standing is None
    assert rows["alike"].worst is not None


def relabelled(record: Record, arrays: Arrays, order: Sequence[int]) -> tuple[Record, Arrays]:
    """The same with classes and values named and numbered otherwise: group g is then `order.index(g)`."""
    swap_y, swap_a = order[0] // 2 == 1, order[0] % 2 == 1
    new = np.array([list(order).index(g) for g in range(4)])

    def counts(values: Sequence[int]) -> list[int]:
        return [values[g] for g in order]

    seeds = []
    for result in record.seeds:
        chosen = {
            rule: s.model_copy(update={"test": counts(s.test), "scores": None}) for rule, s in result.selected.items()
        }
        tried = [candidate._replace(test=counts(candidate.test or [])) for candidate in result.candidates]
        own: dict[str, Any] = {"test_total": counts(result.test_total), "selected": chosen, "candidates": tried}
        seeds.append(result.model_copy(update=own))
    changes: dict[str, Any] = {
        "classes": record.classes[::-1] if swap_y else record.classes,
        "attributes": record.attributes[::-1] if swap_a else record.attributes,
        "train_total": counts(record.train_total),
        "seeds": seeds,
    }
    moved = {name: (1 - array if swap_y else array).astype(np.int16) for name, array in arrays.items()}
    moved[GROUPS] = new[arrays[GROUPS]].astype(np.int16)
    return record.model_copy(update=changes), moved


@settings(max_examples=12, deadline=None)
@given(st.permutations(range(5)), st.sampled_from([(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)]))
def test_neither_the_order_of_records_nor_names_of_groups_matter(order: list[int], groups: Sequence[int]) -> None:
    some = field()
    first = board(some)
    again = board([relabelled(*some[i], groups) for i in order])
    for one, other in zip(first.rows, again.rows, strict=True):
        assert (one.method, one.rank, one.track, one.leads) == (other.method, other.rank, other.track, other.leads)
        assert {g.group: (g.correct, g.total) for g in one.groups} == {
            g.group: (g.correct, g.total) for g in other.groups
        }
        for name in ("wga", "acc_test", "acc_train_weighted", "balanced", "gap", "oracle"):
            assert getattr(one, name).mean == pytest.approx(getattr(other, name).mean, abs=1e-12)
        assert one.worst is not None
        assert other.worst is not None
        assert (one.worst.low, one.worst.high) == pytest.approx((other.worst.low, other.worst.high), abs=1e-9)


def tables(skills: Mapping[str, Sequence[float]], **changes: Any) -> list[tuple[Record, Arrays]]:
    """Records of methods on as many tables as each has skills; the rest is missing."""
    names = [("birds", "RN50"), ("birds", "ViT-B/16"), ("faces", "RN50"), ("cars", "RN50")]
    return [
        made(method, skill, 100 * m + t, dataset=names[t][0], backbone=names[t][1], **changes)
        for m, (method, some) in enumerate(skills.items())
        for t, skill in enumerate(some)
    ]


def mean_ranks(rows: Sequence[BoardRow], methods: Sequence[str]) -> dict[str, float]:
    """By counting: 1 plus the better ones, plus half the equal ones; over tables."""
    found: dict[str, list[float]] = {}
    for where in {row.where for row in rows}:
        inside = {row.method: row.wga.mean for row in rows if row.where == where and row.wga and row.method in methods}
        for method, mine in inside.items():
            better = sum(other > mine for other in inside.values())
            equal = sum(other == mine for other in inside.values()) - 1
            found.setdefault(method, []).append(1 + better + equal / 2)
    return {method: float(np.mean(ranks)) for method, ranks in found.items()}


def test_mean_ranks_are_over_the_tables_that_all_have() -> None:
    skills = {"a": [0.9, 0.8, 0.9, 0.7], "b": [0.8, 0.9, 0.7, 0.9], "c": [0.5, 0.4, 0.6, 0.5], "late": [0.99, 0.99]}
    made_of = board(tables(skills))
    (ranking,) = made_of.rankings
    assert (ranking.track, len(ranking.tables)) == ("none", 4)
    assert ranking.incomplete == (("late", 2),)
    expected = mean_ranks(made_of.rows, ["a", "b", "c"])
    assert dict(zip(ranking.methods, ranking.mean_ranks, strict=True)) == pytest.approx(expected)
    assert list(ranking.mean_ranks) == sorted(ranking.mean_ranks)
    for low, mean, high in zip(ranking.low, ranking.mean_ranks, ranking.high, strict=True):
        assert 1 <= low <= mean <= high <= 3
    assert {place for group in ranking.groups for place in group} <= set(range(3))
    text = to_markdown(made_of)
    assert "Not in every table: late 2/4." in text
    assert "| c " in text.split("## Across")[1].split("##")[0]


def test_one_table_or_one_method_is_no_ranking_and_tracks_are_apart() -> None:
    assert board(field()).rankings == ()
    assert board(tables({"a": [0.9, 0.8, 0.7]})).rankings == ()
    some = tables({"a": [0.9] * 3, "b": [0.8] * 3}) + tables(
        {"t": [0.7] * 3, "u": [0.6] * 3}, supervision=["val_groups"]
    )
    assert [(ranking.track, set(ranking.methods)) for ranking in board(some).rankings] == [
        ("none", {"a", "b"}),
        ("val groups", {"t", "u"}),
    ]


def test_the_summary_names_who_leads_and_who_is_not_told_from_them() -> None:
    some = field()
    made_of = board(some)
    first, *_ = made_of.rows
    lines = to_markdown(made_of).splitlines()
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert cells[0] == "birds · RN50"
    assert cells[1].startswith(f"**{first.method}** {100 * (first.wga.mean if first.wga else 0):.1f}")
    assert cells[1].endswith("≈ " + ("alike" if first.method == "good" else "good"))
    bold = [line for line in lines if line.startswith("|") and "**" in line]
    assert any("**alike**" in line for line in bold)
    assert not any("**poor**" in line for line in bold)


def test_rules_of_selection_stand_side_by_side_with_the_oracle() -> None:
    some = field()
    text = to_markdown(board(some), others=[board(some, "average")])
    table = text.split("by selection rule")[1].split("</details>")[0]
    by = {rule: {row.method: row for row in board(some, rule).rows} for rule in RULES}
    for method, row in by["worst_group"].items():
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {method} "))
        other = by["average"][method]
        assert row.wga is not None
        assert other.wga is not None
        assert row.oracle is not None
        assert [cell.strip() for cell in line.strip("|").split("|")][1:] == [
            f"{100 * row.wga.mean:.1f} ({row.rank})",
            f"{100 * other.wga.mean:.1f} ({other.rank})",
            f"{100 * row.oracle.mean:.1f}",
        ]


def test_found_words_are_explained_where_a_board_has_rules_with_them() -> None:
    told = {"rules": "v1+attributes=suspects@0123abcd", "supervision": ["attribute_text", "val_labels"]}
    plain, found = made("erm", 0.8, 1), made("orth_cal", 0.8, 2, **told)
    assert [row.track for row in board([found]).rows] == ["attribute text"]
    explained = "- rules **+attributes=suspects@...**: methods are not told the data set's own words for the attribute"
    assert explained in to_markdown(board([plain, found]))
    assert "+attributes=" not in to_markdown(board([plain]))


def test_a_method_that_is_fitted_again_has_no_oracle() -> None:
    record, arrays = made("again", 0.8, 7, refit=True)
    (row,) = board([(record, arrays)]).rows
    assert row.oracle is None
    assert replace(row, standing=None).leads
