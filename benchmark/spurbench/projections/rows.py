"""Penultimate features by row: in memory where they fit, from the memory-mapped file otherwise."""

from __future__ import annotations

import torch

from ..data import View

SHARE = 4
"""Features may fill one part in so many of a fit's memory."""


class PenultimateRows:
    """The penultimate features of a view.

    Args:
        view: whose card declares `penultimate`.
        device: where rows are wanted.
        limit: bytes that the fit may use.
    """

    def __init__(self, view: View, device: torch.device, limit: int) -> None:
        self._view, self.device = view, device
        self._n = len(view)
        self.shape = view.penultimate(torch.arange(min(1, len(view)))).shape[1:]
        """Of one row."""
        fits = 4 * len(view) * self.shape.numel() <= limit // SHARE
        self._all = view.penultimate().to(device) if fits else None

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """(m, ...) float32 features of rows (m,) int64, on the device."""
        if self._all is not None:
            return self._all[rows.to(self.device)]
        return self._view.penultimate(rows).to(self.device)
