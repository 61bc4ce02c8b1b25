"""Linear probes: converged logistic regression for many problems at once, each solved once however often it occurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..errors import ConfigurationError
from ..method import Fitted, Problem, Task, bundles, in_place
from ..solvers import Design, Solution, solve_logistic
from ..space import Choice
from .linear import LinearHead, Standardiser, standardised

L2_GRID = Choice(
    1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 10.0, 3.0, 3e-4, 1e-4, 3e-5, 1e-5, 30.0, 0.006, 0.0006
)  # fmt: skip
"""C of the linear probes: six decades, scikit-learn's default first; the papers sweep and name no single value."""


def fit_probes(problems: Sequence[Problem], weights: Callable[[Task], torch.Tensor] | None = None) -> list[Fitted]:
    """L2 logistic regression with inverse strength `C` of each problem's configuration, on standardised features.

    Args:
        weights: (n,) weights of a task's training examples, by what its training view tells alone: seeds that share
            the view and try the same C share the fit.
    """
    first: dict[tuple[int, float], int] = {}
    same = [first.setdefault((id(p.task.train), float(p.config["C"])), place) for place, p in enumerate(problems)]
    distinct = list(first.values())
    known: dict[int, torch.Tensor] = {}
    if weights is not None:
        for place in distinct:
            task = problems[place].task
            known.setdefault(id(task.train), weights(task))
    given = [known[id(problems[place].task.train)] for place in distinct] if known else None
    fitted = dict(zip(distinct, fit_weighted_probes([problems[place] for place in distinct], given), strict=True))
    return [fitted[place] for place in same]


def fit_weighted_probes(problems: Sequence[Problem], weights: Sequence[torch.Tensor] | None) -> list[Fitted]:
    """The same where each problem has example weights (n,) of its own, or none has."""
    scaler, x = standardised(problems[0].task)
    weight = None if weights is None else torch.stack(list(weights), dim=1).to(x)
    (solution,) = _solve(problems, x, [Design(_strengths(problems), weight=weight)])
    return [_probe_of(scaler, solution, b, problem) for b, problem in enumerate(problems)]


def fit_subset_probes(problems: Sequence[Problem], rows: Callable[[Task], torch.Tensor]) -> list[Fitted]:
    """The same on some of the training examples, whose numbers (m,) are asked for once for each task."""
    scaler, x = standardised(problems[0].task)
    parts = bundles(problems)
    inside = [[problems[place] for place in part.places] for part in parts]
    designs = [Design(_strengths(some), rows=rows(part.task)) for part, some in zip(parts, inside, strict=True)]
    solutions = _solve(problems, x, designs)
    return in_place(
        parts,
        [
            [_probe_of(scaler, solution, b, problem) for b, problem in enumerate(some)]
            for solution, some in zip(solutions, inside, strict=True)
        ],
    )


def _strengths(problems: Sequence[Problem]) -> torch.Tensor:
    return torch.tensor([float(problem.config["C"]) for problem in problems], dtype=torch.float64)


def _solve(problems: Sequence[Problem], x: torch.Tensor, designs: Sequence[Design]) -> list[Solution]:
    task = problems[0].task
    y = task.train.y.to(x.device)
    return solve_logistic(x, y, task.n_classes, designs, penalty="l2", memory_limit=task.memory_limit)


def _probe_of(scaler: Standardiser, solution: Solution, b: int, problem: Problem) -> Fitted:
    return probe(scaler, solution, b, f"C = {float(problem.config['C']):g}")


def probe(scaler: Standardiser, solution: Solution, b: int, what: str) -> Fitted:
    """Problem b of a solution as a head on raw features, or the reason why it has none."""
    if not bool(solution.converged[b]):
        return ConfigurationError(
            f"logistic regression with {what} stopped at an optimality of {float(solution.optimality[b]):.1e} "
            f"after {int(solution.iterations[b])} iterations"
        )
    head = scaler.fold(solution.weight[b].cpu(), solution.bias[b].cpu())
    return [LinearHead(head.weight, head.bias, float(solution.optimality[b]))]
