"""What the numbers of a board are worth: pure functions of NumPy arrays, each with its source.

`estimate` is over seeds alone and describes this test set; `worst_group` and the comparisons are over seeds and
examples and describe the population; `rank_methods` is over tables.
"""

from __future__ import annotations

from .estimate import Estimate, estimate
from .multiple import holm
from .outcomes import Outcomes
from .pairs import Difference, compare_accuracy, compare_worst
from .ranks import Ranking, rank_methods, signed_rank
from .ties import Standing, tied_with_best
from .worst import WorstGroup, worst_group

__all__ = [
    "Difference",
    "Estimate",
    "Outcomes",
    "Ranking",
    "Standing",
    "WorstGroup",
    "compare_accuracy",
    "compare_worst",
    "estimate",
    "holm",
    "rank_methods",
    "signed_rank",
    "tied_with_best",
    "worst_group",
]
