"""Photos that must not be parted, and how they are shared out: to halves, and to splits. Needs no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..seeds import Seed

Cell = TypeVar("Cell", bound=Hashable)
# Of sums of the same shares in another order, which differ in the last bits.
_ROUNDING = 1e-9


def named(photos: pd.DataFrame, split_by: Literal["observation", "photographer"]) -> pd.Series[str]:
    """The unit that each photo belongs to, indexed as `photos`.

    It is the photo's observation, and the photo itself where that is "". By photographer, observations that one person
    had a part in are one unit, and so are the people who shared one; where nobody knows who took it, an observation
    stands for itself.
    """
    unit: pd.Series[str] = ("photo " + photos["photo_id"]).where(
        photos["observation"] == "", "observation " + photos["observation"]
    )
    if split_by == "observation":
        return unit
    # Who took one photo of an observation took part in all of it: what hangs together by either is one unit.
    known = photos["photographer"] != ""
    people = ("photographer " + photos["photographer"][known]).tolist()
    names, codes = np.unique([*unit, *people], return_inverse=True)
    one, other = codes[: len(unit)][known.to_numpy()], codes[len(unit) :]
    joined = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(len(names), len(names)))
    _, part = connected_components(joined, directed=False)
    first = {number: name for name, number in zip(reversed(names), reversed(part), strict=True)}
    found: list[str] = [first[number] for number in part[codes[: len(unit)]]]
    return pd.Series(found, index=photos.index, dtype=str)


def place(unit: str, seed: Seed) -> int:
    """Where a unit stands in the order of this seed: its hash, which depends on no other unit."""
    return seed.derive(unit).integer()


def share_out(
    units: Sequence[str], cells: Sequence[Cell], targets: Mapping[Cell, Sequence[float]], seed: Seed
) -> NDArray[np.int64]:
    """(n,) int64 part of each photo: whole units to one part, and each cell's photos as near to its targets as they go.

    Units go one by one, large ones first and then in the order of their hashes, to the part that misses most of what
    they have: each cell counts relative to its size. For photos that are units of their own this is the method of
    largest remainders within each cell. Ties are broken by the unit's hash, so nothing depends on the photos' order.

    Args:
        units: (n,) the unit of each photo.
        cells: (n,) what is to be shared out evenly.
        targets: for each cell how many of its photos each part should get; as many parts for all cells.
    """
    held: dict[str, Counter[Cell]] = {}
    for unit, cell in zip(units, cells, strict=True):
        held.setdefault(unit, Counter())[cell] += 1
    sizes = Counter(cells)
    missing = {cell: list(targets[cell]) for cell in sizes}
    parts = range(max(map(len, missing.values()), default=0))
    places = {unit: place(unit, seed) for unit in held}
    chosen: dict[str, int] = {}
    for unit in sorted(held, key=lambda unit: (-held[unit].total(), places[unit])):
        needs = [math.fsum(n * missing[cell][part] / sizes[cell] for cell, n in held[unit].items()) for part in parts]
        most = [part for part in parts if needs[part] > max(needs) - _ROUNDING]
        chosen[unit] = part = most[places[unit] % len(most)]
        for cell, n in held[unit].items():
            missing[cell][part] -= n
    return np.array([chosen[unit] for unit in units], np.int64)
