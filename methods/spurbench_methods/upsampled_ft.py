"""Fine-tuning on pseudo-groups drawn equally often."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.method import Predictor, Task
from spurbench.space import Config

from .clip_finetune import Captions, ImageText
from .ravl_groups import KNOWING, SpuriousRegions, tuned_knowing


class UpsampledFinetune:
    """`clip_finetune` on batches in which all pseudo-groups are equally likely.

    "Upsampled FT" of RaVL's study (Varma et al. 2024, arXiv 2411.04097): pseudo-groups are (class, has a spurious
    region), with regions discovered and sorted as for `ravl` (see `ravl_groups`), and a weighted sampler evens them
    out. The paper does not give the weights; here a photo's is one over the size of its pseudo-group, drawn with
    replacement, as many to an epoch as there are photos. Without a suspected cluster this is `clip_finetune`.
    """

    card = MethodCard(
        name="upsampled_ft",
        title="Upsampled fine-tuning (RaVL's groups)",
        paper="arXiv 2411.04097",
        supervision=Supervision(val_labels=True),
        inputs=("images", "text", "regions"),
        trains="image tower",
        track="image",
    )
    space = KNOWING

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The tower after some epochs of the second training."""
        return tuned_knowing(task, config, _upsampled)


def _upsampled(captions: Captions, y: torch.Tensor, found: SpuriousRegions) -> ImageText:
    objective = ImageText(captions, y)
    objective.weights = found.balancing(y)
    return objective
