"""The two steps of a timm model, which has them as methods, as modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class TimmTrunk(nn.Module):
    """(b, 3, H, W) -> what a timm model makes of them before its head.

    Its parts have the names that they have in the model.

    Attributes:
        model: the model itself, which is no part: its parts would be named twice.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._held: tuple[Any] = (model,)
        for name, part in model.named_children():
            self.add_module(name, part)

    @property
    def model(self) -> Any:
        """The model."""
        return self._held[0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, C, h, w) maps, (b, h, w, C) of some models, or (b, n, C) tokens."""
        features: torch.Tensor = self.model.forward_features(images)
        return features


class TimmHead(nn.Module):
    """What `TimmTrunk` makes -> (b, d) embeddings."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._held: tuple[Any] = (model,)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pooled, and whatever else the model does before its classifier."""
        embeddings: torch.Tensor = self._held[0].forward_head(features)
        return embeddings
