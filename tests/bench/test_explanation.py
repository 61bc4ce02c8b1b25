"""Activation maps of 1,000 photos and three models, and what one pass for all of them saves.

The plain side runs the tower for each model, as a library does that is given one model at a time.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spurbench.backbones import Setting, resolve
from spurbench.explanation import Subject
from spurbench.explanation.draw import draw
from spurbench.heads import UnitLinearHead
from spurbench.registry import load_registries
from spurbench.workbench import ViewedPhotos

pytestmark = pytest.mark.slow
PHOTOS, MODELS, SECONDS = 1000, 3, 60


@cache
def examples() -> Any:
    dataset: Any = load_registries().datasets.get("menagerie-birds")
    return dataset.load(Path())


def prepared(backbone: str, cache: Path) -> tuple[Any, list[Subject], ViewedPhotos, Any]:
    tower = resolve(load_registries().backbones, backbone, Setting(cache)).load("cpu")
    rows = examples().rows("test")[:PHOTOS]
    photos = ViewedPhotos(examples().photos, rows.tolist(), tower)
    width = tower.project(tower.trunk(photos[0][None])).shape[1]
    torch.manual_seed(0)
    heads = [UnitLinearHead(20 * torch.randn(2, width), torch.randn(2)) for _ in range(MODELS)]
    subjects = [Subject(f"model {i}", ("embeddings",), head) for i, head in enumerate(heads)]
    return tower, subjects, photos, examples().y[rows]


@pytest.mark.parametrize("backbone", ["menagerie-rn", "menagerie-vit"])
@pytest.mark.benchmark(group=f"maps of two classes, {PHOTOS} photos, {MODELS} models")
def test_one_pass_for_all_models_against_one_for_each(benchmark: Any, backbone: str, tmp_path: Path) -> None:
    tower, subjects, photos, y = prepared(backbone, tmp_path)
    draw(tower, subjects, photos, y)
    started = time.perf_counter()
    alone = [draw(tower, [subject], photos, y).of[0] for subject in subjects]
    plain = time.perf_counter() - started
    drawn = benchmark.pedantic(draw, args=(tower, subjects, photos, y), rounds=3)
    for found, expected in zip(drawn.of, alone, strict=True):
        np.testing.assert_allclose(found.true, expected.true, atol=1e-4 * expected.true.max())
    if benchmark.disabled:
        return
    ours = benchmark.stats.stats.min
    benchmark.extra_info |= {"ours_s": round(ours, 1), "plain_s": round(plain, 1), "ratio": round(plain / ours, 1)}
    assert ours < SECONDS
    assert ours < plain
