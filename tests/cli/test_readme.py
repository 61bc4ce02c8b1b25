"""What README.md shows runs as it is written."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spurbench.record import Record

if TYPE_CHECKING:
    from conftest import Spurbench

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_method_of_the_readme_runs_and_is_ranked(spurbench: Spurbench, tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 20
    (tmp_path / "my.py").write_text(code)
    command = re.search(r"`spurbench (run --plugin my\.py[^`]*)`", README)
    assert command is not None
    run = spurbench(*shlex.split(command[1]), "--rules", "quick")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"1 │ nearest_mean", run.stdout)


def commands() -> list[str]:
    """What the README would have its readers type after `spurbench`."""
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line.rpartition("&& ")[2] for line in lines if "spurbench " in line.rpartition("&& ")[2]]


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 4


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_spurbench_command_of_the_readme_is_accepted(
    spurbench: Spurbench, few_photos: Path, tmp_path: Path, write_outcomes: Callable[..., Record], command: str
) -> None:
    words = shlex.split(command)[1:]
    if words[0] in ("discover", "suspects", "explain", "build") or "--attributes" in words:
        # These train, or look at photos or files that are not here.
        help_text = spurbench(*words[: 2 if words[0] == "build" else 1], "--help").stdout
        assert all(word in help_text for word in words if word.startswith("--"))
        return
    if words[0] == "run":
        words = ["plan", *words[1:]]
    if words[0] == "show":
        words = ["show", f"folder:{few_photos}", *words[2:]]
    right, groups = np.ones((2, 8), bool), np.arange(8) // 2
    for method in ("erm", "dfr_val", "cfr"):
        write_outcomes(tmp_path / "results", method, right, groups, dataset="menagerie-birds")
    write_outcomes(tmp_path / "mine" / "results", "cfr:negatives=nearest", right, groups, dataset="menagerie-birds")
    for arguments in (["init", "-b", "main"], ["add", "results"], ["commit", "-m", "results"]):
        who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)
    done = spurbench(*(str(few_photos) if word == "built" else word for word in words))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readmes_board_is_the_committed_one() -> None:
    heading = re.search(r"^(\S+ · \S+)\n┏", README, flags=re.MULTILINE)
    assert heading is not None
    accuracy, bounds = r"([\d.]+(?: ± [\d.]+)?)", r"([\d.]+ to [\d.]+)"
    shown = re.findall(rf"│ +((?:≈ +)?\d+) │ (\w+)[\w:=.]* +│ +{accuracy} │ +{bounds} │", README)
    board = (REPOSITORY / "leaderboard.md").read_text(encoding="utf-8")
    section = board.partition(f"## {heading[1]} · rules v1\n")[2].partition("\n## ")[0]
    section = section.replace("**", "")
    committed = re.findall(rf"\| +((?:≈ +)?\d+) \| (\w+)[\w:=.]* +\| +{accuracy} \| +{bounds} \|", section)
    assert shown == committed
    assert len(shown) == 28
