"""Which photos of COCO make a data set in which a feature goes with one class in training alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spurbench.cards import SPLITS
from spurbench.data import Ints
from spurbench.errors import DataError

from ._coco import Instances
from ._planted import cramers_v, largest_planted
from ._presence import noun
from .menagerie.exact import Draws

OFF = 0.02
"""How far Cramer's V in training may be from what was asked for."""
_WORLD = 108


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        classes: two or more categories, of which a photo must show exactly one.
        feature: the category that is planted.
        label: the class that it goes with in training, by its number.
        strength: Cramer's V there.
    """

    classes: tuple[str, ...]
    feature: str
    label: int
    strength: float


@dataclass(frozen=True)
class Chosen:
    """Photos of one file, in the order in which they are used.

    Attributes:
        photo: (n,) row of each in the file's `Instances`.
        y, a, split: (n,) the columns.
    """

    photo: Ints
    y: Ints
    a: Ints
    split: Ints


def for_training(source: Instances, wanted: Wanted) -> Chosen:
    """As many photos of each class, and as many as there are, in which the feature goes with the label.

    Raises:
        DataError: too few of some kind.
    """
    pools = _pools(source, wanted)
    available = _available(pools)
    counts = largest_planted(available, wanted.label, wanted.strength)
    v = cramers_v([shown for _, shown in counts], [sum(pair) for pair in counts])
    if not all(map(sum, counts)) or abs(v - wanted.strength) > OFF:
        raise DataError(f"too few photos for a strength of {wanted.strength:g}: {_listed(available, wanted)}")
    taken = [pool[:count] for pool, count in zip(pools, [n for pair in counts for n in pair], strict=True)]
    return _chosen(source, [("train", taken)])


def for_evaluation(source: Instances, wanted: Wanted) -> Chosen:
    """Two halves for validation and test: of each class as many photos with the feature as without.

    Raises:
        DataError: a class without two photos of either kind.
    """
    pools = _pools(source, wanted)
    available = _available(pools)
    if min(map(min, available)) < 2:
        raise DataError(
            "validation and test need photos of every class with the feature and without it, two of each at least: "
            + _listed(available, wanted)
        )
    counts = [min(pair) for pair in available for _ in range(2)]
    halves = [(pool[: count // 2], pool[count // 2 : count]) for pool, count in zip(pools, counts, strict=True)]
    val, test = zip(*halves, strict=True)
    return _chosen(source, [("val", val), ("test", test)])


def _pools(source: Instances, wanted: Wanted) -> list[Ints]:
    """The photos of each group, g = y*2 + a, in the order in which they are taken, whatever else is wanted."""
    found = source.shows([*wanted.classes, wanted.feature])
    classes, feature = found[:, :-1], found[:, -1]
    order = np.argsort(Draws(_WORLD, source.ids).uniform("which photos"), kind="stable").astype(np.int64)
    group = np.where(classes.sum(axis=1) == 1, classes.argmax(axis=1) * 2 + feature, -1)[order]
    return [order[group == number] for number in range(2 * len(wanted.classes))]


def _chosen(source: Instances, splits: Sequence[tuple[str, Sequence[Ints]]]) -> Chosen:
    """The photos of each split, those of its groups shuffled."""
    rows, groups, codes = [], [], []
    for name, pools in splits:
        photo = np.concatenate(pools)
        order = np.argsort(Draws(_WORLD, source.ids[photo]).uniform("order"), kind="stable")
        rows.append(photo[order])
        groups.append(np.repeat(np.arange(len(pools)), [len(pool) for pool in pools])[order])
        codes.append(np.full(len(photo), SPLITS.index(name), dtype=np.int64))
    group = np.concatenate(groups)
    return Chosen(np.concatenate(rows), group // 2, group % 2, np.concatenate(codes))


def _available(pools: Sequence[Ints]) -> list[tuple[int, int]]:
    """Of each class, how many photos there are without and with the feature."""
    return [(len(without), len(shown)) for without, shown in zip(pools[::2], pools[1::2], strict=True)]


def _listed(available: Sequence[tuple[int, int]], wanted: Wanted) -> str:
    return ", ".join(
        f"{shown} of {noun(name)} with {noun(wanted.feature)} and {without} without"
        for name, (without, shown) in zip(wanted.classes, available, strict=True)
    )
