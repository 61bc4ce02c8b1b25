"""What is known of an L2 problem's Hessian before it is solved: the features' spectrum, then its most uncertain rows.

With uncertainties h_i = c_i p_i (1 - p_i) the Hessian is I + sum_i h_i x_i x_i'. In the eigenvectors of the features'
Gram matrix it would be diagonal if all h_i were equal, and is taken to be so at first. Near the optimum of a problem
with a weak penalty, however, a few examples have most of the uncertainty. Those are taken as they are, by Woodbury's
formula, and only the others as equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..parallel import Map

SPECTRUM_LIMIT = 1536
"""Features, or rows where they are fewer, up to which eigenvectors (n^3 operations) are worth their price."""
STRIPE = 256
BATCHES = 8
RANK = 384
"""Rows taken as they are."""
EXACT = 512
"""Rows of a design all of which are taken as they are, at every step, which is Newton's then. Two classes only."""
INTERCEPT = 1e-3
"""Least share of the uncertainty that counts as the others', which alone hold the intercept before the correction."""


@dataclass(frozen=True)
class Frame:
    """Features in coordinates where their Gram matrix is diagonal.

    Attributes:
        x: (m, q) centred features; q is d, or m where that is less.
        y: (m,) classes.
        mean: (d,) of the features.
        basis: (d, q) orthonormal: the features' own coordinates are those here times its transpose. None: the same.
        values: (q,) eigenvalues of the Gram matrix; None where they are not known, or of no use.
    """

    x: Tensor
    y: Tensor
    mean: Tensor
    basis: Tensor | None
    values: Tensor | None


def frame(x: Tensor, y: Tensor, n_classes: int, size: int, spread: Map) -> Frame:
    """Centre and rotate features (m, d), in parts of so many rows."""
    # Centred features part weights from the intercept, which is free to take the shift back.
    mean = x.mean(0)
    x = x - mean
    m, d = x.shape
    if min(m, d) > SPECTRUM_LIMIT or not bool(torch.isfinite(x).all()):
        return Frame(x, y, mean, None, None)
    basis = None
    if m < d:
        # The weights are combinations of the rows.
        basis, triangle = torch.linalg.qr(x.T)
        x = triangle.T.contiguous()
    if n_classes == 2 and m <= EXACT:
        return Frame(x, y, mean, basis, None)
    parts = torch.split(x, size)
    gram: Tensor = sum(spread(_upper_gram, parts))  # type: ignore[assignment]
    values, vectors = torch.linalg.eigh(gram, UPLO="U")
    x = torch.cat(spread(lambda part: part @ vectors, parts))
    return Frame(x, y, mean, vectors if basis is None else basis @ vectors, values.clamp_min(0))


def _upper_gram(x: Tensor) -> Tensor:
    """x'x in the upper triangle, and some of it in the lower one."""
    gram = x.new_zeros(x.shape[1], x.shape[1])
    for i in range(0, len(gram), STRIPE):
        gram[i : i + STRIPE, i:] = x[:, i : i + STRIPE].T @ x[:, i:]
    return gram


@dataclass(frozen=True)
class Correction:
    """The inverse of D + sum_i h_i x_i x_i' over the most uncertain rows, D being diagonal, for one problem.

    Attributes:
        scale: (q + 1,) D^(-1/2).
        rows: (r, q + 1) h_i^(1/2) x_i D^(-1/2), intercept last.
        factor: (r, r) triangle of I + rows rows'.
    """

    scale: Tensor
    rows: Tensor
    factor: Tensor

    def __call__(self, g: Tensor) -> Tensor:
        """The inverse times g (q + 1,)."""
        v = self.scale * g
        u = torch.cholesky_solve((self.rows @ v)[:, None], self.factor)
        return self.scale * (v - (u.T @ self.rows)[0])


def correct(data: Frame, h: Tensor) -> Correction:
    """Take the most uncertain rows as they are, or all if they are few.

    Args:
        data: the features.
        h: (m,) the examples' uncertainties in the problem.
    """
    total = h.sum()
    if data.values is None:
        own, x, rest = h, data.x, torch.zeros_like(total)
        weights = torch.ones_like(x[0])
    else:
        own, top = h.topk(min(RANK, len(h)))
        x, rest = data.x[top], (total - own.sum()).clamp_min(0)
        weights = 1 + data.values * (rest / len(data.x))
    scale = torch.cat([weights, rest.maximum(INTERCEPT * total)[None]]).rsqrt()
    rows = F.pad(x, (0, 1), value=1) * own.sqrt()[:, None] * scale
    inner = rows @ rows.T
    inner.diagonal().add_(1)
    return Correction(scale, rows, torch.linalg.cholesky_ex(inner)[0])


class Curvature:
    """What is known of the Hessians of B problems with k columns each."""

    def __init__(self, data: Frame, B: int, k: int, spread: Map) -> None:
        self.data, self.spread = data, spread
        self.exact = k == 1 and data.values is None and len(data.x) <= EXACT
        self.corrects = k == 1 and data.values is not None
        self.corrections: list[Correction | None] = [None] * B

    def keep(self, which: Tensor) -> None:
        """Only these problems from now on."""
        self.corrections = [self.corrections[i] for i in which.tolist()]

    def correct(self, h: Tensor, due: Tensor) -> None:
        """Take the most uncertain rows of the problems that are due (B,) as they are; h (B, m) are uncertainties."""
        places = torch.nonzero(due)[:, 0].tolist()
        for i, c in zip(places, self.spread(lambda i: correct(self.data, h[i]), places), strict=True):
            self.corrections[i] = c

    def inverse(self, g: Tensor, *, uncertain: Tensor, alive: Tensor) -> Tensor | None:
        """The inverse Hessians times g (B, k, q + 1), for the problems alive; None if nothing is known."""
        if self.data.values is not None:
            weights = 1 + self.data.values * (uncertain[..., None] / len(self.data.x))
            out = g / torch.cat([weights, uncertain[..., None]], -1)
        elif self.exact:
            out = torch.zeros_like(g)
        else:
            return None
        places = [
            (i, c) for i, (c, at_work) in enumerate(zip(self.corrections, alive.tolist(), strict=True)) if c and at_work
        ]
        # Handing over one product to a thread costs as much as the product.
        batches = [places[i::BATCHES] for i in range(min(BATCHES, len(places)))]
        found = self.spread(lambda batch: [(i, c(g[i, 0])) for i, c in batch], batches)
        for i, v in (pair for batch in found for pair in batch):
            out[i, 0] = v
        return out
