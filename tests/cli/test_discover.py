"""`spurbench discover`: refusals before anything is loaded, what is written and printed, and the real thing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from spurbench import __version__
from spurbench.cli.app import app
from spurbench.errors import MethodError, UsageError
from spurbench.findings.report import DiscoveryReport

if TYPE_CHECKING:
    from conftest import Spurbench

PLUGIN = """
import torch
from spurbench.cards import BackboneCard, DatasetCard, DiscovererCard
from spurbench.discovery import Discovery, Finding


class Pixels:
    card = BackboneCard("pixels", "pixels", "none", has_text=False)
    fingerprint = "4 x 4"


class Mosaics:
    card = DatasetCard("mosaics", "Mosaics", ("cat", "dog", "cow"), ("lawn", "sofa"), "none")


class Own:
    card = DatasetCard("own", "Own", ("cat", "dog"), ("lawn",), "none", own_features=True)


class Drawn:
    card = DiscovererCard("drawn", "Draws lots", "none")

    def discover(self, evidence, seed):
        drawn = torch.from_numpy(seed.numpy().permutation(len(evidence.image_of))[:20])
        return Discovery((Finding(drawn, 1.0, 1, p_value=0.5),), facts=(("clusters", 3.0),))


class Fallen:
    card = DiscovererCard("fallen", "Falls over", "none")

    def discover(self, evidence, seed):
        raise ZeroDivisionError("no clusters")


class Nobody:
    card = DiscovererCard("nobody", "Suspects nobody", "none")

    def discover(self, evidence, seed):
        return Discovery(())
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A backbone, data sets and discoverers, none of which does anything before a study is made."""
    path = tmp_path / "looking.py"
    path.write_text(PLUGIN)
    return path


Discover = Callable[..., Result]


@pytest.fixture
def discover(make_study: Callable[..., Any], plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Discover:
    """Run the command in this process, on a study that needs no model; what the study was asked for is in `asked`."""

    def run(*arguments: object, dataset: str = "mosaics") -> Result:
        def study(*positional: object, listen: Callable[[str], None], **named: object) -> Any:
            listen("encoding regions")
            asked.append((positional[1:], named))
            return make_study()

        monkeypatch.setitem(sys.modules, "spurbench.study", SimpleNamespace(study=study))  # type: ignore[arg-type]
        common = ["discover", dataset, "--backbone", "pixels", "--plugin", plugin, "--cache", tmp_path / "cache"]
        return CliRunner().invoke(app, [str(part) for part in (*common, *arguments)])

    asked: list[Any] = []
    run.asked = asked  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--discoverer", "drawm"), "unknown discoverer 'drawm'; did you mean drawn?"),
        (("--method", "erm_finetun"), "unknown method 'erm_finetun'; did you mean erm_finetune"),
        (("--checkpoint", "a.pt", "--method", "erm"), "--checkpoint is a model that is tuned already"),
        (("--checkpoint", "absent.pt"), "there is no checkpoint file absent.pt"),
        (("--out", "looking.py"), "--out names a folder; looking.py is a file"),
        (("--out", "looking.py/x"), "nothing can be written into looking.py/x"),
        (("--memory-limit", "much"), "'much' is not a size"),
        (("--device", "gpu"), "--device must be one of"),
        (("--regions", "grid99"), "regions 'grid99' are out of range"),
        (("--regions", "quadrant"), "did you mean quadrants"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_studied(
    discover: Discover, arguments: tuple[str, ...], message: str
) -> None:
    refused = discover("--discoverer", "drawn", *arguments)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)
    assert refused.stdout == ""
    assert discover.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", [("--against", "attributes"), ("--top", "0"), ("--crops", "49")])
def test_values_that_an_option_does_not_take_are_refused(discover: Discover, arguments: tuple[str, str]) -> None:
    refused = discover("--discoverer", "drawn", *arguments)
    assert refused.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in refused.stderr


@pytest.mark.parametrize(
    ("dataset", "message"), [("own", "it has no photos"), ("mosaic", "unknown dataset 'mosaic'; did you mean mosaics")]
)
def test_a_data_set_without_photos_or_of_another_name_is_refused(
    discover: Discover, dataset: str, message: str
) -> None:
    refused = discover("--discoverer", "drawn", dataset=dataset)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)


def test_a_slip_of_the_pen_is_told_without_torch() -> None:
    code = (
        "import sys\nfrom spurbench.cli.app import app\nfrom spurbench.errors import UnknownNameError\n"
        "try:\n    app('discover waterbirds --backbone RN50 --discoverer nobody-of-that-name'.split())\n"
        "except UnknownNameError:\n    print(sorted({'torch', 'open_clip', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_three_files_are_written_and_told(discover: Discover, tmp_path: Path) -> None:
    done = discover("--discoverer", "drawn", "--against", "groups", "--crops", "5")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "discovery-mosaics"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.json", "sheet.png"]
    assert "written to discovery-mosaics: index.html, sheet.png, report.json" in done.stdout
    assert "to train the model out of it" not in done.stdout
    report = DiscoveryReport.model_validate_json((folder / "report.json").read_text())
    (finding,) = report.findings
    assert (len(finding.examples), finding.known_share is None, report.against) == (5, False, True)
    assert report.provenance.environment["spurbench"] == __version__
    assert sorted(report.provenance.fingerprints) == ["backbone", "data", "discoverer"]
    assert finding.label is not None
    assert f"The model calls a photo '{finding.label}'" in " ".join(done.stdout.split())
    assert "<h1>What the model leans on</h1>" in (folder / "index.html").read_text()
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(discover: Discover, tmp_path: Path) -> None:
    names = ("report.json", "sheet.png", "index.html")
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        assert discover("--discoverer", "drawn", "--out", folder, "--seed", seed).exit_code == 0
    one, two, three = (
        [(tmp_path / folder / name).read_bytes() for name in names] for folder in ("one", "two", "three")
    )
    assert one == two
    assert all(a != b for a, b in zip(one, three, strict=True))


def test_json_is_all_that_stdout_has(discover: Discover, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = discover("--discoverer", "drawn", "--json")
    assert DiscoveryReport.model_validate_json(done.stdout).to_json() == done.stdout
    assert "encoding regions" in done.stderr
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"cache"}
    again = discover("--discoverer", "drawn", "--json", "--out", "found")
    assert (tmp_path / "found/report.json").read_text() == again.stdout == done.stdout


def test_nothing_found_is_no_failure(discover: Discover, tmp_path: Path) -> None:
    done = discover("--discoverer", "nobody")
    assert done.exit_code == 0
    assert "Nothing is suspected. No set of regions passes the filter of nobody" in " ".join(done.stdout.split())
    assert "Nothing is suspected." in (tmp_path / "discovery-mosaics/index.html").read_text()


def test_a_discoverer_that_falls_over_is_named(discover: Discover, tmp_path: Path) -> None:
    fallen = discover("--discoverer", "fallen")
    assert isinstance(fallen.exception, MethodError)
    assert str(fallen.exception) == "discoverer 'fallen' raised ZeroDivisionError: no clusters; --debug shows where"
    assert not (tmp_path / "discovery-mosaics").exists()


def test_what_was_asked_for_reaches_the_study(discover: Discover, tmp_path: Path) -> None:
    weights = tmp_path / "tuned.pt"
    weights.write_bytes(b"weights")
    done = discover(
        "--discoverer", "nobody", "--checkpoint", weights, "--regions", "grid4", "--split", "test", "--seed", "7",
        "--memory-limit", "64M", "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    ((names, asked),) = discover.asked  # type: ignore[attr-defined]
    assert names == ("mosaics", "pixels")
    assert asked == {
        "checkpoint": weights, "method": None, "regions": "grid4", "split": "test", "seed": 7, "memory_limit": 2**26,
    }  # fmt: skip
    assert "mosaics has no test photos; these are from val" in done.stderr
    assert len(json.loads(done.stdout)["provenance"]["fingerprints"]["checkpoint"]) == 64


def test_a_discoverer_that_is_a_method_too_is_suggested_for_training(
    discover: Discover, plugin: Path, tmp_path: Path
) -> None:
    method = "class Drawing:\n    card = MethodCard('drawn', 'Draws', 'none')\n"
    plugin.write_text(f"{PLUGIN}\nfrom spurbench.cards import MethodCard\n{method}")
    done = discover("--discoverer", "drawn")
    call = "spurbench run --methods drawn --datasets mosaics --backbones pixels"
    assert f"to train the model out of it: {call}" in done.stdout


STICKER = ("discover", "menagerie-sticker", "--backbone", "menagerie-rn")


@pytest.mark.slow
def test_the_sticker_is_looked_for_in_the_embedded_world(spurbench: Spurbench, tmp_path: Path) -> None:
    done = spurbench(*STICKER, "--against", "groups", "--out", "found")
    assert done.returncode == 0, done.stdout + done.stderr
    report = DiscoveryReport.model_validate_json((tmp_path / "found/report.json").read_text())
    assert (report.dataset, report.model, report.split) == ("menagerie-sticker", "zero-shot", "val")
    assert report.right.total == 600
    assert report.against
    for finding in report.findings:
        assert finding.known_share is not None
        assert finding.right.present.total + finding.right.absent.total == 600
    again = spurbench(*STICKER, "--against", "groups", "--json")
    assert again.stdout == (tmp_path / "found/report.json").read_text()
