"""The half of the photos that chooses the pairs, and the half that says how large their drops are. Needs no torch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from ..seeds import Seed
from .table import HALVES, Rule
from .units import named, share_out


def assign(photos: pd.DataFrame, rule: Rule, seed: Seed) -> pd.Series[str]:
    """The half of each photo, indexed as `photos`: one of HALVES for those whose status is "", else "".

    Units of `rule.split_by` are never parted. Each class's photos before each background are halved as nearly as whole
    units allow: to one photo where every photo is a unit. Where a unit goes depends on the names of the units that it
    shares a class and background with, never on the order of the photos or on what is in them. With the published rule
    all photos are of the first half: they choose and report.

    Args:
        photos: with the columns READ and CLEANED.
    """
    counted = (photos["status"] == "").to_numpy()
    halves = np.where(counted, HALVES[0], "").astype(object)
    if not rule.published:
        halves[counted] = _halved(photos[counted], rule, seed)
    column: pd.Series[str] = pd.Series(halves, index=photos.index, name="half", dtype=str)
    return column


def _halved(kept: pd.DataFrame, rule: Rule, seed: Seed) -> list[str]:
    cells = list(zip(kept["label"], kept["background"], strict=True))
    targets = {cell: (n / 2, n / 2) for cell, n in Counter(cells).items()}
    parts = share_out(named(kept, rule.split_by).tolist(), cells, targets, seed.derive("halves"))
    return [HALVES[part] for part in parts]
