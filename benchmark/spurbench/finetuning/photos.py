"""Photos of the training split, batch by batch: opened in threads, and kept where memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..encode import AHEAD, BATCH, opened


class Photos:
    """Preprocessed photos of a view, batch after batch.

    Every epoch opens its photos again, unless they are kept after they were opened first.

    Attributes:
        shape: (3, H, W).
        bytes: what a batch, and what was opened ahead of it, take.
        all_bytes: what all photos take.
    """

    def __init__(self, images: Any, device: torch.device, batch: int) -> None:
        self._images, self._device = images, device.type
        self._piece = max(BATCH[device.type], images.at_once)
        one = images[0]
        self.shape = tuple(one.shape)
        self.bytes = (2 * batch + (1 + AHEAD) * self._piece) * one.nbytes
        self.all_bytes = len(images) * one.nbytes
        self._kept: torch.Tensor | None = None
        self._have = torch.zeros(len(images), dtype=torch.bool)

    def keep(self) -> None:
        """Keep the photos from now on."""
        self._kept = torch.empty(len(self._images), *self.shape)

    def batches(self, rows: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """(b, 3, H, W) float32 on the CPU for each batch of rows, which may recur."""
        kept = self._kept
        pieces = [self._pieces(some) for some in (rows if kept is None else self._missing(rows))]
        items = opened(
            [piece for some in pieces for piece in some], self._images.__getitems__, self._images.at_once, self._device
        )
        for some, missing in zip(rows, pieces, strict=True):
            if kept is None:
                yield torch.stack([image for _ in missing for image in next(items)])
                continue
            for piece in missing:
                kept[piece] = torch.stack(next(items))
                self._have[piece] = True
            yield kept[some]

    def _pieces(self, rows: torch.Tensor) -> list[list[int]]:
        return [piece.tolist() for piece in torch.split(rows, self._piece) if len(piece)]

    def _missing(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Of each batch, the rows that were opened neither in an earlier one nor before."""
        have, missing = self._have.clone(), []
        for some in rows:
            missing.append(torch.unique(some[~have[some]]))
            have[some] = True
        return missing
