"""The predictor: a trained projection in front of class texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from ..data import View
from .forms import Form

ROWS = 256
"""Examples in one product, whoever asks: sums may depend on it."""
BUDGET = 256 * 2**20
"""Bytes that the heads asked at once may take."""


@dataclass(frozen=True)
class ProjectionHead:
    """z_k = s cos(projection(x), w_k) on a view's penultimate features.

    Attributes:
        form: how the projection computes.
        weights: its trained weights.
        classes: (K, d) unit class vectors.
        scale: s; it decides no prediction.
        trained_parameters: how many were trained, on the text side as well.
    """

    form: Form
    weights: Mapping[str, torch.Tensor]
    classes: torch.Tensor
    scale: float
    trained_parameters: int = 0

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        return self.logits_many([self], view)[0]

    @staticmethod
    def logits_many(heads: Sequence[ProjectionHead], view: View) -> torch.Tensor:
        """(B, n, K) scores of B heads, as many at once as fit the budget."""
        chunks = torch.split(torch.arange(len(view)), ROWS)
        with torch.no_grad():
            return torch.cat(
                [
                    torch.cat([_scores(some, view.penultimate(rows)) for rows in chunks], dim=1)
                    for some in _groups(heads, view)
                ]
            )


def _scores(heads: _Stack, x: torch.Tensor) -> torch.Tensor:
    """(C, b, K)."""
    x = x.to(heads.classes.device)
    cosines = torch.matmul(normalize(heads.form(heads.weights, x), dim=-1), heads.classes)
    return (heads.scales * cosines).cpu()


@dataclass(frozen=True)
class _Stack:
    """Heads side by side: weights (C, ...), class vectors (C, d, K), scales (C, 1, 1)."""

    form: Form
    weights: Mapping[str, torch.Tensor]
    classes: torch.Tensor
    scales: torch.Tensor


def _groups(heads: Sequence[ProjectionHead], view: View) -> Iterator[_Stack]:
    """The heads in order, stacked; one stack is gone before the next is made."""
    first = heads[0]
    rows = torch.Size((ROWS, *view.penultimate(torch.arange(min(1, len(view)))).shape[1:]))
    size = first.form.activation_bytes(rows, first.classes.shape[1])
    size += sum(value.numel() * value.element_size() for value in first.weights.values())
    at_once = max(1, BUDGET // size)
    for start in range(0, len(heads), at_once):
        some = heads[start : start + at_once]
        yield _Stack(
            first.form,
            {name: torch.stack([head.weights[name] for head in some]) for name in first.weights},
            torch.stack([head.classes for head in some]).transpose(1, 2).contiguous(),
            torch.tensor([head.scale for head in some], device=first.classes.device)[:, None, None],
        )
