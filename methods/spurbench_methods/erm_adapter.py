"""ERM of a two-layer adapter in front of the zero-shot head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard
from spurbench.heads import Adapters, shuffled
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Distribution, LogUniform

EPOCHS = (2, 5, 10)
BATCH = 128
LR = LogUniform(1e-5, 1e-1, first=1e-3)
WEIGHT_DECAY = LogUniform(1e-6, 1e-2, first=5e-5)
PIECE = 2**28
"""Bytes, about, that one seed's adapters take while they are trained."""


class ERMAdapter(BatchedMethod):
    """Cross-entropy through h = W2 relu(BN(W1 v)), logits s cos(h, w_c); the text vectors w_c are frozen, s is CLIP's.

    The baseline of Zhang and Re 2022 (arXiv 2207.07180): SGD with momentum 0.9, lr 1e-3, weight decay 5e-5, batches of
    128. The paper trains for 100 epochs and stops early by validation; here it is 10, with the learning rate searched
    over four decades. Embeddings go in as they are, not normalised.
    """

    card = MethodCard(
        name="erm_adapter",
        title="ERM (adapter)",
        paper="arXiv 2207.07180",
        inputs=("embeddings", "text"),
        trains="2-layer adapter",
    )
    space: Mapping[str, Distribution] = {"lr": LR, "weight_decay": WEIGHT_DECAY}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches and start alike."""
        task = problems[0].task
        x = task.train.embeddings().to(task.device)
        parts = bundles(problems)
        fitted = on_every_core(
            lambda part: _train(x, part), parts, x.device, piece_bytes=PIECE, limit=task.memory_limit
        )
        return in_place(parts, fitted)


def _train(x: torch.Tensor, part: Bundle) -> list[Fitted]:
    y = part.task.train.y.to(x.device)
    adapters = adapters_of(part, x)
    steps = -(-len(x) // BATCH)
    batches = shuffled(len(x), BATCH, part.task.seed.derive("batches").torch())
    snapshots = []
    for epoch in range(1, EPOCHS[-1] + 1):
        for _ in range(steps):
            cross_entropy_step(adapters, x, y, next(batches).to(x.device))
        if epoch in EPOCHS:
            snapshots.append(adapters.heads())
    return [list(along) for along in zip(*snapshots, strict=True)]


def adapters_of(part: Bundle, x: torch.Tensor) -> Adapters:
    """Fresh adapters for a bundle's configurations."""
    text = part.task.text.classes().to(x)
    start = part.task.seed.derive("start").torch()
    return Adapters(text, part.task.text.logit_scale, part.column("lr"), part.column("weight_decay"), start)


def cross_entropy_step(adapters: Adapters, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> None:
    """One step on the mean cross-entropy of some rows; none on a single row, which has no spread to normalise by."""
    if len(rows) < 2:
        return
    logits = adapters.logits(adapters.hidden_of(x[rows]))
    adapters.descend(mean_cross_entropy(logits, y[rows]))


def mean_cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(C,) mean cross-entropy of logits (C, m, K) with classes (m,)."""
    return cross_entropies(logits, y).mean(dim=1)


def cross_entropies(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(C, m) cross-entropies of logits (C, m, K) with classes (m,)."""
    return -torch.log_softmax(logits, dim=-1)[:, torch.arange(len(y), device=y.device), y]
