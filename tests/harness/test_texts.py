"""Class vectors against a literal loop over templates, with an encoder whose embeddings anyone can compute."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from spurbench.backbones import Tower
from spurbench.cards import BackboneCard, DatasetCard, PromptSet
from spurbench.data import OwnFeatures
from spurbench.features import FeatureStore
from spurbench.rules import Rules, load_rules
from spurbench.texts import OWN_SCALE, own_text, text_of, unit

SETS = (
    PromptSet("two", ("a photo of a {}.", "{} in the wild, photographed from very far away")),
    PromptSet("one", ("{}",)),
    PromptSet("openai", open_clip_list="OPENAI_IMAGENET_TEMPLATES"),
)
CARD = DatasetCard(
    "birds", "Birds", ("landbird", "waterbird"), ("land", "water"), "none", prompts=SETS, attribute_prompts=("x", "y")
)


def embedding(text: str) -> np.ndarray:
    """Lengths differ by a factor of ten and more, so that forgetting a normalisation shows."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).normal(size=12) * (1 + seed % 37)


FAKE = BackboneCard("fake", "Fake", "none")


@dataclass(frozen=True)
class Fake:
    fingerprint: str = "f"
    card: BackboneCard = FAKE

    def load(self, device: str) -> Tower:
        raise AssertionError("the store loads towers by the function it is given")


class Loader:
    """Counts how often the tower is loaded and texts are encoded."""

    def __init__(self, scale: float = 23.5) -> None:
        self.scale, self.loaded, self.encoded = scale, 0, 0

    def __call__(self) -> Tower:
        self.loaded += 1
        nothing = torch.nn.Identity()
        return Tower(nothing, nothing, nothing, self.encode, self.scale)

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        self.encoded += len(texts)
        return torch.from_numpy(np.stack([embedding(text) for text in texts])).float()


@pytest.mark.parametrize("prompts", [None, "two", "one", "openai"])
def test_class_vectors_are_averages_of_unit_vectors_made_unit(tmp_path: Path, prompts: str | None) -> None:
    rules = replace_prompts(prompts)
    text = text_of(CARD, rules, FeatureStore(tmp_path), Fake(), Loader())
    for row, label in enumerate(CARD.classes):
        if prompts == "openai":
            written = [template(label) for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
        else:
            written = [template.replace("{}", label) for template in SETS[1 if prompts == "one" else 0].templates]
        total = np.zeros(12)
        for sentence in written:
            vector = embedding(sentence)
            total += vector / np.sqrt((vector**2).sum())
        mean = total / len(written)
        np.testing.assert_allclose(text.class_vectors[row].numpy(), mean / np.sqrt((mean**2).sum()), atol=1e-5)
    assert text.attribute_vectors is not None
    for row, sentence in enumerate(CARD.attribute_prompts):
        vector = embedding(sentence)
        np.testing.assert_allclose(text.attribute_vectors[row].numpy(), vector / np.linalg.norm(vector), atol=1e-5)
    assert text.logit_scale == 23.5


@pytest.mark.parametrize("prompts", ["two", "one"])
def test_the_templates_are_those_of_the_prompt_set_in_use(tmp_path: Path, prompts: str) -> None:
    text = text_of(CARD, replace_prompts(prompts), FeatureStore(tmp_path), Fake(), Loader())
    assert text.templates == CARD.prompt_set(prompts).templates
    shipped = replace(CARD, prompts=(PromptSet("eighty", open_clip_list="OPENAI_IMAGENET_TEMPLATES"),))
    eighty = text_of(shipped, replace_prompts(None), FeatureStore(tmp_path), Fake(), Loader()).templates
    assert (len(eighty), eighty[0]) == (80, "a bad photo of a {}.")


def replace_prompts(prompts: str | None) -> Rules:
    return load_rules("quick").variant(prompts=prompts)


def test_without_attribute_prompts_there_are_no_attribute_vectors(tmp_path: Path) -> None:
    card = replace(CARD, attribute_prompts=())
    text = text_of(card, replace_prompts(None), FeatureStore(tmp_path), Fake(), Loader())
    assert text.attribute_vectors is None


def test_a_second_time_nothing_is_loaded(tmp_path: Path) -> None:
    loader = Loader(scale=1 / 0.07)
    first = text_of(CARD, replace_prompts("two"), FeatureStore(tmp_path), Fake(), loader)
    again = text_of(CARD, replace_prompts("two"), FeatureStore(tmp_path), Fake(), loader)
    assert (loader.loaded, loader.encoded) == (1, 2 * 2 + 2)
    assert torch.equal(first.class_vectors, again.class_vectors)
    assert first.logit_scale == again.logit_scale == pytest.approx(1 / 0.07, rel=1e-6)
    text_of(CARD, replace_prompts("two"), FeatureStore(tmp_path), Fake("other weights"), loader)
    assert loader.loaded == 2


def test_methods_may_encode_further_texts(tmp_path: Path) -> None:
    text = text_of(CARD, replace_prompts(None), FeatureStore(tmp_path), Fake(), Loader())
    assert text.encode is not None
    found = text.encode(["a forest", "the sea"])
    np.testing.assert_allclose(found.numpy(), np.stack([embedding("a forest"), embedding("the sea")]), rtol=1e-5)


def test_unit_rows() -> None:
    found = unit(torch.tensor([[3.0, 4.0], [0.0, -2.0]], dtype=torch.float16))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), [[0.6, 0.8], [0, -1]], atol=1e-6)


def test_own_text_is_made_unit() -> None:
    rows = np.ones((3, 2), np.float32)
    own = OwnFeatures("given", rows, np.array([[3, 4], [5, 12]], np.float32), None)
    found = own_text(own)
    assert found is not None
    np.testing.assert_allclose(found.class_vectors.numpy(), [[0.6, 0.8], [5 / 13, 12 / 13]], atol=1e-6)
    assert (found.attribute_vectors, found.logit_scale, found.encode) == (None, OWN_SCALE, None)
    assert (found.prompted, found.templates) == (None, ())
    assert own_text(OwnFeatures("given", rows, None, None)) is None
