"""Ranks across tables: which methods of a track are better over data sets and backbones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..stats import rank_methods
from .rows import BoardRow, TrackRanking
from .tracks import TRACKS, Track


def rank_tracks(rows: Sequence[BoardRow]) -> tuple[TrackRanking, ...]:
    """The ranking of each track of each version of the rules that has two tables or more and two complete methods.

    Scores of data sets of easy and hard photos that are ranked by another measure count like any: only their order
    enters.
    """
    found = []
    for rules in dict.fromkeys(row.rules for row in rows):
        for track in TRACKS:
            inside = [row for row in rows if row.rules == rules and row.track == track]
            ranking = _ranking(rules, track, inside)
            if ranking is not None:
                found.append(ranking)
    return tuple(found)


def _ranking(rules: str, track: Track, rows: Sequence[BoardRow]) -> TrackRanking | None:
    scores: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        mine = scores.setdefault(row.method, {})
        if row.rank is not None and row.score is not None:
            mine[row.dataset, row.backbone] = row.score.mean
    tables = sorted({table for mine in scores.values() for table in mine})
    complete = sorted(method for method, mine in scores.items() if len(mine) == len(tables))
    if len(tables) < 2 or len(complete) < 2:
        return None
    matrix = np.array([[scores[method][table] for method in complete] for table in tables])
    found = rank_methods(matrix, [dataset for dataset, _ in tables])
    order = sorted(range(len(complete)), key=lambda m: (found.mean_ranks[m], complete[m]))
    place = {m: i for i, m in enumerate(order)}
    return TrackRanking(
        rules=rules,
        track=track,
        tables=tuple(tables),
        methods=tuple(complete[m] for m in order),
        mean_ranks=tuple(found.mean_ranks[m] for m in order),
        low=tuple(found.low[m] for m in order),
        high=tuple(found.high[m] for m in order),
        groups=tuple(tuple(sorted(place[m] for m in group)) for group in found.groups),
        critical=found.nemenyi,
        friedman_p=found.friedman_p,
        pairs=tuple(sorted((min(place[a], place[b]), max(place[a], place[b]), p) for (a, b), p in found.pairs.items())),
        incomplete=tuple((method, len(scores[method])) for method in sorted(scores) if method not in complete),
    )
