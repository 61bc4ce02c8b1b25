"""Which photos are looked at: drawn within each group of the test split, the same for every model."""

from __future__ import annotations

import numpy as np

from ..data import Examples, Ints
from ..errors import DataError, UnknownObjectsError
from ..keys import LoadedData
from ..masks import ObjectMasks, joined, object_masks
from ..seeds import Seed
from ..workbench import LazyTower


def drawn(examples: Examples) -> list[Ints]:
    """For each group its test examples, in an order drawn at random: fewer are the first of more."""
    test = examples.rows("test")
    groups = examples.groups[test]
    seed = Seed(("looked at",))
    return [
        seed.derive(group).numpy().permutation(test[groups == group])
        for group in range(examples.n_classes * examples.n_attributes)
    ]


def known_objects(data: LoadedData, tower: LazyTower, order: list[Ints], most: int) -> tuple[ObjectMasks | None, str]:
    """Objects in the photos that the numbers are over; or None, and why nobody knows.

    Raises DataError for objects that are known and broken.
    """
    try:
        return _measured(data, tower, order, most), ""
    except UnknownObjectsError as error:
        return None, str(error)


def _measured(data: LoadedData, tower: LazyTower, order: list[Ints], most: int) -> ObjectMasks:
    """The first `most` photos of each group in whose view it is known where the object is.

    Raises:
        DataError: it is known of no photo; says why.
    """
    left, found, have = [list(some) for some in order], [], [0] * len(order)
    group_of = data.examples.groups
    while True:
        # As many more as there is room for: a photo without a mask makes room for the next.
        asked: list[int] = []
        for group, some in enumerate(left):
            asked += some[: most - have[group]]
            del some[: most - have[group]]
        if not asked:
            break
        part = object_masks(data, np.sort(np.array(asked, dtype=np.int64)), tower().preprocess)
        found.append(part)
        for group in group_of[part.rows].tolist():
            have[group] += 1
    masks = joined(found)
    if not len(masks.rows):
        reasons = "; ".join(f"{count:,} photos: {reason}" for reason, count in masks.left_out.items())
        raise DataError(f"it is known of no photo where the object is ({reasons})")
    return masks


def shown(order: list[Ints], groups: list[int], per_group: int, known: Ints | None) -> Ints:
    """The first photos of some groups, group by group, of those in `known` where that is given."""
    parts = [order[group] if known is None else order[group][np.isin(order[group], known)] for group in groups]
    return np.concatenate([np.empty(0, np.int64), *(some[:per_group] for some in parts)]).astype(np.int64)
