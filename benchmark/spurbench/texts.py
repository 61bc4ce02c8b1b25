"""From prompts to class and attribute vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .backbones import Backbone, Tower
from .cards import DatasetCard, PromptSet
from .data import OwnFeatures
from .features import FeatureStore
from .rules import Rules
from .tasks import Text
from .text_space import filled

OWN_SCALE = 100.0
"""Logit scale where a data set brings its own text features: the one that OpenAI's models were trained to."""


def unit(x: torch.Tensor) -> torch.Tensor:
    """Rows scaled to length 1."""
    return torch.nn.functional.normalize(x.float(), dim=-1)


def text_of(
    card: DatasetCard, rules: Rules, store: FeatureStore, backbone: Backbone, tower: Callable[[], Tower]
) -> Text:
    """Class and attribute vectors of a data set under a backbone, and how to make such vectors of other words.

    Each template is embedded, unit-normalised, averaged over the set, and normalised again.
    """
    templates = _templates(card.prompt_set(rules.prompts))
    names = _names(card, card.prompt_set(rules.prompts))
    n_class_prompts = len(names) * len(templates)
    prompts = _filled(templates, names)
    embedded, scale = store.texts(backbone, tower, [*prompts, *card.attribute_prompts])
    attribute = unit(embedded[n_class_prompts:]) if card.attribute_prompts else None

    def encode(texts: Sequence[str]) -> torch.Tensor:
        return store.texts(backbone, tower, texts)[0]

    def prompted(nouns: Sequence[str]) -> torch.Tensor:
        return _averaged(encode(_filled(templates, nouns)), len(templates))

    classes = _averaged(embedded[:n_class_prompts], len(templates))
    return Text(classes, attribute, scale, encode, prompted, tuple(templates), names)


def _filled(templates: Sequence[str], nouns: Sequence[str]) -> list[str]:
    return [text for noun in nouns for text in filled(templates, noun)]


def _averaged(embedded: torch.Tensor, n_templates: int) -> torch.Tensor:
    """(n, d) unit means of (n * n_templates, d) embeddings, each made unit before."""
    return unit(unit(embedded).reshape(-1, n_templates, embedded.shape[1]).mean(dim=1))


def _templates(prompts: PromptSet) -> Sequence[str]:
    if prompts.templates:
        return prompts.templates
    import open_clip

    return [template("{}") for template in getattr(open_clip, prompts.open_clip_list)]


def _names(card: DatasetCard, prompts: PromptSet) -> tuple[str, ...]:
    """How the prompts say the classes."""
    if not prompts.open_clip_names:
        return prompts.class_names or card.classes
    import open_clip

    every = getattr(open_clip, prompts.open_clip_names)
    return tuple(every[index] for index in card.imagenet)


def own_text(own: OwnFeatures) -> Text | None:
    """The text side that a data set brings itself, if it does."""
    if own.class_text is None:
        return None
    attribute = None if own.attribute_text is None else unit(torch.from_numpy(own.attribute_text))
    return Text(unit(torch.from_numpy(own.class_text)), attribute, OWN_SCALE, None)
