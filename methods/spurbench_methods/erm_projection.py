"""Empirical risk minimisation of the projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch

from spurbench.cards import MethodCard
from spurbench.heads import shuffled
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem
from spurbench.projections import Prompts, Shared, Step, TextSide, TextTraining, fit_projections, train
from spurbench.space import Distribution, LogUniform, Switch

from .erm_adapter import mean_cross_entropy

EPOCHS = (1, 3, 10, 30, 100, 300)
"""Epochs after which a snapshot is a candidate, up to the configuration's own number."""
BATCH = 128
SGD_SPACE: Mapping[str, Distribution] = {
    "lr": LogUniform(1e-5, 1e-1, first=1e-4),
    "weight_decay": LogUniform(1e-6, 1e-2, first=1e-5),
    "epochs": Switch(10, 1, 3, 30, 100, 300),
}
"""Of everything that trains projections: SGD with momentum 0.9."""
TEXT: Mapping[str, Distribution] = {"text": Switch("frozen", "projection", "released")}
"""What of the text tower is trained besides (`projections.TextTraining`)."""


class ERMProjection(BatchedMethod):
    """Cross-entropy of zero-shot logits, trained into the backbone's projection: CE(s cos(proj(x), w_c), y).

    The "ERM" of Yang et al. 2023 (arXiv 2304.03916) and of CFR (arXiv 2403.07241): the projection is the attention pool
    of a ResNet, the matrix behind a ViT, the linear head of a timm tower. The logit scale starts at 1 / 0.07 and is
    trained. SGD with momentum 0.9, lr 1e-4 and weight decay 1e-5 first, batches of 128, as in the released codes (but
    for 32 with Yang's ViT); these train for 300 and 100 epochs, here it is 10 with the learning rate searched over four
    decades (`epochs=300` can be pinned).

    The released codes run the image tower in every epoch; it is frozen, so here it ran once. Two things come with their
    way and not with this one: BatchNorm statistics drift, as the tower is in training mode, and of the text tower only
    `transformer` is frozen. Text and statistics stay as they are here; `text=released` or `text=projection` trains
    what the former leave trainable, or the text projection alone.
    """

    card = MethodCard(
        name="erm_projection",
        title="ERM (projection)",
        paper="arXiv 2304.03916",
        inputs=("penultimate", "text"),
        trains="projection",
        track="projection",
    )
    space: Mapping[str, Distribution] = {**SGD_SPACE, **TEXT}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches."""
        return fit_projections(problems, nothing_before, _train, batch_alone)


def nothing_before(part: Bundle, shared: Shared) -> None:
    """There is no earlier stage."""


def batch_alone(part: Bundle) -> int:  # noqa: ARG001
    """A step embeds its batch."""
    return BATCH


def snapshots(part: Bundle) -> list[int]:
    """Epochs after which a bundle's configurations are candidates."""
    last = int(part.configs[0]["epochs"])
    return [epoch for epoch in EPOCHS if epoch <= last]


def text_side(part: Bundle, **prompts: Prompts) -> TextSide:
    """The text side of a bundle's configurations, which agree on `text`: class prompts, and further ones by name."""
    task = part.task
    return TextSide.of(
        task.model,
        {"classes": task.text.class_prompts(), **prompts},
        cast("TextTraining", part.configs[0]["text"]),
        len(part.configs),
    )


def _train(part: Bundle, shared: Shared, _: None) -> list[Fitted]:
    def loss(step: Step) -> torch.Tensor:
        return mean_cross_entropy(step.zero_shot_logits(step.embed(step.batch)), shared.y[step.batch])

    batches = shuffled(len(shared.y), BATCH, part.task.seed.derive("batches").torch())
    return train(part, shared.rows, text_side(part), loss, batches, -(-len(shared.y) // BATCH), snapshots(part))
