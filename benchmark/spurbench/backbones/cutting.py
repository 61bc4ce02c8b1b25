"""Cutting open_clip towers where the projection into the shared space begins."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class MatrixProjection(nn.Module):
    """x @ weight, for towers that hold their projection as a bare matrix.

    Attributes:
        weight: (p, d).
    """

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, p) -> (b, d)."""
        return x @ self.weight


class TextTrunk(nn.Module):
    """All of a `CLIP` model's text side but its projection; `CLIP` holds the pieces loose among its own attributes.

    Args:
        clip: an `open_clip.model.CLIP`, whose modules are shared.
    """

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.token_embedding, self.transformer, self.ln_final = clip.token_embedding, clip.transformer, clip.ln_final
        self.positional_embedding = clip.positional_embedding
        self.register_buffer("attn_mask", clip.attn_mask, persistent=False)
        self.pool_type, self.eos = clip.text_pool_type, clip.text_eos_id

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether backward passes compute the transformer's blocks again instead of keeping what they made."""
        self.transformer.grad_checkpointing = enable

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, L) tokens -> (n, w)."""
        from open_clip.transformer import text_global_pool

        x = self.token_embedding(tokens) + self.positional_embedding
        x = self.ln_final(self.transformer(x, attn_mask=self.attn_mask))
        pooled: torch.Tensor = text_global_pool(x, tokens, self.pool_type, eos_token_id=self.eos)
        return pooled


def cut_image(visual: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Split an open_clip image tower into (trunk, projection); their composition is the tower itself.

    ViT: before the projection matrix; ModifiedResNet: before the attention pool; timm towers: before the head. Any
    other tower is all trunk, and its penultimate activations are its embeddings.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, VisionTransformer) and visual.proj is not None and not visual.output_tokens:
        matrix = visual.proj
        visual.proj = None
        return visual, MatrixProjection(matrix)
    if isinstance(visual, ModifiedResNet):
        pool = visual.attnpool
        visual.attnpool = nn.Identity()
        return visual, pool
    if isinstance(visual, TimmModel):
        return visual.trunk, visual.head
    return visual, nn.Identity()


def cut_text(model: Any) -> tuple[nn.Module, nn.Module]:
    """Split the text side of an open_clip model into (trunk, projection); their composition is its `encode_text`.

    Text towers other than the usual ones are all trunk.
    """
    from open_clip.model import CLIP
    from open_clip.transformer import TextTransformer

    if isinstance(model, CLIP):
        return TextTrunk(model), _text_projection(model.text_projection)
    text: nn.Module = model.text
    if isinstance(text, TextTransformer) and not text.output_tokens:
        projection = _text_projection(text.text_projection)
        text.text_projection = None
        return text, projection
    return text, nn.Identity()


def _text_projection(found: nn.Module | nn.Parameter | None) -> nn.Module:
    if found is None:
        return nn.Identity()
    return found if isinstance(found, nn.Module) else MatrixProjection(found)
