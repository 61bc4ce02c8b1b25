"""From prompts to class and attribute vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .backbones import Backbone, Tower
from .cards import DatasetCard, PromptSet
from .data import OwnFeatures
from .evaluation import Text
from .features import FeatureStore
from .rules import Rules

OWN_SCALE = 100.0
"""Logit scale where a data set brings its own text features: the one that OpenAI's models were trained to."""


def unit(x: torch.Tensor) -> torch.Tensor:
    """Rows scaled to length 1."""
    return torch.nn.functional.normalize(x.float(), dim=-1)


def text_of(
    card: DatasetCard, rules: Rules, store: FeatureStore, backbone: Backbone, tower: Callable[[], Tower]
) -> Text:
    """Class and attribute vectors of a data set under a backbone.

    Each template is embedded, unit-normalised, averaged over the set, and normalised again.
    """
    templates = _templates(card.prompt_set(rules.prompts))
    prompts = [template.replace("{}", label) for label in card.classes for template in templates]
    embedded, scale = store.texts(backbone, tower, [*prompts, *card.attribute_prompts])
    per_class = unit(embedded[: len(prompts)]).reshape(len(card.classes), len(templates), -1)
    attribute = unit(embedded[len(prompts) :]) if card.attribute_prompts else None
    return Text(unit(per_class.mean(dim=1)), attribute, scale, lambda texts: store.texts(backbone, tower, texts)[0])


def _templates(prompts: PromptSet) -> Sequence[str]:
    if prompts.templates:
        return prompts.templates
    import open_clip

    return [template("{}") for template in getattr(open_clip, prompts.open_clip_list)]


def own_text(own: OwnFeatures) -> Text | None:
    """The text side that a data set brings itself, if it does."""
    if own.class_text is None:
        return None
    attribute = None if own.attribute_text is None else unit(torch.from_numpy(own.attribute_text))
    return Text(unit(torch.from_numpy(own.class_text)), attribute, OWN_SCALE, None)
