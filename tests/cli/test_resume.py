"""Killed at any moment, the next run continues and ends with the same records."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

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


def finished_cells(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines in which a run tells of a finished cell, as they come."""
    assert process.stdout is not None
    return (line for line in process.stdout if "done in" in line)


@pytest.mark.slow
def test_records_after_twenty_kills_are_those_of_an_undisturbed_run(
    features: Path, features_without_text: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    datasets = f"embeddings:{features},embeddings:{features_without_text}"
    command = [Path(sys.executable).with_name("spurbench"), "run", "--datasets", datasets, "--methods", "all"]

    def start(results: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, "--rules", "quick", "--results", results],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    started = time.monotonic()
    with start("whole/results") as whole:
        cells = finished_cells(whole)
        next(cells)
        first_cell = time.monotonic() - started
        expected = 1 + len(list(cells))
        assert expected > 50
    assert whole.returncode == 0
    generator = random.Random(20)
    interrupted = 0
    while interrupted < KILLS:
        with start("killed/results") as process:
            # Starting up takes most of a run, so every fourth kill waits until cells are being finished.
            if interrupted % 4:
                moment = generator.uniform(0.1, 0.7 * first_cell)
            else:
                list(islice(finished_cells(process), generator.randint(1, 4)))
                moment = generator.uniform(0.0, 0.2)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.kill()
                interrupted += 1
                continue
        assert process.returncode == 0
        # Nothing was left to interrupt: from the beginning again.
        shutil.rmtree(tmp_path / "killed")
    with start("killed/results") as last:
        assert len(list(finished_cells(last))) < expected, "what was finished before is kept"
    assert last.returncode == 0
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")
    # Time and memory, the last columns but one of a table, are what two runs differ in.
    boards = [(tmp_path / name / "leaderboard.md").read_text().splitlines() for name in ("killed", "whole")]
    assert [line.split("|")[:10] for line in boards[0]] == [line.split("|")[:10] for line in boards[1]]
    assert visible(tmp_path / "killed") == visible(tmp_path / "whole"), "a killed write leaves no visible file"


def visible(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.name.startswith("."))


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
        # Whoever runs the tests in the background has interrupts ignored, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
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
