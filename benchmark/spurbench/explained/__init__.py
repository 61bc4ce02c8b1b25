"""What several methods' models look at in a data set's photos: what the sheets and the table of `explain` show.

Importing this needs no torch; `explained.explain` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..board.attention import AttentionCell
from ..cards import DatasetCard
from ..data import Examples, Ints
from ..explanation import How, Kind, Maps
from ..stats.means import GroupMeans


@dataclass(frozen=True, eq=False)
class Panel:
    """One method.

    Attributes:
        method, title: as on its card.
        seed: whose model the maps are of.
        predicted: (m,) int64, its class for each photo shown.
        maps: of the photos shown, m of them.
        wga: worst-group accuracy on test of the models looked into, averaged over seeds.
        accuracy: per group on test, likewise; None for a group without photos.
        attention: numbers over all photos looked at; None where it is not known where the object is.
    """

    method: str
    title: str
    seed: int
    predicted: Ints
    maps: Maps
    wga: float
    accuracy: tuple[float | None, ...]
    attention: AttentionCell | None


@dataclass(frozen=True)
class Baseline:
    """What maps would get that know nothing of the photo: one that is the same everywhere, a blob in the middle."""

    name: str
    aiou: GroupMeans
    pointing: GroupMeans
    energy: GroupMeans


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is shown and told.

    Attributes:
        backbone, rules, selection: of the records.
        how: what was asked; `kind` and `layer`: what was drawn.
        split: "test".
        rows: (m,) of the examples shown, group by group.
        frames: (m, 4) float32: left, top, right, bottom of the tower's view in shares of each photo.
        objects: (m, H, W) bool in the view where the objects of the photos shown are known, else None.
        panels: in the order asked for.
        baselines: none where objects are not known.
        why_no_objects: why they are not, or empty; `left_out`: photos that were not measured, by reason.
        notes: lines for the reader, such as a model that came out otherwise than its record says.
        provenance: fingerprints of data, backbone, each method and the code of the maps; environment.
    """

    card: DatasetCard
    examples: Examples
    backbone: str
    rules: str
    selection: str
    how: How
    kind: Kind
    layer: str
    split: str
    rows: Ints
    frames: NDArray[np.float32]
    objects: NDArray[np.bool_] | None
    panels: tuple[Panel, ...]
    baselines: tuple[Baseline, ...]
    why_no_objects: str
    left_out: dict[str, int]
    notes: tuple[str, ...]
    provenance: dict[str, str]
