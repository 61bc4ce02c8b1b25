"""What README.md shows runs as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

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


def test_every_spurbench_command_of_the_readme_is_accepted(
    spurbench: Spurbench, few_photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "results").mkdir(parents=True)
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    commands = [line.rpartition("&& ")[2] for line in lines if "spurbench " in line.rpartition("&& ")[2]]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] == "run":
            words = ["plan", *words[1:]]
        words = [str(few_photos) if word == "built" else word for word in words]
        if words[0] in ("discover", "build"):
            # These train, or look at photos that are not here.
            help_text = spurbench(*words[: 1 if words[0] == "discover" else 2], "--help").stdout
            assert all(word in help_text for word in words if word.startswith("--")), command
            continue
        if words[0] == "show":
            words = ["show", f"folder:{few_photos}", *words[2:]]
        assert spurbench(*words).returncode == 0, command


def test_the_readmes_board_is_the_committed_one() -> None:
    heading = re.search(r"^(\S+ · \S+)\n┏", README, flags=re.MULTILINE)
    assert heading is not None
    shown = re.findall(r"│ +(\d+) │ ([\w:=.]+) +│ [\w +]+│ +([\d.]+(?: ± [\d.]+)?) │", README)
    board = (REPOSITORY / "leaderboard.md").read_text(encoding="utf-8")
    section = board.partition(f"## {heading[1]} · rules v1\n")[2].partition("\n## ")[0]
    committed = re.findall(r"\| +(\d+) \| ([\w:=.]+) +\| [\w +]+\| +([\d.]+(?: ± [\d.]+)?) \|", section)
    assert shown == committed
    assert len(shown) == 28
