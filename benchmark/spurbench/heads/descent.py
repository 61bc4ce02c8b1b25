"""First-order training of linear heads: every configuration of one seed in one matrix, gradients in closed form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch

from ..method import Fitted
from .linear import LANES, Standardiser

T = TypeVar("T")


def constant(step: int) -> float:  # noqa: ARG001
    """The schedule of a learning rate that stays."""
    return 1.0


@dataclass(frozen=True)
class Descent:
    """How C heads descend; every (C,) tensor has one value per configuration.

    Attributes:
        lr: step size.
        weight_decay: of the weights, not of the biases; added to the gradient for SGD, decoupled for AdamW.
        rule: SGD (`momentum` as in torch.optim.SGD) or AdamW (betas 0.9 and 0.999, eps 1e-8).
        schedule: factor of lr at a step, counted from 0.
        pull: (C,) strength p of a penalty p ||W - W_0||^2 towards the start, biases included.
        clip: largest norm of a configuration's gradient over weights and biases; longer ones are scaled to it.
    """

    lr: torch.Tensor
    weight_decay: torch.Tensor
    rule: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    schedule: Callable[[int], float] = constant
    pull: torch.Tensor | None = None
    clip: float | None = None


@dataclass(frozen=True)
class Weights:
    """C heads: weight (C, K, d), bias (C, K)."""

    weight: torch.Tensor
    bias: torch.Tensor


def descend(
    batches: Iterable[tuple[torch.Tensor, T]],
    gradient: Callable[[torch.Tensor, T], torch.Tensor],
    descent: Descent,
    shape: tuple[int, int, int],
    snapshots: Collection[int],
    start: Weights | None = None,
) -> list[Weights]:
    """Train C linear heads on the same batches, and return them as they were after some steps.

    A configuration's numbers do not depend on the others: they only share the reading of the batch. One that diverges
    ends in NaN or infinity, and leaves its neighbours alone.

    Args:
        batches: (x (m, d), whatever `gradient` needs to know of it), one per step.
        gradient: logits (m, C, K), and that -> the loss's derivative by the logits, (m, C, K).
        shape: (C, K, d).
        snapshots: numbers of steps after which to take a copy; training ends with the last.
        start: heads to start from; zero without.
    """
    heads, classes, d = shape
    columns = heads * classes
    width = columns + -columns % LANES
    device = descent.lr.device

    def by_column(values: torch.Tensor) -> torch.Tensor:
        """One value per configuration -> one per column, the padding at zero."""
        return torch.nn.functional.pad(values.float().repeat_interleave(classes), (0, width - columns))

    # The biases are the last row, so that one product gives all gradients.
    theta = torch.zeros(d + 1, width, device=device)
    if start is not None:
        theta[:d, :columns] = start.weight.reshape(columns, d).T
        theta[d, :columns] = start.bias.reshape(columns)
    origin = theta.clone() if descent.pull is not None else None
    pull = 2 * by_column(descent.pull) if descent.pull is not None else None
    lr, decay = by_column(descent.lr), by_column(descent.weight_decay)
    slow, fast = torch.zeros_like(theta), torch.zeros_like(theta) if descent.rule == "adamw" else None
    grad = torch.empty_like(theta)
    taken: list[Weights] = []
    last = max(snapshots)
    for step, (x, known) in enumerate(batches):
        z = torch.addmm(theta[d], x, theta[:d])
        error = gradient(z[:, :columns].reshape(len(x), heads, classes), known)
        error = torch.nn.functional.pad(error.reshape(len(x), columns), (0, width - columns))
        torch.mm(x.T, error, out=grad[:d])
        grad[d] = column_sums(error)
        if pull is not None and origin is not None:
            grad.addcmul_(theta - origin, pull)
        if descent.clip is not None:
            squares = column_sums(grad.square())[:columns].reshape(heads, classes).sum(dim=1)
            grad *= by_column((descent.clip / squares.sqrt().clamp_min(1e-30)).clamp_max(1.0))
        now = lr * descent.schedule(step)
        if fast is None:
            grad[:d].addcmul_(theta[:d], decay)
            slow.mul_(descent.momentum).add_(grad)
            theta.addcmul_(slow, now, value=-1)
        else:
            theta[:d] *= 1 - now * decay
            slow.lerp_(grad, 0.1)
            fast.lerp_(grad.square(), 0.001)
            corrected = slow / (1 - 0.9 ** (step + 1))
            theta.addcmul_(corrected / ((fast / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8), now, value=-1)
        if step + 1 in snapshots:
            copy = theta[:, :columns].T.reshape(heads, classes, d + 1)
            taken.append(Weights(copy[..., :d].clone(), copy[..., d].clone()))
        if step + 1 == last:
            break
    return taken


def column_sums(matrix: torch.Tensor) -> torch.Tensor:
    """(c,) sums of the columns of (m, c), c a multiple of `LANES`; by a product, because torch's own sum adds up in an
    order that depends on c.
    """
    return (torch.ones(1, len(matrix), dtype=matrix.dtype, device=matrix.device) @ matrix)[0]


def cross_entropy_gradient(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Derivative of the mean, or weighted sum, of softmax cross-entropies over a batch.

    Args:
        logits: (m, C, K).
        target: (m,) classes, or (m, K) soft labels, the same for all configurations.
        weight: (m, C) or (m, 1) weights, of the sum; without, 1 / m each.
    """
    if target.ndim == 1:
        target = torch.nn.functional.one_hot(target, logits.shape[-1]).to(logits)
    error = torch.softmax(logits, dim=-1) - target[:, None]
    return error / len(logits) if weight is None else error * weight[..., None]


def shuffled(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches of row numbers without end: every epoch a new order of all n, its last batch smaller if need be."""
    while True:
        yield from torch.split(torch.randperm(n, generator=generator), size)


def drawn(probabilities: torch.Tensor, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches of row numbers without end, drawn with replacement; an epoch's worth at a time.

    Args:
        probabilities: (n,) on the CPU, need not sum to 1.
    """
    steps = -(-len(probabilities) // size)
    while True:
        order = torch.multinomial(probabilities.double(), steps * size, replacement=True, generator=generator)
        yield from torch.split(order, size)


def heads_of(scaler: Standardiser, taken: Sequence[Weights]) -> list[Fitted]:
    """Snapshots of heads on standardised features -> each configuration's heads on raw ones."""
    count = len(taken[0].weight)
    return [[scaler.fold(weights.weight[c].cpu(), weights.bias[c].cpu()) for weights in taken] for c in range(count)]
