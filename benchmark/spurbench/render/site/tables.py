"""The tables that stand in the page itself: read without a script, and printed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...board import TRACKS, Board, BoardRow, Track, TrackRanking, by_track
from .. import budgets, percent, ranked_by, with_deviation
from . import text


@dataclass(frozen=True)
class Best:
    """The best of a track in one table.

    Attributes:
        row: the best; of several with the very same score, the first by name.
        tied: the methods that are not told apart from it.
        ranked: how many methods have a rank.
    """

    row: BoardRow
    tied: tuple[str, ...]
    ranked: int


@dataclass(frozen=True)
class Place:
    """One (rules, data set, backbone): its rows by track, the best of each, and what all may try."""

    rules: str
    dataset: str
    backbone: str
    tracks: tuple[tuple[Track, tuple[BoardRow, ...]], ...]
    best: tuple[Best | None, ...]
    """By place in TRACKS; None where nothing is ranked."""
    budget: str
    measure: str


@dataclass(frozen=True)
class Cell:
    """One cell of a row; `numeric` ones are aligned to the right."""

    text: str
    numeric: bool = True


HEADINGS = (
    "#", "method", "WGA", "interval", "acc_test", "gap", "worst group", "seeds", "configs", "parameters", "per seed",
    "memory", "tier",
)  # fmt: skip
OF_WORDS = ("method", "worst group", "tier")


def places(board: Board) -> list[Place]:
    """Every table of a board, in its order."""
    found = []
    for (rules, dataset, backbone), rows in board.tables():
        tracks = by_track(rows)
        of = dict(tracks)
        found.append(
            Place(
                rules,
                dataset,
                backbone,
                tuple((track, tuple(some)) for track, some in tracks),
                tuple(_best(of.get(track, ())) for track in TRACKS),
                budgets(rows),
                "class-averaged accuracy on hard photos" if ranked_by(rows) else "worst-group accuracy",
            )
        )
    return found


def span(places: Sequence[Place]) -> tuple[int, int]:
    """What the bars of the best of each table are drawn on: tens of percent around all of their intervals."""
    rows = [best.row for place in places for best in place.best if best]
    ends = [end for row in rows for end in (*(bounds(row) or ()), *((row.score.mean,) if row.score else ()))]
    if not ends:
        return 0, 100
    low = 10 * math.floor(10 * min(ends))
    return low, max(10 * math.ceil(10 * max(ends)), low + 10)


def cells(row: BoardRow) -> list[Cell]:
    """What a row shows below HEADINGS."""
    worst = min(row.groups, key=lambda group: group.accuracy).group if row.groups else "-"
    said = (
        "-" if row.rank is None else str(row.rank),
        row.method,
        f"hard {with_deviation(row.score)}" if row.ranked_by == "hard" else with_deviation(row.score),
        interval(row),
        percent(row.acc_test.mean if row.acc_test else None),
        percent(row.gap.mean if row.gap else None),
        worst,
        str(row.seeds) if row.status == "complete" else f"{row.seeds}/{row.seeds_expected}",
        str(row.n_configs),
        text.count(row.parameters),
        text.seconds(row.seconds_per_seed),
        text.memory(row.peak_memory),
        row.tier,
    )
    return [Cell(cell, heading not in OF_WORDS) for heading, cell in zip(HEADINGS, said, strict=True)]


def bounds(row: BoardRow) -> tuple[float, float] | None:
    """The interval of what a row is ranked by: over test examples and seeds where predictions are at hand, otherwise
    over seeds alone; None of a single seed, and where all seeds agree.
    """
    if row.worst is not None and row.ranked_by == "wga":
        return row.worst.low, row.worst.high
    score = row.score
    if score is None or score.low is None or score.high is None or not score.std:
        return None
    return max(score.low, 0.0), min(score.high, 1.0)


def interval(row: BoardRow) -> str:
    """`bounds` in percent."""
    found = bounds(row)
    return "-" if found is None else f"{percent(found[0])} to {percent(found[1])}"


def few(ranking: TrackRanking) -> bool:
    """Whether mean ranks rest on fewer than three data sets: an interval would say nothing then."""
    return len({dataset for dataset, _ in ranking.tables}) < 3


def _best(rows: Sequence[BoardRow]) -> Best | None:
    ranked = [row for row in rows if row.rank is not None]
    if not ranked:
        return None
    tied = tuple(row.method for row in ranked[1:] if row.leads)
    return Best(ranked[0], tied, len(ranked))
