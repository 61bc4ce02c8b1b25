"""Two-layer perceptrons u = U relu(BN(W1 v)) + b: an encoder and a linear classifier, where no text is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..data import View
from .hidden import HIDDEN, HiddenLayer, uniform
from .linear import padded

ROWS = 512
"""Examples asked for at once."""


@dataclass(frozen=True)
class PerceptronHead:
    """A trained perceptron, batch normalisation folded into a scale and a shift of the hidden layer.

    Attributes:
        first: (d, H), W1 transposed.
        scale, shift: (H,).
        second: (H, K), U transposed.
        bias: (K,).
    """

    first: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    second: torch.Tensor
    bias: torch.Tensor

    @property
    def trained_parameters(self) -> int:
        """Of W1, U, b and the affine part of BN."""
        return self.first.numel() + 2 * self.scale.numel() + self.second.numel() + self.bias.numel()

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        return self.logits_many([self], view)[0]

    @staticmethod
    def logits_many(heads: Sequence[PerceptronHead], view: View) -> torch.Tensor:
        """(B, n, K) scores of B perceptrons in one product."""
        x = view.embeddings()
        first = torch.cat([head.first for head in heads], dim=1)
        scale, shift, second, bias = (
            torch.stack([getattr(head, name) for head in heads]) for name in ("scale", "shift", "second", "bias")
        )
        parts = []
        for rows in torch.split(x, ROWS):
            z = (rows @ first).reshape(len(rows), len(heads), -1).transpose(0, 1)
            r = torch.relu(z * scale[:, None] + shift[:, None])
            parts.append((r @ padded(second))[..., : second.shape[-1]] + bias[:, None])
        return torch.cat(parts, dim=1)


class Perceptrons(HiddenLayer):
    """C perceptrons in training on the same batches, started from the same weights.

    Args:
        d, n_classes: sizes of input and output.
        lr, weight_decay: (C,).
        generator: draws the starting weights.
    """

    def __init__(
        self,
        d: int,
        n_classes: int,
        lr: torch.Tensor,
        weight_decay: torch.Tensor,
        generator: torch.Generator,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__(d, hidden, lr, weight_decay, generator)
        self.second = uniform(hidden, n_classes, hidden, generator).to(lr.device).repeat(len(lr), 1, 1)
        self.bias = uniform(1, n_classes, hidden, generator).to(lr.device).repeat(len(lr), 1, 1)
        self.train_also(self.second, self.bias)
        self.refresh()

    def refresh(self) -> None:
        """The parameters themselves are the leaves."""
        self._leaves = self.second.detach().clone().requires_grad_(), self.bias.detach().clone().requires_grad_()

    def leaves(self) -> tuple[torch.Tensor, ...]:
        """The second layer's weights and bias."""
        return self._leaves

    def second_gradients(self, by_leaf: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """As they are."""
        return tuple(by_leaf)

    def logits(self, r: torch.Tensor) -> torch.Tensor:
        """(C, m, K) scores of activations."""
        weight, bias = self._leaves
        return (r @ padded(weight))[..., : weight.shape[-1]] + bias

    def heads(self) -> list[PerceptronHead]:
        """The perceptrons as they are now."""
        second, bias = self.second.cpu(), self.bias.cpu()
        return [PerceptronHead(*layer, second[c].clone(), bias[c, 0].clone()) for c, layer in enumerate(self.folded())]
