"""Linear heads on frozen features: the predictor, what features are standardised with, and balanced subsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..data import View
from ..errors import MethodError
from ..method import Task

LANES = 16
"""Matrix products are made this many columns wide, or a multiple. A narrower one is summed in another order by BLAS,
and a head's logits would depend on how many others were asked for in the same product."""


@dataclass(frozen=True)
class LinearHead:
    """z = W x + b on the view's embeddings, computed in float32.

    Attributes:
        weight: (K, d).
        bias: (K,).
        optimality: where it was fitted to convergence, what the solver reached (see `solvers`), for the record.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    optimality: float | None = None

    @property
    def trained_parameters(self) -> int:
        """Of W and b."""
        return self.weight.numel() + self.bias.numel()

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        return self.logits_many([self], view)[0]

    @staticmethod
    def logits_many(heads: Sequence[LinearHead], view: View) -> torch.Tensor:
        """(B, n, K) scores of B heads in one product."""
        return scores(view.embeddings(), heads)


@dataclass(frozen=True)
class UnitLinearHead(LinearHead):
    """The same on embeddings scaled to length 1, as zero-shot heads are."""

    @staticmethod
    def logits_many(heads: Sequence[LinearHead], view: View) -> torch.Tensor:
        """(B, n, K) scores of B heads in one product."""
        return scores(torch.nn.functional.normalize(view.embeddings(), dim=-1), heads)


def scores(x: torch.Tensor, heads: Sequence[LinearHead]) -> torch.Tensor:
    """(B, n, K) scores W x + b of B heads on (n, d) features; a head's do not depend on the others."""
    weight = torch.stack([head.weight for head in heads]).to(x)
    bias = torch.stack([head.bias for head in heads]).to(x)
    z = x @ padded(weight.reshape(-1, x.shape[1]).T)
    return z[:, : weight.shape[0] * weight.shape[1]].reshape(len(x), *bias.shape).transpose(0, 1) + bias[:, None]


def padded(columns: torch.Tensor) -> torch.Tensor:
    """(..., m, c) with columns of zeros added until c is a multiple of `LANES`."""
    missing = -columns.shape[-1] % LANES
    # A transposed view would be multiplied by other kernels than what padding copies.
    return torch.nn.functional.pad(columns, (0, missing)) if missing else columns.contiguous()


@dataclass(frozen=True)
class Standardiser:
    """Per-feature shift and scale (float64) to mean 0 and deviation 1; constant features are only shifted."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def fit(cls, x: torch.Tensor) -> Standardiser:
        """Statistics of (n, d) features; the deviation is the population one, as in scikit-learn's StandardScaler."""
        x = x.double()
        deviation = x.std(dim=0, correction=0)
        return cls(x.mean(dim=0), torch.where(deviation > 10 * torch.finfo(x.dtype).eps, deviation, 1.0))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Standardised features, (n, d), in the precision of `x`."""
        return ((x.double() - self.mean) / self.scale).to(x.dtype)

    def fold(self, weight: torch.Tensor, bias: torch.Tensor) -> LinearHead:
        """The head on raw features that equals (weight (K, d), bias (K,)) on standardised ones."""
        raw = weight.double() / self.scale
        return LinearHead(raw.float(), (bias.double() - raw @ self.mean).float())


def balanced_subset(labels: NDArray[np.int64], n_labels: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Indices of a random subset with the same number of examples of each label that occurs: that of the rarest.

    Args:
        labels: (n,) integers in 0..n_labels-1 (groups for SUBG and DFR).
    """
    if not len(labels):
        raise MethodError("there are no examples to draw a balanced subset from; is validation too small?")
    totals = np.bincount(labels, minlength=n_labels)
    size = int(totals[totals > 0].min())
    parts = [generator.permutation(np.flatnonzero(labels == label))[:size] for label in np.flatnonzero(totals)]
    return np.concatenate(parts)


def balancing_weights(labels: torch.Tensor) -> torch.Tensor:
    """(n,) weights of mean 1 under which every label that occurs carries the same mass: N / (G n_g)."""
    totals = torch.bincount(labels)
    return len(labels) / (int((totals > 0).sum()) * totals[labels].float())


def standardised(task: Task) -> tuple[Standardiser, torch.Tensor]:
    """The training split's standardiser, and its standardised embeddings (n, d) on the task's device, float32."""
    raw = task.train.embeddings()
    scaler = Standardiser.fit(raw)
    return scaler, scaler(raw).to(task.device)
