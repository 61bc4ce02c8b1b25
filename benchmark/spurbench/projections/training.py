"""SGD on the projections of C configurations, which see the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch.nn.functional import normalize

from ..method import Bundle, Fitted
from .forms import Form, Weights, form_of, initial
from .head import ProjectionHead
from .rows import PenultimateRows
from .text_side import TextSide

MOMENTUM = 0.9
TEMPERATURE = 0.07
"""What the logit scale starts from, as its inverse, in the released codes of Yang et al. 2023 and CFR."""
LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class Step:
    """What a loss is computed from.

    Attributes:
        epoch: of this step, from 0.
        batch: (b,) row numbers, on the CPU.
        text: the text side.
        scale: (C, 1, 1), the logit scale s.
        form, weights, rows: the projections in training, and what they are applied to.
    """

    epoch: int
    batch: torch.Tensor
    text: TextSide
    scale: torch.Tensor
    form: Form
    weights: Weights
    rows: PenultimateRows

    def embed(self, rows: torch.Tensor) -> torch.Tensor:
        """(C, m, d) unit image embeddings of training rows (m,)."""
        return normalize(self.form(self.weights, self.rows[rows]), dim=-1)

    def zero_shot_logits(self, embedded: torch.Tensor) -> torch.Tensor:
        """(C, m, K) s <f, w_k> for unit embeddings (C, m, d), through the text side as it is now."""
        return self.scale * torch.matmul(embedded, self._classes)

    @cached_property
    def _classes(self) -> torch.Tensor:
        """(C, d, K), embedded once however often a loss asks."""
        return self.text.zero_shot().transpose(1, 2)


Loss: TypeAlias = "Callable[[Step], torch.Tensor]"
"""A step -> (C,) losses."""


def train(
    part: Bundle,
    rows: PenultimateRows,
    text: TextSide,
    loss: Loss,
    batches: Iterator[torch.Tensor],
    steps: int,
    epochs: Sequence[int],
) -> list[Fitted]:
    """Train the projections of a bundle's configurations, which have `lr` and `weight_decay`; SGD, momentum 0.9.

    The image projection, the logit scale (from 1 / 0.07, at most 100, as released) and what the text side has in
    training take part. The towers' trunks are frozen: their features were computed once.

    Args:
        batches: row numbers of each step, without end.
        steps: in an epoch.
        epochs: after which a snapshot is a candidate, ascending.

    Returns:
        for each configuration its `ProjectionHead`s, in the order of `epochs`.
    """
    count, device = len(part.configs), part.task.device
    form, start = form_of(part.task.model.projection())
    weights = initial(start, count)
    log_scale = torch.full((count,), -torch.log(torch.tensor(TEMPERATURE)).item(), device=device, requires_grad=True)
    sgd = SGD([*weights.values(), *text.weights.values(), log_scale], part.column("lr"), part.column("weight_decay"))
    snapshots: list[list[ProjectionHead]] = [[] for _ in part.configs]
    for epoch in range(epochs[-1]):
        for _ in range(steps):
            step = Step(epoch, next(batches), text, log_scale.exp()[:, None, None], form, weights, rows)
            # Configurations share no weight, so each gets the gradient of its own loss.
            torch.autograd.backward(loss(step).sum())
            sgd.step()
            with torch.no_grad():
                log_scale.clamp_(max=torch.log(torch.tensor(LARGEST_SCALE)).item())
        if epoch + 1 in epochs:
            for c, head in enumerate(_heads(form, weights, text, log_scale)):
                snapshots[c].append(head)
    return list(snapshots)


def _heads(form: Form, weights: Weights, text: TextSide, log_scale: torch.Tensor) -> Iterator[ProjectionHead]:
    # Of each configuration's own slice, and its temperature.
    count = sum(value[0].numel() for value in (*weights.values(), *text.weights.values())) + 1
    with torch.no_grad():
        classes = text.zero_shot().expand(len(log_scale), -1, -1)
        for c in range(len(log_scale)):
            own = {name: value[c].detach().clone() for name, value in weights.items()}
            yield ProjectionHead(form, own, classes[c].clone(), float(log_scale[c].exp()), count)


class SGD:
    """torch.optim.SGD with momentum, for parameters (C, ...) whose C slices have rates of their own.

    Args:
        lr, weight_decay: (C,).
    """

    def __init__(self, parameters: Sequence[torch.Tensor], lr: torch.Tensor, weight_decay: torch.Tensor) -> None:
        self._parameters, self._lr, self._decay = list(parameters), lr, weight_decay
        self._velocity: list[torch.Tensor | None] = [None] * len(self._parameters)

    @torch.no_grad()
    def step(self) -> None:
        """Descend along the gradients, and forget them."""
        for i, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is None:
                continue
            shape = (-1, *([1] * (parameter.ndim - 1)))
            gradient.addcmul_(parameter, self._decay.reshape(shape))
            velocity = self._velocity[i]
            self._velocity[i] = velocity = (
                gradient.clone() if velocity is None else velocity.mul_(MOMENTUM).add_(gradient)
            )
            parameter.addcmul_(velocity, self._lr.reshape(shape), value=-1)
            parameter.grad = None
