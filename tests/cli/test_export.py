"""`spurbench export`: the same numbers in each form, what a file's name says, and wrong calls."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from spurbench.cli.export import Format, Lines, export
from spurbench.cli.show import By
from spurbench.errors import UsageError
from spurbench.record import Record

if TYPE_CHECKING:
    from conftest import Spurbench

ROWS = np.repeat(np.arange(4), (30, 20, 20, 30))


@pytest.fixture
def results(tmp_path: Path, write_outcomes: Callable[..., Record], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for dataset in ("birds", "faces"):
        for method, share in {"erm": 0.6, "dfr": 0.8}.items():
            right = {rule: random.random((3, len(ROWS))) < share for rule in ("worst_group", "average")}
            write_outcomes(tmp_path / "results", method, right, ROWS, dataset=dataset)
    return tmp_path / "results"


@pytest.fixture
def exported(results: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command as typer does, and return what it prints."""

    def call(**options: Any) -> str:
        export(**options)
        return capsys.readouterr().out

    return call


def test_every_form_has_the_same_numbers(exported: Callable[..., str], results: Path) -> None:
    top = results.parent
    for name in ("board.csv", "board.json", "board.parquet", "board.tex"):
        assert exported(out=Path(name)) == f"written: {name} (4 records)\n"
    lines = list(csv.DictReader(io.StringIO((top / "board.csv").read_text())))
    objects = json.loads((top / "board.json").read_text())
    table = pd.read_parquet(top / "board.parquet")
    text = (top / "board.tex").read_text()
    assert [line["method"] for line in lines] == table["method"].tolist() == ["dfr", "erm", "dfr", "erm"]
    for place, (line, made) in enumerate(zip(lines, objects, strict=True)):
        assert float(line["wga"]) == made["wga"] == table["wga"][place]
        assert f"\n{made['method']} & " in text
        assert f"{100 * made['wga']:.1f} $\\pm$ {100 * made['wga_std']:.1f}" in text
        assert f"& {100 * made['wga_low']:.1f} to {100 * made['wga_high']:.1f} &" in text
    assert exported() == (top / "board.csv").read_text()
    assert exported(form=Format.latex) == text


def test_a_part_another_rule_and_other_lines(exported: Callable[..., str]) -> None:
    faces: dict[str, Any] = {"form": Format.json, "datasets": "faces"}
    lines = json.loads(exported(**faces, what=Lines.seeds, selection=By.average))
    assert {(line["dataset"], line["selection"]) for line in lines} == {("faces", "average")}
    assert [(line["method"], line["seed"]) for line in lines] == [(m, s) for m in ("dfr", "erm") for s in range(3)]
    assert len(json.loads(exported(**faces, what=Lines.groups))) == 2 * 3 * 4
    merged = exported(form=Format.latex, merged=True)
    assert merged.count(r"\begin{table}") == 1
    assert "birds & faces" in merged


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"out": Path("a.xlsx")}, "End its name in .csv, .json, .parquet, .tex, or give --format"),
        ({"form": Format.parquet}, "parquet is not text; give --out a file"),
        ({"out": Path("a.tex"), "what": Lines.seeds}, "--what seeds goes with csv, json or parquet"),
        ({"out": Path("a.csv"), "merged": True}, "--merged goes with --format latex"),
        ({"results": Path("absent")}, "there is no results folder absent"),
        ({"backbones": "rn50"}, "unknown backbone of the results 'rn50'; did you mean RN50?"),
        ({"datasets": " , "}, "an empty list of names"),
    ],
)
def test_wrong_calls(call: dict[str, Any], message: str, results: Path) -> None:
    with pytest.raises(UsageError) as error:
        export(**call)
    assert message in str(error.value)
    assert not list(results.parent.glob("a.*"))


def test_a_broken_record_is_named_and_left_out_or_an_error(spurbench: Spurbench, results: Path) -> None:
    path = results / "v1" / "birds" / "RN50" / "erm.json"
    path.write_text("{")
    run = spurbench("export", "--out", "board.csv")
    assert run.returncode == 0
    assert run.stdout == "written: board.csv (3 records)\n"
    assert str(path.relative_to(results)) in run.stderr
    strict = spurbench("export", "--out", "strict.csv", "--strict")
    assert strict.returncode == 1
    assert not (results.parent / "strict.csv").exists()
