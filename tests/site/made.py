"""Made-up records in any number, their page, and a browser to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.files import digest
from spurbench.leaderboard import read_everything
from spurbench.record import GROUPS, Record, array_hash, predictions_name, record_path, write_record
from spurbench.render.site import Contents, to_page

RULES = ("worst_group", "worst_class", "average")
TRACKS: tuple[list[str], ...] = ([], ["attribute_text"], ["val_groups"], ["train_groups", "val_groups"])
TOTAL = [150, 90, 40, 120]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic",
]  # fmt: skip


def made(
    results: Path,
    rng: np.random.Generator,
    method: str,
    place: int,
    *,
    seeds: int = 3,
    configs: int = 8,
    gone: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> Record:
    """Write one record whose every count is that of its made-up predictions; better the larger `place` is. Where seeds
    are `gone`, it has no others.
    """
    groups = np.repeat(np.arange(4), TOTAL).astype(np.int16)
    arrays = {GROUPS: groups}
    done = []
    for seed in range(seeds):
        tried = []
        for _ in range(configs):
            chance = np.clip(0.55 + 0.02 * place + rng.normal(0, 0.05) + np.array([0.2, 0.0, -0.1, 0.15]), 0.02, 0.99)
            right = rng.random(len(groups)) < chance[groups]
            predicted = np.where(right, groups // 2, 1 - groups // 2).astype(np.int16)
            tried.append((predicted, np.bincount(groups[right], minlength=4).tolist()))
        chosen = {rule: int(rng.integers(configs)) for rule in RULES}
        for rule, config in chosen.items():
            arrays[predictions_name(seed, rule)] = tried[config][0]
        selection = [[int(n) for n in rng.integers(10, 31, 4)] for _ in tried]
        done.append(
            {
                "seed": seed,
                "status": "ok",
                "selection_total": [30] * 4,
                "test_total": TOTAL,
                "configs": [{"C": 10.0**-config, "epochs": 5 + config} for config in range(configs)],
                "candidates": [[i, 0, selection[i], counts] for i, (_, counts) in enumerate(tried)],
                "selected": {
                    rule: {
                        "candidate": config,
                        "test": tried[config][1],
                        "predictions": array_hash(tried[config][0]),
                        "parameters": 0 if place == 0 else 10 ** (2 + place % 5),
                    }
                    for rule, config in chosen.items()
                },
                "environment": {"python": "3.11.7", "torch": "2.15.0", "device": "cpu"},
            }
        )
    parts = {"protocol": 1, "space": {"C": [1.0, 0.1]}, "method": method}
    record = Record.model_validate(
        {
            "rules": "v1",
            "dataset": "birds",
            "backbone": "ViT-B/16",
            "method": method,
            "key": digest(parts),
            "key_parts": parts,
            "title": f"The method {method}",
            "paper": "arXiv 2403.11497",
            "supervision": TRACKS[place % 4],
            "trains": "linear head",
            "refit": False,
            "prompts": "",
            "classes": ["landbird", "waterbird"],
            "attributes": ["land", "water"],
            "train_total": [3498, 184, 56, 1057],
            "budget": {"seeds": 3, "configurations": configs},
            "confidence": 0.95,
            "test_groups": array_hash(groups),
            "times": {
                "updated": "2026-01-01T00:00:00+00:00",
                "seconds": {str(seed): round(float(rng.uniform(0.1, 90)), 3) for seed in range(seeds)},
                "peak_memory": {str(seed): int(rng.integers(2**28, 2**33)) for seed in range(seeds)},
            },
            "seeds": done if gone is None else gone,
            **changes,
        }
    )
    write_record(record_path(results, record.rules, record.dataset, record.backbone, method), record, arrays)
    return record


def fill(results: Path, datasets: int, backbones: int, methods: int) -> Path:
    """Write records of so many data sets, backbones and methods; a quarter of the methods in each track."""
    rng = np.random.default_rng(0)
    for dataset in range(datasets):
        for backbone in range(backbones):
            for place in range(methods):
                names: dict[str, Any] = {"dataset": f"data-{dataset}", "backbone": f"ViT-{backbone}"}
                made(results, rng, f"method_{place:02}", place, **names)
    return results


def page_of(results: Path) -> str:
    """The page, as the command writes it."""
    everything = read_everything(results)
    return to_page(
        Contents(
            everything.boards(), everything.records, everything.planted_board(), everything.published, everything.broken
        )
    )


@contextmanager
def chromium() -> Iterator[Any]:
    """Without a window; who needs it is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
