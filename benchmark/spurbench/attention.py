"""`Attention`: what activation maps say of a record's models, as it stands in the record and beside its predictions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from .rules import Selection, Strict

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**15)]
MEASURES = ("aiou", "pointing", "energy")
"""Names of what is kept per photo (see `localisation`), in the npz file as `SEED.RULE.MEASURE`: int16 ten-thousandths
for every test example, -1 for those that were not looked at."""
UNIT = 10_000
ROUNDING = 1e-3
"""By how much a mean of rounded numbers may be off; more than they can be."""


class Seen(Strict):
    """The model of one seed under one selection rule, made again as the record says, and looked into.

    Every mean that a board shows is found again from the arrays. What is not: `iou`, how `aiou` runs over thresholds
    (its mean over them is that of the array), and `changed`. They take the model itself, as `area` and `centre` of
    `Attention` take the objects' masks; `spurbench explain` makes them anew.
    """

    arrays: dict[str, str]
    """sha256 of each of MEASURES's array."""
    iou: list[list[Share]]
    """Mean IoU of the map of the true class per threshold, per group; 0 for groups without photos."""
    aiou: list[list[Share]]
    """Mean adjusted IoU, likewise."""
    changed: Count = 0
    """Photos looked at for which it predicts another class than the record has."""


class Attention(Strict):
    """What the maps of a record's models say, and how they were drawn."""

    code: str
    """sha256 over the code that drew and measured."""
    kind: Literal["grad-cam", "relevance"]
    layer: str
    score: Literal["odds", "logit"]
    objects: Literal["masks", "boxes"]
    masks: str
    """sha256 of the objects' masks as the tower sees them, and of which photos they are."""
    thresholds: list[Share]
    photos: list[Count]
    """Looked at, per group."""
    area: list[Share]
    """Mean share of the view that the object covers, per group: the energy of a map that is the same everywhere."""
    centre: dict[str, list[Share]]
    """For each of MEASURES, the mean per group that a blob in the middle gets which knows nothing of the photo, nor of
    the class (see `localisation.centred`); 0 for groups without photos."""
    seeds: dict[str, dict[Selection, Seen]]
    """By the seed's number."""

    @model_validator(mode="after")
    def _consistent(self) -> Attention:
        ends = (0.0, *self.thresholds, 1.0)
        if not sum(self.photos):
            raise ValueError("attention: no photo was looked at")
        if not self.thresholds or any(low >= high for low, high in pairwise(ends)):
            raise ValueError("attention: thresholds must ascend between 0 and 1")
        _check_shares("area", self.area, self.photos)
        if set(self.centre) != set(MEASURES):
            raise ValueError(f"attention: centre must be of {', '.join(MEASURES)}")
        for measure, shares in self.centre.items():
            _check_shares(f"centre's {measure}", shares, self.photos)
        if not self.seeds or not all(self.seeds.values()):
            raise ValueError("attention: there is none of any model")
        for name, seen in self.models():
            if set(seen.arrays) != set(MEASURES):
                raise ValueError(f"attention, {name}: arrays must be of {', '.join(MEASURES)}")
            if seen.changed > sum(self.photos):
                raise ValueError(f"attention, {name}: more predictions have changed than photos were looked at")
            for curve in (seen.iou, seen.aiou):
                if len(curve) != len(self.thresholds):
                    raise ValueError(f"attention, {name}: a curve does not fit {len(self.thresholds)} thresholds")
                for shares in curve:
                    _check_shares(f"a curve of {name}", shares, self.photos)
        return self

    def models(self) -> Iterator[tuple[str, Seen]]:
        """Every model that was looked into, as `SEED.RULE`."""
        for seed, rules in self.seeds.items():
            for rule, seen in rules.items():
                yield f"{seed}.{rule}", seen

    def arrays(self) -> dict[str, str]:
        """sha256 of every array in the npz file that belongs to it, by name."""
        return {f"{name}.{measure}": sha for name, seen in self.models() for measure, sha in seen.arrays.items()}

    def of(self, seeds: Collection[str]) -> Attention | None:
        """That of some seeds alone; None where it has none of them."""
        kept = {seed: rules for seed, rules in self.seeds.items() if seed in seeds}
        return self.model_copy(update={"seeds": kept}) if kept else None

    def joined(self, newer: Attention) -> Attention:
        """Both, and the newer where both have a model; only the newer where the two were measured otherwise."""
        if self.model_copy(update={"seeds": {}}) != newer.model_copy(update={"seeds": {}}):
            return newer
        both = {seed: self.seeds.get(seed, {}) | newer.seeds.get(seed, {}) for seed in {**self.seeds, **newer.seeds}}
        return self.model_copy(update={"seeds": dict(sorted(both.items(), key=lambda item: int(item[0])))})


def _check_shares(name: str, shares: list[float], photos: list[int]) -> None:
    """Raises ValueError unless there is a share for each group, and 0 for those without photos."""
    if len(shares) != len(photos):
        raise ValueError(f"attention: {name} does not fit {len(photos)} groups")
    if any(share and not count for share, count in zip(shares, photos, strict=True)):
        raise ValueError(f"attention: {name} is of a group of which no photo was looked at")


def attention_name(seed: int, rule: str, measure: str) -> str:
    """Name of an array in the npz file."""
    return f"{seed}.{rule}.{measure}"


def fault(attention: Attention, arrays: Mapping[str, NDArray[np.int16]], groups: NDArray[np.int16]) -> str:
    """What is wrong with the arrays of attention, whose hashes are right, in words; "" where nothing is.

    Args:
        arrays: all that `attention.arrays()` names, (n_test,) int16.
        groups: (n_test,) of the test examples.
    """
    looked = None
    for name in attention.arrays():
        array = arrays[name]
        if array.shape != groups.shape:
            return f"the array '{name}' has {array.size} values for {groups.size} test examples"
        if array.min() < -1 or array.max() > UNIT:
            return f"the array '{name}' has values that are no shares"
        looked = array >= 0 if looked is None else looked
        if not np.array_equal(array >= 0, looked):
            return f"the array '{name}' is not of the photos that the others are of"
    if np.bincount(groups[looked], minlength=len(attention.photos)).tolist() != attention.photos:
        return "the arrays are not of as many photos of each group as were looked at"
    for name, seen in attention.models():
        mean = np.mean(seen.aiou, axis=0)
        for group in np.flatnonzero(attention.photos):
            found = arrays[f"{name}.aiou"][looked & (groups == group)].mean() / UNIT
            if abs(found - mean[group]) > ROUNDING:
                return f"the curve of '{name}' is not that of its array"
    return ""
