"""GroupDRO of the projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import drawn
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem
from spurbench.projections import Shared, Step, fit_projections, train
from spurbench.space import Distribution

from .erm_adapter import cross_entropies
from .erm_projection import BATCH, SGD_SPACE, TEXT, batch_alone, nothing_before, snapshots, text_side
from .group_dro import GroupDRO, GroupWeights


class GroupDROProjection(BatchedMethod):
    """GroupDRO (`group_dro`), trained into the backbone's projection as in `erm_projection`.

    Sagawa et al. 2020 (arXiv 1911.08731) on the zero-shot logits s cos(proj(x), w_c); the comparison that Yang et al.
    2023 (arXiv 2304.03916) and CFR (arXiv 2403.07241) make. Batches are drawn group-balanced with replacement.
    """

    card = MethodCard(
        name="group_dro_projection",
        title="GroupDRO (projection)",
        paper="arXiv 1911.08731",
        supervision=Supervision(train_groups=True),
        inputs=("penultimate", "text"),
        trains="projection",
        track="projection",
    )
    space: Mapping[str, Distribution] = {
        **SGD_SPACE,
        **TEXT,
        "eta": GroupDRO.space["eta"],
        "adjustment": GroupDRO.space["adjustment"],
    }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches."""
        return fit_projections(problems, nothing_before, _train, batch_alone)


def _train(part: Bundle, shared: Shared, _: None) -> list[Fitted]:
    task = part.task
    groups = task.train.groups
    totals = torch.bincount(groups, minlength=task.n_groups)
    weights = GroupWeights(totals.to(task.device), part.column("eta"), part.column("adjustment"))

    def loss(step: Step) -> torch.Tensor:
        losses = cross_entropies(step.zero_shot_logits(step.embed(step.batch)), shared.y[step.batch])
        share = weights.update(losses.detach().T, groups[step.batch].to(task.device))
        return (losses * share.T).sum(dim=1)

    batches = drawn(1.0 / totals[groups].double(), BATCH, task.seed.derive("batches").torch())
    steps = -(-len(groups) // BATCH)
    return train(part, shared.rows, text_side(part), loss, batches, steps, snapshots(part))
