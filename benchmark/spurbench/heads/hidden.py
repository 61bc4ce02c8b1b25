"""The first layer that two-layer heads share: relu(BN(W1 v)), every configuration of one seed at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

HIDDEN = 128
"""Width of the hidden layer in Zhang and Re 2022."""
BN_EPS, BN_MOMENTUM = 1e-5, 0.1
"""Batch normalisation's constants in torch."""
MOMENTUM = 0.9


def uniform(rows: int, columns: int, fan_in: int, generator: torch.Generator) -> torch.Tensor:
    """(rows, columns) weights as torch's linear layers start: uniform in +-1/sqrt(fan in)."""
    return (2 * torch.rand(rows, columns, generator=generator) - 1) / math.sqrt(fan_in)


class HiddenLayer(ABC):
    """C two-layer heads in training by SGD with momentum, started alike; subclasses have the second layer.

    Weight decay applies to every parameter, as in torch.optim.SGD. The product with W1 is made for all configurations
    at once; the gradients of the rest come from autograd, by way of leaves that a subclass names.

    Args:
        d, hidden: sizes of input and hidden layer.
        lr, weight_decay: (C,).
        generator: draws W1.
    """

    def __init__(
        self, d: int, hidden: int, lr: torch.Tensor, weight_decay: torch.Tensor, generator: torch.Generator
    ) -> None:
        heads, device = len(lr), lr.device
        self.hidden = hidden
        self._lr, self._decay = lr.float(), weight_decay.float()
        self.first = uniform(d, hidden, d, generator).to(device).repeat(1, heads)
        self.affine = torch.zeros(2, heads, 1, hidden, device=device)
        self.affine[0] = 1
        self.running = torch.zeros(2, heads, 1, hidden, device=device)
        self.running[1] = 1
        self._parts: list[torch.Tensor] = []
        self._slow: list[torch.Tensor] = []
        self.train_also(self.first, self.affine)

    def train_also(self, *parts: torch.Tensor) -> None:
        """Train these tensors too; the configuration is their first dimension, of `first` and `affine` the second."""
        self._parts += parts
        self._slow += [torch.zeros_like(part) for part in parts]

    @abstractmethod
    def refresh(self) -> None:
        """Make the leaves anew from the parameters."""

    @abstractmethod
    def leaves(self) -> tuple[torch.Tensor, ...]:
        """What the second layer's gradients are asked of."""

    @abstractmethod
    def second_gradients(self, by_leaf: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Gradients of the second layer's parameters, from those of the leaves."""

    def hidden_of(self, x: torch.Tensor) -> torch.Tensor:
        """(C, m, H) activations of a batch x (m, d), normalised by the batch; running statistics move along."""
        self._x = x
        self._z = (x @ self.first).reshape(len(x), -1, self.hidden).transpose(0, 1).contiguous().requires_grad_()
        mean = self._z.mean(dim=1, keepdim=True)
        centred = self._z - mean
        variance = centred.square().mean(dim=1, keepdim=True)
        with torch.no_grad():
            unbiased = variance * (len(x) / max(1, len(x) - 1))
            self.running.lerp_(torch.stack([mean, unbiased]), BN_MOMENTUM)
        self._affine = self.affine.clone().requires_grad_()
        return torch.relu(centred * torch.rsqrt(variance + BN_EPS) * self._affine[0] + self._affine[1])

    def descend(self, loss: torch.Tensor) -> None:
        """One step of SGD on a loss (C,) of what `hidden_of` gave last."""
        leaves = (self._z, self._affine, *self.leaves())
        found = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        by_z, by_affine, *by_leaf = (
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(leaves, found, strict=True)
        )
        with torch.no_grad():
            by_first = self._x.T @ by_z.transpose(0, 1).reshape(len(self._x), -1)
            gradients = (by_first, by_affine, *self.second_gradients(by_leaf))
            for part, slow, gradient in zip(self._parts, self._slow, gradients, strict=True):
                lr, decay = self._rates(part)
                slow.mul_(MOMENTUM).add_(gradient).addcmul_(part, decay)
                part.addcmul_(slow, lr, value=-1)
            self.refresh()

    def _rates(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """lr and weight decay, to be broadcast over a parameter."""
        if part is self.first:
            return self._lr.repeat_interleave(self.hidden), self._decay.repeat_interleave(self.hidden)
        return self._lr[:, None, None], self._decay[:, None, None]

    def folded(self) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """By configuration: W1 (d, H), and the scale and shift (H,) that BN is at evaluation; on the CPU."""
        scale = self.affine[0] / (self.running[1] + BN_EPS).sqrt()
        shift = self.affine[1] - self.running[0] * scale
        first = self.first.reshape(len(self.first), -1, self.hidden)
        return [
            (first[:, c].cpu().clone(), scale[c, 0].cpu().clone(), shift[c, 0].cpu().clone())
            for c in range(len(self._lr))
        ]
