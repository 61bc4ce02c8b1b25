"""Zero-shot CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from spurbench.cards import MethodCard
from spurbench.heads import UnitLinearHead
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution


class ZeroShot:
    """The class whose text is nearest to the image; no training.

    z_c(x) = s <v / ||v||, w_c>, with w_c the normalised mean over templates of unit text embeddings and s the
    backbone's logit scale (Radford et al. 2021, arXiv 2103.00020, sections 3.1.2 to 3.1.4). Prompts decide this
    baseline: the set in use stands in the record, `--prompts` names another.
    """

    card = MethodCard(
        name="zero_shot",
        title="Zero-shot CLIP",
        paper="arXiv 2103.00020",
        inputs=("embeddings", "text"),
        trains="nothing",
    )
    space: Mapping[str, Distribution] = MappingProxyType({})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:  # noqa: ARG002
        """One predictor; there is nothing to configure."""
        return [cosine_head(task.text.classes(), task.text.logit_scale)]


def cosine_head(class_vectors: torch.Tensor, scale: float) -> UnitLinearHead:
    """Scaled cosine between embeddings and unit class vectors (K, d)."""
    return UnitLinearHead(scale * class_vectors, torch.zeros(len(class_vectors)))
