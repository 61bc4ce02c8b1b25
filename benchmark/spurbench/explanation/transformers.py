"""What is known of a vision transformer's build: its blocks, how its tokens lie in the image, what it pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn


@dataclass(frozen=True)
class Transformer:
    """A vision transformer.

    Attributes:
        blocks: names of its blocks in the trunk, in order.
        attention: name of the attention in a block.
        grid: patches per column and per row.
        prefix: how many tokens stand before the patches': the class's, registers.
        pooled: "token": the first token becomes the embedding; "patches": the mean of the patches' tokens does; None:
            something else.
    """

    blocks: tuple[str, ...]
    attention: str
    grid: tuple[int, int]
    prefix: int
    pooled: Literal["token", "patches"] | None

    @property
    def tokens(self) -> int:
        """How many there are."""
        return self.prefix + self.grid[0] * self.grid[1]

    def laid_out(self, tokens: torch.Tensor) -> torch.Tensor:
        """(b, n, C) tokens -> (b, C, h, w), those of the patches where they are in the image."""
        return tokens[:, self.prefix :].transpose(1, 2).reshape(len(tokens), -1, *self.grid)


def transformer_of(trunk: nn.Module) -> Transformer | None:
    """The vision transformer that a trunk is: open_clip's, timm's or torchvision's; None for anything else."""
    from open_clip.transformer import VisionTransformer
    from torchvision.models import VisionTransformer as TorchvisionTransformer

    if isinstance(trunk, VisionTransformer):
        names = tuple(f"transformer.resblocks.{i}" for i in range(len(trunk.transformer.resblocks)))
        pooled = {"tok": "token", "avg": "patches"}.get(trunk.pool_type) if trunk.attn_pool is None else None
        return Transformer(names, "attn", trunk.grid_size, 1, pooled)  # type: ignore[arg-type]
    if isinstance(trunk, TorchvisionTransformer):
        names = tuple(f"encoder.layers.{name}" for name, _ in trunk.encoder.layers.named_children())
        side = trunk.image_size // trunk.patch_size
        return Transformer(names, "self_attention", (side, side), 1, "token")
    model: Any = getattr(trunk, "model", trunk)
    blocks, grid = getattr(model, "blocks", None), getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if isinstance(blocks, nn.Sequential | nn.ModuleList) and grid is not None:
        names = tuple(f"blocks.{i}" for i in range(len(blocks)))
        return Transformer(names, "attn", tuple(grid), getattr(model, "num_prefix_tokens", 0), _timm_pooling(model))
    return None


def kind_of(trunk: nn.Module) -> str:
    """What a trunk is called in messages."""
    return type(getattr(trunk, "model", trunk)).__name__


def _timm_pooling(model: Any) -> Literal["token", "patches"] | None:
    """What a timm transformer pools. A distilled one takes two tokens; some average the class's with the patches'."""
    plain = getattr(model, "attn_pool", None) is None and not hasattr(model, "head_dist")
    if not plain or getattr(model, "pool_include_prefix", False):
        return None
    pooling: dict[str, Literal["token", "patches"]] = {"token": "token", "avg": "patches"}
    return pooling.get(getattr(model, "global_pool", ""))
