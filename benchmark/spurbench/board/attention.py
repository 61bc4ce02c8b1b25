"""What a board shows of a record's attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..attention import MEASURES, UNIT, attention_name
from ..record import GROUPS, Record
from ..rules import Selection
from ..stats.means import GroupMeans, group_means
from .outcomes import Arrays


@dataclass(frozen=True)
class AttentionCell:
    """Means over photos and seeds, with intervals over both.

    Attributes:
        code, masks, kind, layer, score, objects: how it was measured (see `attention.Attention`).
        seeds: how many models were looked into.
        photos: per group.
        area: per group, the share of the view that the object covers.
        centre: per group, what a blob in the middle gets, by measure.
        aiou: adjusted IoU, averaged over thresholds.
        pointing, energy: see `localisation`.
        thresholds: of the curve.
        curve: balanced mean of the adjusted IoU at each.
        changed: predictions of the models made again that are not those of the record, summed.
    """

    code: str
    masks: str
    kind: str
    layer: str
    score: str
    objects: str
    seeds: int
    photos: tuple[int, ...]
    area: tuple[float, ...]
    centre: Mapping[str, tuple[float, ...]]
    aiou: GroupMeans
    pointing: GroupMeans
    energy: GroupMeans
    thresholds: tuple[float, ...]
    curve: tuple[float, ...]
    changed: int


def looked_into(record: Record, selection: Selection, n_seeds: int) -> list[int]:
    """The seeds below `n_seeds` whose model of one selection rule somebody has looked into."""
    seeds = {} if record.attention is None else record.attention.seeds
    return [int(seed) for seed, rules in seeds.items() if selection in rules and int(seed) < n_seeds]


def attention_cell(record: Record, selection: Selection, arrays: Arrays | None, n_seeds: int) -> AttentionCell | None:
    """What is known of where a record's models look, those of one selection rule; None where it is not.

    Args:
        arrays: of the record, with those of its attention; None where they are not at hand.
        n_seeds: seeds below it count.
    """
    attention = record.attention
    if attention is None or arrays is None:
        return None
    seeds = looked_into(record, selection, n_seeds)
    if not seeds:
        return None
    seen = [attention.seeds[str(seed)][selection] for seed in seeds]
    looked = arrays[attention_name(seeds[0], selection, "aiou")] >= 0

    def means(measure: str) -> GroupMeans:
        values = np.stack([arrays[attention_name(seed, selection, measure)][looked] for seed in seeds]) / UNIT
        return group_means(values, arrays[GROUPS][looked], len(attention.photos), record.confidence)

    some = np.asarray(attention.photos) > 0
    curve = np.mean([model.aiou for model in seen], axis=0)[:, some].mean(axis=1)
    return AttentionCell(
        code=attention.code,
        masks=attention.masks,
        kind=attention.kind,
        layer=attention.layer,
        score=attention.score,
        objects=attention.objects,
        seeds=len(seeds),
        photos=tuple(attention.photos),
        area=tuple(attention.area),
        centre={measure: tuple(attention.centre[measure]) for measure in MEASURES},
        aiou=means("aiou"),
        pointing=means("pointing"),
        energy=means("energy"),
        thresholds=tuple(attention.thresholds),
        curve=tuple(curve.tolist()),
        changed=sum(model.changed for model in seen),
    )
