"""Zero-shot CLIP with one prompt for each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.data import View
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution


class GroupPrompt:
    """The class of the nearest of K*A texts, one for each class with each value of the attribute; no training.

    z_c(x) = max_a s <v / ||v||, t_{c,a}>: the baseline of Zhang & Ré (2022, arXiv 2207.07180) and RoboShot (arXiv
    2309.04344). t_{c,a} is made as zero-shot's class vectors are, of the class name continued by the value's phrase.

    RoboShot's released list for Waterbirds (`libs/dataloader.py`) repeats the landbird on water where the waterbird on
    water belongs; here every group has its own prompt, so numbers made with that list are not comparable.
    """

    card = MethodCard(
        name="group_prompt",
        title="Group prompts",
        paper="arXiv 2207.07180",
        supervision=Supervision(attribute_text=True),
        inputs=("embeddings", "text"),
        trains="nothing",
        words=("values",),
    )
    space: Mapping[str, Distribution] = MappingProxyType({})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:  # noqa: ARG002
        """One predictor; there is nothing to configure."""
        return [NearestGroup(task.text.groups(), task.text.logit_scale)]


@dataclass(frozen=True)
class NearestGroup:
    """Scaled cosine between unit embeddings and the nearest of each class's unit group vectors (K, A, d)."""

    group_vectors: torch.Tensor
    scale: float

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        unit = torch.nn.functional.normalize(view.embeddings(), dim=-1)
        return self.scale * torch.einsum("nd,kad->nka", unit, self.group_vectors.to(unit)).amax(dim=2)
