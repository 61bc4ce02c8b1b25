"""The classifier that a supervised backbone came with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from spurbench.cards import MethodCard
from spurbench.heads import LinearHead
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution


class OwnHead:
    """What a model that was trained on ImageNet-1K says by itself, among the data set's classes; no training.

    The counterpart of zero-shot CLIP for supervised backbones on data sets whose classes are ImageNet's: z_c(x) =
    <w_c, v> + b_c with the weights that the backbone was published with, its rows those of the data set's classes. So
    CounterAnimal compares both kinds (Wang et al. 2024, arXiv 2403.11497, section 3).
    """

    card = MethodCard(
        name="own_head",
        title="The backbone's own classifier",
        paper="arXiv 2403.11497",
        inputs=("embeddings", "classifier"),
        trains="nothing",
    )
    space: Mapping[str, Distribution] = MappingProxyType({})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:  # noqa: ARG002
        """One predictor; there is nothing to configure."""
        own = task.model.classifier()
        bias = torch.zeros(own.out_features) if own.bias is None else own.bias.detach()
        return [LinearHead(own.weight.detach(), bias)]
