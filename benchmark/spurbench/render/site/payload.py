"""What the page's script shows: every number of the boards and every record's story, as one JSON value.

Shares are rounded to five decimals, two more than are shown; an estimate is `[mean, std, low, high]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...board import Board, BoardRow, TrackRanking
from ...findings.words import shown
from ...published import Published
from ...record import Record
from ...robustness import Robustness, robustness
from ...rules import Selection
from ...stats import Estimate, GroupMeans
from ..attention_words import KINDS, MEASURES, SCORES
from .story import story
from .text import wilson

DECIMALS = 5
Where = tuple[str, str, str, str]
"""Rules, data set, backbone and method: what a record is of."""


def payload(
    boards: Mapping[Selection, Board], records: Sequence[Record], published: Sequence[Published]
) -> dict[str, Any]:
    """Records in the order of the first board, its and the other boards' rows, rankings, and effective robustness."""
    first = next(iter(boards.values()))
    known = {_where(record): record for record in records}
    order = [_where(row) for row in first.rows]
    place = {where: index for index, where in enumerate(order)}
    return {
        "records": [story(known[where], row.track) for where, row in zip(order, first.rows, strict=True)],
        "rows": {
            selection: [_row(row, place[_where(row)], known[_where(row)]) for row in board.rows]
            for selection, board in boards.items()
        },
        "rankings": {
            selection: [_ranking(ranking) for ranking in board.rankings] for selection, board in boards.items()
        },
        "robustness": [
            found
            for dataset in _of_easy_and_hard(first, published)
            if (found := _robustness(dataset, robustness(published, first, dataset)))
        ],
    }


def rounded(value: float | None) -> float | None:
    """DECIMALS of them; None also for what is no number, which JSON does not have."""
    return None if value is None or not math.isfinite(value) else round(value, DECIMALS)


def _where(thing: Record | BoardRow) -> Where:
    return thing.rules, thing.dataset, thing.backbone, thing.method


def _estimate(value: Estimate | None) -> list[float | None] | None:
    return None if value is None else [rounded(part) for part in (value.mean, value.std, value.low, value.high)]


def _row(row: BoardRow, place: int, record: Record) -> dict[str, Any]:
    """One row; `record` is its place among the records."""
    measures = ("wga", "acc_test", "acc_train_weighted", "balanced", "gap", "oracle", "calibration_error", "auroc")
    return {
        "record": place,
        "rank": row.rank,
        "leads": row.leads,
        "status": row.status,
        "seeds": row.seeds,
        "seeds_expected": row.seeds_expected,
        "configs": row.n_configs,
        "candidates": row.n_candidates,
        "ranked_by": row.ranked_by,
        "score": _estimate(row.score),
        **{name: _estimate(getattr(row, name)) for name in measures},
        "worst": _worst(row),
        "standing": _standing(row),
        "easy_hard": _easy_hard(row),
        "groups": [_group(row, index, record.confidence) for index in range(len(row.groups))],
        "attention": _attention(row),
        "parameters": row.parameters,
        "seconds": row.seconds_per_seed,
        "memory": row.peak_memory,
    }


def _worst(row: BoardRow) -> dict[str, float | None] | None:
    if row.worst is None:
        return None
    return {name: rounded(getattr(row.worst, name)) for name in ("estimate", "bias", "corrected", "low", "high")}


def _standing(row: BoardRow) -> dict[str, Any] | None:
    if row.standing is None:
        return None
    found = row.standing.difference
    return {
        "best": shown(row.standing.best),
        "tied": row.standing.tied,
        "p": rounded(row.standing.adjusted),
        **{name: rounded(getattr(found, name)) for name in ("difference", "low", "high", "detectable")},
    }


def _easy_hard(row: BoardRow) -> dict[str, Any] | None:
    cell = row.easy_hard
    if cell is None:
        return None
    return {
        **{name: _estimate(getattr(cell, name)) for name in ("easy", "hard", "drop")},
        "drop_low": rounded(cell.drop_low),
        "drop_high": rounded(cell.drop_high),
        "negative": rounded(cell.negative),
        "classes": cell.classes,
    }


def _attention(row: BoardRow) -> dict[str, Any] | None:
    """Means of the groups that were looked at, by measure: of all alike, then of each, as [mean, low, high]."""
    cell = row.attention
    if cell is None:
        return None
    looked = [number for number, photos in enumerate(cell.photos) if photos]
    names = {group.number: group.group for group in row.groups}

    def of(means: GroupMeans) -> list[list[float | None]]:
        known = (means.balanced, *(means.groups[number] for number in looked))
        return [[rounded(part) for part in (one.mean, one.low, one.high)] for one in known if one is not None]

    return {
        "kind": KINDS[cell.kind],
        "layer": shown(cell.layer),
        "score": SCORES[cell.score],
        "objects": cell.objects,
        "seeds": cell.seeds,
        "changed": cell.changed,
        "groups": [shown(names[number]) for number in looked],
        "photos": [cell.photos[number] for number in looked],
        "area": [rounded(cell.area[number]) for number in looked],
        "centre": {name: [rounded(shares[number]) for number in looked] for name, shares in cell.centre.items()},
        **{name.lower(): of(means(cell)) for name, means in MEASURES.items()},
        "curve": [[rounded(x), rounded(y)] for x, y in zip(cell.thresholds, cell.curve, strict=True)],
    }


def _group(row: BoardRow, index: int, confidence: float) -> list[Any]:
    """Name, right ones over all seeds, examples of all seeds together, bounds by the examples of one seed."""
    group = row.groups[index]
    low, high = wilson(group.correct / row.seeds, group.total // row.seeds, confidence)
    return [shown(group.group), group.correct, group.total, rounded(low), rounded(high)]


def _ranking(ranking: TrackRanking) -> dict[str, Any]:
    return {
        "rules": shown(ranking.rules),
        "track": ranking.track,
        "tables": len(ranking.tables),
        "datasets": len({dataset for dataset, _ in ranking.tables}),
        "methods": [shown(method) for method in ranking.methods],
        "mean": [rounded(value) for value in ranking.mean_ranks],
        "low": [rounded(value) for value in ranking.low],
        "high": [rounded(value) for value in ranking.high],
        "groups": ranking.groups,
        "critical": rounded(ranking.critical),
        "friedman": rounded(ranking.friedman_p),
        "incomplete": [[shown(method), n] for method, n in ranking.incomplete],
    }


def _of_easy_and_hard(board: Board, published: Sequence[Published]) -> list[str]:
    own = [row.dataset for row in board.rows if row.easy_hard is not None]
    return sorted({*own, *(value.dataset for value in published)})


def _robustness(dataset: str, found: Robustness) -> dict[str, Any] | None:
    if not found.points:
        return None
    return {
        "dataset": shown(dataset),
        "points": [
            {
                "name": shown(point.name),
                "label": shown(point.label),
                "family": point.family,
                "easy": rounded(point.easy),
                "hard": rounded(point.hard),
                "own": point.own,
                "note": shown(point.note),
                "effective": rounded(found.effective(point)),
            }
            for point in found.points
        ],
        "fits": [
            {
                "name": fit.name,
                "family": fit.family,
                "n": fit.n,
                "slope": rounded(fit.slope),
                "r_squared": rounded(fit.r_squared),
                "ends": [[rounded(x), rounded(fit.at(x))] for x in (fit.low, fit.high)],
            }
            for fit in found.fits
        ],
    }
