"""Third parties' methods: ranked like ours; and when they misbehave, a failed record and a message, nothing more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Spurbench

HOSTILE = """
import os, sys, time
import torch
from spurbench.cards import MethodCard, Supervision


class Base:
    space = {}
    def __init_subclass__(cls, supervision=Supervision()):
        cls.card = MethodCard(name=cls.__name__.lower(), title="", paper="", supervision=supervision)
    def fit(self, task, config):
        return [self]
    def logits(self, view):
        return torch.zeros(len(view), 2)

class Reads_Attribute(Base):
    def fit(self, task, config):
        task.train.a

class Raises(Base):
    def fit(self, task, config):
        raise ValueError("the [bold]learning rate[/bold] | exploded <script>")

class Sleeps(Base):
    def fit(self, task, config):
        time.sleep(600)

class Exits(Base):
    def fit(self, task, config):
        sys.exit(0)

class Dies(Base):
    def fit(self, task, config):
        os.kill(os.getpid(), 11)

class Prints(Base):
    def fit(self, task, config):
        print("noise on the screen"); os.write(1, b"more noise")
        return [self]
"""


def test_a_plugin_file_and_an_installed_package_both_appear_ranked(
    spurbench: Spurbench, features: Path, nearest_mean: Path, tmp_path: Path
) -> None:
    assert len(nearest_mean.read_text().strip().splitlines()) <= 40
    site = tmp_path / "site"
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spurbench.methods]\npackaged_mean = theirs:PackagedMean\n")
    code = nearest_mean.read_text().replace("nearest_mean", "packaged_mean").replace("NearestMean", "PackagedMean")
    (site / "theirs.py").write_text(code)
    run = spurbench(
        "run", "--datasets", f"embeddings:{features}", "--methods", "*_mean,erm", "--plugin", nearest_mean,
        "--rules", "quick", PYTHONPATH=str(site),
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(spurbench("export", "--format", "json").stdout)
    ranks = {row["method"]: row["rank"] for row in rows}
    assert ranks.keys() == {"nearest_mean", "packaged_mean", "erm"}
    assert ranks["nearest_mean"] == ranks["packaged_mean"], "the same numbers share a rank"
    listed = spurbench("list", "methods", "--json", PYTHONPATH=str(site)).stdout
    assert "package theirs (theirs:PackagedMean)" in listed


def test_misbehaving_methods_leave_failed_records_and_the_others_go_on(
    spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    names = ["dies", "exits", "prints", "raises", "reads_attribute", "sleeps", "group_dro"]
    run = spurbench(
        "run", "--datasets", f"embeddings:{features}", "--methods", ",".join(names), "--plugin", "hostile.py",
        "--seeds", "2", "--configs", "1", "--cell-timeout", "4",
    )  # fmt: skip
    assert run.returncode == 1
    assert "noise" not in run.stdout + run.stderr
    failures = {}
    for path in tmp_path.glob("results/*/*/tiny/*.json"):
        seeds = json.loads(path.read_text())["seeds"]
        assert [seed["seed"] for seed in seeds] == [0, 1]
        failures[path.stem] = {seed["failure"]["message"] if seed["failure"] else "" for seed in seeds}
    assert failures.keys() == set(names)
    assert failures["group_dro"] == failures["prints"] == {""}
    expected = {
        "reads_attribute": "write supervision=Supervision(train_groups=True) on its MethodCard",
        "raises": "ValueError: the [bold]learning rate[/bold] | exploded <script>",
        "sleeps": "--cell-timeout",
        "exits": "SystemExit",
        "dies": "SIGSEGV",
    }
    for name, message in expected.items():
        assert all(message in failure for failure in failures[name]), (name, failures[name])
        assert f"{name} · seed 0, 1" in run.stdout
    text = (tmp_path / "leaderboard.md").read_text()
    assert "<script>" not in text
    assert "exploded &lt;script&gt;" in text
    again = spurbench("leaderboard", "--check")
    assert again.returncode == 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1/0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import nothing_like_it", "needs the module 'nothing_like_it'"),
        ("x = 1", "defines nothing to register"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_plugins_that_cannot_be_loaded_are_a_wrong_call(
    code: str, message: str, spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(code)
    run = spurbench("run", "--datasets", f"embeddings:{features}", "--plugin", "bad.py")
    assert run.returncode == 2
    assert message in run.stderr


def test_a_plugin_may_not_take_a_builtin_name(spurbench: Spurbench, nearest_mean: Path, features: Path) -> None:
    nearest_mean.write_text(nearest_mean.read_text().replace('"nearest_mean"', '"erm"'))
    run = spurbench("run", "--datasets", f"embeddings:{features}", "--plugin", nearest_mean)
    assert run.returncode == 2
    assert "two methods are called 'erm'" in run.stderr
