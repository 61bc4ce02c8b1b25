"""What the solvers take and return."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MethodError


@dataclass(frozen=True)
class Design:
    """Problems that share their rows; they differ in C and perhaps in example weights.

    Attributes:
        c: (B,) inverse strengths of the penalty, as in scikit-learn: min R + C sum_i w_i loss_i.
        rows: (m,) int64 rows of x that take part (repeats count); None for all.
        weight: (m,) or (m, B) example weights >= 0; None for ones.
    """

    c: Tensor
    rows: Tensor | None = None
    weight: Tensor | None = None


@dataclass(frozen=True)
class Solution:
    """The optima of one design's problems.

    Attributes:
        weight: (B, K, d), in the dtype of x.
        bias: (B, K).
        optimality: (B,) float64: how far above its minimum the objective is at most, relative to its value. L1: the
            duality gap, for more than two classes the largest of theirs. L2: |gradient|^2 / 2, which bounds the
            excess because the penalty is strongly convex (the intercept, unpenalised, enters by its curvature).
            Infinite where a number that is not finite turned up.
        iterations: (B,) int64.
        converged: (B,) bool: optimality <= tolerance.
    """

    weight: Tensor
    bias: Tensor
    optimality: Tensor
    iterations: Tensor
    converged: Tensor


@dataclass(frozen=True)
class Problems:
    """A checked design, its data gathered.

    Attributes:
        rows: (m,) or None.
        y: (m,) classes.
        strength: (m, B), or (1, B) without example weights: C times the weight of each example's loss.
    """

    rows: Tensor | None
    y: Tensor
    strength: Tensor


def check(x: Tensor, y: Tensor, n_classes: int, design: Design) -> Problems:
    """Gather a design's classes and weights; see `solve_logistic` for the errors."""
    rows = None if design.rows is None else design.rows.to(x.device)
    y = y.to(x.device) if rows is None else y.to(x.device)[rows]
    c = design.c.to(x)
    if c.ndim != 1 or not bool((c > 0).all()):
        raise MethodError("the inverse penalty strengths of a design are a vector of positive numbers")
    _need(torch.bincount(y, minlength=n_classes)[:, None].to(x), n_classes)
    if design.weight is None:
        return Problems(rows, y, c[None])
    weight = design.weight.to(x)
    weight = weight[:, None] if weight.ndim == 1 else weight
    if weight.shape not in {(len(y), 1), (len(y), len(c))}:
        raise MethodError(f"example weights of shape {tuple(weight.shape)} do not fit {len(y)} rows, {len(c)} problems")
    if bool((weight < 0).any()):
        raise MethodError("example weights must not be negative")
    _need(weight.new_zeros(n_classes, weight.shape[1]).index_add_(0, y, weight), n_classes)
    return Problems(rows, y, c * weight)


def _need(total: Tensor, n_classes: int) -> None:
    """Every class must have some weight in every problem; NaN is left for the solver to report."""
    absent = (total == 0).any(dim=1)
    if len(total) != n_classes or bool(absent.any()):
        present = torch.nonzero(~absent)[:, 0].tolist()
        raise MethodError(f"logistic regression needs every class in its data; only {present} of {n_classes} occur")


def both_rows(w: Tensor) -> Tensor:
    """Heads for K classes from the solvers' columns: two classes have one column w, whose rows are -w/2 and w/2.

    Args:
        w: (B, k, ...) with k = 1 for two classes, else K.
    """
    return torch.cat([-w, w], dim=1) / 2 if w.shape[1] == 1 else w
