"""What maps say in numbers, as they enter the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..attention import MEASURES, UNIT, Attention, Seen, attention_name
from ..data import Examples, Ints
from ..explanation import Drawn, How, Maps
from ..localisation import THRESHOLDS, Located, areas, locate
from ..masks import ObjectMasks
from ..provenance import modules_hash
from ..record import array_hash
from ..remade import Remade
from ..rules import Selection

CODE = ("explanation", "localisation", "masks", "regions")
"""Modules that decide the numbers."""
Arrays = dict[str, NDArray[np.int16]]


def attention(
    models: Sequence[Remade],
    maps: Sequence[Maps],
    masks: ObjectMasks,
    blob: Located,
    examples: Examples,
    selection: Selection,
    drawn: Drawn,
    how: How,
) -> tuple[Attention, Arrays]:
    """What the models of one record look at, and the arrays per test example that belong to it.

    Args:
        models, maps: of each seed; the maps are of the photos of `masks`.
        blob: what `localisation.centred` gives for the masks.
        drawn: says how they were drawn.
    """
    test = examples.rows("test")
    places = np.searchsorted(test, masks.rows)
    n_groups = examples.n_classes * examples.n_attributes
    groups = examples.groups[masks.rows]
    names = [examples.ids[row] for row in masks.rows.tolist()]
    known: dict[int, Located] = {}
    arrays: Arrays = {}
    seeds: dict[str, dict[Selection, Seen]] = {}
    for model, found in zip(models, maps, strict=True):
        # Seeds that share a model share its maps.
        if id(found) not in known:
            known[id(found)] = locate(found.true, found.confused, masks.shown, names)
        located = known[id(found)]
        hashes = {}
        for measure, values in measures(located).items():
            array = np.full(len(test), -1, dtype=np.int16)
            array[places] = np.round(UNIT * values)
            arrays[attention_name(model.seed, selection, measure)] = array
            hashes[measure] = array_hash(array)
        seen = Seen(
            arrays=hashes,
            iou=_curve(located.iou, groups, n_groups),
            aiou=_curve(located.aiou, groups, n_groups),
            changed=int((model.recorded[places] != model.predicted[places]).sum()),
        )
        seeds[str(model.seed)] = {selection: seen}
    return (
        Attention(
            code=modules_hash(CODE),
            kind=drawn.kind,
            layer=drawn.layer,
            score=how.score,
            objects=masks.objects,
            masks=masks.sha256,
            thresholds=list(THRESHOLDS),
            photos=np.bincount(groups, minlength=n_groups).tolist(),
            area=_curve(areas(masks.shown)[:, None], groups, n_groups)[0],
            centre={name: _curve(values[:, None], groups, n_groups)[0] for name, values in measures(blob).items()},
            seeds=seeds,
        ),
        arrays,
    )


def measures(located: Located) -> Mapping[str, NDArray[np.float64]]:
    """(n,) each of MEASURES; the adjusted IoU is averaged over thresholds."""
    return dict(zip(MEASURES, (located.aiou.mean(axis=1), located.pointing, located.energy), strict=True))


def _curve(values: NDArray[np.float64], groups: Ints, n_groups: int) -> list[list[float]]:
    """T x G means of values (n, T) over the photos of each group; 0 where a group has none."""
    totals = np.bincount(groups, minlength=n_groups)
    member = groups[:, None] == np.arange(n_groups)
    means = values.T @ member / np.maximum(totals, 1)
    return [[round(float(np.clip(value, 0, 1)), 6) for value in row] for row in means]
