"""Built data sets that are made up, with photos on disk, for tests of what is written of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spurbench.builder.output import Built
from spurbench.builder.table import BackgroundResult, ClassResult, Found, Instrument, Interval, Rule, Share

COLOURS = {"meadow": (60, 120, 50), "lake": (50, 80, 150), "sand": (190, 170, 120)}
SKIPPED = ("unreadable", "tiny", "duplicate", "near_duplicate", "burst", "conflict", "no_background")


@dataclass
class World:
    """What is made up.

    Attributes:
        labels: the classes with photos; `names` is how they are said.
        cell: photos of a class before a background, in both halves together.
        backgrounds: the first is easy, the second hard.
        suffixes: of files, in turn.
    """

    labels: Sequence[str] = ("crane, wader", "heron", "rock/dove")
    kept: Sequence[str] = ("crane, wader", "rock/dove")
    strangers: Sequence[str] = ("bear",)
    backgrounds: Sequence[str] = ("meadow", "lake", "sand")
    cell: int = 12
    suffixes: Sequence[str] = (".jpg", ".JPEG", ".png")
    licences: Sequence[str] = ("CC-BY-NC", "", "CC0")
    rule: Rule = field(default_factory=lambda: Rule(min_cell=3, draws=99, resamples=50))
    title: str = "Birds & *places*"
    noise: int = 24


def photo(
    path: Path, colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (48, 36), noise: int = 24
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + rng.normal(0, noise, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def rows_of(world: World, folder: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for place, label in enumerate(world.labels):
        for b, background in enumerate(world.backgrounds):
            for i in range(world.cell):
                name = f"{place}/{background}/photo {i}{world.suffixes[i % len(world.suffixes)]}"
                colour = COLOURS.get(background, (128, 128, 128))
                photo(folder / name, colour, seed=1000 * place + 100 * b + i, noise=world.noise)
                right = i % 7 != 1 if b == 0 else i % 3 == 0 if b == 1 else i % 5 < 3
                half = "" if world.rule.published else ("discovery", "evaluation")[i % 2]
                group = {0: "easy", 1: "hard"}.get(b, "") if label in world.kept else ""
                split = ("train", "test", "val", "test")[i % 4] if group else ""
                if group == "hard" and i == world.cell - 2:
                    split = ""  # A hard photo too many for training.
                rows.append(
                    {
                        "path": name,
                        "photo_id": f"id-{place}-{b}-{i}",
                        "label": label,
                        "background": background,
                        "observation": f"o{i // 2}",
                        "photographer": "Ann <b>",
                        "licence": world.licences[i % len(world.licences)],
                        "attribution": "(c) Ann, *some* rights reserved",
                        "source_url": f"https://example.org/{i}",
                        "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                        "width": 48,
                        "height": 36,
                        "truncated": False,
                        "status": "",
                        "twin": "",
                        "background_by": ("label", "confirmed", "draft")[i % 3],
                        "predicted": label if right else world.strangers[0],
                        "correct": right,
                        "half": half,
                        "group": group,
                        "split": split,
                    }
                )
    for i, status in enumerate(SKIPPED):
        name = f"0/meadow/left out {i}.jpg"
        photo(folder / name, (0, 0, 0), seed=i)
        rows.append(
            {**rows[i], "path": name, "photo_id": f"left-{i}", "status": status, "twin": rows[i]["photo_id"]}
            | dict.fromkeys(("half", "group", "split", "predicted"), "")
            | {"correct": None}
        )
    table: pd.DataFrame = pd.DataFrame(rows).sort_values("path", ignore_index=True)
    return table


def share_of(rows: pd.DataFrame) -> Share:
    return Share(sum(value is True for value in rows["correct"].tolist()), len(rows))


def near(value: float) -> Interval:
    return Interval(value, max(value - 0.1, 0.0), min(value + 0.1, 1.0))


def result_of(world: World, rows: pd.DataFrame, label: str) -> ClassResult:
    mine = rows[(rows["label"] == label) & (rows["status"] == "")]
    found = []
    for name in sorted(world.backgrounds):
        cell = mine[mine["background"] == name]
        first = cell if world.rule.published else cell[cell["half"] == "discovery"]
        found.append(BackgroundResult(name, share_of(first), share_of(cell[cell["half"] == "evaluation"])))
    easy, hard = world.backgrounds[:2]
    pair = [next(item for item in found if item.name == name) for name in (easy, hard)]
    gap = (pair[0].discovery.accuracy or 0) - (pair[1].discovery.accuracy or 0)
    kept = label in world.kept
    drop = None
    if not world.rule.published:
        here = (pair[0].evaluation.accuracy or 0) - (pair[1].evaluation.accuracy or 0)
        drop = Interval(here, here - 0.15, min(here + 0.15, 1.0))
    p = None if world.rule.published else 0.004 if kept else 0.4
    reason = "" if kept else "a drop this large is often chosen by chance (p = 0.40 > 0.05)"
    return ClassResult(label, tuple(found), easy, hard, gap, drop, p, p, kept, reason)


def build(world: World, folder: Path) -> Built:
    rows = rows_of(world, folder)
    classes = tuple(result_of(world, rows, label) for label in world.labels)
    kept = [result for result in classes if result.kept]
    headline: tuple[Interval | None, Interval | None, Interval | None] = (None, None, None)
    if kept and not world.rule.published:
        easy, hard = (
            float(np.mean([next(b.evaluation.accuracy or 0 for b in r.backgrounds if b.name == name) for r in kept]))
            for name in world.backgrounds[:2]
        )
        headline = (near(easy), near(hard), near(easy - hard))
    in_sample = float(np.mean([result.drop_found or 0 for result in kept])) if kept else None
    labels = (*world.strangers, *world.labels)
    instrument = Instrument(
        backbone="ViT-B/32",
        fingerprint="ab" * 32,
        weights="openai",
        activation="QuickGELU",
        precision="fp32",
        preprocessing="Resize(224), CenterCrop(224)",
        templates=("A photo of {}.",),
        label_space="classes",
        labels=labels,
        names=labels,
        software=(("open_clip", "3.3"), ("torch", "2.15")),
    )
    easy_macro, hard_macro, drop = headline
    found = Found(world.rule, classes, easy_macro, hard_macro, drop, in_sample)
    command = "spurbench build counteranimal photos --out built"
    return Built(folder, rows, found, instrument, world.title, command, 0, {"python": "3.11"})


@pytest.fixture
def world() -> World:
    """What `make_built` makes unless told otherwise."""
    return World()


@pytest.fixture
def make_built(tmp_path: Path) -> Callable[..., Built]:
    """Build from a `World` with some of its attributes changed; photos are in tmp_path/photos."""

    def make(**changes: Any) -> Built:
        return build(replace(World(), **changes), tmp_path / "photos")

    return make
