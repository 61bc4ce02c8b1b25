"""Candidates end to end: named, found where the data set looks for them, and what predictions are narrowed to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from conftest import AnimalLayout, Spurbench

LABELS = ("yak", "gnu", "crane", "otter", "mink", "lion")


@pytest.fixture
def built(tmp_path: Path, counteranimal_layout: Callable[..., AnimalLayout]) -> Path:
    """Three classes, told apart among six labels."""
    laid = counteranimal_layout(tmp_path / "built", [(number, LABELS[number]) for number in (0, 2, 5)])
    (laid.folder / "label_names.txt").write_text("".join(f"{k}\t{name}\n" for k, name in enumerate(LABELS)))
    return laid.folder


def test_photos_are_told_apart_among_the_candidates_that_were_named(
    spurbench: Spurbench, built: Path, tmp_path: Path
) -> None:
    done = spurbench("candidates", f"counteranimal:{built}", "--backbone", "menagerie-rn", "--size", 2, "--offline")
    assert (done.returncode, done.stdout.strip()) == (
        0,
        f"2 candidates for each of 3 classes are in {built / 'candidates-2.json'}",
    )
    assert done.stderr.count("cut short") == 1
    among = json.loads((built / "candidates-2.json").read_text())["candidates"]
    assert [len(among[key]) for key in ("0", "2", "5")] == [2, 2, 2]

    few = f"counteranimal:{built}:labels=1v2"
    run = ("run", "--datasets", few, "--backbones", "menagerie-rn", "--methods", "zero_shot", "--seeds", 1)
    done = spurbench(*run, "--results", tmp_path / "results", "--offline")
    assert done.returncode == 0, done.stderr
    [predicted] = [np.load(path) for path in (tmp_path / "results").rglob("*.npz")]
    y = predicted["group"] // 2
    assert set(y.tolist()) == {0, 2, 5}
    for label in (0, 2, 5):
        assert set(predicted["0.average"][y == label].tolist()) <= set(among[str(label)])


def test_what_was_asked_for_wrongly_is_told_before_anything_is_loaded(spurbench: Spurbench) -> None:
    for arguments, message in (
        (("gaussians", "--backbone", "RN50"), "looks for candidates nowhere; say where to write them: --out FILE"),
        (("counteranimals", "--backbone", "RN50"), "did you mean counteranimal"),
        (("counteranimal:labels=20", "--backbone", "RN50"), "labels must be 1vN"),
    ):
        done = spurbench("candidates", *arguments, "--offline")
        assert done.returncode == 2
        assert message in done.stderr
