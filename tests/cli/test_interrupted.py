"""Ctrl-C is status 130 and no traceback, whatever was going on; and what is printed cannot command a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WHILE_IMPORTING = """
import sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder)
from spurbench.cli import main
sys.argv = ["spurbench", "leaderboard", "--results", "."]
main()
"""
FAILING = """
import sys
import spurbench.leaderboard

def fail(*_, **__):
    raise RuntimeError("a\x1b[31mb")

spurbench.leaderboard.read_everything = fail
from spurbench.cli import main
sys.argv = ["spurbench", "leaderboard", "--results", "."]
main()
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["typer", "spurbench.cli.grid", "spurbench.leaderboard"])
def test_an_interrupt_is_130_also_while_modules_are_imported(module: str, tmp_path: Path) -> None:
    done = run(WHILE_IMPORTING.format(module=module), tmp_path)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_the_message_of_a_bug_commands_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path / "cache"))
    done = run(FAILING, tmp_path)
    assert done.returncode == 1
    assert "unexpected RuntimeError: a\ufffd[31mb" in done.stderr


def test_the_difference_to_a_hostile_board_commands_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "leaderboard.md").write_text("\x1b]0;title\x07 and \u202e\n")
    arguments = ["leaderboard", "--check", "--results", str(tmp_path / "results")]
    done = run(f"import sys; from spurbench.cli import main; sys.argv = ['spurbench', *{arguments}]; main()", tmp_path)
    assert done.returncode == 1
    assert "-\ufffd]0;title\ufffd and \ufffd" in done.stdout
