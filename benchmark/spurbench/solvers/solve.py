"""The one entry to the solvers: checks, threads, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ..parallel import Map, cores, one_by_one, workers
from .curvature import frame
from .l1 import solve_l1
from .l2 import Limits, part_size, solve_l2
from .problems import Design, Problems, Solution, check

GIB = 2**30


def solve_logistic(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    designs: Sequence[Design],
    *,
    penalty: Literal["l1", "l2"],
    tolerance: float | None = None,
    max_iterations: int = 1000,
    memory_limit: int = 2 * GIB,
    threads: int | None = None,
) -> list[Solution]:
    """Penalised logistic regressions, all at once: for each problem min R + C sum_i w_i loss_i.

    L2: R = |w|^2 / 2, intercept free; for two classes w is the difference of the two rows, for more the softmax loss
    over all rows. L1: R = |w|_1 + |b|, the intercept penalised like a weight, one class against the rest for more
    than two classes: liblinear's problem, and so DFR's. A problem's result does not depend on the others in the call,
    nor on threads or memory: bit for bit with L2 and two classes, within the tolerance otherwise. One with a number
    that is not finite comes back unconverged and harms no other.

    Args:
        x: (n, d) features, float32 or float64, on the device that is to do the work.
        y: (n,) int64 classes 0..K-1.
        n_classes: K.
        designs: the problems.
        penalty: which R.
        tolerance: the `optimality` to reach, relative to the objective. None: 1e-9, for L2 in float32 1e-6.
        max_iterations: limit for each problem, which is then marked unconverged.
        memory_limit: bytes to use beyond x itself, about; one design's rows must fit.
        threads: processor threads; None for as many as this process may use.

    Returns:
        One solution for each design, on x's device.

    Raises:
        MethodError: a class is missing from a design, or has no weight in a problem; weights of a wrong shape or sign.
    """
    problems = [check(x, y, n_classes, design) for design in designs]
    if tolerance is None:
        tolerance = 1e-6 if penalty == "l2" and x.dtype == torch.float32 else 1e-9
    threads = cores() if threads is None else threads
    with torch.no_grad(), workers(threads if x.device.type == "cpu" else 1) as spread:
        if penalty == "l1":
            share = memory_limit // max(threads, 1)
            return solve_l1(x, n_classes, problems, tolerance, max_iterations, share, spread)
        limits = Limits(tolerance, max_iterations, memory_limit)
        size = part_size(x)
        shared = frame(x, y.to(x.device), n_classes, size, spread) if any(p.rows is None for p in problems) else None

        def one(p: Problems, limits: Limits, spread: Map) -> Solution:
            data = shared if p.rows is None else frame(x[p.rows], p.y, n_classes, size, spread)
            assert data is not None
            return solve_l2(data, n_classes, p.strength, limits, spread)

        if len(problems) >= 2 * threads:
            limits = replace(limits, memory=memory_limit // max(threads, 1))
            return spread(lambda p: one(p, limits, one_by_one), problems)
        return [one(p, limits, spread) for p in problems]
