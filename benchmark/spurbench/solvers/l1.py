"""L1: Newton steps on the support, along a path of growing C, until the duality gap is closed.

Where C is just small enough for w = 0 the support is empty, and it grows with C. The problems of a design that differ
in C alone lie on one path; it is walked from there through each of them, at most a factor of `RATIO` at a time, every
stage from the solution before it: supports are small for most of the way, and a Newton step is right about nearly all
signs. A step solves the Newton system of the support and of the worst violators of the optimality conditions; a
coordinate that would change sign stops at zero, and the others make up for it (Andrew and Gao's orthants, ICML 2007,
with Newton's directions). Of a few step lengths the best is taken. Near an optimum the steps converge quadratically, so
that what is left of a gap is rounding. Gradients, objectives and the last steps are float64: they decide what is zero.

Paths advance together; those with about as large a support share batched products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..parallel import Map
from .problems import Problems, Solution, both_rows

RATIO = 2.5
STAGE_END = 0.5
"""Violation of the optimality conditions (of subgradients in [-1, 1]) at which a stage passes on to the next."""
SIZES = (8, 16, 32, 48, 64, 80, 96, 112, 136, 160, 192, 240, 304, 400, 528, 784)
"""Sizes of working sets, then multiples of the last."""
GROWTH = 0.25
NEWCOMERS = 12
"""Violators that may join a working set at once: so many, or this share of what is on it already."""
ROUNDS = 3
STEPS = (1.0, 0.6, 0.3, 0.1, 0.01)
DAMPING = 1e-6
"""Added to the Newton system, relative to its mean diagonal; ten times as much after a step that failed."""
FAILING, MOST_DAMPING = 1e-4, 1e4
NEAR = 0.1
"""The gap from which steps are worked out in float64, as those are after which others failed; until then they only have
to point downhill."""
STACK_BYTES = 24 * 2**20
"""Designs stacked for batched products, in bytes: few enough to stay near the processor."""


def solve_l1(
    x: Tensor,
    n_classes: int,
    problems: list[Problems],
    tolerance: float,
    max_iterations: int,
    memory_limit: int,
    spread: Map,
) -> list[Solution]:
    """Solve each design's problems; designs of equal shape are stacked. See `solve_logistic`."""
    alike: dict[tuple[int, int], list[int]] = {}
    for i, p in enumerate(problems):
        alike.setdefault((len(p.y), p.strength.shape[1]), []).append(i)
    stacks = []
    for (m, _), members in alike.items():
        most = max(1, min(STACK_BYTES, memory_limit // 4) // (8 * m * (x.shape[1] + 1)))
        stacks += [members[i : i + most] for i in range(0, len(members), most)]

    def solve(members: list[int]) -> list[Solution]:
        return _solve_stack(x, n_classes, [problems[i] for i in members], tolerance, max_iterations)

    found: dict[int, Solution] = {}
    for members, part in zip(stacks, spread(solve, stacks), strict=True):
        found.update(zip(members, part, strict=True))
    return [found[i] for i in range(len(problems))]


def _solve_stack(
    x: Tensor, n_classes: int, problems: list[Problems], tolerance: float, max_iterations: int
) -> list[Solution]:
    """Designs of the same shape; every class is a path of its own, one against the rest."""
    k = 1 if n_classes == 2 else n_classes
    count, b = len(problems), problems[0].strength.shape[1]
    features = torch.stack([_with_constant(x if p.rows is None else x[p.rows]) for p in problems])
    m = features.shape[2]
    positive = torch.stack([p.y == 1 if k == 1 else p.y == label for p in problems for label in range(k)])
    target = (2.0 * positive.double() - 1).reshape(count, 1, k, m)
    strength = torch.stack([p.strength.double().expand(m, b) for p in problems]).mT
    level = strength.mean(dim=2)
    shape = strength / level[:, :, None]
    # Problems whose example weights differ cannot share a path; then each walks one of its own.
    paths = 1 if bool((shape - shape[:, :1]).abs().amax() <= 1e-9) else b
    levels, order = level.reshape(count, paths, 1, b // paths).expand(-1, -1, k, -1).sort(dim=3)
    stack = _Stack(
        features,
        target.expand(count, paths, k, m).reshape(-1, m),
        shape[:, :paths, None].expand(count, paths, k, m).reshape(-1, m),
        levels.reshape(-1, b // paths),
    )
    stack.solve(tolerance, max_iterations)

    def in_order(found: Tensor) -> Tensor:
        """(count, b, k, ...) of what was found stop by stop."""
        found = found.reshape(count, paths, k, b // paths, -1)
        back = order.argsort(dim=3)[..., None].expand(-1, -1, -1, -1, found.shape[-1])
        return found.gather(3, back).transpose(2, 3).reshape(count, b, k, -1)

    w = in_order(stack.found).to(x.dtype)
    gaps, steps = in_order(stack.gaps)[..., 0].amax(dim=2), in_order(stack.steps)[..., 0].sum(dim=2)
    return [
        Solution(both_rows(w[i, ..., :-1]), both_rows(w[i, ..., -1]), gaps[i], steps[i], gaps[i] <= tolerance)
        for i in range(count)
    ]


def _with_constant(x: Tensor) -> Tensor:
    """(d + 1, m) float64: features in rows, and the constant one, whose weight is the intercept."""
    return torch.cat([x.double(), x.new_ones(len(x), 1, dtype=torch.float64)], dim=1).T.contiguous()


@dataclass
class _Stack:
    """P paths on D designs, in order: the first P / D belong to the first design.

    Attributes:
        features: (D, d, m).
        target: (P, m), -1 or 1.
        strength: (P, m) example weights, of mean 1.
        stops: (P, S) ascending levels (C times the mean weight) at which a solution is wanted.
    """

    features: Tensor
    target: Tensor
    strength: Tensor
    stops: Tensor

    def __post_init__(self) -> None:
        count, d, stops = len(self.target), self.features.shape[1], self.stops.shape[1]
        like = self.features
        self.w = like.new_zeros(count, d)
        self.margin = like.new_zeros(self.target.shape)
        self.gap = like.new_full((count,), torch.inf)
        self.damping = like.new_full((count,), DAMPING)
        self.level = like.new_ones(count)
        self.next = torch.zeros(count, dtype=torch.int64, device=like.device)
        self.rough = self.features.float()
        self.found = like.new_zeros(count, stops, d)
        self.gaps = like.new_full((count, stops), torch.inf)
        self.steps = torch.zeros(count, stops, dtype=torch.int64, device=like.device)

    def solve(self, tolerance: float, max_iterations: int) -> None:
        """Walk every path to its end; at each stop until the relative duality gap is at most `tolerance`."""
        alive = torch.arange(len(self.target), device=self.target.device)
        steepest = self._gradient(alive).abs().amax(dim=1)
        self.level = torch.minimum(RATIO / steepest, self.stops[:, 0])
        while len(alive):
            gradient = self._gradient(alive)
            violation = self._violation(alive, gradient)
            stop = self._stop(alive)
            onward = (violation <= STAGE_END) & (self.level[alive] < stop)
            self._raise(alive, gradient, onward, stop)
            self._measure(alive, gradient)
            while True:
                here = self.next[alive]
                tired = (self.steps[alive, here] >= max_iterations) | ~torch.isfinite(violation)
                done = ((self.gap[alive] <= tolerance) | tired) & (self.level[alive] == stop)
                done |= tired
                if not bool(done.any()):
                    break
                self.found[alive[done], here[done]] = self.w[alive[done]]
                self.gaps[alive[done], here[done]] = self.gap[alive[done]]
                self.next[alive[done]] += 1
                left = self.next[alive] < self.stops.shape[1]
                alive, gradient, violation, done = alive[left], gradient[left], violation[left], done[left]
                if not len(alive):
                    return
                stop = self._stop(alive)
                self._raise(alive, gradient, done, stop)
                self._measure(alive, gradient)
            self.steps[alive, self.next[alive]] += 1
            self._step(alive, gradient)

    def _stop(self, which: Tensor) -> Tensor:
        """(p,) level of the next stop."""
        return self.stops[which, self.next[which]]

    def _raise(self, which: Tensor, gradient: Tensor, onward: Tensor, stop: Tensor) -> None:
        """Raise the level of those that go `onward`, towards the stop; the gradient grows along."""
        before = self.level[which]
        after = torch.where(onward, torch.minimum(before * RATIO, stop), before)
        self.level[which] = after
        gradient *= (after / before)[:, None]

    def _violation(self, which: Tensor, gradient: Tensor) -> Tensor:
        """(p,) how far the worst coordinate is from its subgradient's condition."""
        w = self.w[which]
        return torch.where(w != 0, (gradient + w.sign()).abs(), gradient.abs() - 1).amax(dim=1)

    def _pull(self, which: Tensor) -> Tensor:
        """(p, m) what each example pulls on the margin: strength times the probability of being wrong, signed."""
        target = self.target[which]
        pull = self.strength[which] * torch.sigmoid(-target * self.margin[which])
        return pull * target * self.level[which, None]

    def _gradient(self, which: Tensor) -> Tensor:
        """(p, d) of the loss. All problems of a design that has one in `which` are worked out together."""
        designs = which // self._each
        present, place = torch.unique_consecutive(designs, return_inverse=True)
        slot = torch.arange(len(which), device=which.device)
        first = torch.searchsorted(designs, present)
        slot = slot - first[place]
        pulls = self.margin.new_zeros(len(present), int(slot.max()) + 1, self.margin.shape[1])
        pulls[place, slot] = self._pull(which)
        features = self.features if len(present) == len(self.features) else self.features[present]
        # Rows from the left: several times as fast as columns from the right, which are too few.
        return -torch.bmm(pulls, features.mT)[place, slot]

    @property
    def _each(self) -> int:
        """Problems of a design."""
        return len(self.target) // len(self.features)

    def _measure(self, which: Tensor, gradient: Tensor) -> None:
        """The relative duality gap of the problems that have reached their C; the dual point is the scaled residual."""
        wrong = torch.sigmoid(-self.target[which] * self.margin[which])
        scale = (1 / gradient.abs().amax(dim=1)).clamp_max(1.0)
        dual = wrong * scale[:, None]
        value = -(self.strength[which] * (torch.xlogy(dual, dual) + torch.xlogy(1 - dual, 1 - dual))).sum(dim=1)
        value = value * self.level[which]
        primal = self.w[which].abs().sum(dim=1) + self._loss(which, self.margin[which, None])[:, 0]
        gap = ((primal - value) / primal.clamp_min(1e-300)).clamp_min(0)
        self.gap[which] = torch.where((self.level[which] == self._stop(which)) & gap.isfinite(), gap, torch.inf)

    def _loss(self, which: Tensor, margins: Tensor) -> Tensor:
        """(p, s) losses at margins (p, s, m), at each problem's place on its path."""
        strength = self.strength[which] * self.level[which, None]
        return (strength[:, None] * softplus(-self.target[which, None] * margins)).sum(dim=2)

    def _step(self, alive: Tensor, gradient: Tensor) -> None:
        """One step of every problem, by size of the working set."""
        here = self.w[alive]
        support = here != 0
        count = support.sum(dim=1)
        excess = gradient.abs().masked_fill(support, 0.0)
        joining = torch.minimum((excess > 1).sum(dim=1), (GROWTH * count).long().clamp_min(NEWCOMERS))
        order = torch.where(support, torch.inf, excess)
        sizes = count + joining
        rooms = torch.tensor([_room(size, here.shape[1]) for size in sizes.tolist()])
        near = ((self.gap[alive] < NEAR) | (self.damping[alive] > FAILING)).cpu()
        for room, exact in torch.unique(torch.stack([rooms, near.long()], dim=1), dim=0).tolist():
            some = torch.nonzero((rooms == room) & (near == bool(exact)))[:, 0].to(alive.device)
            place = order[some].topk(room, dim=1).indices
            used = torch.arange(room, device=alive.device) < sizes[some, None]
            self._newton(alive[some], place, used, gradient[some], self.features if exact else self.rough)

    def _newton(self, which: Tensor, place: Tensor, used: Tensor, gradient: Tensor, features: Tensor) -> None:
        """A step on the features at `place` (p, a), as far as they are `used`; `features` in the precision for it."""
        rows = (which // self._each)[:, None] * features.shape[1] + place
        x = features.view(-1, features.shape[2]).index_select(0, rows.view(-1)).view(*rows.shape, -1)
        w, g = self.w[which].gather(1, place), gradient.gather(1, place)
        sign = torch.where(w != 0, w.sign(), -g.sign())
        wrong = torch.sigmoid(-self.target[which] * self.margin[which])
        curvature = self.strength[which] * self.level[which, None] * wrong * (1 - wrong)
        hessian = torch.bmm(x * curvature[:, None].to(x), x.mT)
        towards = _direction(hessian, (g + sign).to(x), w.to(x), sign.to(x), used, self.damping[which].to(x)).to(w)
        lengths = torch.tensor(STEPS, dtype=w.dtype, device=w.device)
        tries = w[:, None] + lengths[:, None] * towards[:, None]
        tries = torch.where(tries.sign() == sign[:, None], tries, 0.0) * used[:, None]
        margins = torch.bmm(tries.to(x), x).to(w)
        values = self._loss(which, margins) + tries.abs().sum(dim=2)
        now = self._loss(which, self.margin[which, None])[:, 0] + w.abs().sum(dim=1)
        best = values.nan_to_num(torch.inf).min(dim=1)
        # Rounding may hide the last falls; a full step is as good as any then.
        chosen = torch.where(values[:, 0] <= now * (1 + 1e-14), 0, best.indices)
        took = values.gather(1, chosen[:, None])[:, 0] <= now * (1 + 1e-14)
        each = torch.arange(len(which), device=w.device)
        self.w[which] = torch.where(took[:, None], self.w[which].scatter(1, place, tries[each, chosen]), self.w[which])
        self.margin[which] = torch.where(took[:, None], margins[each, chosen], self.margin[which])
        moved = self.damping[which]
        self.damping[which] = torch.where(took, (moved / 10).clamp_min(DAMPING), (moved * 10).clamp_max(MOST_DAMPING))


def _direction(hessian: Tensor, slope: Tensor, w: Tensor, sign: Tensor, used: Tensor, damping: Tensor) -> Tensor:
    """(p, a) Newton's direction; a coordinate that would change sign goes to zero, and the others make up for it."""
    mean = (hessian.diagonal(dim1=1, dim2=2) * used).sum(dim=1) / used.sum(dim=1)
    free = used.clone()
    towards = torch.zeros_like(w)
    for _ in range(ROUNDS):
        fixed = used & ~free
        system = hessian * free[:, :, None] * free[:, None]
        system.diagonal(dim1=1, dim2=2).add_(torch.where(free, (damping * mean)[:, None], 1.0))
        held = torch.where(fixed, -w, 0.0)
        right = -(slope + torch.bmm(hessian, held[:, :, None])[:, :, 0]) * free
        factor, info = torch.linalg.cholesky_ex(system)
        solved = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
        # A factorisation that failed leaves anything behind; the step is then counted as failed.
        solved = torch.where((info == 0)[:, None], solved, 0.0)
        towards = torch.where(free, solved, held)
        crossing = free & ((w + towards) * sign < 0)
        if not bool(crossing.any()):
            break
        free &= ~crossing
    return towards


def _room(size: int, most: int) -> int:
    """The size of batch that a working set goes to."""
    size = max(size, 1)
    fitting = next((room for room in SIZES if room >= size), -(-size // SIZES[-1]) * SIZES[-1])
    return min(fitting, most)
