"""Any number on the page is computed again from the record files alone, by loops written from the definitions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from spurbench.record import record_path
from spurbench.render.site.text import command, count, memory, seconds, wilson
from spurbench.stats import Outcomes, rank_methods, tied_with_best, worst_group

from .made import RULES, TOTAL, TRACKS, made, page_of
from .reading import data_of, markup, raw

CLOSE = 6e-6
"""Half of the last of five decimals, and a little."""
Where = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def page(small_page: Path) -> str:
    return small_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(page: str) -> dict[str, Any]:
    return data_of(page)


@pytest.fixture(scope="module")
def files(small: Path) -> dict[Where, dict[str, Any]]:
    return raw(small)


def where(story: dict[str, Any]) -> Where:
    return story["rules"], story["dataset"], story["backbone"], story["method"]


def shown(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Where]]:
    """Every row of every selection rule, with what it is of."""
    for rule, rows in data["rows"].items():
        for row in rows:
            yield rule, row, where(data["records"][row["record"]])


def outcomes(results: Path, key: Where, rule: str, seeds: int = 3) -> Outcomes:
    """Which test examples are right, from the predictions beside a record."""
    with np.load(record_path(results, *key).with_suffix(".npz")) as arrays:
        groups = arrays["group"]
        right = np.stack([arrays[f"{seed}.{rule}"] == groups // 2 for seed in range(seeds)])
    return Outcomes(right, groups)


def test_every_record_is_shown_under_every_rule(data: dict[str, Any], files: dict[Where, dict[str, Any]]) -> None:
    assert {where(story) for story in data["records"]} == set(files)
    assert list(data["rows"]) == list(RULES)
    for rows in data["rows"].values():
        assert sorted(row["record"] for row in rows) == list(range(len(files)))


def test_accuracies_are_those_of_the_counts(data: dict[str, Any], files: dict[Where, dict[str, Any]]) -> None:
    for rule, row, key in shown(data):
        file = files[key]
        per_seed = [[c / n for c, n in zip(s["selected"][rule]["test"], TOTAL, strict=True)] for s in file["seeds"]]
        overall = [sum(s["selected"][rule]["test"]) / sum(TOTAL) for s in file["seeds"]]
        train = file["train_total"]
        expected = {
            "wga": [min(groups) for groups in per_seed],
            "score": [min(groups) for groups in per_seed],
            "acc_test": overall,
            "balanced": [sum(groups) / 4 for groups in per_seed],
            "gap": [share - min(groups) for share, groups in zip(overall, per_seed, strict=True)],
            "acc_train_weighted": [
                sum(share * n for share, n in zip(groups, train, strict=True)) / sum(train) for groups in per_seed
            ],
            "oracle": [
                max(min(c / n for c, n in zip(candidate[3], TOTAL, strict=True)) for candidate in s["candidates"])
                for s in file["seeds"]
            ],
        }
        for name, values in expected.items():
            half = scipy_stats.t.ppf(0.975, 2) * statistics.stdev(values) / math.sqrt(3)
            mean = statistics.fmean(values)
            assert row[name] == pytest.approx([mean, statistics.stdev(values), mean - half, mean + half], abs=CLOSE)


def test_groups_have_the_counts_of_all_seeds_and_wilsons_interval_of_one(
    data: dict[str, Any], files: dict[Where, dict[str, Any]]
) -> None:
    z = scipy_stats.norm.ppf(0.975)
    for rule, row, key in shown(data):
        counts = [s["selected"][rule]["test"] for s in files[key]["seeds"]]
        for place, (name, correct, total, low, high) in enumerate(row["groups"]):
            label, attribute = divmod(place, 2)
            assert name == f"{files[key]['classes'][label]}/{files[key]['attributes'][attribute]}"
            assert correct == sum(count[place] for count in counts)
            assert total == 3 * TOTAL[place]
            for bound in (low, high):
                # A bound is a chance from which the share is z of its own deviations away.
                away = abs(correct / total - bound) / math.sqrt(bound * (1 - bound) / TOTAL[place])
                assert away == pytest.approx(z, abs=2e-3)
            assert low < correct / total < high


def test_the_worst_group_and_ties_are_those_of_the_predictions(data: dict[str, Any], small: Path) -> None:
    tables: dict[tuple[str, ...], list[tuple[dict[str, Any], Where]]] = {}
    for rule, row, key in shown(data):
        found = worst_group(outcomes(small, key, rule), 0.95)
        assert row["worst"] == pytest.approx(
            {name: getattr(found, name) for name in ("estimate", "bias", "corrected", "low", "high")}, abs=CLOSE
        )
        track = data["records"][row["record"]]["track"]
        tables.setdefault((rule, *key[:3], track), []).append((row, key))
    for (rule, *_), rows in tables.items():
        ranked = sorted(rows, key=lambda pair: (-pair[0]["wga"][0], pair[1]))
        scores = [row["wga"][0] for row, _ in ranked]
        assert [row["rank"] for row, _ in ranked] == [1 + sum(other > mine for other in scores) for mine in scores]
        best, *others = tied_with_best([outcomes(small, key, rule) for _, key in ranked], 0.95)
        assert best.difference is None
        assert ranked[0][0]["standing"] is None
        assert ranked[0][0]["leads"]
        for (row, _), standing in zip(ranked[1:], others, strict=True):
            assert standing.difference is not None
            assert row["standing"]["best"] == ranked[0][1][3]
            assert row["standing"]["tied"] == standing.tied
            assert row["leads"] == (standing.tied or row["rank"] == 1)
            assert row["standing"]["p"] == pytest.approx(standing.adjusted, abs=CLOSE)
            # The board says how far behind the best, `stats` how far the best is ahead.
            ahead = standing.difference
            expected = {"difference": -ahead.difference, "low": -ahead.high, "high": -ahead.low}
            for name, value in {**expected, "detectable": ahead.detectable}.items():
                assert row["standing"][name] == pytest.approx(value, abs=CLOSE)


def test_ranks_over_tables_are_those_of_the_scores(data: dict[str, Any]) -> None:
    for rule, rankings in data["rankings"].items():
        assert [ranking["track"] for ranking in rankings] == ["none", "attribute text", "val groups", "train groups"]
        for ranking in rankings:
            scores: dict[str, dict[tuple[str, str], float]] = {}
            for row in data["rows"][rule]:
                story = data["records"][row["record"]]
                if story["track"] == ranking["track"]:
                    scores.setdefault(story["method"], {})[story["dataset"], story["backbone"]] = row["wga"][0]
            tables = sorted(next(iter(scores.values())))
            assert ranking["tables"] == len(tables) == 4
            assert ranking["datasets"] == 2
            matrix = np.array([[scores[method][table] for method in ranking["methods"]] for table in tables])
            found = rank_methods(matrix, [dataset for dataset, _ in tables])
            better = [[sum(row > mine) + (sum(row == mine) + 1) / 2 for mine in row] for row in matrix]
            by_hand = [statistics.fmean(ranks) for ranks in zip(*better, strict=True)]
            assert ranking["mean"] == pytest.approx(by_hand)
            assert ranking["mean"] == sorted(ranking["mean"])
            assert ranking["low"] == pytest.approx(found.low, abs=CLOSE)
            assert ranking["high"] == pytest.approx(found.high, abs=CLOSE)
            assert ranking["critical"] == (None if found.nemenyi is None else pytest.approx(found.nemenyi, abs=CLOSE))


def test_configurations_are_told_with_their_best_on_validation(
    data: dict[str, Any], files: dict[Where, dict[str, Any]]
) -> None:
    for story in data["records"]:
        for told, seed in zip(story["seeds"], files[where(story)]["seeds"], strict=True):
            assert len(told["configs"]) == len(seed["configs"])
            for place, (text, snapshots, best, error) in enumerate(told["configs"]):
                tried = [candidate[2] for candidate in seed["candidates"] if candidate[0] == place]
                assert text == ", ".join(f"{name} = {value}" for name, value in seed["configs"][place].items())
                assert (snapshots, error) == (len(tried), "")
                classes = [[(c[0] + c[1]) / 60, (c[2] + c[3]) / 60] for c in tried]
                expected = [max(min(c) / 30 for c in tried), max(map(min, classes)), max(sum(c) / 120 for c in tried)]
                assert best == pytest.approx(expected, abs=6e-5)
            assert told["chosen"] == {rule: [seed["selected"][rule]["candidate"], 0] for rule in RULES}


def test_costs_and_provenance_are_the_records_own(data: dict[str, Any], files: dict[Where, dict[str, Any]]) -> None:
    for rule, row, key in shown(data):
        file, story = files[key], data["records"][row["record"]]
        assert row["parameters"] == max(s["selected"][rule]["parameters"] for s in file["seeds"])
        assert row["seconds"] == pytest.approx(statistics.fmean(file["times"]["seconds"].values()), abs=1e-3)
        assert row["memory"] == max(file["times"]["peak_memory"].values())
        assert (row["seeds"], row["configs"], row["candidates"]) == (3, 8, 8)
        assert story["key"] == file["key"]
        assert set(story["key_parts"]) == set(file["key_parts"])
        assert story["updated"] == file["times"]["updated"]
        assert story["environments"] == [[[0, 1, 2], file["seeds"][0]["environment"]]]
        assert [told["seconds"] for told in story["seeds"]] == list(file["times"]["seconds"].values())


def test_the_tables_for_those_without_scripts_say_the_same(
    page: str, data: dict[str, Any], files: dict[Where, dict[str, Any]]
) -> None:
    tables = [table for table in markup(page).tables if table and table[0][:2] == ["#", "method"]]
    assert len(tables) == 4
    lines = [line for table in tables for line in table[1:] if len(line) > 1]
    rows = data["rows"]["worst_group"]
    assert len(lines) == len(rows) == len(files)
    for line, row in zip(lines, rows, strict=True):
        story = data["records"][row["record"]]
        wga, deviation = row["wga"][:2]
        assert line[0].rstrip("★≈") == str(row["rank"])
        assert ("★" in line[0], "≈" in line[0]) == (row["rank"] == 1, row["leads"] and row["rank"] > 1)
        assert line[1] == story["method"]
        assert line[2] == f"{100 * wga:.1f} ± {100 * deviation:.1f}"
        assert line[3] == f"{100 * row['worst']['low']:.1f} to {100 * row['worst']['high']:.1f}"
        assert line[4] == f"{100 * row['acc_test'][0]:.1f}"
        assert line[5] == f"{100 * row['gap'][0]:.1f}"
        assert line[6] == min(row["groups"], key=lambda group: group[1] / group[2])[0]
        assert line[7:9] == ["3", "8"]


def test_the_best_of_each_track_stands_on_top(page: str, data: dict[str, Any]) -> None:
    short = next(table for table in markup(page).tables if table[0][0] == "data set, backbone")
    assert len(short) == 1 + 4
    found = [cell.split() for line in short[1:] for cell in line[1:]]
    best = [row for row in data["rows"]["worst_group"] if row["rank"] == 1]
    assert [(cell[0], cell[1]) for cell in found] == [
        (data["records"][row["record"]]["method"], f"{100 * row['wga'][0]:.1f}") for row in best
    ]


def test_effective_robustness_is_how_far_above_the_line_of_supervised_models(tmp_path: Path) -> None:
    results = tmp_path / "results"
    named = {"dataset": "counteranimal", "prompts": "synset", "attributes": ["easy", "hard"], "supervision": TRACKS[0]}
    record = made(results, np.random.default_rng(1), "zero_shot", 0, backbone="ViT-B/16:openai", **named)
    data = data_of(page_of(results))
    (told,) = data["robustness"]
    printed = [p for p in told["points"] if not p["own"] and p["family"] == "supervised"]
    slope, intercept = np.polyfit([p["easy"] for p in printed], [p["hard"] for p in printed], 1)
    for point in told["points"]:
        assert point["effective"] == pytest.approx(point["hard"] - slope * point["easy"] - intercept, abs=1e-3)
    own = [p for p in told["points"] if p["own"]]
    counts = [seed.selected["worst_group"].test for seed in record.seeds]
    easy = statistics.fmean((c[0] / TOTAL[0] + c[2] / TOTAL[2]) / 2 for c in counts)
    hard = statistics.fmean((c[1] / TOTAL[1] + c[3] / TOTAL[3]) / 2 for c in counts)
    assert [(p["easy"], p["hard"]) for p in own] == [pytest.approx((100 * easy, 100 * hard), abs=1e-3)]
    (row,) = data["rows"]["worst_group"]
    cell = row["easy_hard"]
    assert [cell[name][0] for name in ("easy", "hard", "drop")] == pytest.approx([easy, hard, easy - hard], abs=CLOSE)
    half = 1.959964 * statistics.fmean(
        math.sqrt(sum(c / n * (1 - c / n) / n for c, n in zip(count, TOTAL, strict=True))) / 2 for count in counts
    )
    assert (cell["drop_low"], cell["drop_high"]) == pytest.approx((easy - hard - half, easy - hard + half), abs=CLOSE)


@pytest.mark.parametrize(("correct", "total"), [(0, 5), (5, 5), (3, 40), (171, 180)])
def test_wilsons_interval_is_scipys(correct: int, total: int) -> None:
    expected = scipy_stats.binomtest(correct, total).proportion_ci(0.9, method="wilson")
    assert wilson(correct, total, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        ("v1", "--rules v1"),
        ("quick+configs=4", "--rules quick --configs 4"),
        ("v1+prompts=imagenet80", "--rules v1 --prompts imagenet80"),
        ("v1+configs=2+prompts=a b", "--rules v1 --configs 2 --prompts 'a b'"),
        ("v1+attributes=suspects@0123abcd", "--rules v1 --attributes SUSPECTS.json"),
        (
            "quick+configs=2+prompts=a+b+attributes=suspects@0123abcd",
            "--rules quick --configs 2 --prompts a+b --attributes SUSPECTS.json",
        ),
        ("v1+prompts=x+attributes=mine", "--rules v1 --prompts x+attributes=mine"),
    ],
)
def test_the_command_says_what_the_rules_name_says(tmp_path: Path, rules: str, options: str) -> None:
    named = {"rules": rules, "dataset": "my photos", "backbone": "ViT-B/16:openai"}
    record = made(tmp_path, np.random.default_rng(0), "group_dro+george", 0, **named)
    start = "spurbench run --datasets 'my photos' --backbones ViT-B/16:openai --methods group_dro+george "
    named_by_hash = "  # SUSPECTS.json: the report whose sha256 begins with 0123abcd"
    remark = named_by_hash if "--attributes " in options else ""
    assert command(record) == f"{start}{options} --results again{remark}"


def test_more_seeds_than_the_rules_ask_for_are_asked_for(tmp_path: Path) -> None:
    assert command(made(tmp_path, np.random.default_rng(0), "erm", 0, seeds=5)).endswith(
        "--rules v1 --seeds 5 --results again"
    )


def test_numbers_are_written_in_units_that_suit_them() -> None:
    assert [count(n) for n in (None, 0, 258, 1486, 999_950, 86_192_640, 2_000_000_000)] == [
        "-", "0", "258", "1.49k", "1M", "86.2M", "2G",
    ]  # fmt: skip
    assert [seconds(s) for s in (None, 0.0123, 1.25, 43.21, 90.0, 7200.0)] == [
        "-", "0.012 s", "1.2 s", "43 s", "1.5 min", "2.0 h",
    ]  # fmt: skip
    assert [memory(n) for n in (None, 620_802_048, 2**30)] == ["-", "592 MiB", "1.0 GiB"]
