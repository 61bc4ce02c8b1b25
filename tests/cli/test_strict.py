"""`spurbench leaderboard` on results that cannot all be trusted: warned and written, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spurbench.record import record_path, to_json

if TYPE_CHECKING:
    from conftest import Spurbench


@pytest.fixture
def results(tmp_path: Path, write_outcomes: Callable[..., Any]) -> Path:
    """Three records with predictions: a whole one, one of an older version, and one whose file was cut short."""
    folder = tmp_path / "mine" / "results"
    for name in ("whole", "old", "cut"):
        made = write_outcomes(folder, name, [[True, False, True, True] * 5], [0, 1, 2, 3] * 5)
        path, text = record_path(folder, made.rules, made.dataset, made.backbone, made.method), to_json(made)
        changed = {"old": json.dumps({**json.loads(text), "schema_version": 2}), "cut": text[: len(text) // 2]}
        path.write_text(changed.get(name, text))
    return folder


def test_what_cannot_be_trusted_is_named_and_left_out(spurbench: Spurbench, results: Path) -> None:
    run = spurbench("leaderboard", "--results", results)
    assert run.returncode == 0
    first, second = run.stderr.splitlines()
    assert first.startswith(f"left out: {results}/v1/birds/RN50/cut.json is cut short: EOF")
    assert second.startswith(f"left out: {results}/v1/birds/RN50/old.json was written by another version")
    board = (results.parent / "leaderboard.md").read_text()
    assert "| whole" in board
    assert "| old" not in board
    assert run.stdout.endswith("(1 records, 2 files left out)\n")


@pytest.mark.parametrize("option", ["--strict", "--check"])
def test_strict_is_exit_status_1_and_writes_nothing(spurbench: Spurbench, results: Path, option: str) -> None:
    run = spurbench("leaderboard", "--results", results, option)
    assert run.returncode == 1
    assert "cut.json is cut short" in run.stderr
    assert "run the command that made it again" in run.stderr
    assert not (results.parent / "leaderboard.md").exists()


def test_with_nothing_to_object_to_strict_changes_nothing(spurbench: Spurbench, results: Path) -> None:
    for name in ("old", "cut"):
        (results / "v1" / "birds" / "RN50" / f"{name}.json").unlink()
    plain, strict = (spurbench("leaderboard", "--results", results, *more).stdout for more in ((), ("--strict",)))
    assert plain == strict
    assert plain.endswith("leaderboard.md (1 records)\n")
    assert spurbench("leaderboard", "--results", results, "--check").returncode == 0


def test_what_is_printed_is_the_board_alone(spurbench: Spurbench, results: Path) -> None:
    run = spurbench("leaderboard", "--results", results, "--output", "-")
    assert run.stdout.startswith("# Leaderboard\n")
    assert "left out" not in run.stdout
    assert run.stderr.count("left out: ") == 2


def test_robustness_leaves_out_likewise(spurbench: Spurbench, results: Path) -> None:
    run = spurbench("robustness", "--results", results, "--json")
    assert run.returncode == 0
    assert json.loads(run.stdout)["models"]
    assert run.stderr.count("left out: ") == 2
