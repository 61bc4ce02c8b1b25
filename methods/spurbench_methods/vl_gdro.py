"""Fine-tuning with CLIP's loss and GroupDRO over pseudo-groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution

from .clip_finetune import Captions
from .group_dro import GroupWeights
from .ravl_groups import SpuriousRegions, tuned_knowing
from .vl_erm import VLERM, Classifying

ETA = 0.01


class VLGDRO:
    """L = weight L_CL + (1 - weight) sum_g q_g l_g: VL-ERM whose worst pseudo-group counts most.

    "VL-GDRO" of RaVL's study (Varma et al. 2024, arXiv 2411.04097), with weight 0.8: l_g are the mean cross-entropies
    of the batch's pseudo-groups and q moves by exponentiated gradients as in `group_dro` (Sagawa et al. 2020, arXiv
    1911.08731; eta 0.01, no adjustment for sizes). All else as in `vl_erm`.
    """

    card = MethodCard(
        name="vl_gdro",
        title="VL-GDRO (RaVL's groups)",
        paper="arXiv 2411.04097",
        supervision=Supervision(val_labels=True),
        inputs=("images", "text", "regions"),
        trains="image tower",
        track="image",
    )
    space: Mapping[str, Distribution] = VLERM.space

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The tower after some epochs of the second training."""
        weight = float(config["weight"])
        return tuned_knowing(task, config, lambda captions, y, found: WorstGroups(captions, y, found, weight))


class WorstGroups(Classifying):
    """weight L_CL + (1 - weight) sum_g q_g l_g.

    Attributes:
        q: (1, 2K) weights of the pseudo-groups as they are by now.
    """

    groups: torch.Tensor
    totals: torch.Tensor
    q: torch.Tensor

    def __init__(self, captions: Captions, y: torch.Tensor, found: SpuriousRegions, weight: float) -> None:
        super().__init__(captions, y, found, weight)
        groups = found.groups(y)
        totals = torch.bincount(groups, minlength=2 * self.n_classes)
        self.register_buffer("groups", groups, persistent=False)
        self.register_buffer("totals", totals, persistent=False)
        self.register_buffer("q", self._adversary(totals).q)

    def gathered(self, losses: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The groups' means under weights that the same losses have moved."""
        adversary = self._adversary(self.totals)
        adversary.q = self.q
        weights = adversary.update(losses.detach()[:, None], self.groups[rows])[:, 0]
        self.q.copy_(adversary.q)
        return weights @ losses

    @staticmethod
    def _adversary(totals: torch.Tensor) -> GroupWeights:
        alone = totals.new_ones(1, dtype=torch.float32)
        return GroupWeights(totals, ETA * alone, 0 * alone)
