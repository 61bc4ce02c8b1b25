"""Which test examples each seed of a record got right, for statistics that need more than counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..record import GROUPS, Record, predictions_name
from ..rules import Selection
from ..stats import Outcomes

Arrays: TypeAlias = "Mapping[str, NDArray[np.int16]]"
"""A record's predictions, as `record.read_predictions` gives them."""


def outcomes_of(record: Record, selection: Selection, seeds: Sequence[int], arrays: Arrays | None) -> Outcomes | None:
    """What some seeds got right (S, n) and the group of each example (n,); None where predictions are not at hand."""
    names = [predictions_name(seed, selection) for seed in seeds]
    if arrays is None or not names or any(name not in arrays for name in names):
        return None
    groups = arrays[GROUPS]
    y = groups // len(record.attributes)
    return Outcomes(np.stack([arrays[name] == y for name in names]), groups)
