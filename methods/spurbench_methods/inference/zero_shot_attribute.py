"""Pseudo-groups from the attribute that the text tower reads off each training image."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from spurbench.cards import InferenceCard, Supervision
from spurbench.method import Task
from spurbench.space import Config, Distribution


class ZeroShotAttribute:
    """The attribute value whose name is nearest to the image, zero-shot: group labels guessed from the names alone."""

    card = InferenceCard(
        name="zero_shot_attribute",
        title="attribute predicted zero-shot",
        paper="-",
        supervision=Supervision(attribute_text=True),
        inputs=("embeddings", "text"),
    )
    space: Mapping[str, Distribution] = MappingProxyType({})

    def infer(self, task: Task, config: Config) -> torch.Tensor:  # noqa: ARG002
        """(n,) predicted value of the attribute."""
        unit = torch.nn.functional.normalize(task.train.embeddings(), dim=-1)
        return (unit @ task.text.attributes().to(unit).T).argmax(dim=1)
