"""What was found in photos, without a model: studies, explanations and reports of suspects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from spurbench.attention import MEASURES
from spurbench.board.attention import AttentionCell
from spurbench.cards import DatasetCard
from spurbench.data import Examples
from spurbench.discovery import Evidence
from spurbench.explained import Baseline, Explanation, Panel
from spurbench.explanation import How, Maps
from spurbench.findings.report import Provenance, Tally
from spurbench.stats.means import GroupMeans, Interval
from spurbench.study import Study
from spurbench.suspects.report import ClassRow, Photo, Suspect, SuspectsReport, WordList


class Mosaics:
    """Photos of 60 x 40 pixels, a colour in each quarter, which spells out the row and the quarter."""

    at_once = 1

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    @staticmethod
    def colour(row: int, quarter: int) -> tuple[int, int, int]:
        return (row, 60 * quarter, 255 - row)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        return [self._one(row) for row in rows]

    def _one(self, row: int) -> Image.Image:
        photo = Image.new("RGB", (60, 40))
        for quarter in range(4):
            left, top = 30 * (quarter % 2), 20 * (quarter // 2)
            photo.paste(self.colour(row, quarter), (left, top, left + 30, top + 20))
        return photo

    def fingerprint(self, ids: Sequence[str], hashes: object) -> str:
        return "mosaics"


@dataclass(frozen=True, kw_only=True)
class Studied(Study):
    """A study, and which quarter of its photo each of its regions is."""

    quarters: npt.NDArray[np.int64]


def build_study(
    n: int = 40,
    classes: Sequence[str] = ("cat", "dog", "cow"),
    attributes: Sequence[str] = ("lawn", "sofa"),
    seed: int = 0,
    truth: bool = True,
    ids: Sequence[str] = (),
    title: str = "Mosaics",
) -> Studied:
    """Validation photos of random classes, predictions and quarters; some photos without any, some training photos."""
    rng = np.random.default_rng(seed)
    split = rng.permutation(np.repeat([0, 1], [n // 2, n]))
    y, a = rng.integers(0, len(classes), len(split)), rng.integers(0, len(attributes), len(split))
    names = ids or [f"photo-{row}.png" for row in range(len(split))]
    photos = Mosaics(len(split))
    examples = Examples(names, y, a, split, len(classes), len(attributes), photos=photos)
    card = DatasetCard("mosaics", title, tuple(classes), tuple(attributes), "none")
    rows = examples.rows("val")
    seen = rng.random((n, 4)) < 0.6
    image_of, quarters = np.nonzero(seen)
    scores = rng.dirichlet(np.ones(len(classes)), n).astype(np.float32)
    alone = rng.dirichlet(np.ones(len(classes)), len(image_of)).astype(np.float32)
    left, top = quarters % 2 / 2, quarters // 2 / 2
    boxes = np.stack([left, top, left + 0.5, top + 0.5], axis=1).astype(np.float32)
    unit = np.eye(4, dtype=np.float32)
    evidence = Evidence(
        torch.from_numpy(examples.y[rows]),
        torch.from_numpy(unit[rows % 4]),
        torch.from_numpy(scores),
        torch.from_numpy(image_of),
        torch.from_numpy(unit[quarters]),
        torch.from_numpy(alone),
    )
    known = rng.random(len(image_of)) < 0.5 if truth else None
    return Studied(
        card=card,
        examples=examples,
        backbone="tiny",
        model="zero-shot",
        regions="quadrants",
        split="val",
        rows=rows,
        evidence=evidence,
        boxes=boxes,
        truth=known,
        why_no_truth="" if truth else "nobody drew boxes",
        quarters=quarters,
    )


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Studied]:
    """Build a study of photos whose pixels tell the region, without a model."""
    return build_study


THRESHOLDS = (0.25, 0.5, 0.75)


def build_explanation(
    methods: Sequence[str] = ("zero_shot", "erm"),
    classes: Sequence[str] = ("cat", "dog", "cow"),
    attributes: Sequence[str] = ("lawn", "sofa"),
    per_group: int = 2,
    seed: int = 0,
    known: bool = True,
    ids: Sequence[str] = (),
    title: str = "Mosaics",
    notes: Sequence[str] = ("a note",),
) -> Explanation:
    """Random maps, predictions and numbers of six test photos of each group, some of which are shown.

    Args:
        known: whether it is known where the objects are.
    """
    rng = np.random.default_rng(seed)
    n_groups = len(classes) * len(attributes)
    groups = np.repeat(np.arange(n_groups), 6)
    y, a = groups // len(attributes), groups % len(attributes)
    names = ids or [f"photo-{row}.png" for row in range(len(y))]
    test = np.full(len(y), 2)
    examples = Examples(names, y, a, test, len(classes), len(attributes), photos=Mosaics(len(y)))
    rows = np.flatnonzero(np.arange(len(y)) % 6 < per_group)
    m = len(rows)

    def means() -> GroupMeans:
        spans = np.sort(rng.random((n_groups + 1, 3)), axis=1).tolist()
        # The last group is one that was not measured.
        found = [Interval(mean, low, high) for low, mean, high in spans]
        return GroupMeans((*found[1:-1], None), found[0])

    def cell() -> AttentionCell:
        photos, area = (*(5,) * (n_groups - 1), 0), (*(0.25,) * (n_groups - 1), 0.0)
        curve = tuple(rng.random(len(THRESHOLDS)).tolist())
        return AttentionCell(
            "c", "m", "grad-cam", "layer4", "odds", "masks", 3, photos, area, dict.fromkeys(MEASURES, area),
            means(), means(), means(), THRESHOLDS, curve, 0,
        )  # fmt: skip

    def panel(method: str) -> Panel:
        predicted = rng.integers(0, len(classes), m)
        rival = (y[rows] + rng.integers(1, len(classes), m)) % len(classes)
        true, confused = rng.random((2, m, 3, 3)).astype(np.float32)
        maps = Maps(true, confused, rival, rng.normal(size=(m, len(classes))).astype(np.float32))
        accuracy = (*rng.random(n_groups - 1).tolist(), None)
        return Panel(
            method, f"The {method}", 1, predicted, maps, float(rng.random()), accuracy, cell() if known else None
        )

    # What towers that cut the middle out see of photos of 60 x 40.
    frames = np.tile(np.array([1 / 6, 0, 5 / 6, 1], dtype=np.float32), (m, 1))
    names = ("the same everywhere", "a blob in the middle")
    baselines = tuple(Baseline(name, means(), means(), means()) for name in names)
    return Explanation(
        card=DatasetCard("mosaics", title, tuple(classes), tuple(attributes), "none"),
        examples=examples,
        backbone="tiny",
        rules="v1",
        selection="worst_group",
        how=How(),
        kind="grad-cam",
        layer="layer4",
        split="test",
        rows=rows,
        frames=frames,
        objects=rng.random((m, 8, 8)) < 0.5 if known else None,
        panels=tuple(map(panel, methods)),
        baselines=baselines if known else (),
        why_no_objects="" if known else "nobody drew masks",
        left_out={"no mask": 6} if known else {},
        notes=tuple(notes),
        provenance={"data": "ab" * 32, "torch": "2"},
    )


@pytest.fixture(scope="session")
def make_explanation() -> Callable[..., Explanation]:
    """Build an explanation of photos of four colours, without a model."""
    return build_explanation


@pytest.fixture(scope="session")
def make_suspects() -> Callable[..., SuspectsReport]:
    """Build a report of suspects from words, their phrases and p-values; classes with and without photos of each."""

    def make(
        words: Sequence[tuple[str, str, float]] = (("water", "on water", 0.0001), ("forest", "in a forest", 0.0314)),
        classes: Sequence[str] = ("landbird", "waterbird"),
        photos: Sequence[Photo] = (),
        placebo: float | Sequence[float] = 0.001,
        data: str = "cd" * 32,
        agreement: Sequence[Sequence[float]] | None = None,
        **changes: Any,
    ) -> SuspectsReport:
        """Classes are right in 10, 20, ... % with each word and in 90 % without; `photos` are every suspect's.

        `agreement` is each word's with those before it; 0 throughout if it is left out.
        """
        beside = [placebo] * len(words) if isinstance(placebo, float) else placebo

        def row(k: int, rank: int) -> ClassRow:
            present, absent = Tally(hits=min(4 * (k + 1), 40), total=40), Tally(hits=54, total=60)
            return ClassRow(
                label=classes[k], present=present, absent=absent, threshold=0.2, information=0.1 / (k + rank),
                gap=present.hits / present.total - absent.hits / absent.total, p_value=0.0001,
            )  # fmt: skip

        suspects = [
            Suspect(
                rank=rank, word=word, kind="scene", phrase=phrase, information=0.1234 / rank, p_value=p,
                placebo=beside[rank - 1], agreement=list(agreement[rank - 1] if agreement else [0.0] * (rank - 1)),
                classes=[row(k, rank) for k in range(len(classes))], photos=list(photos),
            )
            for rank, (word, phrase, p) in enumerate(words, 1)
        ]  # fmt: skip
        told: dict[str, Any] = {
            "dataset": "birds", "title": "Birds", "backbone": "tiny", "seen_by": "tiny-2", "model": "zero-shot",
            "split": "val", "prompts": "photo", "words": WordList(sha256="ab" * 32, n=1836), "excluded": ["palm tree"],
            "indistinct": ["kettle"], "classes": list(classes), "right": Tally(hits=215, total=300),
            "permutations": 9999, "directions": 999, "n_directions_below_level": 417,
            "n_suspects_below_level": sum(p <= 0.05 for _, _, p in words),
            "n_suspects_beyond_directions": sum(
                word[2] <= 0.05 and share <= 0.05 for word, share in zip(words, beside, strict=True)
            ),
            "provenance": Provenance(seed=0, fingerprints={"data": data}, environment={"torch": "2"}),
        }  # fmt: skip
        return SuspectsReport(**{**told, **changes}, suspects=suspects)

    return make
