"""`spurbench suspects`: refusals before anything is loaded, what is written and printed, and the real thing."""

from __future__ import annotations

import csv
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from spurbench import __version__
from spurbench.cli.app import app
from spurbench.cli.suspects import suspects as command
from spurbench.errors import DataError, UsageError
from spurbench.record import Record
from spurbench.suspects.looking import Look
from spurbench.suspects.report import SuspectsReport
from spurbench.suspects.separation import MIN_PHOTOS, PERMUTATIONS
from spurbench.suspects.words import Words

if TYPE_CHECKING:
    from conftest import Spurbench

PLUGIN = """
from spurbench.cards import BackboneCard, DatasetCard


class Pixels:
    card = BackboneCard("pixels", "pixels", "none")
    fingerprint = "4 x 4"


class Mosaics:
    card = DatasetCard("mosaics", "Mosaics", ("cat", "dog", "cow"), ("lawn", "sofa"), "none")


class Own:
    card = DatasetCard("own", "Own", ("cat", "dog"), ("lawn",), "none", own_features=True)
"""
WRITTEN = ["index.html", "suspects.csv", "suspects.json"]
Suspects = Callable[..., Result]


@pytest.fixture
def suspects(
    make_study: Callable[..., Any],
    write_outcomes: Callable[..., Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Suspects:
    """Run the command in this process, on scores that need no model; what was asked for is in `asked`.

    The model errs where the first word of the list is, with `--words bound.txt`; with `free.txt`, anywhere.
    """

    def look(session: Any, dataset: str, backbone: str, words: Words, **named: Any) -> Look:
        named.pop("listen")("encoding val photos")
        asked.append((dataset, backbone, named))
        study = make_study(n=160)
        rng = np.random.default_rng(0)
        y, entries = study.examples.y[study.rows], words.entries
        scores = rng.random((len(y), len(entries)))
        wrong = scores[:, 0] > 0.6 if entries[0].word == "water" else rng.random(len(y)) < 0.4
        predicted = np.where(wrong, (y + 1) % 3, y)
        return Look(
            study.card, study.examples, backbone, backbone, "zero-shot", "val", "photo", study.rows, predicted, words,
            ("cat",), (), rng.standard_normal((len(y), 8)), scores, {"data": "d", "backbone": "b"},
        )  # fmt: skip

    def run(*arguments: object, dataset: str = "mosaics") -> Result:
        found = SimpleNamespace(look=look, Look=Look)
        monkeypatch.setitem(sys.modules, "spurbench.suspects.looking", found)
        common = ["suspects", dataset, "--backbone", "pixels", "--plugin", "looking.py", "--cache", "cache"]
        return CliRunner().invoke(app, [str(part) for part in (*common, "--permutations", "499", *arguments)])

    asked: list[Any] = []
    run.asked = asked  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("looking.py").write_text(PLUGIN)
    Path("bound.txt").write_text("water | on water\nland\nfog\n")
    Path("free.txt").write_text("land\nfog\n")
    write_outcomes(tmp_path / "results", "erm", np.ones((2, 8), dtype=bool), np.arange(8) % 4)
    return run


RECORD = "results/v1/birds/RN50/erm.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--words", "absent.txt"), "there is no file absent.txt with words"),
        (("--cell", "absent.json"), "there is no record absent.json"),
        (("--cell", RECORD), "is of data set 'birds', not 'mosaics'"),
        (("--cell", RECORD, "--cell-seed", "7"), "has no result of seed 7; --cell-seed takes 0, 1"),
        (("--cell-seed", "1"), "give the record, --cell RECORD"),
        (
            ("--cell", RECORD, "--split", "train"),
            "seldom errs on photos that it was fitted on; give --split test or val",
        ),
        (("--memory-limit", "much"), "much"),
        (("--out", "looking.py"), "--out names a folder; looking.py is a file"),
        (("--device", "gpu"), "--device must be one of"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_looked_at(
    suspects: Suspects, arguments: tuple[str, ...], message: str
) -> None:
    refused = suspects(*arguments)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)
    assert refused.stdout == ""
    assert suspects.asked == []  # type: ignore[attr-defined]


def test_a_broken_list_or_record_is_refused_by_name(suspects: Suspects) -> None:
    Path("broken.txt").write_text("water | on | water\n")
    Path("broken.json").write_text("{}")
    for arguments, told in (
        (("--words", "broken.txt"), "broken.txt, line 1"),
        (("--cell", "broken.json"), "broken.json"),
    ):
        refused = suspects(*arguments)
        assert isinstance(refused.exception, DataError)
        assert told in str(refused.exception)


@pytest.mark.parametrize(
    ("option", "value"), [("--top", "0"), ("--permutations", "98"), ("--min-photos", "0"), ("--split", "all")]
)
def test_values_that_an_option_does_not_take_are_refused(suspects: Suspects, option: str, value: str) -> None:
    refused = suspects(option, value)
    assert refused.exit_code == 2
    assert f"Invalid value for '{option}'" in refused.stderr


@pytest.mark.parametrize(
    ("dataset", "message"), [("own", "it has no photos"), ("mosaic", "unknown dataset 'mosaic'; did you mean mosaics")]
)
def test_a_data_set_without_photos_or_of_another_name_is_refused(
    suspects: Suspects, dataset: str, message: str
) -> None:
    refused = suspects(dataset=dataset)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)


def test_a_slip_of_the_pen_is_told_without_torch() -> None:
    code = (
        "import sys\nfrom spurbench.cli.app import app\nfrom spurbench.errors import UsageError\n"
        "try:\n    app('suspects waterbirds --backbone RN50 --cell nowhere.json'.split())\n"
        "except UsageError:\n    print(sorted({'torch', 'open_clip', 'jinja2', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_three_files_are_written_and_told(suspects: Suspects, tmp_path: Path) -> None:
    done = suspects("--words", "bound.txt", "--top", "2")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "suspects-mosaics"
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    text = " ".join(done.stdout.split())
    assert "written to suspects-mosaics: index.html, suspects.csv, suspects.json" in text
    assert (
        "spurbench run --attributes suspects-mosaics/suspects.json --methods contrastive_yang,orth_cal,perception_clip "
        "--datasets mosaics --backbones pixels"
    ) in text
    report = SuspectsReport.model_validate_json((folder / "suspects.json").read_text())
    assert [one.word for one in report.chosen] == ["water"]
    assert (len(report.suspects), report.words.n, report.permutations) == (3, 3, 499)
    assert report.provenance.environment["spurbench"] == __version__
    with (folder / "suspects.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["word"] for row in rows[::3]][:1] == ["water"]
    assert len(rows) == 3 * 3
    assert "water" in (folder / "index.html").read_text()


def test_the_words_that_are_handed_on_are_written_however_few_are_shown(suspects: Suspects) -> None:
    names = [f"w{i}" for i in range(12)]
    Path("many.txt").write_text("\n".join(["water", *names]))
    shown = {}
    for top in ("1", "12"):
        shown[top] = suspects("--words", "many.txt", "--top", top, "--out", f"top{top}").stdout
    reports = [SuspectsReport.model_validate_json(Path(f"top{top}/suspects.json").read_text()) for top in shown]
    assert [len(one.suspects) for one in reports] == [8, 12]
    assert reports[0].chosen == reports[1].chosen
    n = reports[0].n_suspects_below_level
    assert (f"and {n - 1} more words" in shown["1"]) == (n > 1)
    assert "more words" not in shown["12"]


def test_nothing_found_is_no_failure(suspects: Suspects) -> None:
    done = suspects("--words", "free.txt")
    assert done.exit_code == 0, done.output
    assert "No word survives: of the 2 that were looked for" in " ".join(done.stdout.split())
    assert "to train with these words" not in done.stdout
    assert sorted(path.name for path in Path("suspects-mosaics").iterdir()) == WRITTEN


def test_json_is_all_that_stdout_has(suspects: Suspects, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = suspects("--words", "bound.txt", "--json")
    assert SuspectsReport.model_validate_json(done.stdout).to_json() == done.stdout
    assert "encoding val photos" in done.stderr
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"cache"}
    again = suspects("--words", "bound.txt", "--json", "--out", "found")
    assert (tmp_path / "found/suspects.json").read_text() == again.stdout == done.stdout


def test_the_same_command_gives_the_same_bytes_and_another_seed_other_shuffles(suspects: Suspects) -> None:
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        assert suspects("--words", "free.txt", "--out", folder, "--seed", seed).exit_code == 0
    one, two, three = ([Path(folder, name).read_bytes() for name in WRITTEN] for folder in ("one", "two", "three"))
    assert one == two
    values = [[each["p_value"] for each in json.loads(some[2])["suspects"]] for some in (one, three)]
    assert values[0] != values[1]


def test_what_was_asked_for_reaches_those_who_look(suspects: Suspects, write_outcomes: Callable[..., Record]) -> None:
    names = {"dataset": "mosaics", "backbone": "pixels"}
    write_outcomes(Path("results"), "erm", np.ones((2, 8), dtype=bool), np.arange(8) % 4, **names)
    record = Path("results/v1/mosaics/pixels/erm.json")
    assert suspects("--cell", record, "--cell-seed", "1", "--seen-by", "ViT-B/16", "--json").exit_code == 0
    assert suspects("--split", "test", "--json").exit_code == 0
    assert suspects("--cell", record, "--split", "val", "--memory-limit", "1G", "--json").exit_code == 0
    (dataset, backbone, first), (_, _, second), (_, _, third) = suspects.asked  # type: ignore[attr-defined]
    assert (dataset, backbone) == ("mosaics", "pixels")
    assert (first["cell"].seed, first["cell"].path, first["seen_by"], first["split"]) == (1, record, "ViT-B/16", "test")
    assert second == {"cell": None, "seen_by": None, "split": "test", "memory_limit": 2 * 2**30}
    assert (third["cell"].path, third["split"], third["memory_limit"]) == (record, "val", 2**30)


def test_what_the_command_does_unless_told_is_what_the_function_does() -> None:
    told = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    assert (told["min_photos"], told["permutations"]) == (MIN_PHOTOS, PERMUTATIONS)


def test_photos_of_another_split_are_told(suspects: Suspects) -> None:
    done = suspects("--split", "test", "--json")
    assert "mosaics has no test photos; these are from val" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["menagerie-rn", "menagerie-vit"])
def test_the_grounds_lead_in_the_embedded_world_of_birds(spurbench: Spurbench, tmp_path: Path, backbone: str) -> None:
    done = spurbench("suspects", "menagerie-birds", "--backbone", backbone, "--out", "found")
    assert done.returncode == 0, done.stdout + done.stderr
    report = SuspectsReport.model_validate_json((tmp_path / "found/suspects.json").read_text())
    assert (report.model, report.split, report.right.total) == ("zero-shot", "val", 600)
    assert report.suspects[0].word == "water"
    assert {"water", "land"} <= {one.word for one in report.suspects[:3]} & {one.word for one in report.chosen}
    assert all(one.p_value < 0.001 for one in report.suspects[:5])
    again = spurbench("suspects", "menagerie-birds", "--backbone", backbone, "--json")
    assert again.stdout == (tmp_path / "found/suspects.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["menagerie-rn", "menagerie-vit"])
def test_habitats_lead_in_the_embedded_world_of_animals(spurbench: Spurbench, tmp_path: Path, backbone: str) -> None:
    done = spurbench("suspects", "menagerie-animals", "--backbone", backbone, "--out", "found")
    assert done.returncode == 0, done.stdout + done.stderr
    report = SuspectsReport.model_validate_json((tmp_path / "found/suspects.json").read_text())
    habitats = {"lake", "sea", "forest", "meadow", "desert", "snow", "street", "mountain"}
    assert len({one.word for one in report.suspects[:5]} & habitats) >= 4
    assert len({one.word for one in report.chosen} & habitats) >= 3


@pytest.mark.slow
def test_water_and_land_lead_on_real_waterbirds(spurbench: Spurbench, tmp_path: Path, shared_data: Path) -> None:
    done = spurbench(
        "suspects", "waterbirds", "--backbone", f"local-dir:{shared_data}/backbones/mobilenet-lit",
        "--data-root", shared_data, "--out", "found",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = SuspectsReport.model_validate_json((tmp_path / "found/suspects.json").read_text())
    assert {"water", "land", "forest", "ocean", "sea"} == {one.word for one in report.suspects[:5]}
    assert {"water", "land"} <= {one.word for one in report.chosen}
    water = next(one for one in report.suspects if one.word == "water")
    gaps = {row.label: row.gap for row in water.classes}
    assert gaps["landbird"] is not None
    assert gaps["waterbird"] is not None
    assert gaps["landbird"] < -0.3 < 0.3 < gaps["waterbird"]
