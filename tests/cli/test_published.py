"""`spurbench verify-published` and `spurbench robustness`: what is printed, written and returned."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pytest
from PIL import Image

if TYPE_CHECKING:
    from conftest import Spurbench


def test_the_tables_are_verified_without_data(spurbench: Spurbench) -> None:
    run = spurbench("verify-published", "counteranimal", "--only", "aggregation")
    assert run.returncode == 0, run.stderr
    assert "10 agree, 7 are off as is known" in run.stdout
    checks = json.loads(spurbench("verify-published", "counteranimal", "--only", "aggregation", "--json").stdout)
    assert {check["status"] for check in checks} == {"agrees", "known"}
    (mean,) = [check for check in checks if check["what"] == "ViT-B/32, hard"]
    assert (round(mean["found"], 2), mean["expected"], round(mean["difference"], 2)) == (45.77, 45.62, 0.15)


def test_without_data_it_is_said_what_was_not_checked(spurbench: Spurbench, tmp_path: Path) -> None:
    run = spurbench("verify-published", "counteranimal", "--only", "data", "--data-root", tmp_path)
    assert run.returncode == 0, run.stderr
    assert "2 could not be checked" in run.stdout
    assert "agree" not in run.stdout


def test_a_data_set_without_tables_is_a_wrong_call(spurbench: Spurbench) -> None:
    run = spurbench("verify-published", "counteranimals")
    assert run.returncode == 2
    assert "did you mean counteranimal?" in run.stderr


def test_robustness_needs_no_record(spurbench: Spurbench, tmp_path: Path) -> None:
    # A list of the machine's fonts, which takes seconds to make.
    known = {"MPLCONFIGDIR": matplotlib.get_configdir()}
    run = spurbench("robustness", "--out", "r.svg", **known)
    assert run.returncode == 0, run.stderr
    assert "ViT-bigG/14" in run.stdout
    root = ET.parse(tmp_path / "r.svg").getroot()
    assert root.tag.endswith("svg")
    assert spurbench("robustness", "--out", "R.PNG", **known).returncode == 0
    assert Image.open(tmp_path / "R.PNG").width > 800


def test_robustness_shows_own_records(spurbench: Spurbench, tmp_path: Path, write_outcomes: Callable[..., Any]) -> None:
    """8 of 10 easy and 6 of 10 hard photos of either class are right."""
    right = [[place < n for n in (8, 6, 8, 6) for place in range(10)]]
    named = {"dataset": "counteranimal", "backbone": "ViT-B/16", "attributes": ["easy", "hard"], "prompts": "synset"}
    groups = [group for group in range(4) for _ in range(10)]
    write_outcomes(tmp_path / "results", "zero_shot", right, groups, train_total=[0] * 4, **named)
    found = json.loads(spurbench("robustness", "--json").stdout)
    (mine,) = [model for model in found["models"] if model["own"]]
    assert (mine["name"], mine["easy"], mine["hard"]) == ("ViT-B/16", 80.0, 60.0)
    line = next(fit for fit in found["fits"] if fit["family"] == "supervised")
    assert mine["effective_robustness"] == pytest.approx(60 - line["intercept"] - 80 * line["slope"])
    run = spurbench("leaderboard", "--output", "-")
    assert "80.00 / 60.00 / 20.00 (+6.92 / +3.44)" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--out", "r.pdf"), 2, ".svg or .png"),
        (("--results", "absent"), 2, "no results folder"),
        (("--dataset", "waterbirds"), 1, "nothing is known of easy and hard accuracies on 'waterbirds'"),
    ],
)
def test_wrong_calls_are_told(spurbench: Spurbench, arguments: tuple[str, ...], status: int, told: str) -> None:
    run = spurbench("robustness", *arguments)
    assert run.returncode == status
    assert told in " ".join(run.stderr.split())


def test_neither_command_needs_torch_for_help_or_for_tables(spurbench: Spurbench) -> None:
    import subprocess
    import sys

    code = "import sys, spurbench.leaderboard, spurbench.robustness, spurbench.verify.tables, spurbench.cli.app; "
    code += "print([name for name in ('torch', 'matplotlib', 'scipy.stats') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert spurbench("robustness", "--help").returncode == 0
    assert spurbench("verify-published", "--help").returncode == 0
