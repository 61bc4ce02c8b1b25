"""The section "Discovery" of the board: who finds what was planted, and who leaves it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..planted.board import Finder, PlantedBoard, Trend
from ..stats import Estimate
from . import percent


@dataclass(frozen=True)
class Table:
    """A table as text, whatever it is written into.

    Attributes:
        caption: what stands above it.
        headings, rows: of text; the first `words` columns are aligned to the left.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


HOW = """\
A feature was planted with one class in training (Cramer's V), and a model fine-tuned on it; a setting is valid if the
model uses the shortcut by more than 10 points in every seed. Precision@10: share of the first ten regions of the most
suspicious set that show the feature, mean over valid settings (over seeds within each), with Student's t interval over
settings where there are three or more. Regions that a set lacks count as wrong. **class named**: how often the
discoverer names the class that the feature was planted with."""
FEWEST = 3
"""Settings of which an interval says something."""


def summary(board: PlantedBoard) -> str:
    """What was tried, in a line."""
    return f"{board.valid} of {board.tried} settings valid, {board.models} models"


def tables(board: PlantedBoard) -> Iterator[Table]:
    """Every table of the section, in order; none where nothing is valid."""
    for where in dict.fromkeys((row.base, row.backbone) for row in board.finders):
        yield _finders(where, [row for row in board.finders if (row.base, row.backbone) == where])
    if board.finders:
        yield _trends(
            "Precision@10 over all bases and backbones as the validity threshold rises",
            [f"above {100 * threshold:g} points" for threshold, _, _ in board.by_threshold[0].points],
            board.by_threshold,
        )
        yield _trends(
            "Precision@K over all bases and backbones",
            [f"K = {k:g}" for k, _, _ in board.by_k[0].points],
            board.by_k,
            counted=False,
        )
    for backbone in dict.fromkeys(row.backbone for row in board.mended):
        rows = [row for row in board.mended if row.backbone == backbone]
        caption = (
            f"Mitigation · {backbone}: {rows[0].settings} settings, {rows[0].models} models where discovery succeeded "
            "(Precision@10 > 0.6)"
        )
        yield Table(
            caption,
            ("method", "image WGA", "image acc", "region WGA", "region acc"),
            tuple(
                (
                    row.method,
                    *(
                        _with_interval(found, row.settings)
                        for found in (row.image_worst, row.image_overall, row.region_worst, row.region_overall)
                    ),
                )
                for row in rows
            ),
        )


def _finders(where: tuple[str, str], rows: Sequence[Finder]) -> Table:
    base, backbone = where
    counts = [n for _, _, n in rows[0].by_strength]
    settings, models = max(row.settings for row in rows), max(row.models for row in rows)
    return Table(
        f"{base} · {backbone}: {settings} valid settings, {models} models",
        (
            "discoverer",
            "P@10",
            *(f"V {strength:g} ({n})" for (strength, _, _), n in zip(rows[0].by_strength, counts, strict=True)),
            "class named",
        ),
        tuple(
            (
                row.discoverer,
                _with_interval(row.precision, row.settings),
                *("-" if mean is None else f"{mean:.2f}" for _, mean, _ in row.by_strength),
                percent(row.named),
            )
            for row in rows
        ),
    )


def _trends(caption: str, headings: list[str], trends: Sequence[Trend], *, counted: bool = True) -> Table:
    if counted:
        headings = [f"{heading} ({n})" for heading, (_, _, n) in zip(headings, trends[0].points, strict=True)]
    rows = tuple((trend.discoverer, *(_with_interval(found, n) for _, found, n in trend.points)) for trend in trends)
    return Table(caption, ("discoverer", *headings), rows)


def _with_interval(found: Estimate | None, settings: int) -> str:
    """A mean and its interval, cut off where no share can be; the mean alone of few settings, or where all agree."""
    if found is None:
        return "-"
    if found.low is None or found.high is None or settings < FEWEST or found.high - found.low < 0.005:
        return f"{found.mean:.2f}"
    return f"{found.mean:.2f} ({max(found.low, 0):.2f} to {min(found.high, 1):.2f})"
