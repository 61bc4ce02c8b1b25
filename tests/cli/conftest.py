"""The installed `spurbench`, and small inputs for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Spurbench = Callable[..., subprocess.CompletedProcess[str]]


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a user who has nothing: own cache, own data folder, no hub."""
    own = {"SPURBENCH_CACHE": str(folder / "cache"), "SPURBENCH_DATA": str(folder / "data")}
    own |= {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "HOME": str(folder / "home")}
    return {**os.environ, **own}


def installed(folder: Path, environment: dict[str, str]) -> Spurbench:
    """Runs the installed command in a folder of its own; never shows a bare traceback."""
    command = Path(sys.executable).with_name("spurbench")

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [command, *map(str, arguments)],
            cwd=folder,
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert "Traceback (most recent call last)" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a test."""
    return surroundings(tmp_path)


@pytest.fixture
def spurbench(tmp_path: Path, environment: dict[str, str]) -> Spurbench:
    """Run the installed command as somebody who has nothing."""
    return installed(tmp_path, environment)


@pytest.fixture(scope="module")
def module_spurbench(tmp_path_factory: pytest.TempPathFactory) -> Spurbench:
    """The same for a whole module, whose tests share a cache."""
    folder = tmp_path_factory.mktemp("user")
    return installed(folder, surroundings(folder))


def save_features(path: Path, *, seed: int = 0, text: bool = True, shift: float = 1.5) -> Path:
    """Two classes, two attribute values, the attribute easier to see than the class."""
    rng = np.random.default_rng(seed)
    sizes = {0: (120, 20, 15, 80), 1: (30, 30, 30, 30), 2: (60, 60, 50, 50)}
    group = np.concatenate([np.repeat(np.arange(4), counts) for counts in sizes.values()])
    split = np.repeat(list(sizes), [sum(counts) for counts in sizes.values()])
    y, a = group // 2, group % 2
    x = rng.normal(size=(len(y), 8)).astype(np.float32)
    x[:, 0] += shift * y
    x[:, 1] += 3.0 * a
    arrays = {"x": x, "y": y, "a": a, "split": split, "classes": np.array(["cat", "dog"])}
    arrays |= {"attributes": np.array(["sofa", "lawn"]), "backbone": np.array("tiny")}
    if text:
        arrays["class_text"] = np.eye(2, 8, dtype=np.float32)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """A small npz of features."""
    return save_features(tmp_path / "tiny.npz")


@pytest.fixture
def features_without_text(tmp_path: Path) -> Path:
    """The same without text features."""
    return save_features(tmp_path / "notext.npz", text=False)


NEAREST_MEAN = '''
"""Nearest class mean, as a plugin."""
import torch
from spurbench.cards import MethodCard
from spurbench.heads import LinearHead


class NearestMean:
    card = MethodCard(name="nearest_mean", title="Nearest class mean", paper="none", trains="class means")
    space = {}

    def fit(self, task, config):
        x, y = task.train.embeddings(), task.train.y
        means = torch.stack([x[y == k].mean(dim=0) for k in range(task.n_classes)])
        return [LinearHead(2 * means, -(means**2).sum(dim=1))]
'''


@pytest.fixture
def nearest_mean(tmp_path: Path) -> Path:
    """A method plugin of a few lines."""
    path = tmp_path / "my.py"
    path.write_text(NEAREST_MEAN)
    return path


@pytest.fixture
def few_photos(tmp_path: Path) -> Path:
    """Photos for each of four groups, 4 in train, 1 in val and 3 in test, as `split/class/attribute/*.png`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "few photos"
    for split, count in {"train": 4, "val": 1, "test": 3}.items():
        for label in ("cat", "dog"):
            for value in ("lawn", "sofa"):
                place = folder / split / label / value
                place.mkdir(parents=True)
                for i in range(count):
                    Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return folder
