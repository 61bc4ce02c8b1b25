"""Photos of the training split, batch by batch: opened in threads, and kept where memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..encode import AHEAD, BATCH, opened


class Photos:
    """Preprocessed photos of a view, batch after batch.

    Every epoch opens all photos again, unless they are kept after they were opened first.

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
        self._complete = False

    def keep(self) -> None:
        """Keep the photos from now on."""
        self._kept = torch.empty(len(self._images), *self.shape)

    def batches(self, rows: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """(b, 3, H, W) float32 on the CPU for each batch of rows."""
        if self._kept is not None and self._complete:
            for some in rows:
                yield self._kept[some]
            return
        pieces = [piece for some in rows for piece in torch.split(some, self._piece)]
        items = opened(
            [piece.tolist() for piece in pieces], self._images.__getitems__, self._images.at_once, self._device
        )
        for some in rows:
            batch = torch.stack([image for _ in torch.split(some, self._piece) for image in next(items)])
            if self._kept is not None:
                self._kept[some] = batch
            yield batch
        self._complete = True
