"""The menagerie's backbones: plain open_clip models in the package, which have learned the shortcut."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from spurbench.backbones import Setting, resolve
from spurbench.registry import load_registries
from spurbench_datasets.menagerie.backbones import SHIPPED
from spurbench_datasets.menagerie.captions import every_caption
from spurbench_datasets.menagerie.corpus import Corpus, balanced_scenes
from spurbench_datasets.menagerie.judging import judge
from spurbench_datasets.menagerie.pretraining import (
    CHECKPOINT,
    WEIGHTS,
    Recipe,
    Trainer,
    Vocabulary,
    build,
    export,
    normalised,
    pretrain,
    tokenize,
)
from spurbench_datasets.menagerie.recipes import RECIPES
from spurbench_datasets.menagerie.renderer import render
from spurbench_datasets.menagerie.worlds import RenderedPhotos

NAMES = sorted(RECIPES)
TINY = Recipe(
    name="tiny",
    model={
        "embed_dim": 16,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
        | {"patch_dropout": 0.5},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    corpus=Corpus(photos=96, correlation=0.5),
    epochs=3,
    batch=32,
)  # fmt: skip


def nothing(done: int, total: int, loss: float) -> None:
    """A listener that does not care."""


def card_rows(name: str) -> dict[str, tuple[float, ...]]:
    """Rows of the tables of a model card, by their first column: the last three numbers."""
    text = (SHIPPED / name / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \|.* ([\d.]+) \| ([\d.]+) \| (-?[\d.]+) \|$", text, flags=re.MULTILINE)
    return {title: tuple(map(float, numbers)) for title, *numbers in rows}


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_small_and_load_with_plain_open_clip(name: str, tmp_path: Path) -> None:
    folder = SHIPPED / name
    assert (folder / WEIGHTS).stat().st_size <= 8e6
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tower = resolve(load_registries().backbones, name, Setting(tmp_path)).load("cpu")
    scenes = balanced_scenes(1)
    images = RenderedPhotos(scenes).open(range(6))
    batch = torch.stack([preprocess(image) for image in images])
    assert torch.equal(batch, torch.stack([tower.preprocess(image) for image in images]))
    assert torch.allclose(batch, normalised(render(scenes).images[:6]), atol=1e-6)
    with torch.no_grad():
        expected = model.eval().encode_image(batch)
        words = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(["a photo of a duck."]))
    torch.testing.assert_close(tower.project(tower.trunk(batch)), expected, rtol=1e-4, atol=1e-4)
    assert tower.encode_text is not None
    torch.testing.assert_close(tower.encode_text(["a photo of a duck."]), words, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_words_that_the_corpus_never_uses_say_nothing(name: str) -> None:
    table = load_file(SHIPPED / name / WEIGHTS)["token_embedding.weight"]
    used = Vocabulary.of(every_caption(), 16).tokens
    assert table.shape == (49408, 48)
    assert torch.equal(table.abs().sum(dim=1).nonzero()[:, 0], used)


@pytest.mark.parametrize("name", NAMES)
def test_the_shortcut_is_there_and_the_card_tells_it(name: str) -> None:
    easy, hard, drop = card_rows(name)["this model"]
    assert easy >= 0.75
    assert 0.15 <= drop <= 0.40
    assert drop == pytest.approx(easy - hard, abs=0.0011)
    found = judge(SHIPPED / name, per_group=25)
    # 300 photos a side: three standard errors of a share are at most 0.087.
    assert found["easy"] == pytest.approx(easy, abs=0.09)
    assert found["hard"] == pytest.approx(hard, abs=0.09)


def test_the_drop_is_learned_and_not_drawn_in() -> None:
    rows = card_rows("menagerie-rn")
    assert rows["same recipe without the shortcut"][2] < rows["this model"][2] / 2


def test_the_card_shows_every_knob() -> None:
    for name in NAMES:
        rows = card_rows(name)
        assert rows["as rendered"][0] == pytest.approx(rows["this model"][0], abs=0.06)
        assert len(rows) >= 11


def test_a_vocabulary_keeps_the_order_of_tokens() -> None:
    texts = every_caption()
    vocabulary = Vocabulary.of(texts, 16)
    tokens = tokenize(texts, 16)
    numbers = vocabulary.encode(tokens)
    assert torch.equal(vocabulary.tokens[numbers], tokens)
    assert torch.equal(numbers.argmax(dim=1), tokens.argmax(dim=1)), "the end of text stays the highest"


def test_what_is_exported_is_what_was_trained(tmp_path: Path) -> None:
    trainer = Trainer(TINY, tmp_path)
    export(trainer)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    texts = ["a photo of a duck.", "an ostrich in the snow"]
    images = normalised(render(balanced_scenes(1)).images[:4])
    with torch.no_grad():
        trainer.model.eval()
        own = trainer.model(images, trainer.vocabulary.encode(tokenize(texts, 16)))
        loaded = model.eval()(images, open_clip.get_tokenizer(f"local-dir:{tmp_path}")(texts))
    for mine, other in zip(own, loaded, strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-3, atol=2e-3)


class KilledError(Exception):
    """Stands for a kill."""


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    def killer(done: int, total: int, loss: float) -> None:
        if done > total * 0.55:
            raise KilledError

    pretrain(TINY, tmp_path / "whole", nothing)
    with pytest.raises(KilledError):
        pretrain(TINY, tmp_path / "killed", killer)
    assert (tmp_path / "killed" / CHECKPOINT).is_file()
    seen: list[int] = []
    pretrain(TINY, tmp_path / "killed", lambda done, total, loss: seen.append(done))
    assert min(seen) > 96, "the first epoch is not trained again"
    whole, resumed = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "killed"))
    assert whole == resumed


def test_another_recipes_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    pretrain(TINY, tmp_path, nothing)
    assert Trainer(TINY, tmp_path).epoch == TINY.epochs
    assert Trainer(replace(TINY, seed=1), tmp_path).epoch == 0
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")
    assert Trainer(TINY, tmp_path).epoch == 0


def test_training_learns(tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = replace(TINY, epochs=6, learning_rate=3e-3)
    pretrain(recipe, tmp_path, lambda done, total, loss: losses.append(loss))
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1


def test_the_recipes_build_what_is_shipped() -> None:
    for name, recipe in RECIPES.items():
        model = build({**recipe.model, "text_cfg": {**recipe.model["text_cfg"]}})
        shapes = {key: value.shape for key, value in model.state_dict().items() if key != "attn_mask"}
        assert shapes == {key: value.shape for key, value in load_file(SHIPPED / name / WEIGHTS).items()}
