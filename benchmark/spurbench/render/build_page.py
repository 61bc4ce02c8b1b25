"""The report of a built data set, as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scipy.stats import binomtest

from ..builder.output import Built, words
from ..builder.output.record import count
from ..builder.table import ClassResult, Interval, Rule, Share
from . import pages
from .build_pictures import MOST_CLASSES, make_pictures

MOST_BARS = 24
"""Backgrounds of a class that are shown; build.json has all."""
MOST_ROWS = 1_000
"""Classes in the list of those that are not kept, or have no pictures; build.json has all."""


@dataclass(frozen=True)
class Bar:
    """An accuracy with its interval.

    Attributes:
        kind: which colour it has: easy and hard are those of the pair.
        few: whether there were too few photos for the background to be looked at.
    """

    name: str
    kind: Literal["easy", "hard", "other"]
    share: Share
    low: float
    high: float
    few: bool


def to_html(built: Built) -> str:
    """The page: what was asked, what was found, each class with pictures, what was left out and why."""
    rule = built.found.rule
    pictures = make_pictures(built)
    templates = pages.environment(
        percent=_percent, points=words.points, bounded=words.bounded, p=words.p_value, share_of=_share_of
    )
    return templates.get_template("build.html.jinja").render(
        built=built,
        found=built.found,
        rule=rule,
        sentences=words.the_rule(rule),
        limits=words.limits(rule),
        counts=count(built, built.photos[built.photos["split"] != ""]),
        shown=[
            (result, bars(result, rule), pictures.classes[result.label]) for result in built.found.kept[:MOST_CLASSES]
        ],
        more_bars=MOST_BARS,
        others=[result for result in built.found.classes if not result.kept],
        bare=built.found.kept[MOST_CLASSES:],
        most_rows=MOST_ROWS,
        left_out=pictures.left_out,
        why=words.STATUS,
        in_sample=words.IN_SAMPLE,
    )


def bars(result: ClassResult, rule: Rule) -> list[Bar]:
    """A class's backgrounds by accuracy, on the photos that its drop is reported on; those of the pair come first and
    last. Intervals are Wilson's, which count photos of one observation as if they were apart.
    """
    found = []
    for item in result.backgrounds:
        share = item.discovery if rule.published else item.evaluation
        low, high = _wilson(share, rule.confidence)
        cells = (item.discovery,) if rule.published else (item.discovery, item.evaluation)
        kind: Literal["easy", "hard", "other"] = (
            "easy" if item.name == result.easy else "hard" if item.name == result.hard else "other"
        )
        found.append(Bar(item.name, kind, share, low, high, any(cell.total < rule.min_cell for cell in cells)))
    places = {"easy": 0, "other": 1, "hard": 2}
    most = sorted(found, key=lambda bar: (bar.kind == "other", -bar.share.total, bar.name))[:MOST_BARS]
    return sorted(most, key=lambda bar: (places[bar.kind], -(bar.share.accuracy or 0.0), bar.name))


def _wilson(share: Share, confidence: float) -> tuple[float, float]:
    if not share.total:
        return 0.0, 1.0
    interval = binomtest(share.correct, share.total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _percent(share: float | None) -> str:
    return pages.bound(words.percent(share))


def _share_of(value: Interval) -> float:
    """Where the bar of an average ends."""
    return min(max(value.estimate, 0.0), 1.0)
