"""Penalised logistic regression, many problems at a time: scikit-learn's objectives, batched in torch."""

from .problems import Design, Solution
from .solve import solve_logistic

__all__ = ["Design", "Solution", "solve_logistic"]
