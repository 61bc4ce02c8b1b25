"""Results as tables: every number again from the records' JSON alone, stated dtypes, and text that nothing runs."""

from __future__ import annotations

import csv
import doctest
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spurbench
from spurbench import frames
from spurbench.errors import DataError, UsageError
from spurbench.frames import COLUMNS, load_results
from spurbench.record import Record
from spurbench.render.frame_text import to_csv, to_json
from spurbench.stats import Outcomes, worst_group

Write = Callable[..., Record]
SIZES = (20, 10, 8, 30)
ROWS = np.repeat(np.arange(4), SIZES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def results(write_outcomes: Write, tmp_path: Path) -> Path:
    """Records of two tables: complete, with a seed more than others, partial, and failed throughout."""
    folder, random = tmp_path / "results", np.random.default_rng(0)
    for dataset in ("birds", "faces"):
        for method, seeds, told in (("erm", 3, []), ("dfr", 4, ["val_groups"]), ("orth", 3, ["attribute_text"])):
            share = random.uniform(0.4, 0.9, 4)[ROWS]
            by_rule = {rule: random.random((seeds, len(ROWS))) < share for rule in ("worst_group", "average")}
            budget = {"seeds": 3, "configurations": 8}
            write_outcomes(folder, method, by_rule, ROWS, dataset=dataset, supervision=told, budget=budget)
    right = random.random((2, len(ROWS))) < 0.7
    partial = write_outcomes(folder, "partial", right, ROWS, budget={"seeds": 3, "configurations": 8})
    failure = {"seed": 2, "status": "failed", "failure": {"message": "out of memory"}}
    document = {**partial.model_dump(mode="json"), "seeds": [*partial.model_dump(mode="json")["seeds"], failure]}
    (folder / "v1" / "birds" / "RN50" / "partial.json").write_text(json.dumps(document))
    return folder


def documents(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The JSON files, by data set and method."""
    found = (json.loads(path.read_text()) for path in folder.rglob("*.json"))
    return {(document["dataset"], document["method"]): document for document in found}


def accuracies(seed: dict[str, Any], rule: str) -> list[float]:
    return [right / n for right, n in zip(seed["selected"][rule]["test"], seed["test_total"], strict=True)]


@pytest.mark.parametrize("rule", ["worst_group", "average"])
def test_every_seeds_numbers_are_those_of_its_json(rule: Any, results: Path) -> None:
    table = load_results(results, rule, "seeds")
    known = documents(results)
    assert len(table) == sum(len(document["seeds"]) for document in known.values())
    for line in table.to_dict("records"):
        document = known[line["dataset"], line["method"]]
        seed = document["seeds"][line["seed"]]
        if seed["status"] == "failed":
            assert (line["status"], line["failure"], line["shown"]) == ("failed", "out of memory", False)
            assert pd.isna(line["wga"])
            continue
        groups, total = accuracies(seed, rule), sum(seed["test_total"])
        share = sum(seed["selected"][rule]["test"]) / total
        weights = document["train_total"]
        assert line["wga"] == pytest.approx(min(groups))
        assert line["acc_test"] == pytest.approx(share)
        assert line["balanced"] == pytest.approx(sum(groups) / 4)
        assert line["gap"] == pytest.approx(share - min(groups))
        assert line["acc_train_weighted"] == pytest.approx(
            sum(g * w for g, w in zip(groups, weights, strict=True)) / sum(weights)
        )
        chosen = seed["candidates"][seed["selected"][rule]["candidate"]]
        assert json.loads(line["config"]) == seed["configs"][chosen[0]]
        assert line["snapshot"] == chosen[1]
        assert line["shown"] == (line["seed"] < 3)
        assert (line["seconds"] == 1.5) == (line["seed"] == 0)


@pytest.mark.parametrize("rule", ["worst_group", "average"])
def test_every_groups_numbers_are_those_of_its_json(rule: Any, results: Path) -> None:
    table = load_results(results, rule, "groups")
    known = documents(results)
    counted = 0
    for (dataset, method), document in known.items():
        for seed in document["seeds"]:
            if seed["status"] == "failed":
                continue
            lines = table[(table.dataset == dataset) & (table.method == method) & (table.seed == seed["seed"])]
            assert lines["correct"].tolist() == seed["selected"][rule]["test"]
            assert lines["total"].tolist() == seed["test_total"]
            assert lines["accuracy"].tolist() == pytest.approx(accuracies(seed, rule))
            assert list(zip(lines["class"], lines["attribute"], strict=True)) == [
                ("landbird", "land"), ("landbird", "water"), ("waterbird", "land"), ("waterbird", "water"),
            ]  # fmt: skip
            counted += len(lines)
    assert counted == len(table)


@pytest.mark.parametrize("rule", ["worst_group", "average"])
def test_every_rows_means_are_those_of_the_seeds_that_it_shows(rule: Any, results: Path) -> None:
    rows, seeds = load_results(results, rule), load_results(results, rule, "seeds")
    assert len(rows) == len(documents(results))
    for row in rows.to_dict("records"):
        mine = seeds[(seeds.dataset == row["dataset"]) & (seeds.method == row["method"]) & seeds.shown]
        assert len(mine) == row["seeds"]
        for name in ("wga", "acc_test", "acc_train_weighted", "balanced", "gap", "oracle"):
            assert row[name] == pytest.approx(mine[name].mean())
            assert row[f"{name}_std"] == pytest.approx(statistics.stdev(mine[name]))
            assert row[f"{name}_seeds_low"] + row[f"{name}_seeds_high"] == pytest.approx(2 * row[name])
        assert pd.isna(row["rank"]) == (row["method"] == "partial")
        known = documents(results)[row["dataset"], row["method"]]
        if row["method"] == "partial":
            assert pd.isna(row["wga_low"])
            assert pd.isna(row["wga_high"])
            continue
        with np.load(results / "v1" / row["dataset"] / "RN50" / f"{row['method']}.npz") as arrays:
            right = np.stack([arrays[f"{seed}.{rule}"] == ROWS // 2 for seed in range(3)])
        expected = worst_group(Outcomes(right, ROWS), known["confidence"])
        assert (row["wga_low"], row["wga_high"]) == pytest.approx((expected.low, expected.high))
        assert row["wga_corrected"] + row["wga_bias"] == pytest.approx(row["wga"])
        assert (row["wga_error_seeds"], row["wga_error_examples"]) == pytest.approx(
            (expected.error_seeds, expected.error_examples)
        )
    assert rows[rows.method == "partial"][["seeds", "seeds_expected", "failure"]].to_numpy().tolist() == [
        [2, 3, "out of memory"]
    ]


def test_groups_without_test_examples_are_nowhere(write_outcomes: Write, tmp_path: Path) -> None:
    rows = np.repeat([0, 1, 3], 5)
    write_outcomes(tmp_path / "results", "erm", np.ones((1, 15), bool), rows)
    assert load_results(tmp_path / "results", what="groups")["total"].tolist() == [5, 5, 5]


def test_dtypes_are_those_that_are_stated_also_of_an_empty_table(results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for what, columns in COLUMNS.items():
        for folder in (results, tmp_path / "empty"):
            table = load_results(folder, what=what)
            assert list(table.columns) == list(columns)
            for name, dtype in columns.items():
                found = table[name].dtype
                if dtype == "track":
                    assert isinstance(found, pd.CategoricalDtype)
                    assert found.ordered
                    assert list(found.categories) == ["none", "attribute text", "val groups", "train groups"]
                else:
                    assert str(found) == dtype, name
    assert (load_results(results)["track"] >= "val groups").sum() == 2


def test_the_examples_run_as_they_are_written(write_outcomes: Write, tmp_path: Path, monkeypatch: Any) -> None:
    half, three = (np.tile(np.arange(4) < n, 4)[None].repeat(3, axis=0) for n in (2, 3))
    rows = np.repeat(np.arange(4), 4)
    write_outcomes(tmp_path / "results", "erm", half, rows)
    write_outcomes(tmp_path / "results", "group_dro", three, rows, supervision=["train_groups"])
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(frames)
    assert found.attempted >= 6
    assert found.failed == 0
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```pycon\n(.*?)```", readme, flags=re.DOTALL)
    assert "load_results" in example
    found = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        doctest.DocTestParser().get_doctest(example, {}, "README.md", None, None)
    )
    assert found.attempted >= 3
    assert found.failed == 0


def test_a_broken_record_is_warned_of_or_raised(results: Path) -> None:
    (results / "v1" / "birds" / "RN50" / "erm.json").write_text("{")
    with pytest.warns(UserWarning, match=r"left out: .*erm\.json"):
        table = load_results(results)
    assert len(table) == 6
    with pytest.raises(DataError, match=r"erm\.json"):
        load_results(results, strict=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent",), "there is no results folder absent"),
        ((".", "best"), "there is no selection 'best'"),
        ((".", "average", "cells"), "there is no table 'cells' of results; there are rows, seeds, groups"),
    ],
)
def test_wrong_calls_say_what_there_is(arguments: Any, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        load_results(*arguments)


def test_importing_spurbench_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import spurbench; spurbench.__version__;"
        "assert not {'numpy', 'pandas', 'pydantic', 'torch'} & (set(sys.modules) - before);"
        "spurbench.load_results; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'load_result'"):
        spurbench.load_result  # noqa: B018


@pytest.mark.parametrize("what", ["rows", "seeds", "groups"])
def test_csv_json_and_parquet_hold_the_same_unrounded(what: Any, results: Path, tmp_path: Path) -> None:
    table = load_results(results, what=what)
    lines, objects = list(csv.DictReader(io.StringIO(to_csv(table)))), json.loads(to_json(table))
    table.to_parquet(tmp_path / "table.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table)
    assert len(lines) == len(objects) == len(table)
    for place, (line, made) in enumerate(zip(lines, objects, strict=True)):
        assert list(line) == list(made) == list(table.columns)
        for name in table.columns:
            value = table[name].iloc[place]
            if pd.isna(value):
                assert (line[name], made[name]) == ("", None)
            elif isinstance(value, float):
                assert float(line[name]) == made[name] == value
            else:
                assert line[name] == str(made[name]) == str(value)
                assert made[name] == value


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "=cmd|' /C calc'!A0"])
def test_no_text_in_a_csv_is_a_formula(start: str, write_outcomes: Write, tmp_path: Path) -> None:
    hostile = f"{start}1+1"
    names = {"dataset": hostile, "backbone": hostile, "title": hostile, "paper": hostile, "prompts": hostile}
    right = np.ones((1, len(ROWS)), bool)
    write_outcomes(
        tmp_path / "results", hostile, right, ROWS, classes=[hostile, "b"], attributes=[hostile, "v"], **names
    )
    for what, least in (("rows", 6), ("seeds", 3), ("groups", 5)):
        text = to_csv(load_results(tmp_path / "results", what=what))  # type: ignore[arg-type]
        line = next(csv.DictReader(io.StringIO(text, newline="")))
        texts = [value for value in line.values() if not re.fullmatch(r"-?[0-9.]*(e-?[0-9]+)?", value)]
        assert sum("1+1" in value for value in texts) >= least
        assert not [value for value in texts if value[:1] in {"=", "+", "-", "@", "\t", "\r"}]


def test_a_dash_alone_stays_a_dash(write_outcomes: Write, tmp_path: Path) -> None:
    write_outcomes(tmp_path / "results", "erm", np.ones((1, len(ROWS)), bool), ROWS, paper="-", title="--")
    (line,) = csv.DictReader(io.StringIO(to_csv(load_results(tmp_path / "results"))))
    assert (line["paper"], line["title"]) == ("-", "'--")


def test_the_same_records_give_the_same_bytes_wherever_they_lie_and_whatever_was_kept(
    results: Path, tmp_path: Path
) -> None:
    first = {what: to_csv(load_results(results, what=what)) for what in COLUMNS}
    assert {what: to_csv(load_results(results, what=what)) for what in COLUMNS} == first
    shutil.rmtree(tmp_path / "cache")
    for path in sorted(results.rglob("*"), reverse=True):
        if path.is_file():
            target = tmp_path / "other" / path.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    assert {what: to_csv(load_results(tmp_path / "other", what=what)) for what in COLUMNS} == first
