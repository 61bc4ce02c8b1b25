"""A board's records read and checked, against parsing their JSON alone: `pytest tests/bench --benchmark-enable`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spurbench.reading import kept_for_good
from spurbench.record import Record, read_records, record_path, to_json

TOTAL = [2255, 2255, 642, 642]
RECORDS, SEEDS, CONFIGURATIONS = 1000, 10, 16


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, easy_hard_record: Callable[..., Record]) -> Path:
    """10 data sets x 5 backbones x 20 methods under the largest budget of the rules: 26 MB, 160,000 candidates."""
    folder = tmp_path_factory.mktemp("thousand") / "results"
    rows = [
        [config, 0, [130 + config, 90, 20, 100], [2200 - config, 1500, 300 + config, 600], "", 1.3e-9]
        for config in range(CONFIGURATIONS)
    ]
    seeds = [
        {
            "seed": seed,
            "status": "ok",
            "selection_total": [233, 233, 67, 114],
            "test_total": TOTAL,
            "configs": [{"C": 0.1 * config + seed, "balanced": True} for config in range(CONFIGURATIONS)],
            "candidates": rows,
            "selected": {
                rule: {"candidate": place, "test": rows[place][3], "predictions": f"{place:064x}"}
                for place, rule in enumerate(("worst_group", "worst_class", "average"))
            },
            "environment": {"python": "3.11", "torch": "2.15", "spurbench": "0.1.0"},
        }
        for seed in range(SEEDS)
    ]
    made = easy_hard_record(
        [0] * 4, TOTAL, seeds=seeds, attributes=["land", "water"], train_total=[3498, 184, 56, 1057]
    )
    text = to_json(made)
    for i in range(RECORDS):
        names = {made.dataset: f"data{i // 100}", made.backbone: f"tower{i // 20 % 5}", made.method: f"method{i % 20}"}
        path = record_path(folder, made.rules, *names.values())
        path.parent.mkdir(parents=True, exist_ok=True)
        one = text
        for old, new in names.items():
            one = one.replace(json.dumps(old), json.dumps(new), 1)
        path.write_text(one)
    return folder


def parsed(results: Path) -> list[Any]:
    """What the files hold, unchecked."""
    with kept_for_good():
        return [json.loads(path.read_bytes()) for path in sorted(results.rglob("*.json"))]


def read(results: Path) -> list[Record]:
    """The records, each checked."""
    with kept_for_good():
        return list(read_records(results))


@pytest.mark.benchmark(group="1,000 records")
def test_parsed_alone(benchmark: Any, results: Path) -> None:
    assert len(benchmark.pedantic(parsed, args=(results,), rounds=3)) == RECORDS


@pytest.mark.benchmark(group="1,000 records")
def test_read_and_checked(benchmark: Any, results: Path) -> None:
    assert len(benchmark.pedantic(read, args=(results,), rounds=3)) == RECORDS


@pytest.mark.slow
def test_checking_takes_no_longer_than_parsing_three_times(results: Path) -> None:
    """Seconds of this process alone, the best of three in turn, so that what else the machine does counts little."""
    took: dict[Callable[[Path], object], list[float]] = {parsed: [], read: []}
    for _ in range(3):
        for function, seconds in took.items():
            started = time.process_time()
            function(results)
            seconds.append(time.process_time() - started)
    assert min(took[read]) < 4 * min(took[parsed])
