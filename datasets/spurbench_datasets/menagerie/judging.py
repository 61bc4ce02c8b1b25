"""How well a model names the animals of fresh photos, in their habitat and elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .animals import NAMES
from .corpus import balanced_scenes
from .pretraining import normalised
from .renderer import render
from .scenes import AS_USUAL, Difficulty, Scenes

PROMPT = "a photo of a {}."
JUDGED_PER_GROUP = 100
"""Photos per species and side (habitat, elsewhere)."""


@torch.inference_mode()
def zero_shot(folder: Path, scenes: Scenes) -> NDArray[np.bool_]:
    """(n,) whether the model in a folder names each photo's species, out of all of them, with one plain prompt."""
    import open_clip

    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    prompts = open_clip.get_tokenizer(f"local-dir:{folder}")([PROMPT.format(name) for name in NAMES])
    text = nn.functional.normalize(model.encode_text(prompts), dim=-1)
    right = []
    for start in range(0, len(scenes), 256):
        part = scenes.rows(slice(start, start + 256))
        found = model.encode_image(normalised(render(part).images))
        right.append((found @ text.T).argmax(dim=1).numpy() == part.species)
    return np.concatenate(right)


def judge(folder: Path, difficulty: Difficulty = AS_USUAL, per_group: int = JUDGED_PER_GROUP) -> dict[str, float]:
    """Zero-shot accuracy over the species on fresh balanced photos: in the habitat (easy) and elsewhere (hard)."""
    right = zero_shot(folder, balanced_scenes(per_group, difficulty))
    half = len(right) // 2
    easy, hard = float(right[:half].mean()), float(right[half:].mean())
    return {"easy": easy, "hard": hard, "drop": easy - hard}
