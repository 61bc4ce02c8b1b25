"""Train, val and test of what was found, by the names of photos alone. Needs no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cards import SPLITS
from ..errors import UsageError
from ..seeds import Seed
from .table import GROUPS, HALVES, Found
from .units import named, place, share_out

VAL = 0.3
"""Of the discovery half of each class and group, for val."""
PUBLISHED = (0.5, 0.2, 0.3)
"""Of each class and group, for train, val and test, where there are no halves."""
_EASY, _HARD = GROUPS
_TRAIN, _VAL = 0, 1
_Cell = tuple[str, str]
"""Label and group."""


def by_name(ids: Sequence[str], strata: Sequence[Hashable], shares: Sequence[float], seed: Seed) -> NDArray[np.int64]:
    """(n,) int64 part of each id, in each stratum as large as `shares` say, to the nearest whole number.

    Which ids go where depends on the seed and on their names only, so neither on their order nor on other strata.
    Rounding is by largest remainders; equal remainders are settled by the ids.

    Args:
        ids: (n,) names, unique.
        strata: (n,) what each is shared out within.
        shares: of the parts; together 1.

    Raises:
        UsageError: an id stands there twice, there are not as many strata as ids, or shares are not a whole.
    """
    if len(ids) != len(strata):
        raise UsageError(f"{len(ids)} ids and {len(strata)} strata: there must be one for each")
    if not shares or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-9):
        raise UsageError(f"shares must not be negative and add up to 1, not {list(shares)}")
    if len(set(ids)) < len(ids):
        twice = next(name for name, n in Counter(ids).items() if n > 1)
        raise UsageError(f"the id {twice!r} stands there more than once: name each photo differently")
    targets = {stratum: [share * n for share in shares] for stratum, n in Counter(strata).items()}
    return share_out(ids, strata, targets, seed)


def assign(photos: pd.DataFrame, found: Found, seed: Seed, easy_share: float = 0.95) -> pd.DataFrame:
    """Columns `group` and `split` of each photo, str, indexed as `photos`; "" for photos of no kept class's pair.

    - test: the evaluation half, all of it.
    - val: VAL of the discovery half of each class and group, and the hard photos that train has no use for: the more of
      them there are, the surer is what is chosen by the worst group.
    - train: the other easy photos and so many hard ones that `easy_share` of each class are easy; at least one unit, of
      classes whose hard photos are of more than one, and at most what val leaves.

    Where the rule is the published one there are no halves, and `easy_share` has no part: each class and group is
    shared out by PUBLISHED. Units of the rule's `split_by` are never parted; shares are met as nearly as that allows.
    Names decide, never the order of the photos.

    Args:
        photos: with the columns READ, CLEANED, NAMED and `half`.

    Raises:
        UsageError: `easy_share` is not between 0 and 1.
    """
    if not 0 < easy_share < 1:
        raise UsageError(f"the share of easy photos in train must lie between 0 and 1, not {easy_share}")
    seed = seed.derive("splits")
    group = _groups(photos, found)
    held_out = (group != "") & (photos["half"] == HALVES[1]).to_numpy()
    others = (group != "") & ~held_out
    pool = photos[others]
    cells = list(zip(pool["label"], group[others], strict=True))
    units = named(pool, found.rule.split_by).tolist()
    if found.rule.published:
        targets = {cell: [share * n for share in PUBLISHED] for cell, n in Counter(cells).items()}
        parts = share_out(units, cells, targets, seed)
    else:
        parts = share_out(units, cells, _mostly_easy(Counter(cells), easy_share), seed)
        _lend_hard(parts, units, cells, seed)
    split = np.where(held_out, "test", "").astype(object)
    split[others] = [SPLITS[part] for part in parts]
    columns: pd.DataFrame = pd.DataFrame({"group": group, "split": split}, index=photos.index, dtype=str)
    return columns


def _groups(photos: pd.DataFrame, found: Found) -> NDArray[np.object_]:
    groups = {(result.label, result.easy): _EASY for result in found.kept}
    groups |= {(result.label, result.hard): _HARD for result in found.kept}
    stands = zip(photos["label"], photos["background"], photos["status"], strict=True)
    return np.array(
        ["" if status else groups.get((label, background), "") for label, background, status in stands], dtype=object
    )


def _mostly_easy(sizes: Mapping[_Cell, int], easy_share: float) -> dict[_Cell, tuple[float, float]]:
    """Photos of each class and group wanted in train and in val."""
    targets = {}
    for (label, group), n in sizes.items():
        train = (1 - VAL) * n
        if group == _HARD:
            train = min(train, max(1.0, (1 - VAL) * sizes[label, _EASY] * (1 - easy_share) / easy_share))
        targets[label, group] = (train, n - train)
    return targets


def _lend_hard(parts: NDArray[np.int64], units: Sequence[str], cells: Sequence[_Cell], seed: Seed) -> None:
    """Where train has no hard photo of a class, give it val's smallest unit that leaves val some of all it has."""
    held: dict[str, list[int]] = {}
    for row, unit in enumerate(units):
        held.setdefault(unit, []).append(row)
    in_val = Counter(cell for cell, part in zip(cells, parts, strict=True) if part == _VAL)
    in_train = {cell for cell, part in zip(cells, parts, strict=True) if part == _TRAIN}
    for hard in sorted({(label, _HARD) for label, _ in cells}):
        having = {unit for unit, cell in zip(units, cells, strict=True) if cell == hard and hard not in in_train}
        for unit in sorted(having, key=lambda unit: (len(held[unit]), place(unit, seed))):
            given = Counter(cells[row] for row in held[unit])
            if all(in_val[cell] > n for cell, n in given.items()):
                parts[held[unit]] = _TRAIN
                in_val -= given
                in_train |= set(given)
                break
