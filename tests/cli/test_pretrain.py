"""`spurbench pretrain`: weights from nothing, compared with the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Spurbench

PLUGIN = """
from pathlib import Path
from spurbench.cards import BackboneCard

class Tiny:
    card = BackboneCard(name="tiny", title="A tiny one", weights="nowhere")
    tolerance = 0.05

    def resolve(self, setting):
        raise NotImplementedError

    def pretrain(self, folder, control, progress):
        folder.mkdir(parents=True, exist_ok=True)
        for done in (64, 128):
            progress(done, 128, 1.5)
        (folder / "weights").write_text(str({control} if control else {made}))

    def judge(self, folder):
        return {{"easy": 0.8 if folder is None else float((folder / "weights").read_text())}}

    def describe(self, folder, accuracies):
        (folder / "README.md").write_text(" ".join(f"{{k}}={{v['easy']}}" for k, v in sorted(accuracies.items())))
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.py"
    path.write_text(PLUGIN.format(made=0.82, control=0.5))
    return path


def test_weights_are_made_judged_and_described(plugin: Path, spurbench: Spurbench, tmp_path: Path) -> None:
    run = spurbench("pretrain", "tiny", "--plugin", plugin, "--out", "made", "--control")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "128/128 photos" in run.stdout
    assert "tiny matches the shipped weights: at most 0.020 apart, tolerance 0.05" in run.stdout
    assert (tmp_path / "made/tiny/README.md").read_text() == "control=0.5 made now=0.82"


def test_weights_that_differ_are_told_and_exit_with_one(plugin: Path, spurbench: Spurbench) -> None:
    plugin.write_text(PLUGIN.format(made=0.7, control=0.5))
    run = spurbench("pretrain", "tiny", "--plugin", plugin, "--out", "made")
    assert run.returncode == 1
    assert "tiny does NOT match the shipped weights (easy): at most 0.100 apart" in run.stdout


def test_what_cannot_be_made_is_named(spurbench: Spurbench) -> None:
    run = spurbench("pretrain", "menagerie-rm")
    assert run.returncode == 2
    assert "did you mean menagerie-rn" in run.stderr
