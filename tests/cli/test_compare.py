"""`spurbench compare`: what is printed, in each form, for methods, folders and commits; and how it exits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spurbench.cli.compare import Form, compare
from spurbench.errors import SpurbenchError, UnknownNameError
from spurbench.record import Record

if TYPE_CHECKING:
    from conftest import Spurbench

Write = Callable[..., Record]
ROWS = np.repeat(np.arange(4), (30, 20, 20, 30))
RIGHT = {share: np.random.default_rng(0).random((3, len(ROWS))) < share for share in (0.5, 0.7, 0.9)}


@pytest.fixture
def results(tmp_path: Path, write_outcomes: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`weak` in eight tables, and `strong` in all of them but one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for dataset in ("birds", "faces", "cars", "cats"):
        for backbone in ("RN50", "ViT-B/16"):
            write_outcomes(tmp_path / "results", "weak", RIGHT[0.5], ROWS, dataset=dataset, backbone=backbone)
            if (dataset, backbone) != ("cats", "RN50"):
                write_outcomes(tmp_path / "results", "strong", RIGHT[0.9], ROWS, dataset=dataset, backbone=backbone)
    return tmp_path / "results"


@pytest.fixture
def compared(results: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command as typer does, and return what it prints."""

    def call(a: str, b: str, **options: Any) -> str:
        compare(a, b, **options)
        return capsys.readouterr().out

    return call


def test_two_methods_in_every_form(compared: Callable[..., str]) -> None:
    found: dict[str, Any] = json.loads(compared("weak", "strong", as_json=True))
    assert (found["a"], found["b"], found["selection"]) == ("weak", "strong", "worst_group")
    why = {(pair["dataset"], pair["backbone"]): pair["why_not"] for pair in found["pairs"]}
    assert why.pop(("cats", "RN50")) == "no record of strong that can be read"
    assert set(why.values()) == {""}
    worst = [one for one in found["across"] if one["measure"] == "wga"]
    assert [(one["tables"], one["better"], one["p"]) for one in worst] == [(7, 7, pytest.approx(2 / 2**7))]
    first = found["pairs"][0]["measures"][0]
    shown = [f"{100 * first[name]:.1f}" for name in ("a", "b")] + [f"{100 * first['difference']:+.1f}"]
    document = compared("weak", "strong", form=Form.md)
    for form in (compared("weak", "strong"), document):
        assert all(number in form for number in shown)
        assert "cats · RN50 · v1" in form
        assert "no record of strong that can be read" in form
    assert document.startswith("**A = weak, B = strong, selected by worst_group: 7 of 8 tables compared;")


def test_a_part_of_the_tables(compared: Callable[..., str]) -> None:
    found = json.loads(compared("weak", "strong", datasets="!c*", backbones="RN50", as_json=True))
    assert [(pair["dataset"], pair["backbone"]) for pair in found["pairs"]] == [("birds", "RN50"), ("faces", "RN50")]
    assert found["across"][0]["p"] is None
    assert "with fewer than 6" in found["across"][0]["why_not"]
    with pytest.raises(UnknownNameError, match=r"did you mean birds\?"):
        compared("weak", "strong", datasets="bird")


def test_two_folders_and_two_commits_say_the_same(
    compared: Callable[..., str], results: Path, write_outcomes: Write
) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=results.parent, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("add", "results")
    git("commit", "-m", "before")
    git("switch", "-c", "change")
    assert "nothing changed: 15 records are the same" in compared("main", "change")
    shutil.copytree(results, results.parent / "old")
    write_outcomes(results, "weak", RIGHT[0.9] | RIGHT[0.7], ROWS, dataset="birds")
    write_outcomes(results, "weak", np.ones_like(RIGHT[0.9]), ROWS, dataset="cars")
    git("commit", "-am", "after")
    forms = [
        json.loads(compared(*sides, as_json=True))
        for sides in (("main", "change"), ("old", "results"), ("commit:main", "folder:results"))
    ]
    names = [(form.pop("a").split(" ")[0], form.pop("b").split(" ")[0]) for form in forms]
    assert names == [("main", "change"), ("old", "results"), ("main", "results")]
    assert forms[0] == forms[1] == forms[2]
    assert [one["cell"][1] for one in forms[0]["changed"]] == ["birds", "cars"]
    cars = [(one["method"], one["a"], one["b"]) for one in forms[0]["ranks"] if one["dataset"] == "cars"]
    assert cars == [("weak", 2, 1), ("strong", 1, 2)]
    document = compared("main", "change", form=Form.md)
    assert document.startswith("**Records: 2 changed, 13 the same;")
    assert re.search(r"^\| cars · RN50 · v1 +\| none +\| weak +\| +2 \| +1 \|$", document, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("sides", "more", "status", "message"),
    [
        (("weak", "weak"), {}, 2, "'weak' is compared with itself"),
        (("weak", "absent"), {}, 2, "'absent' is no method of the folder results, no folder, and no commit"),
        (("weak", "results"), {}, 2, "compare two methods (METHOD@FOLDER is one of another folder), or"),
        (("weak", "strong"), {"as_json": True, "form": Form.md}, 2, "--json and --format md are two forms; choose one"),
        (("folder:empty", "folder:empty"), {}, 1, "neither empty nor empty holds a record"),
        (("weak", "strong"), {"results": Path("nowhere")}, 2, "'weak' is no method of the folder nowhere"),
    ],
)
def test_wrong_calls(sides: tuple[str, str], more: dict[str, Any], status: int, message: str, results: Path) -> None:
    (results.parent / "empty").mkdir()
    with pytest.raises(SpurbenchError) as error:
        compare(*sides, **more)
    assert error.value.exit_status == status
    assert message in str(error.value)


def test_a_broken_record_is_named_and_left_out_or_an_error(spurbench: Spurbench, results: Path) -> None:
    path = results / "v1" / "birds" / "RN50" / "weak.json"
    path.write_text(path.read_text()[:100])
    run = spurbench("compare", "weak", "strong", "--datasets", "birds", "--json")
    assert run.returncode == 0
    assert "left out: " in run.stderr
    assert "weak.json" in run.stderr
    assert json.loads(run.stdout)["pairs"][0]["why_not"] == "no record of weak that can be read"
    assert spurbench("compare", "weak", "strong", "--strict").returncode == 1


def test_a_method_of_another_folder(compared: Callable[..., str], results: Path, write_outcomes: Write) -> None:
    write_outcomes(results.parent / "mine", "weak", RIGHT[0.7], ROWS, dataset="birds")
    found = json.loads(compared("weak", "weak@mine", datasets="birds", backbones="RN50", as_json=True))
    assert (found["a"], found["b"]) == ("weak (results)", "weak (mine)")
    (pair,) = found["pairs"]
    assert pair["measures"][1]["difference"] == pytest.approx(RIGHT[0.7].mean() - RIGHT[0.5].mean())


def test_records_of_another_version_are_told_of_in_a_line(spurbench: Spurbench, results: Path) -> None:
    for path in results.rglob("weak.json"):
        path.write_text(path.read_text().replace('"schema_version": 4', '"schema_version": 2'))
    run = spurbench("compare", "weak", "strong")
    (line,) = [line for line in run.stderr.splitlines() if "left out" in line]
    assert "8 files with the same fault, the first: results/v1/birds/RN50/weak.json was written by another" in line


@pytest.mark.parametrize(("width", "broken"), [("60", True), ("200", False)])
def test_a_record_stands_in_a_line_where_that_fits_and_between_rules_where_not(
    width: str, broken: bool, compared: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = compared("weak", "strong", datasets="birds")
    assert ("│ birds · RN50 · v1 " in text) != broken
    assert ("├" in text) == broken
    assert max(map(len, text.splitlines()[:9])) <= int(width)
