"""Correct-n-Contrast on features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard
from spurbench.heads import Perceptrons, shuffled, standardised
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Choice, Distribution, LogUniform

from .erm_adapter import PIECE, mean_cross_entropy
from .inference.errors import STEPS, predicted

EPOCHS = (1, 3, 5)
BATCH = 256
CONTRASTIVE_SHARE = 0.75


class CnC(BatchedMethod):
    """Contrast examples of one class that ERM tells apart with examples of other classes that it confuses.

    Zhang et al. 2022 (arXiv 2203.01517). Stage 1: an ERM head, stopped early; its prediction is the guess at the
    attribute, as in the paper (the released commands cluster instead, as `group_dro+george` does). Stage 2, from
    scratch: anchors are examples predicted right; positives have the anchor's class and another prediction, negatives
    the anchor's prediction and another class:
    -mean_p log e^{cos_p / tau} / (sum_p' e^{cos_p' / tau} + sum_n e^{cos_n / tau}).
    Two-sided: examples predicted wrong are anchors too, with the right ones of their class as positives, and right ones
    of the class that they were taken for as negatives. Loss: 0.75 of both terms, 0.25 of cross-entropy; SGD with
    momentum 0.9, lr 1e-4, weight decay 1e-3, tau 0.1 first; 5 epochs.

    Stage 1 sees standardised features. What is trained is a hidden layer on the frozen features and a linear head on
    it, in place of the ResNet. The paper draws 17 positives and 17 negatives for each anchor and accumulates gradients
    over 32 anchors; here all pairs in a batch of 256 take part.
    """

    card = MethodCard(
        name="cnc",
        title="Correct-n-Contrast (features)",
        paper="arXiv 2203.01517",
        trains="hidden layer and linear head",
    )
    space: Mapping[str, Distribution] = {
        "lr": LogUniform(1e-5, 1e-1, first=1e-4),
        "weight_decay": LogUniform(1e-5, 1e-1, first=1e-3),
        "tau": Choice(0.1, 0.05, 0.2),
        "steps": STEPS,
    }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; stage 1 is done anew for each seed."""
        task = problems[0].task
        _, x = standardised(task)
        raw = task.train.embeddings().to(x.device)
        parts = bundles(problems)
        fitted = on_every_core(
            lambda part: _train(raw, _guesses(x, part), part),
            parts,
            x.device,
            piece_bytes=PIECE,
            limit=task.memory_limit,
        )
        return in_place(parts, fitted)


def _guesses(x: torch.Tensor, part: Bundle) -> torch.Tensor:
    """(C, n) predictions of stage 1 for each configuration."""
    steps = [int(config["steps"]) for config in part.configs]
    found = predicted(part.task, x, steps)
    return torch.stack([found[step] for step in steps])


def _train(x: torch.Tensor, guess: torch.Tensor, part: Bundle) -> list[Fitted]:
    task = part.task
    y, tau = task.train.y.to(x.device), part.column("tau")[:, None, None]
    start = task.seed.derive("start").torch()
    heads = Perceptrons(x.shape[1], task.n_classes, part.column("lr"), part.column("weight_decay"), start)
    batches = shuffled(len(x), BATCH, task.seed.derive("batches").torch())
    snapshots = []
    for epoch in range(1, EPOCHS[-1] + 1):
        for _ in range(-(-len(x) // BATCH)):
            rows = next(batches).to(x.device)
            if len(rows) < 2:
                continue
            r = heads.hidden_of(x[rows])
            unit = torch.nn.functional.normalize(r, dim=-1)
            contrast = two_sided_loss(unit @ unit.mT / tau, y[rows], guess[:, rows])
            plain = mean_cross_entropy(heads.logits(r), y[rows])
            heads.descend(CONTRASTIVE_SHARE * contrast + (1 - CONTRASTIVE_SHARE) * plain)
        if epoch in EPOCHS:
            snapshots.append(heads.heads())
    return [list(along) for along in zip(*snapshots, strict=True)]


def two_sided_loss(z: torch.Tensor, y: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
    """(C,) the mean over right anchors plus that over wrong ones; an anchor needs a positive and a negative to count.

    Args:
        z: (C, m, m) cosines over tau.
        y: (m,) classes.
        guess: (C, m) stage 1's predictions.
    """
    right = guess == y
    across = right[:, :, None] != right[:, None, :]
    same = y[:, None] == y
    positive = across & same
    negative = across & ~same & (guess[:, :, None] == guess[:, None, :])
    usable = positive.any(dim=2) & negative.any(dim=2)
    # An empty row would have a sum of nothing, whose gradient is NaN: it gets something, and no weight.
    member = (positive | negative) | ~usable[:, :, None]
    against = torch.logsumexp(z.masked_fill(~member, -torch.inf), dim=2)
    count = positive.sum(dim=2).clamp_min(1)
    losses = against - (z * positive).sum(dim=2) / count
    total = torch.zeros(len(z), device=z.device)
    for side in (usable & right, usable & ~right):
        total = total + (losses * side).sum(dim=1) / side.sum(dim=1).clamp_min(1)
    return total
