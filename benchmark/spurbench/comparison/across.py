"""One measure of two methods over many tables: mean difference, and Wilcoxon's signed-rank test where it can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..stats import signed_rank
from .measure import Measure, Name


@dataclass(frozen=True)
class Across:
    """The tables of one version of the rules together. Nothing stands in for tables that could not be compared.

    Attributes:
        tables: how many were compared; in `better` of them B is better, in `worse` A, in the others neither.
        mean: of the differences B - A, shares.
        p: two-sided, that differences are symmetric about 0. It takes tables for independent, which those of one data
            set under several backbones are not.
        why_not: why there is no p-value, or "".
    """

    rules: str
    measure: Name
    tables: int
    better: int
    worse: int
    mean: float
    p: float | None
    why_not: str


def across(rules: str, measures: Sequence[Measure], confidence: float) -> Across:
    """Compare over tables; `measures` holds the same measure of each, at least one.

    Source: Demsar 2006, section 3.1.3; zeros are dropped as by Wilcoxon 1945.
    """
    differences = [one.difference for one in measures]
    other = [value for value in differences if round(value, 12)]
    # With n differences of one sign, the smallest that the exact p-value can be is 2 / 2^n.
    needed = math.ceil(math.log2(2 / (1 - confidence)) - 1e-9)
    p, why_not = None, ""
    if len(other) < needed:
        why_not = (
            f"{len(other)} of {len(differences)} tables differ; with fewer than {needed}, Wilcoxon's test cannot reach "
            f"p = {1 - confidence:.3g} whatever they say"
        )
    else:
        (p,) = signed_rank(np.array(other)[:, None])
    return Across(
        rules=rules,
        measure=measures[0].name,
        tables=len(differences),
        better=sum(value > 0 for value in differences),
        worse=sum(value < 0 for value in differences),
        mean=fmean(differences),
        p=p,
        why_not=why_not,
    )
