"""Two-layer adapters of Zhang and Re 2022, every configuration of one seed at once.

h = W2 relu(BN(W1 v)), logits s cos(h, w_c): the text vectors w_c are frozen, W1 (H, d), BN's affine part and W2 (d, H)
are trained. What the losses need of h are its inner products, with text vectors and with other h; these need of W2 only

    P = W2' w  (H, K)   and   G = W2' W2  (H, H),

and the gradient by W2 is w N + W2 M, with N and M from the gradients by P and G. Started at W2_0, SGD with momentum and
weight decay hence stays at W2 = W2_0 A + w B, with A (H, H) and B (K, H): the steps taken here on A and B are those
that SGD takes on W2, at H / d of the price.
"""

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
class AdapterHead:
    """A trained adapter, batch normalisation folded into a scale and a shift of the hidden layer.

    Attributes:
        first: (d, H), W1 transposed.
        scale, shift: (H,).
        P, G: (H, K) and (H, H), see the module.
        logit_scale: s.
    """

    first: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    P: torch.Tensor
    G: torch.Tensor
    logit_scale: float

    @property
    def trained_parameters(self) -> int:
        """Of W1, W2 and the affine part of BN."""
        return 2 * self.first.numel() + 2 * self.scale.numel()

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        return self.logits_many([self], view)[0]

    @staticmethod
    def logits_many(heads: Sequence[AdapterHead], view: View) -> torch.Tensor:
        """(B, n, K) scores of B adapters in one product."""
        x = view.embeddings()
        first = torch.cat([head.first for head in heads], dim=1)
        scale, shift, P, G = (
            torch.stack([getattr(head, name) for head in heads]) for name in ("scale", "shift", "P", "G")
        )
        size = torch.tensor([head.logit_scale for head in heads])[:, None, None]
        parts = []
        for rows in torch.split(x, ROWS):
            z = (rows @ first).reshape(len(rows), len(heads), -1).transpose(0, 1)
            r = torch.relu(z * scale[:, None] + shift[:, None])
            parts.append(size * cosine_to_text(r, P, G))
        return torch.cat(parts, dim=1)


def cosine_to_text(r: torch.Tensor, P: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    """(C, m, K) cosines of h = W2 r with the text vectors, from hidden activations r (C, m, H)."""
    return (r @ padded(P))[..., : P.shape[-1]] / lengths(r, G)[..., None]


def lengths(r: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    """(C, m) lengths of h = W2 r."""
    return ((r @ G) * r).sum(dim=-1).clamp_min(1e-12).sqrt()


class Adapters(HiddenLayer):
    """C adapters in training on the same batches, started from the same weights.

    Args:
        text: (K, d) unit class vectors.
        logit_scale: s.
        lr, weight_decay: (C,).
        generator: draws the starting weights, uniform in +-1/sqrt(fan in) as torch's linear layers do.
    """

    def __init__(
        self,
        text: torch.Tensor,
        logit_scale: float,
        lr: torch.Tensor,
        weight_decay: torch.Tensor,
        generator: torch.Generator,
        hidden: int = HIDDEN,
    ) -> None:
        heads, (classes, d), device = len(lr), text.shape, lr.device
        super().__init__(d, hidden, lr, weight_decay, generator)
        self.text_gram, self.logit_scale = text @ text.T, logit_scale
        second = uniform(d, hidden, hidden, generator).to(device)
        self._gram, self._onto_text = second.T @ second, second.T @ text.T
        self.A = torch.eye(hidden, device=device).repeat(heads, 1, 1)
        self.B = torch.zeros(heads, classes, hidden, device=device)
        self.train_also(self.A, self.B)
        self.refresh()

    def refresh(self) -> None:
        """P and G of the present W2 = W2_0 A + w B."""
        cross = self.A.mT @ self._onto_text
        mixed = cross @ self.B
        gram = self.A.mT @ self._gram @ self.A + mixed + mixed.mT + self.B.mT @ self.text_gram @ self.B
        self.P = (cross + self.B.mT @ self.text_gram).requires_grad_()
        self.G = gram.requires_grad_()

    def leaves(self) -> tuple[torch.Tensor, ...]:
        """P and G."""
        return self.P, self.G

    def second_gradients(self, by_leaf: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Of A and B, from those of P and G: see the module."""
        by_P, by_G = by_leaf
        M = by_G + by_G.mT
        return self.A @ M, self.B @ M + by_P.mT

    def logits(self, r: torch.Tensor) -> torch.Tensor:
        """(C, m, K) scores of activations."""
        return self.logit_scale * cosine_to_text(r, self.P, self.G)

    def cosines(self, r: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """(C, m, m') cosines of h between two sets of activations."""
        left, right = (part / lengths(part, self.G)[..., None] for part in (r, others))
        return left @ self.G @ right.mT

    def heads(self) -> list[AdapterHead]:
        """The adapters as they are now."""
        P, G = self.P.detach().cpu(), self.G.detach().cpu()
        return [
            AdapterHead(*layer, P[c].clone(), G[c].clone(), self.logit_scale) for c, layer in enumerate(self.folded())
        ]
