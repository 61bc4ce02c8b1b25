"""A text side for small prepared data, with an encoder that anyone can compute."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from spurbench.attribute_text import AttributeText, Concepts
from spurbench.method import Method, Predictor, Task
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, Text, make_task, train_view, view_of

D = 24
SCALE = 37.0
TEMPLATES = ("a photo of a {}.", "{} at noon")
TOLD = AttributeText(
    values=("on land", "on water"),
    contexts=("", "on land", "on water", "in the sky"),
    class_free="a photo of a bird {}.",
    scenes=("a forest.", "the sea.", "a forest by the sea."),
    pairs=("on land", "on water", "far away"),
    names=("land", "water"),
    settings=("bird on land", "bird on water"),
)
CONCEPTS = Concepts(
    reject=(("wet", "dry"), ("eats fish", "eats worms"), ("dry", "wet")),
    accept=(("webbed", "clawed"), ("big", "small")),
)


def embed(text: str) -> np.ndarray:
    """(D,) Lengths differ by a factor of ten and more, so that forgetting a normalisation shows."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).normal(size=D) * (1 + seed % 37)


def unit(x: np.ndarray) -> np.ndarray:
    """The vector, or each row, at length 1."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def each_template(phrase: str) -> np.ndarray:
    """(T, D) A noun phrase under each template."""
    return np.stack([unit(embed(template.replace("{}", phrase))) for template in TEMPLATES])


def noun(phrase: str) -> np.ndarray:
    """(D,) A noun phrase over all templates, as specified for zero-shot CLIP."""
    return unit(each_template(phrase).mean(axis=0))


def _encode(texts: Sequence[str]) -> torch.Tensor:
    return torch.from_numpy(np.stack([embed(text) for text in texts])).float()


def _prompted(nouns: Sequence[str]) -> torch.Tensor:
    return torch.from_numpy(np.stack([noun(phrase) for phrase in nouns])).float()


class World:
    """Prepared data with a text side, and the reference's view of the same."""

    embed, unit, noun = staticmethod(embed), staticmethod(unit), staticmethod(noun)
    scale, attribute_text, concepts = SCALE, TOLD, CONCEPTS

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.classes = prepared.card.classes
        examples = prepared.examples
        assert examples.features is not None
        self.test_rows = examples.rows("test")
        self.x = unit(examples.features.embeddings[self.test_rows].astype(np.float64))
        self.class_vectors = np.stack([noun(name) for name in self.classes])

    def telling(self, text: AttributeText, concepts: Concepts = CONCEPTS) -> World:
        """The same world described in other words."""
        card = replace(self.prepared.card, attribute_text=text, concepts=concepts)
        return World(replace(self.prepared, card=card))

    def task(self, method: Method) -> Task:
        """What `fit` gets."""
        train = train_view(method, self.prepared)
        return make_task(method, self.prepared, train, self.prepared.examples.rows("val")[:0], Seed(("s",)))

    def predictor(self, method: Method, **config: float | str) -> Predictor:
        """The one predictor of a configuration."""
        (predictor,) = method.fit(self.task(method), config)
        return predictor

    def logits(self, method: Method, **config: float | str) -> np.ndarray:
        """(n, K) on test, in the order of `x`."""
        view = view_of(method, self.prepared, "evaluation", self.test_rows)
        return self.predictor(method, **config).logits(view).numpy()


@pytest.fixture
def world(make_prepared: Callable[..., Prepared]) -> World:
    """Two classes with two values of an attribute, all told in words."""
    prepared = make_prepared(d=D)
    names = torch.from_numpy(np.stack([unit(embed(f"attribute {i}")) for i in range(2)])).float()
    text = Text(_prompted(prepared.card.classes), names, SCALE, _encode, _prompted, TEMPLATES)
    card = replace(prepared.card, own_features=False, attribute_text=TOLD, concepts=CONCEPTS)
    return World(replace(prepared, card=card, text=text))
