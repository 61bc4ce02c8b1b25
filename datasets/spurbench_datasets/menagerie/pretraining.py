"""Pre-training the menagerie's CLIPs from nothing, with open_clip's model, tokenizer and loss (Radford et al. 2021)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spurbench.files import digest, write_atomic

from .captions import caption, every_caption
from .corpus import Corpus
from .places import OUTDOORS
from .renderer import render

CONFIG, WEIGHTS, CHECKPOINT = "open_clip_config.json", "open_clip_model.safetensors", "checkpoint.pt"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
PREPROCESS = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
Progress = Callable[[int, int, float], None]
"""Told (photos seen, photos to see in all, loss)."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights.

    Attributes:
        name: of the backbone.
        model: open_clip's `model_cfg`.
        corpus: the photos.
        epochs, batch, learning_rate, weight_decay, warm_up: AdamW with a cosine schedule; warm-up is a share of it.
        seed: of the initial weights and of the order of photos.
    """

    name: str
    model: Mapping[str, Any]
    corpus: Corpus
    epochs: int
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warm_up: float = 0.05
    seed: int = 0

    def without_shortcut(self) -> Recipe:
        """The same, on photos that show every animal in every place alike."""
        return replace(self, corpus=replace(self.corpus, correlation=1 / OUTDOORS))

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * (self.corpus.photos // self.batch)


@dataclass
class Vocabulary:
    """The tokens that the corpus uses, numbered in their own order.

    In training, the text tower has an embedding for these alone. The order is kept, so that the end-of-text token is
    still the highest of each caption, which is where open_clip pools.
    """

    tokens: torch.Tensor
    """(v,) token ids of open_clip's tokenizer, ascending."""

    @classmethod
    def of(cls, texts: Sequence[str], context_length: int) -> Vocabulary:
        """The tokens of some texts."""
        return cls(torch.unique(tokenize(texts, context_length)))

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids as positions in `tokens`."""
        return torch.searchsorted(self.tokens, tokens)


def tokenize(texts: Sequence[str], context_length: int) -> torch.Tensor:
    """(n, context_length) int64 token ids, by open_clip's tokenizer."""
    import open_clip

    tokens: torch.Tensor = open_clip.SimpleTokenizer(context_length=context_length)(list(texts))
    return tokens


def build(model: Mapping[str, Any], vocabulary: Vocabulary | None = None) -> nn.Module:
    """An open_clip CLIP; with a vocabulary, one whose text tower knows only that."""
    import open_clip

    text = dict(model["text_cfg"])
    if vocabulary is not None:
        text["vocab_size"] = len(vocabulary.tokens)
    made: nn.Module = open_clip.CLIP(model["embed_dim"], dict(model["vision_cfg"]), text)
    return made


def normalised(images: NDArray[np.uint8]) -> torch.Tensor:
    """(n, 3, H, W) float32 in the memory format that convolutions like, as the towers' preprocessing makes them."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass
class Trainer:
    """Contrastive training on pairs of photos and captions; resumes at the last finished epoch.

    Attributes:
        recipe: what to do.
        folder: where the checkpoint lies between epochs, and the weights in the end.
    """

    recipe: Recipe
    folder: Path
    model: nn.Module = field(init=False)
    vocabulary: Vocabulary = field(init=False)
    epoch: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        context = self.recipe.model["text_cfg"]["context_length"]
        self.vocabulary = Vocabulary.of(every_caption(), context)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            self.model = build(self.recipe.model, self.vocabulary)
        self.model.visual.to(memory_format=torch.channels_last)
        decayed = [p for p in self.model.parameters() if p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": self.recipe.weight_decay}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.AdamW(groups, lr=self.recipe.learning_rate, betas=(0.9, 0.98), eps=1e-6)
        self._resume()

    def fit(self, images: NDArray[np.uint8], texts: Sequence[str], progress: Progress) -> None:
        """Train on (n, H, W, 3) uint8 photos and n captions until the recipe's epochs are done."""
        context = self.recipe.model["text_cfg"]["context_length"]
        distinct = sorted(set(texts))
        tokens = self.vocabulary.encode(tokenize(distinct, context))
        number = {text: row for row, text in enumerate(distinct)}
        of_photo = torch.tensor([number[text] for text in texts])
        while self.epoch < self.recipe.epochs:
            generator = torch.Generator().manual_seed(self.recipe.seed * 1000 + self.epoch)
            order = torch.randperm(len(texts), generator=generator)
            # open_clip drops patches by torch's global random numbers; an epoch starts from its own, resumed or not.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(generator.initial_seed()))
                self._epoch(images, tokens, of_photo, order, progress)
            self.epoch += 1
            self._save()

    def _epoch(
        self,
        images: NDArray[np.uint8],
        tokens: torch.Tensor,
        of_photo: torch.Tensor,
        order: torch.Tensor,
        progress: Progress,
    ) -> None:
        import open_clip

        recipe, model = self.recipe, self.model
        loss_of = open_clip.ClipLoss()
        model.train()
        per_epoch = len(order) // recipe.batch
        for step in range(per_epoch):
            done = self.epoch * per_epoch + step
            self._set_learning_rate(done)
            rows = order[step * recipe.batch : (step + 1) * recipe.batch]
            found = model(normalised(images[rows.numpy()]), tokens[of_photo[rows]])
            loss = loss_of(*found)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))  # type: ignore[operator]
            progress((done + 1) * recipe.batch, recipe.steps * recipe.batch, float(loss.detach()))

    def _set_learning_rate(self, step: int) -> None:
        recipe = self.recipe
        warm = max(1, int(recipe.warm_up * recipe.steps))
        rise = min(1.0, (step + 1) / warm)
        fall = 0.5 * (1 + math.cos(math.pi * max(0, step - warm) / max(1, recipe.steps - warm)))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rise * fall

    @property
    def _key(self) -> str:
        return digest([json.dumps(asdict(self.recipe), sort_keys=True), torch.__version__])

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{CHECKPOINT}.part"
        content = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**content, "epoch": self.epoch, "key": self._key}, part)
        part.replace(self.folder / CHECKPOINT)

    def _resume(self) -> None:
        """Go on where an interrupted run of the same recipe stopped."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        try:
            content = torch.load(path, weights_only=True)
        except Exception:  # a damaged checkpoint costs time, not correctness
            return
        if content.get("key") == self._key:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.epoch = content["epoch"]


def export(trainer: Trainer) -> None:
    """Write `open_clip_config.json` and fp16 weights that open_clip itself loads from the folder.

    Tokens that the corpus never uses get a zero embedding: open_clip's tokenizer stays as it is, words that the model
    has never read say nothing to it, and their rows compress to nothing in a wheel or a git repository.
    """
    from safetensors.torch import save

    state = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
    text = trainer.recipe.model["text_cfg"]
    known = state["token_embedding.weight"]
    whole = torch.zeros(text["vocab_size"], known.shape[1])
    whole[trainer.vocabulary.tokens] = known
    state["token_embedding.weight"] = whole
    content = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
        if name != "attn_mask"
    }
    write_atomic(trainer.folder / WEIGHTS, save(content))
    config = {"model_cfg": dict(trainer.recipe.model), "preprocess_cfg": {key: PREPROCESS[key] for key in PREPROCESS}}
    write_atomic(trainer.folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def pretrain(recipe: Recipe, folder: Path, progress: Progress) -> None:
    """Take the corpus's photos, train on them, and write the model to `folder`; resumes there if it was interrupted."""
    trainer = Trainer(recipe, folder)
    if trainer.epoch < recipe.epochs:
        scenes = recipe.corpus.scenes()
        trainer.fit(render(scenes).images, caption(scenes), progress)
    export(trainer)
