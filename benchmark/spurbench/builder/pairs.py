"""Which backgrounds are truly easy and hard for a class, and by how much.

Wang et al. (2024, section 2) take for each class the backgrounds with the highest and the lowest accuracy and keep the
class if they differ by more than 5 points. By chance alone they nearly always do. So here one half of the photos
chooses, a permutation test that accounts for the choice says whether it can be chance, all classes together (Holm
1979), and the other half says how large the drop is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..seeds import Seed
from ..stats import holm
from .drops import Units, accuracy, p_value, standing
from .intervals import averaged, resampled
from .reasons import reason
from .table import HALVES, BackgroundResult, ClassResult, Found, Interval, Rule, Share
from .units import named

SLACK = 4
"""How many times smaller than `alpha` the least p-value is to be, adjusted for all classes."""
_NONE = np.zeros((0, 2), np.int64)
_Cells = dict[str, dict[str, Units]]
"""Units by background, in the order of their names, and by half."""


@dataclass(frozen=True)
class _Measured:
    """The pair on the evaluation half: two accuracies, and the same on resampled units, (2, resamples)."""

    accuracies: NDArray[np.float64]
    replicates: NDArray[np.float64]


def find(photos: pd.DataFrame, rule: Rule, seed: Seed) -> Found:
    """What is found of each class, by name: its pair of backgrounds, whether to keep it, and the drop.

    A class's pair, its drop and their p-value before it is adjusted depend on its own photos alone, and on the
    number of draws: more than the rule's are made where, of so many classes, no p-value could be small enough after
    it is adjusted; the rule that is returned says how many. The bounds of drops are those of `intervals`; a drop on
    the evaluation half may be negative, and is reported as it is.

    Args:
        photos: with the columns READ, CLEANED, NAMED, JUDGED and `half`. Those with a status are left out.
    """
    results, measured = [], {}
    by_class = _cells(photos, rule)
    rule = replace(rule, draws=max(rule.draws, math.ceil(SLACK * len(by_class) / rule.alpha)))
    for label, cells in by_class.items():
        result = _chosen(label, cells, rule, seed)
        if result.easy and not rule.published:
            measured[label] = pair = _measured(label, cells, result, rule, seed)
            result = replace(result, drop=_drop([pair], rule))
        results.append(result)
    results = _judged(results, rule)
    kept = [result for result in results if result.kept]
    pairs = [measured[result.label] for result in kept if result.label in measured]
    drops = [result.drop_found for result in kept if result.drop_found is not None]
    return Found(
        rule=rule,
        classes=tuple(results),
        easy=_side(pairs, 0, rule) if pairs else None,
        hard=_side(pairs, 1, rule) if pairs else None,
        drop=_drop(pairs, rule) if pairs else None,
        drop_found=float(np.mean(drops)) if drops else None,
    )


def _cells(photos: pd.DataFrame, rule: Rule) -> dict[str, _Cells]:
    kept = photos[photos["status"] == ""]
    columns = {name: kept[name] for name in ("label", "background", "half")}
    columns |= {"unit": named(kept, rule.split_by), "correct": kept["correct"].astype("int64")}
    units = pd.DataFrame(columns).groupby(["label", "background", "half", "unit"])["correct"].agg(["sum", "size"])
    found: dict[str, _Cells] = {label: {} for label in sorted(photos["label"].unique())}
    for (label, background, half), cell in units.groupby(level=[0, 1, 2]):
        found[label].setdefault(background, dict.fromkeys(HALVES, _NONE))[half] = cell.to_numpy(np.int64)
    return found


def _chosen(label: str, cells: _Cells, rule: Rule, seed: Seed) -> ClassResult:
    """The class's pair and how likely it is by chance; whether to keep it is not decided."""
    backgrounds = tuple(BackgroundResult(name, *(_share(cells[name][half]) for half in HALVES)) for name in cells)
    halves = HALVES[:1] if rule.published else HALVES
    least = max(1, rule.min_cell)
    large = [name for name in cells if min(_share(cells[name][half]).total for half in halves) >= least]
    undecided = ClassResult(label, backgrounds, "", "", None, None, None, None, False, "")
    if len(large) < 2:
        return undecided
    discovery = {name: cells[name][HALVES[0]] for name in large}
    accuracies = {name: accuracy(units) for name, units in discovery.items()}
    # The paper compares accuracies as they are.
    compared = accuracies if rule.published else {name: standing(units) for name, units in discovery.items()}
    # Both take the first by name of equals; where all are equal, hard is the next.
    easy = max(large, key=compared.__getitem__)
    hard = min((name for name in large if name != easy), key=compared.__getitem__)
    p = None if rule.published else p_value(list(discovery.values()), rule.draws, seed.derive("permutations", label))
    return replace(undecided, easy=easy, hard=hard, drop_found=accuracies[easy] - accuracies[hard], p_value=p)


def _share(units: Units) -> Share:
    correct, total = units.sum(axis=0).tolist()
    return Share(correct, total)


def _measured(label: str, cells: _Cells, result: ClassResult, rule: Rule, seed: Seed) -> _Measured:
    pair = [(name, cells[name][HALVES[1]]) for name in (result.easy, result.hard)]
    drawn = [resampled(units, rule.resamples, seed.derive("bootstrap", label, name)) for name, units in pair]
    return _Measured(np.array([accuracy(units) for _, units in pair]), np.array(drawn))


def _judged(results: list[ClassResult], rule: Rule) -> list[ClassResult]:
    """The same with adjusted p-values, and what is kept."""
    p = {result.label: result.p_value for result in results if result.p_value is not None}
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    judged = []
    for result in results:
        result = replace(result, p_adjusted=adjusted.get(result.label))
        why = reason(result, rule, len(p))
        judged.append(replace(result, kept=not why, reason=why))
    return judged


def _side(pairs: list[_Measured], side: int, rule: Rule) -> Interval:
    found = averaged(
        [pair.accuracies[side] for pair in pairs], [pair.replicates[side] for pair in pairs], rule.confidence
    )
    return Interval(found.estimate, max(found.low, 0.0), min(found.high, 1.0))


def _drop(pairs: list[_Measured], rule: Rule) -> Interval:
    drops = [(pair.accuracies[0] - pair.accuracies[1], pair.replicates[0] - pair.replicates[1]) for pair in pairs]
    return averaged([estimate for estimate, _ in drops], [replicates for _, replicates in drops], rule.confidence)
