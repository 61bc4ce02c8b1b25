"""How the two backbones were made."""

from __future__ import annotations

from .corpus import Corpus
from .pretraining import Recipe

_TEXT = {"context_length": 16, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 3}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="menagerie-rn",
            model={
                "embed_dim": 128,
                "vision_cfg": {"image_size": 64, "layers": [1, 1, 2, 1], "width": 16, "patch_size": None},
                "text_cfg": _TEXT,
            },
            corpus=Corpus(photos=30_000, correlation=0.9),
            epochs=6,
        ),
        Recipe(
            name="menagerie-vit",
            model={
                "embed_dim": 128,
                "vision_cfg": {
                    "image_size": 64,
                    "layers": 4,
                    "width": 96,
                    "head_width": 32,
                    "patch_size": 8,
                    "pool_type": "avg",
                    # Half of the patches are left out in training (Li et al. 2023, FLIP): nearly twice the speed.
                    "patch_dropout": 0.5,
                },
                "text_cfg": _TEXT,
            },
            corpus=Corpus(photos=30_000, correlation=0.5),
            epochs=8,
        ),
    )
}
