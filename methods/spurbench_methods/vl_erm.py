"""Fine-tuning with CLIP's loss and the zero-shot head's cross-entropy, on pseudo-groups drawn equally often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution

from .clip_finetune import TEMPERATURE, Captions, ImageText
from .ravl import WEIGHT
from .ravl_groups import KNOWING, SpuriousRegions, tuned_knowing


class VLERM:
    """L = weight L_CL + (1 - weight) CE, CE the cross-entropy of zero-shot logits, on upsampled pseudo-groups.

    "VL-ERM" of RaVL's study (Varma et al. 2024, arXiv 2411.04097), with weight 0.8: a classification loss over
    <f, w_c> / 0.07 beside the contrastive one. Pseudo-groups and their sampling as in `upsampled_ft`. Without a
    suspected cluster this is `clip_finetune`, as are all methods of the study that need one.
    """

    card = MethodCard(
        name="vl_erm",
        title="VL-ERM (RaVL's groups)",
        paper="arXiv 2411.04097",
        supervision=Supervision(val_labels=True),
        inputs=("images", "text", "regions"),
        trains="image tower",
        track="image",
    )
    space: Mapping[str, Distribution] = {**KNOWING, "weight": WEIGHT}

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The tower after some epochs of the second training."""
        weight = float(config["weight"])
        return tuned_knowing(task, config, lambda captions, y, found: Classifying(captions, y, found, weight))


class Classifying(ImageText):
    """weight L_CL + (1 - weight) CE, all pseudo-groups equally likely."""

    asks_for_classes = True

    def __init__(self, captions: Captions, y: torch.Tensor, found: SpuriousRegions, weight: float) -> None:
        super().__init__(captions, y)
        self.weights, self.weight = found.balancing(y), weight

    def loss(self, matched: torch.Tensor, f: torch.Tensor, rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Both terms."""
        losses = torch.nn.functional.cross_entropy(f @ w.T / TEMPERATURE, self.y[rows], reduction="none")
        return self.weight * matched + (1 - self.weight) * self.gathered(losses, rows)

    def gathered(self, losses: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """One number of the photos' (b,) cross-entropies: their mean."""
        return losses.mean()
