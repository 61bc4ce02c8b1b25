"""`spurbench explain`: refusals before anything is computed, what reaches the driver, what is written and printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from spurbench.cli.app import app
from spurbench.errors import UsageError
from spurbench.explained.report import ExplanationReport
from spurbench.explanation import How
from spurbench.record import read_predictions, read_record

if TYPE_CHECKING:
    from conftest import Spurbench

PLUGIN = """
from spurbench.cards import BackboneCard, DatasetCard, MethodCard


class Pixels:
    card = BackboneCard("pixels", "pixels", "none", has_text=False)
    fingerprint = "4 x 4"


class Mosaics:
    card = DatasetCard("mosaics", "Mosaics", ("cat", "dog", "cow"), ("lawn", "sofa"), "none")


class Many:
    card = DatasetCard("many", "Many", tuple(f"c{k}" for k in range(200)), ("lawn", "sofa"), "none")


class Own:
    card = DatasetCard("own", "Own", ("cat", "dog"), ("lawn",), "none", own_features=True)


class Drawn:
    card = MethodCard("drawn", "Draws lots", "none")
"""
WRITTEN = ["index.html", "report.json", "sheet.png"]
Explain = Callable[..., Result]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Cards, none of which does anything before models are looked into."""
    path = tmp_path / "looking.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def explain(
    make_explanation: Callable[..., Any], plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Explain:
    """Run the command in this process, on an explanation without models; what was asked for is in `asked`."""

    def run(*arguments: object, dataset: str = "mosaics") -> Result:
        def look(session: Any, *, listen: Callable[[str], None], **named: Any) -> Any:
            listen("maps of 12 photos")
            asked.append((session, named))
            return make_explanation(per_group=min(named["per_group"], 2))

        monkeypatch.setitem(sys.modules, "spurbench.explained.explain", SimpleNamespace(explain=look))
        common = ["explain", dataset, "--backbone", "pixels", "--plugin", plugin, "--cache", tmp_path / "cache"]
        return CliRunner().invoke(app, [str(part) for part in (*common, *arguments)])

    asked: list[Any] = []
    run.asked = asked  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "drawm"), "unknown method 'drawm'; did you mean drawn?"),
        (("--methods", ""), "an empty list of names"),
        (("--methods", "drawn", "--groups", "cat/lawn,dog/sofas"), "unknown group 'dog/sofas'; did you mean dog/sofa"),
        (("--methods", "drawn", "--groups", ","), "an empty list of names"),
        (("--methods", "drawn", "--out", "looking.py"), "--out names a folder; looking.py is a file"),
        (("--methods", "drawn", "--out", "looking.py/x"), "nothing can be written into looking.py/x"),
        (("--methods", "drawn", "--memory-limit", "much"), "'much' is not a size"),
        (("--methods", "drawn", "--device", "gpu"), "--device must be one of"),
        (("--methods", "drawn", "--rules", "v0"), "unknown rules 'v0'"),
        (("--methods", "drawn", "--backbone", "RN50,ViT-B/16"), "--backbone takes one name, not RN50, ViT-B/16"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_computed(
    explain: Explain, arguments: tuple[str, ...], message: str
) -> None:
    refused = explain(*arguments)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)
    assert refused.stdout == ""
    assert explain.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("own", "'own' brings its own features: it has no photos"),
        ("mosaic", "unknown dataset 'mosaic'; did you mean mosaics"),
        ("mosaics,many", "DATASET takes one name, not mosaics, many"),
    ],
)
def test_a_data_set_without_photos_or_of_another_name_is_refused(explain: Explain, dataset: str, message: str) -> None:
    refused = explain("--methods", "drawn", dataset=dataset)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)


def test_a_sheet_that_no_viewer_opens_is_refused_before_anything_is_computed(explain: Explain) -> None:
    refused = explain("--methods", "drawn", "--per-group", 48, dataset="many")
    assert isinstance(refused.exception, UsageError)
    assert "a sheet of 19,200 photos" in str(refused.exception)
    assert explain.asked == []  # type: ignore[attr-defined]
    assert explain("--methods", "drawn", "--per-group", 0, dataset="many").exit_code == 0


@pytest.mark.parametrize(
    "arguments", [("--maps", "heat"), ("--score", "z"), ("--per-group", "49"), ("--measure", "0"), ("--seeds", "0")]
)
def test_values_that_an_option_does_not_take_are_refused(explain: Explain, arguments: tuple[str, str]) -> None:
    refused = explain("--methods", "drawn", *arguments)
    assert refused.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in refused.stderr


def test_a_slip_of_the_pen_is_told_without_torch() -> None:
    code = (
        "import sys\nfrom spurbench.cli.app import app\nfrom spurbench.errors import UnknownNameError\n"
        "try:\n    app('explain waterbirds --backbone RN50 --methods erm --groups landbird/watr'.split())\n"
        "except UnknownNameError as error:\n"
        "    print(error.suggestions[0], sorted({'torch', 'open_clip', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "landbird/water []\n", done.stderr


def test_three_files_are_written_and_told(explain: Explain, tmp_path: Path) -> None:
    done = explain("--methods", "drawn")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "explanation-mosaics"
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    assert "written to explanation-mosaics: index.html, sheet.png, report.json" in done.stdout
    assert "Of maps that know nothing of the photo: the same everywhere" in done.stdout
    assert "maps of" in done.stderr
    report = ExplanationReport.model_validate_json((folder / "report.json").read_text())
    assert len(report.photos) == 12
    assert "<h1>Where the models look</h1>" in (folder / "index.html").read_text()
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_the_same_command_gives_the_same_bytes(explain: Explain, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert explain("--methods", "drawn", "--out", folder).exit_code == 0
    one, two = ([(tmp_path / folder / name).read_bytes() for name in WRITTEN] for folder in ("one", "two"))
    assert one == two


def test_json_is_all_that_stdout_has(explain: Explain, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = explain("--methods", "drawn", "--json")
    assert ExplanationReport.model_validate_json(done.stdout).to_json() == done.stdout
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"cache"}
    again = explain("--methods", "drawn", "--json", "--out", "looked")
    assert (tmp_path / "looked/report.json").read_text() == again.stdout == done.stdout


def test_without_photos_there_are_numbers_alone(explain: Explain, tmp_path: Path) -> None:
    done = explain("--methods", "drawn", "--per-group", 0)
    assert done.exit_code == 0
    assert "written to explanation-mosaics: report.json" in done.stdout
    folder = tmp_path / "explanation-mosaics"
    assert [path.name for path in folder.iterdir()] == ["report.json"]
    report = ExplanationReport.model_validate_json((folder / "report.json").read_text())
    assert report.photos == []
    assert report.methods[0].balanced is not None


def test_what_was_asked_for_reaches_the_driver(explain: Explain, tmp_path: Path) -> None:
    done = explain(
        "--methods", "drawn", "--groups", "dog/sofa,cat/lawn", "--per-group", 3, "--measure", 17, "--maps", "relevance",
        "--score", "logit", "--layer", "layer2", "--selection", "average", "--memory-limit", "64M", "--seeds", 2,
        "--configs", 4, "--rules", "quick", "--results", "kept", "--replace", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    ((session, asked),) = explain.asked  # type: ignore[attr-defined]
    assert asked == {
        "how": How("relevance", "logit", "layer2"), "replace": True, "selection": "average",
        "groups": ["dog/sofa", "cat/lawn"],
        "per_group": 3, "measure": 17, "memory_limit": 2**26,
    }  # fmt: skip
    assert (session.dataset_names(), session.backbone_names(), session.method_names()) == (
        ["mosaics"], ["pixels"], ["drawn"],
    )  # fmt: skip
    assert (session.seeds, session.rules.name, session.results) == (2, "quick+configs=4", Path("kept"))


def test_unless_told_otherwise_all_groups_are_shown_and_the_rules_are_v1(explain: Explain) -> None:
    assert explain("--methods", "drawn", "--json").exit_code == 0
    ((session, asked),) = explain.asked  # type: ignore[attr-defined]
    assert asked["how"] == How(None, "odds", None)
    assert (asked["groups"], asked["per_group"], asked["measure"]) == (None, 4, 250)
    assert (session.rules.name, session.fetch, session.force) == ("v1", True, False)


BIRDS = ("menagerie-birds", "--backbone", "menagerie-rn", "--methods", "zero_shot,erm,dfr_val")


@pytest.mark.slow
def test_three_models_are_explained_in_the_embedded_world(spurbench: Spurbench, tmp_path: Path) -> None:
    few = ("--seeds", "1", "--configs", "1", "--measure", "20")
    done = spurbench("explain", *BIRDS, *few, "--out", "looked")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "looked/index.html").stat().st_size < 3e6
    report = ExplanationReport.model_validate_json((tmp_path / "looked/report.json").read_text())
    assert [method.name for method in report.methods] == ["zero_shot", "erm", "dfr_val"]
    assert (len(report.photos), report.objects, report.notes) == (16, "masks", [])
    for method in report.methods:
        assert [row.photos for row in method.groups] == [20] * 4
        assert method.changed == 0
        path = tmp_path / f"results/v1+configs=1/menagerie-birds/menagerie-rn/{method.name}.json"
        record = read_record(path)
        assert record is not None
        assert record.attention is not None
        energies = read_predictions(path, record)["0.worst_group.energy"]
        assert method.balanced is not None
        measured = energies[energies >= 0] / 10_000
        assert measured.mean() == pytest.approx(method.balanced.energy.mean, abs=1e-6), "groups of the same size"
    again = spurbench("explain", *BIRDS, *few, "--json")
    assert again.stdout == (tmp_path / "looked/report.json").read_text()
    assert "is run first" not in again.stderr


OTHERWISE = """
import torch
from spurbench.cards import MethodCard


class Otherwise:
    card = MethodCard("otherwise", "Says something else where gradients are asked for", "none")
    space = {}

    def fit(self, task, config):
        return [self]

    def logits(self, view):
        x = view.embeddings()
        return x[:, :2] * (-1 if x.requires_grad else 1)
"""


def drawn_photos(folder: Path) -> Path:
    """Photos of two classes with masks of their squares."""
    for split, n in (("train", 4), ("val", 4), ("test", 6)):
        for name, colour in (("cat", "orange"), ("dog", "navy")):
            for number in range(n):
                box = (8 + number, 12, 36 + number, 40)
                for place, ground, paint in ((folder, "green", colour), (folder / "masks", "black", "white")):
                    image = Image.new("RGB", (64, 64), ground)
                    image.paste(paint, box)
                    path = place / split / name / "home" / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    image.save(path)
    return folder


def test_maps_of_another_model_never_enter_a_record(spurbench: Spurbench, tmp_path: Path) -> None:
    photos = drawn_photos(tmp_path / "pets")
    (tmp_path / "otherwise.py").write_text(OTHERWISE)
    common = ("--backbone", "menagerie-rn", "--seeds", 1, "--configs", 1, "--per-group", 0, "--plugin", "otherwise.py")
    done = spurbench("explain", f"folder:{photos}", *common, "--methods", "zero_shot,otherwise")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "method 'otherwise' predicts otherwise where gradients are asked for" in done.stderr
    found = [read_record(path) for path in sorted((tmp_path / "results").rglob("*.json"))]
    assert {record.method for record in found if record} == {"otherwise", "zero_shot"}
    assert [record.attention for record in found if record] == [None, None]
    assert spurbench("explain", f"folder:{photos}", *common, "--methods", "zero_shot").returncode == 0
    looked = [read_record(path) for path in sorted((tmp_path / "results").rglob("zero_shot.json"))]
    assert [record.attention is not None for record in looked if record] == [True]


@pytest.mark.parametrize("command", ["explain", "suspects", "discover"])
def test_a_folder_that_is_laid_out_otherwise_says_so(spurbench: Spurbench, tmp_path: Path, command: str) -> None:
    (tmp_path / "pets/test/cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "pets/test/cat/1.png")
    done = spurbench(command, "folder:pets", "--backbone", "menagerie-rn")
    assert done.returncode != 0
    assert "they must lie in split/class/attribute/" in done.stderr
