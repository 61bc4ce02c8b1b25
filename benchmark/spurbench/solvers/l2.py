"""L2: limited-memory BFGS for many problems at once, on top of what is known of their Hessians.

One matrix product gives the margins, or the gradients, of all problems. Everything else is done for each problem by
itself, in memory of its own, so that its bits are the same in any company.

Method: Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4, with a line search by Newton's method on the
slope. The margins along a line are linear, so that searching it needs no product; and slopes still tell directions
apart where float32 no longer tells values apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..parallel import Map
from .curvature import RANK, Curvature, Frame
from .problems import Solution, both_rows
from .rows import LANES, ROWS, Rows, times

WIDTH = 192
"""Vectors that advance together; more would wait for the slowest without being faster."""
BLOCK = 1280
"""Rows of one part of the work, on the processor: few enough to stay in its cache."""
MEMORY = 8
SEARCHES = 8
FLAT = 0.2
"""A line search ends at this share of the first slope."""
PATIENCE = 60
"""Iterations without progress after which rounding, and not the problem, is what is left."""
CORRECT = 10
"""Iterations after which the problems still at work have their most uncertain rows taken as they are."""
WORTH = 100
"""Times the tolerance: problems nearer than this are left to end as they are."""


@dataclass(frozen=True)
class Limits:
    """Where to stop: at a relative optimality, after so many iterations, and with so many bytes."""

    tolerance: float
    iterations: int
    memory: int


def part_size(x: Tensor) -> int:
    """Rows of one part of the work: fixed, so that sums do not depend on threads."""
    return BLOCK if x.device.type == "cpu" else max(1, len(x))


def solve_l2(data: Frame, n_classes: int, strength: Tensor, limits: Limits, spread: Map) -> Solution:
    """Solve one design's problems; see `solve_logistic`.

    Args:
        data: the design's features and classes.
        n_classes: K.
        strength: (m, B) or (1, B) of the examples' losses.
        limits: where to stop.
        spread: the threads.
    """
    # Rows without weight fill the processor's last vectors: what is left over them rounds otherwise.
    m = len(data.x)
    spare = -m % LANES
    x, y = F.pad(data.x, (0, 0, 0, spare)), F.pad(data.y, (0, spare))
    strength = F.pad(strength.expand(m, -1).T, (0, spare))
    norm = x.norm(dim=1)
    q = x.shape[1]
    k = 1 if n_classes == 2 else n_classes
    size = part_size(x)

    each = x.element_size() * (k * (5 * m + 2 * (MEMORY + 4) * q) + RANK * (q + RANK))
    most = max(1, min(WIDTH // k, limits.memory // each))
    # Neighbours in C take about as many iterations.
    order = strength.sum(1).argsort(descending=True)
    parts = []
    for chunk in torch.split(order, most):
        c = strength[chunk]
        blank = x.new_zeros(len(chunk), k, m + spare)
        rows = [
            Rows(x[at], y[at], c[:, at], norm[at], blank[..., at], blank[..., at])
            for at in (slice(i, i + size) for i in range(0, m, size))
        ]
        parts.append(_descend(rows, data, limits, spread))
    back = order.argsort()
    w, optimality, iterations = (torch.cat([part[i] for part in parts])[back] for i in range(3))
    weight = w[..., :-1] if data.basis is None else times(w[..., :-1], data.basis.T)
    bias = w[..., -1] - (weight * data.mean).sum(2)
    if k > 1:
        # Softmax leaves the intercepts' sum open.
        bias = bias - bias.mean(1, keepdim=True)
    return Solution(both_rows(weight), both_rows(bias), optimality, iterations, optimality <= limits.tolerance)


def _descend(rows: list[Rows], data: Frame, limits: Limits, spread: Map) -> tuple[Tensor, Tensor, Tensor]:
    """Minimise one chunk of problems.

    Returns:
        w (B, k, q + 1) with the intercept last, optimality (B,), iterations (B,).
    """
    B, k, _ = rows[0].z.shape
    x = rows[0].x
    all_w, all_optimality = x.new_zeros(B, k, x.shape[1] + 1), x.new_full((B,), torch.inf, dtype=torch.float64)
    all_iterations = torch.zeros(B, dtype=torch.int64, device=x.device)
    w = all_w.clone()
    way, step = torch.zeros_like(w), w.new_zeros(B)
    previous = torch.zeros_like(w)
    memory: list[tuple[Tensor, Tensor, Tensor]] = []
    curvature = Curvature(data, B, k, spread)
    lowest, since = all_optimality.clone(), all_iterations.clone()
    # The problems at work, by their places in the chunk; those that are done stay till they are many.
    at, alive = torch.arange(B, device=x.device), torch.ones_like(since, dtype=torch.bool)
    for iteration in range(limits.iterations + 1):
        gw, gb, uncertain, swing, loss = (
            sum(part) for part in zip(*spread(partial(Rows.move, step=step), rows), strict=True)
        )
        g = torch.cat([gw + w[..., :-1], gb[..., None]], -1)
        # The intercept's share: moving it to its own optimum gains gb^2 / (2 h), and may turn gw by so much.
        turn = _sum((swing * gb / uncertain).square()).sqrt()
        rest = (_sum(g[..., :-1].square()).sqrt() + turn).square()
        found = (rest + _sum(gb.square() / uncertain)).double() / (_sum(w[..., :-1].square()).double() + 2 * loss)

        now = at[alive]
        all_w[now], all_optimality[now], all_iterations[now] = w[alive], found[alive], iteration
        better = found < 0.9 * lowest
        since = torch.where(better, 0, since + 1)
        lowest = torch.where(better, found, lowest)
        alive &= torch.isfinite(found) & (found > limits.tolerance) & (since < PATIENCE)
        if iteration == limits.iterations or not bool(alive.any()):
            break

        if iteration and not curvature.exact:
            s, y = _by(step, way), g - previous
            sy = _sum(s * y)
            memory = [*memory[-MEMORY + 1 :], (s, y, torch.where(sy > 0, 1 / sy, 0))]
        if -(-int(alive.sum()) * k // ROWS) < -(-len(at) * k // ROWS):
            kept = torch.nonzero(alive)[:, 0]
            curvature.keep(kept)
            memory = [(s[kept], y[kept], inverse[kept]) for s, y, inverse in memory]
            for r in rows:
                r.keep(kept)
            at, w, g, uncertain, found = at[kept], w[kept], g[kept], uncertain[kept], found[kept]
            lowest, since, alive = lowest[kept], since[kept], alive[kept]
        if curvature.exact or (curvature.corrects and iteration and iteration % CORRECT == 0):
            h = torch.cat(spread(Rows.uncertainty, rows), 1)[:, : len(data.x)]
            curvature.correct(h, alive & (curvature.exact | (found > WORTH * limits.tolerance)))
        previous = g
        direction = _quasi_newton(g, memory, partial(curvature.inverse, uncertain=uncertain, alive=alive))
        way = torch.where(alive[:, None, None], -direction, 0)
        step = _search(rows, way, w, _sum(g * way), alive, spread)
        w = w + _by(step, way)
    return all_w, torch.where(torch.isfinite(all_optimality), all_optimality, torch.inf), all_iterations


def _quasi_newton(
    g: Tensor, memory: list[tuple[Tensor, Tensor, Tensor]], known: Callable[[Tensor], Tensor | None]
) -> Tensor:
    """The inverse Hessian that steps and changes of gradient tell of, times g (B, k, d + 1)."""
    q, factors = g, []
    for s, y, inverse in reversed(memory):
        factor = inverse * _sum(s * q)
        factors.append(factor)
        q = q - _by(factor, y)
    start = known(q)
    if start is None:
        scale = 1 / _sum(g.square()).sqrt()
        if memory:
            s, y, inverse = memory[-1]
            scale = torch.where(inverse > 0, 1 / (inverse * _sum(y.square())), scale)
        start = _by(scale, q)
    q = start
    for (s, y, inverse), factor in zip(memory, reversed(factors), strict=True):
        q = q + _by(factor - inverse * _sum(y * q), s)
    return q


def _search(rows: list[Rows], way: Tensor, w: Tensor, slope: Tensor, alive: Tensor, spread: Map) -> Tensor:
    """(B,) steps along way (B, k, d + 1) to where the objective is about flat; zero for problems that are done."""

    def turn(r: Rows) -> tuple[Tensor, Tensor]:
        r.aim(way)
        return r.slopes(step)

    linear, square = _sum(w[..., :-1] * way[..., :-1]), _sum(way[..., :-1].square())
    step = torch.ones_like(slope)
    low, high = torch.zeros_like(step), torch.full_like(step, torch.inf)
    searching = alive.clone()
    for i in range(SEARCHES):
        found = spread(partial(Rows.slopes, step=step) if i else turn, rows)
        first, second = (sum(part) for part in zip(*found, strict=True))
        first = first + linear + step * square
        searching = searching & (first.abs() > FLAT * slope.abs())
        if i == SEARCHES - 1 or not bool(searching.any()):
            break
        low, high = torch.where(first < 0, step, low), torch.where(first < 0, high, step)
        newton = step - first / (second + square)
        # Newton's step, or the middle where it leaves the bracket; the slope is convex nowhere in particular.
        inside = (newton > low) & (newton < high)
        middle = torch.where(torch.isinf(high), 4 * step, (low + high) / 2)
        step = torch.where(searching, torch.where(inside, newton.minimum(4 * step), middle), step)
    # What is not flat yet stops short of the minimum, where the objective has surely fallen.
    return torch.where(alive, torch.where(searching & (low > 0), low, step), 0)


def _by(factor: Tensor, v: Tensor) -> Tensor:
    """Each problem's factor (B,) times its v (B, k, q)."""
    return factor[:, None, None] * v


def _sum(v: Tensor) -> Tensor:
    """(B,) each problem's sum over v (B, k, q), or (B, k): one run of memory each, so added in the same order."""
    return v.flatten(1).sum(1)
