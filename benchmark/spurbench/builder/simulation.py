"""Worlds whose truth is known: how often a rule keeps what it should, and how far its drops can be trusted.

Of use before photos are collected: how many each class needs before each background for drops of a size to be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..seeds import Seed
from . import halves
from .pairs import find
from .table import Found, Interval, Rule


@dataclass(frozen=True)
class World:
    """Classes with photos before backgrounds, how often each is named rightly, and how photos hang together.

    Attributes:
        accuracies: for each class that of its backgrounds, 0..1; at least two each.
        photos: of each class before each background.
        burst: photos of one observation, from the least to the most; as many observations of each size.
        alike: how likely it is that a photo comes out as its observation does, rather than for itself.
    """

    accuracies: Sequence[Sequence[float]]
    photos: int
    burst: tuple[int, int] = (1, 1)
    alike: float = 0.0

    def __post_init__(self) -> None:
        if not all(len(row) >= 2 and min(row) >= 0 and max(row) <= 1 for row in self.accuracies):
            raise UsageError("accuracies lie between 0 and 1, and a class has those of at least two backgrounds")
        if not (self.photos >= 1 and 1 <= self.burst[0] <= self.burst[1] and 0 <= self.alike <= 1):
            raise UsageError(
                "there must be photos, bursts from 1 photo to no fewer, and `alike` between 0 and 1, "
                f"not {self.photos}, {self.burst} and {self.alike}"
            )

    def table(self) -> pd.DataFrame:
        """The photos, with what `halves` and `pairs` read of them except `correct`, and `accuracy`."""
        rows = []
        for i, accuracies in enumerate(self.accuracies):
            for j, accuracy in enumerate(accuracies):
                sizes = np.arange(self.photos) % (self.burst[1] - self.burst[0] + 1) + self.burst[0]
                observation = np.repeat(np.arange(self.photos), sizes)[: self.photos]
                rows += [(f"class {i}", f"background {j}", f"{i} {j} {k}", accuracy) for k in observation]
        table: pd.DataFrame = pd.DataFrame(rows, columns=["label", "background", "observation", "accuracy"])
        table["photo_id"] = [f"{i}.jpg" for i in range(len(table))]
        table["photographer"] = table["status"] = ""
        return table

    def drop(self, label: str, easy: str, hard: str) -> float:
        """How much more often the class is truly right before one background than before another."""
        row = self.accuracies[int(label.removeprefix("class "))]
        easy_accuracy, hard_accuracy = (row[int(name.removeprefix("background "))] for name in (easy, hard))
        return easy_accuracy - hard_accuracy


def null_world(classes: int = 45, backgrounds: int = 4, photos: int = 100, accuracy: float = 0.6) -> World:
    """All backgrounds are equally hard: whatever is kept is kept by chance."""
    return World([[accuracy] * backgrounds] * classes, photos)


def true_world(drops: Sequence[float], photos: int = 100, backgrounds: int = 4, easy: float = 0.8) -> World:
    """One background of each class is harder than the others by a drop."""
    return World([[easy] * (backgrounds - 1) + [easy - drop] for drop in drops], photos)


def simulate(world: World, rule: Rule, simulations: int, seed: Seed) -> Iterator[Found]:
    """What is found each time the world's photos are taken and judged anew; the halves stay as they are."""
    table = world.table()
    table["half"] = halves.assign(table, rule, seed.derive("halves"))
    unit = pd.factorize(table["observation"])[0]
    chance = table["accuracy"].to_numpy()
    for number in range(simulations):
        generator = seed.derive("photos", number).numpy()
        of_unit = generator.random(unit.max() + 1)[unit]
        of_photo = generator.random(len(table))
        alike = generator.random(len(table)) < world.alike
        yield find(table.assign(correct=np.where(alike, of_unit, of_photo) < chance), rule, seed.derive("find", number))


@dataclass(frozen=True)
class Trust:
    """What simulations say of a rule in a world. Of what is never kept, nothing is known: None.

    Attributes:
        any_kept: share of simulations that keep a class: the family-wise error where all backgrounds are equally hard.
        kept: share of classes that are kept: the power where they truly differ.
        bias_found: by how much the drop that chose a pair exceeds its true drop, on average over classes that are kept.
        bias: the same of the drop on the evaluation half.
        covered: share of those classes whose interval holds the true drop.
        macro_covered: share of simulations whose interval of the average drop holds the true one.
    """

    any_kept: float
    kept: float
    bias_found: float | None
    bias: float | None
    covered: float | None
    macro_covered: float | None


def trust(world: World, simulated: Iterable[Found]) -> Trust:
    """How far a rule can be trusted, from what it found in a world each time; `simulated` is not empty."""
    any_kept, kept = [], []
    errors_found, errors, covered, macro_covered = [], [], [], []
    for found in simulated:
        any_kept.append(bool(found.kept))
        kept.append(len(found.kept) / len(found.classes))
        truths = [world.drop(result.label, result.easy, result.hard) for result in found.kept]
        for result, truth in zip(found.kept, truths, strict=True):
            errors_found.append((result.drop_found or 0.0) - truth)
            if result.drop is not None:
                errors.append(result.drop.estimate - truth)
                covered.append(_holds(result.drop, truth))
        if found.drop is not None:
            macro_covered.append(_holds(found.drop, float(np.mean(truths))))
    means = [float(np.mean(each)) if each else None for each in (errors_found, errors, covered, macro_covered)]
    return Trust(float(np.mean(any_kept)), float(np.mean(kept)), *means)


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high
