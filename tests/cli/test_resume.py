"""Killed at any moment, the next run continues and ends with the same records."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Spurbench

KILLS = 20


def without_times(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*.*")):
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            content.pop("times")
            found[str(path.relative_to(root))] = json.dumps(content)
        elif path.suffix == ".npz":
            found[str(path.relative_to(root))] = path.read_bytes()
    return found


@pytest.mark.slow
def test_records_after_twenty_kills_are_those_of_an_undisturbed_run(
    spurbench: Spurbench, features: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["run", "--datasets", f"embeddings:{features},gaussians", "--methods", "all", "--rules", "quick"]
    started = time.monotonic()
    whole = spurbench(*arguments, "--results", "whole/results")
    length = time.monotonic() - started
    assert whole.returncode == 0
    command = [str(Path(sys.executable).with_name("spurbench")), *arguments, "--results", "killed/results"]
    generator = random.Random(20)
    # Starting up takes most of a short run; half of the moments are drawn from its working part.
    moments = [generator.uniform(0.1, length) for _ in range(KILLS // 2)]
    moments += [generator.uniform(0.5 * length, length) for _ in range(KILLS - len(moments))]
    interrupted = 0
    for moment in moments:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            interrupted += 1
    assert interrupted > 0
    last = spurbench(*arguments, "--results", "killed/results")
    assert last.returncode == 0
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")
    assert (tmp_path / "killed/leaderboard.md").read_text() == (tmp_path / "whole/leaderboard.md").read_text()
    leftovers = [path.name for path in (tmp_path / "killed").rglob("*.part")]
    assert not leftovers, "a killed write leaves no visible file"


@pytest.fixture
def in_a_long_cell(
    features: Path, environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run in the middle of a cell that takes ten minutes, and the /proc entry of its worker."""
    marker = tmp_path / "worker.pid"
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom pathlib import Path\nfrom spurbench.cards import MethodCard\n"
        "class Slow:\n    card = MethodCard(name='slow', title='', paper='')\n    space = {}\n"
        f"    def fit(self, task, config):\n        Path({str(marker)!r}).write_text(str(os.getpid()))\n"
        "        time.sleep(600)\n"
    )
    command = [str(Path(sys.executable).with_name("spurbench")), "run", "--datasets", f"embeddings:{features}"]
    process = subprocess.Popen(
        [*command, "--methods", "subg,slow", "--plugin", "slow.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(1200):
        if marker.exists() and marker.read_text():
            break
        time.sleep(0.1)
    yield process, Path("/proc") / marker.read_text()
    process.kill()
    process.wait()


def gone(worker: Path) -> bool:
    """Whether a process ends within ten seconds."""
    for _ in range(100):
        if not worker.exists():
            return True
        time.sleep(0.1)
    return False


def test_a_worker_does_not_outlive_its_killed_parent(
    in_a_long_cell: tuple[subprocess.Popen[str], Path],
) -> None:
    process, worker = in_a_long_cell
    assert worker.exists()
    process.kill()
    process.wait()
    assert gone(worker)


def test_an_interrupt_says_that_nothing_is_lost(in_a_long_cell: tuple[subprocess.Popen[str], Path]) -> None:
    process, worker = in_a_long_cell
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to go on" in errors
    assert "Traceback" not in errors
    assert gone(worker)
