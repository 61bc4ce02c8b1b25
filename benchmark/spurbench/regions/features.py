"""Boxes and embeddings of regions, built when they are first asked for and kept in the store like any feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..backbones import Backbone, Tower
from ..data import Photos
from ..encode import Speed, batched, halved
from ..errors import WeightsError
from ..features import FeatureStore
from ..files import digest
from .frame import Frames
from .geometry import cells
from .proposals import Proposer, find_weights
from .source import Drawn, Source

POOLING = "value"
"""How `Tower.regions` pools (see `backbones.spatial`)."""


def region_key(data: str, backbone: str, kind: str, identity: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The key of features of regions, and the parts it is the hash of.

    Args:
        data, backbone: fingerprints.
        kind: `boxes` or `regions`.
        identity: of the source of the regions.
    """
    parts = {
        "data": data,
        "backbone": backbone,
        "kind": kind,
        "regions": list(identity),
        "pooling": POOLING if kind == "regions" else "none",
    }
    return digest(parts), parts


def _silent(*_: object) -> None:
    """Nobody listens."""


@dataclass
class RegionFeatures:
    """The regions of a data set's n photos under a backbone.

    Attributes:
        data: fingerprint of the examples.
        tower: loads the backbone's tower, called only where something must be built.
        source: where the regions come from.
        label: shown by `spurbench features list`.
        progress: told (what is done, photos done, photos in all).
        built: told what was built, and how fast.
    """

    store: FeatureStore
    data: str
    backbone: Backbone
    tower: Callable[[], Tower]
    photos: Photos
    source: Source
    label: str
    device: str
    progress: Callable[[str, int, int], None] = _silent
    built: Callable[[str, Speed], None] = _silent

    @cached_property
    def boxes(self) -> torch.Tensor:
        """(n, r, 4) float32 in shares of the view, rows of NaN for none; memory-mapped. Raises SpurbenchError."""
        spec = self.source.spec
        if spec.kind == "grid":
            return torch.from_numpy(cells(spec.count)).expand(len(self.photos), -1, -1)
        key = region_key(self.data, self.backbone.fingerprint, "boxes", self.source.identity)
        return self._built("boxes", key, lambda: _Placing(self._drawn(), Frames(self.tower().preprocess)))

    @cached_property
    def embeddings(self) -> torch.Tensor:
        """(n, r, d) float16, not normalised, zeros for none; memory-mapped. Raises SpurbenchError."""
        boxes = self.boxes
        key = region_key(self.data, self.backbone.fingerprint, "regions", self.source.identity)
        return self._built("regions", key, lambda: _Embedding(self.tower(), self.backbone, boxes, self.device))

    def _drawn(self) -> Drawn:
        if self.source.drawn is not None:
            return self.source.drawn
        parts = {"data": self.data, "kind": "proposals", "regions": self.source.identity}
        count = self.source.spec.count
        found = self._built("proposals", (digest(parts), parts), lambda: Proposer(find_weights(), count, self.device))
        return Drawn(found.numpy())

    def _built(self, kind: str, key: tuple[str, dict[str, Any]], encoder: Callable[[], Any]) -> torch.Tensor:
        what = {"boxes": "placing regions", "regions": "encoding regions", "proposals": "proposing regions"}[kind]
        found, speed = self.store.build(
            {kind: key},
            lambda _: encoder(),
            self.photos,
            f"{self.label} · {self.source.spec}",
            self.device,
            lambda done, total: self.progress(what, done, total),
        )
        if speed is not None:
            self.built(kind, speed)
        return found[kind]


class _Placing:
    """Drawn boxes as a tower sees them; of the photos only their size is looked at."""

    kinds = ("boxes",)

    def __init__(self, drawn: Drawn, frames: Frames) -> None:
        self._drawn, self._frames = drawn, frames

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Width and height."""
        return torch.tensor(image.size)

    def encode(self, rows: Sequence[int], prepared: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """(b, r, 4) float32."""
        placed = [
            self._frames.of(*size).to_view(self._drawn.of(row, *size))
            for row, size in zip(rows, (sizes.tolist() for sizes in prepared), strict=True)
        ]
        return {"boxes": torch.from_numpy(np.stack(placed))}


class _Embedding:
    """Embeddings of boxes by a tower. Raises WeightsError for one without a spatial map."""

    kinds = ("regions",)

    def __init__(self, tower: Tower, backbone: Backbone, boxes: torch.Tensor, device: str) -> None:
        if tower.regions is None:
            raise WeightsError(
                f"backbone {backbone.card.name} has no spatial map that regions could be pooled from (Tower.regions)"
            )
        self._embed, self._boxes, self._device = tower.regions, boxes, device
        self.prepare = tower.preprocess

    def encode(self, rows: Sequence[int], prepared: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """(b, r, d) float16."""
        images = batched(prepared, self._device)
        boxes = self._boxes[torch.tensor(rows)].to(self._device)
        return {"regions": halved(self._embed(images, boxes)[:, 1:].cpu(), "region embeddings")}
