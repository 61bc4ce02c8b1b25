"""The board of 1,000 records (10 data sets, 5 backbones, 20 methods): made anew, and from what was kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.files import digest
from spurbench.leaderboard import read_everything
from spurbench.record import GROUPS, Record, array_hash, predictions_name, record_path, write_record

SIZES = (2255, 2255, 642, 642)
SEEDS, CONFIGURATIONS = 5, 16
RULES = ("worst_group", "worst_class", "average")
TOLD = ([], ["attribute_text"], ["val_groups"], ["train_groups"])


@pytest.fixture(scope="session")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of random predictions at Waterbirds' size."""
    folder = tmp_path_factory.mktemp("thousand") / "results"
    groups = np.repeat(np.arange(4), SIZES).astype(np.int16)
    y = groups // 2
    random = np.random.default_rng(0)
    for d in range(10):
        for b in range(5):
            difficulty = random.random(len(y))
            for m in range(20):
                arrays, seeds = {GROUPS: groups}, []
                for seed in range(SEEDS):
                    right = difficulty < 0.6 + 0.015 * m + random.normal(0, 0.05, len(y)) - 0.2 * (groups == 2)
                    arrays |= {
                        predictions_name(seed, rule): np.where(right, y, 1 - y).astype(np.int16) for rule in RULES
                    }
                    counts = [int(right[groups == g].sum()) for g in range(4)]
                    chosen = {"candidate": 0, "test": counts, "predictions": array_hash(arrays[f"{seed}.average"])}
                    seeds.append(
                        {
                            "seed": seed,
                            "status": "ok",
                            "selection_total": [100] * 4,
                            "test_total": list(SIZES),
                            "configs": [{"C": float(c)} for c in range(CONFIGURATIONS)],
                            "candidates": [[c, 0, [90] * 4, counts] for c in range(CONFIGURATIONS)],
                            "selected": dict.fromkeys(RULES, chosen),
                        }
                    )
                record = Record.model_validate(
                    document(f"data{d}", f"backbone{b}", f"method{m}", TOLD[m % 4], groups, seeds)
                )
                write_record(record_path(folder, "v1", f"data{d}", f"backbone{b}", f"method{m}"), record, arrays)
    return folder


def document(
    dataset: str, backbone: str, method: str, told: list[str], groups: Any, seeds: list[Any]
) -> dict[str, Any]:
    """A record as JSON would give it."""
    return {
        "rules": "v1",
        "dataset": dataset,
        "backbone": backbone,
        "method": method,
        "key": digest({}),
        "key_parts": {},
        "title": method,
        "paper": "",
        "supervision": told,
        "trains": "linear head",
        "refit": False,
        "prompts": "",
        "classes": ["landbird", "waterbird"],
        "attributes": ["land", "water"],
        "train_total": [3498, 184, 56, 1057],
        "budget": {"seeds": SEEDS, "configurations": CONFIGURATIONS},
        "confidence": 0.95,
        "test_groups": array_hash(groups),
        "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {str(seed): 1.0 for seed in range(SEEDS)}},
        "seeds": seeds,
    }


@pytest.mark.slow
@pytest.mark.benchmark(group="leaderboard of 1,000 records")
def test_from_the_files_alone(benchmark: Any, thousand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path))

    def anew() -> str:
        shutil.rmtree(tmp_path / "boards", ignore_errors=True)
        return read_everything(thousand).document()

    assert "method19" in benchmark.pedantic(anew, rounds=1)


@pytest.mark.slow
@pytest.mark.benchmark(group="leaderboard of 1,000 records")
def test_from_what_was_kept(benchmark: Any, thousand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path))
    first = read_everything(thousand).document()
    assert benchmark.pedantic(lambda: read_everything(thousand).document(), rounds=3) == first
