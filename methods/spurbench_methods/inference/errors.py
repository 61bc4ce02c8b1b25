"""Pseudo-groups from the mistakes of a briefly trained ERM head, as in stage 1 of JTT."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from spurbench.cards import InferenceCard
from spurbench.heads import early_logits, standardised
from spurbench.method import Task
from spurbench.space import Choice, Config, Distribution

STEPS = Choice(60, 5, 10, 20, 40, 120, 300)
"""Steps of SGD; the first takes the paper's 60 epochs of a ResNet for as many steps of a linear head."""


class Errors:
    """Within each class: right, or wrong, after `steps` steps of ERM (Liu et al. 2021, arXiv 2107.09044, section 4)."""

    card = InferenceCard(name="errors", title="misclassified by early ERM", paper="arXiv 2107.09044")
    space: Mapping[str, Distribution] = {"steps": STEPS}

    def infer(self, task: Task, config: Config) -> torch.Tensor:
        """(n,) 1 where the early head is wrong, else 0."""
        _, x = standardised(task)
        steps = int(config["steps"])
        return misclassified(task, x, [steps])[steps].long().cpu()


def predicted(task: Task, x: torch.Tensor, steps: Collection[int]) -> dict[int, torch.Tensor]:
    """(n,) class of each training example as the head predicts it after each number of steps.

    Args:
        x: (n, d) standardised features.
    """
    return {step: logits.argmax(dim=1) for step, logits in early_logits(task, x, steps).items()}


def misclassified(task: Task, x: torch.Tensor, steps: Collection[int]) -> dict[int, torch.Tensor]:
    """(n,) bool after each number of steps: which training examples the head gets wrong; x as for `predicted`."""
    y = task.train.y.to(x.device)
    return {step: classes != y for step, classes in predicted(task, x, steps).items()}
