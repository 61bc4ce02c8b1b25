"""Start-up and rendering, each against its floor: `pytest tests/bench --benchmark-enable`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spurbench.record import Record, read_record, record_path, to_json

REPOSITORY = Path(__file__).parents[2]
SPURBENCH = str(Path(sys.executable).with_name("spurbench"))


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def thousand_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with 1,000 records of 10 seeds: 10 data sets x 10 backbones x 10 methods."""
    results = tmp_path_factory.mktemp("thousand") / "results"
    committed = REPOSITORY / "results/v1/menagerie-birds/menagerie-rn/erm.json"
    record = read_record(committed)
    assert isinstance(record, Record)
    predictions = results.parent / "erm.npz"
    predictions.write_bytes(committed.with_suffix(".npz").read_bytes())
    for i in range(1000):
        names = {"dataset": f"data{i // 100}", "backbone": f"backbone{i // 10 % 10}", "method": f"method{i % 10}"}
        one = record.model_copy(update=names)
        path = record_path(results, one.rules, one.dataset, one.backbone, one.method)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(one))
        path.with_suffix(".npz").hardlink_to(predictions)
    return results


@pytest.mark.benchmark(group="start")
def test_python_itself(benchmark: Any) -> None:
    benchmark.pedantic(call, args=(sys.executable, "-c", "pass"), rounds=5)


@pytest.mark.benchmark(group="start")
def test_help(benchmark: Any) -> None:
    benchmark.pedantic(call, args=(SPURBENCH, "--help"), rounds=5)


@pytest.mark.slow
@pytest.mark.benchmark(group="board of 1,000 records")
def test_parsing_their_json_alone(benchmark: Any, thousand_records: Path) -> None:
    files = f"pathlib.Path({str(thousand_records)!r}).rglob('*.json')"
    code = f"import json, pathlib; [json.loads(path.read_text()) for path in {files}]"
    benchmark.pedantic(call, args=(sys.executable, "-c", code), rounds=3)


@pytest.mark.slow
@pytest.mark.benchmark(group="board of 1,000 records")
def test_leaderboard(benchmark: Any, thousand_records: Path) -> None:
    benchmark.pedantic(call, args=(SPURBENCH, "leaderboard", "--results", str(thousand_records)), rounds=3)
    assert "method9" in (thousand_records.parent / "leaderboard.md").read_text()
