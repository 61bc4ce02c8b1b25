"""Effective robustness: how far a model's hard accuracy is from what its easy accuracy lets one expect.

The expectation is the line through models trained on ImageNet with labels. Source: Wang et al. 2024, arXiv 2403.11497,
Figure 1 and section 3; the term is Taori et al.'s (2020). Accuracies are percent, class-averaged. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .board import Board
from .published import Published, triples

Family = Literal["clip", "supervised"]
FAMILIES: dict[str, Family] = {"zero_shot": "clip", "own_head": "supervised"}
TABLES = ("Table 3", "Table 4")
"""Those that the paper's figure shows; its other tables have the same models again."""
DISCOVERY = ("ViT-B/32:laion400m_e31", "ViT-B/32-gelu:laion400m_e31")
"""The model whose mistakes decided which photos are hard: part of no fit."""
FEWEST = 3
"""Models that a line is fitted through."""
SIZES = {
    "RN50": 38, "RN101": 56, "RN50x4": 87, "RN50x16": 167, "RN50x64": 420, "ViT-B/32": 88, "ViT-B/32-256": 88,
    "ViT-B/16": 86, "ViT-L/14": 304, "ViT-L/14@336px": 304, "ViT-H/14": 632, "ViT-H/14-378": 633, "ViT-g/14": 1013,
    "ViT-bigG/14": 1845, "convnext_base": 88, "convnext_base_w": 88, "torchvision:alexnet": 61,
    "torchvision:vgg11": 133, "torchvision:vgg13": 133, "torchvision:vgg19": 144, "torchvision:resnet18": 12,
    "torchvision:resnet34": 22, "torchvision:resnet50": 26, "torchvision:resnet101": 45, "torchvision:vit_b_16": 87,
    "torchvision:vit_b_32": 88, "torchvision:vit_l_16": 304, "torchvision:vit_l_32": 307,
    "torchvision:convnext_small": 50, "torchvision:convnext_base": 89, "torchvision:convnext_large": 198,
}  # fmt: skip
"""Parameters of image towers in millions, counted in the models that open_clip 3.3 and torchvision 0.29 build."""
IMAGES = {"laion400m_": 0.4, "datacomp_xl_": 1.0, "datacomp_s34b_": 1.0, "laion2b_": 2.0, "dfn2b": 2.0, "dfn5b": 5.0}
"""Training photos in billions, as the sets' names say, by how a tag begins; without a tag it is OpenAI's 0.4."""


@dataclass(frozen=True)
class Point:
    """One model.

    Attributes:
        name: its backbone's name; `label`: a shorter one, for a picture.
        easy, hard: percent.
        own: from an own record, not from a paper.
        note: why a published value is not to be relied on, or "".
        size: parameters of its image tower, millions; None where not known.
        images: photos that a CLIP model was trained on, billions; None where not known, and for supervised models.
    """

    name: str
    label: str
    family: Family
    easy: float
    hard: float
    own: bool
    note: str
    size: float | None
    images: float | None

    @property
    def discovery(self) -> bool:
        """Whether it chose the photos."""
        return self.name in DISCOVERY


@dataclass(frozen=True)
class Fit:
    """Least squares, hard = intercept + slope easy, over n models of one family, with two-sided Student t bounds of the
    slope; `low` and `high` are the least and the largest easy accuracy among them.
    """

    name: str
    family: Family
    n: int
    slope: float
    intercept: float
    slope_low: float
    slope_high: float
    r_squared: float
    low: float
    high: float

    def at(self, easy: float) -> float:
        """Hard accuracy that the line gives for an easy accuracy, percent."""
        return self.intercept + self.slope * easy


@dataclass(frozen=True)
class Robustness:
    """All models and lines of a data set; `reference` is the line of supervised models, None for too few of them."""

    points: tuple[Point, ...]
    fits: tuple[Fit, ...]
    reference: Fit | None

    def effective(self, point: Point) -> float | None:
        """Points of hard accuracy above the reference line."""
        return None if self.reference is None else point.hard - self.reference.at(point.easy)


def robustness(values: Sequence[Published], board: Board, dataset: str, confidence: float = 0.95) -> Robustness:
    """Points from published rows and from complete own records by the published prompts, and lines through them."""
    rows = [t for t in triples(values) if t.first.dataset == dataset and t.first.where in TABLES]
    published = [
        _point(t.first.backbone, _label(t.first), FAMILIES[t.first.method], t.easy, t.hard, note=t.note)
        for t in rows
        if t.first.method in FAMILIES and t.easy is not None and t.hard is not None
    ]
    prompts: dict[str, str] = {t.first.method: t.first.prompts for t in rows}
    own: dict[tuple[str, Family], Point] = {}
    for row in board.rows:
        said = prompts.get(row.method, row.prompts)
        if row.dataset != dataset or row.method not in FAMILIES or row.prompts != said or row.status != "complete":
            continue
        if row.easy_hard is not None:
            family, cell = FAMILIES[row.method], row.easy_hard
            label = row.backbone.removeprefix("torchvision:").partition(":")[0]
            point = _point(row.backbone, label, family, 100 * cell.easy.mean, 100 * cell.hard.mean, own=True)
            own.setdefault((row.backbone, family), point)
    points = (*published, *own.values())
    supervised = _fit("ImageNet-supervised, published", _of(published, "supervised"), confidence)
    found = [
        _fit("CLIP, published", _of(published, "clip"), confidence),
        _fit("CLIP, published, without doubtful rows", [p for p in _of(published, "clip") if not p.note], confidence),
        supervised,
        _fit("CLIP, own records", _of(own.values(), "clip"), confidence),
        own_supervised := _fit("ImageNet-supervised, own records", _of(own.values(), "supervised"), confidence),
    ]
    return Robustness(points, tuple(fit for fit in found if fit is not None), supervised or own_supervised)


def _of(points: Iterable[Point], family: Family) -> list[Point]:
    return [point for point in points if point.family == family and not point.discovery]


def _fit(name: str, points: Sequence[Point], confidence: float) -> Fit | None:
    if len(points) < FEWEST or len({point.easy for point in points}) < 2:
        return None
    from scipy.special import stdtrit
    from scipy.stats import linregress

    line = linregress([point.easy for point in points], [point.hard for point in points])
    half = float(stdtrit(len(points) - 2, (1 + confidence) / 2)) * float(line.stderr)
    slope, intercept = float(line.slope), float(line.intercept)
    ends = min(point.easy for point in points), max(point.easy for point in points)
    return Fit(
        name,
        points[0].family,
        len(points),
        slope,
        intercept,
        slope - half,
        slope + half,
        float(line.rvalue) ** 2,
        *ends,
    )


def _label(value: Published) -> str:
    return value.model.replace("ViT/", "ViT-").replace("×", "x")


def _point(
    name: str, label: str, family: Family, easy: float, hard: float, *, own: bool = False, note: str = ""
) -> Point:
    architecture, _, tag = name.partition(":")
    size = SIZES.get(name if name in SIZES else architecture.replace("-gelu", ""))
    images = None
    if family == "clip":
        images = next((n for start, n in IMAGES.items() if tag.startswith(start)), None if tag else 0.4)
    return Point(name, label, family, easy, hard, own, note, size, images)
