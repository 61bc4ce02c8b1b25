"""What the numbers of a board are worth: pure functions of NumPy arrays, each with its source.

`estimate` is over seeds alone and describes this test set; `worst_group`, `group_means` and the comparisons are over
seeds and examples and describe the population; `rank_methods` is over tables, `rank_correlation` over methods.
"""

from __future__ import annotations

from .correlation import RankCorrelation, rank_correlation
from .estimate import Estimate, estimate
from .means import GroupMeans, Interval, group_means
from .multiple import holm
from .outcomes import Outcomes
from .pairs import Difference, compare_accuracy, compare_worst
from .ranks import Ranking, rank_methods, signed_rank
from .ties import Standing, tied_with_best
from .worst import WorstGroup, worst_group

__all__ = [
    "Difference",
    "Estimate",
    "GroupMeans",
    "Interval",
    "Outcomes",
    "RankCorrelation",
    "Ranking",
    "Standing",
    "WorstGroup",
    "compare_accuracy",
    "compare_worst",
    "estimate",
    "group_means",
    "holm",
    "rank_correlation",
    "rank_methods",
    "signed_rank",
    "tied_with_best",
    "worst_group",
]
