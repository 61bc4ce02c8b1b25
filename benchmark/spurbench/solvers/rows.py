"""Some rows of the data, and what they contribute to many L2 problems; each problem's bits are its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

ROWS = 16
"""Products come with multiples of so many vectors: faster for it, and then one's bits depend on no other."""
LANES = 64
"""A multiple of the numbers that torch takes at a time, which are 32 with AVX-512."""


@dataclass
class Rows:
    """Some rows of the data, with the state of the chunk's problems there.

    Attributes:
        x: (m, d) centred features.
        y: (m,) classes.
        c: (B, m) strengths of the examples' losses.
        norm: (m,) of the features.
        z: (B, k, m) margins at the current point.
        along: (B, k, m) how they change along the current direction.
    """

    x: Tensor
    y: Tensor
    c: Tensor
    norm: Tensor
    z: Tensor
    along: Tensor

    def move(self, step: Tensor) -> tuple[Tensor, ...]:
        """Go step (B,) along the direction.

        Returns:
            These rows' part of the gradients in weights (B, k, d) and intercepts (B, k), of the uncertainty (B, k),
            the same times the features' norms (B, k), and of the loss (B,).
        """
        self.z = self.z + step[:, None, None] * self.along
        c = self.c[:, None]
        if self.z.shape[1] == 1:
            t = self.y.to(self.z)
            p = torch.sigmoid(self.z)
            r = c * (p - t)
            loss = F.softplus((1 - 2 * t) * self.z)[:, 0]
        else:
            logarithm = torch.log_softmax(self.z, 1)
            p = logarithm.exp()
            at = self.y.expand(len(p), 1, -1)
            loss = -logarithm.gather(1, at)[:, 0]
            r = c * p.scatter_add(1, at, -torch.ones_like(p[:, :1]))
        h = c * p * (1 - p)
        loss = (self.c * loss).sum(1, dtype=torch.float64)
        return times(r, self.x), r.sum(2), h.sum(2), (h * self.norm).sum(2), loss

    def keep(self, which: Tensor) -> None:
        """Only these problems from now on."""
        self.c, self.z, self.along = self.c[which], self.z[which], self.along[which]

    def uncertainty(self) -> Tensor:
        """(B, m) of the examples, for two classes."""
        p = torch.sigmoid(self.z[:, 0])
        return self.c * p * (1 - p)

    def aim(self, way: Tensor) -> None:
        """Turn to the direction (B, k, d + 1)."""
        self.along = times(way[..., :-1], self.x.T) + way[..., -1:]

    def slopes(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) first and second derivatives of these rows' loss, at step (B,) along the direction."""
        z, v = self.z + step[:, None, None] * self.along, self.along
        if z.shape[1] == 1:
            p = torch.sigmoid(z)
            first, second = ((p - self.y.to(z)) * v)[:, 0], (p * (1 - p) * v * v)[:, 0]
        else:
            p = torch.softmax(z, 1)
            mean = (p * v).sum(1)
            first = mean - v.gather(1, self.y.expand(len(p), 1, -1))[:, 0]
            second = (p * v * v).sum(1) - mean * mean
        return (self.c * first).sum(1), (self.c * second).sum(1)


def times(v: Tensor, a: Tensor) -> Tensor:
    """Each row of v (B, k, q) times a (q, r), giving (B, k, r); computed with rows filled up to 16."""
    flat = v.reshape(-1, v.shape[2])
    return (F.pad(flat, (0, 0, 0, -len(flat) % ROWS)) @ a)[: len(flat)].view(*v.shape[:2], -1)
