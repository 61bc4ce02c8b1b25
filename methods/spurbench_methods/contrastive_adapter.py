"""The contrastive adapter: pull a class together across what zero-shot gets right and wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from spurbench.cards import MethodCard
from spurbench.heads import Adapters
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Distribution

from .erm_adapter import BATCH, LR, PIECE, WEIGHT_DECAY, adapters_of, cross_entropy_step

EPOCHS = (2, 6, 10)
ANCHORS = 128
"""Anchors whose gradients make one step."""
POOL = 512
"""Examples per step among which every anchor finds its positives and negatives."""
NEIGHBOURS, NEGATIVES = 4096, 2048
"""The paper draws so many negatives among so many nearest neighbours."""
PER_CELL = 500
"""Examples of each class x prediction in a cross-entropy epoch."""
TAU = 0.1


class ContrastiveAdapter(BatchedMethod):
    """Supervised contrastive training of the adapter of `erm_adapter`, alternating with cross-entropy.

    Zhang and Re 2022 (arXiv 2207.07180; NeurIPS supplement). Zero-shot predictions divide each class into right and
    wrong. Even epochs: every wrongly predicted training example is an anchor; positives are rightly predicted examples
    of its class; negatives are other classes' among its nearest neighbours in the frozen space:
    mean_p -log e^{cos_p / tau} / (e^{cos_p / tau} + sum_n e^{cos_n / tau}), tau = 0.1, 128 anchors a step. Odd epochs:
    cross-entropy on a resample with 500 examples of each class x prediction. SGD, momentum 0.9, lr 1e-3, weight decay
    5e-5 first.

    The text of the paper mines by zero-shot predictions, and so does this; the released commands leave an option at
    k-means. The paper draws 2,048 positives and 2,048 of the 4,096 nearest neighbours for each anchor; here the anchors
    of a step share one uniform sample of the training split, an anchor's positives and neighbours are those in it, and
    the sum over negatives is scaled up to the paper's number: the same loss from a smaller draw. Anchors that find no
    positive or no negative there sit the step out, and the step is on the mean of the others. The released code can
    take the neighbours of a wrong example (by position instead of index); this does not. 10 epochs instead of 100, as
    in `erm_adapter`.
    """

    card = MethodCard(
        name="contrastive_adapter",
        title="Contrastive adapter",
        paper="arXiv 2207.07180",
        inputs=("embeddings", "text"),
        trains="2-layer adapter",
    )
    space: Mapping[str, Distribution] = {"lr": LR, "weight_decay": WEIGHT_DECAY}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches and start alike."""
        task = problems[0].task
        x = task.train.embeddings().to(task.device)
        y = task.train.y.to(x.device)
        unit = torch.nn.functional.normalize(x, dim=-1)
        right = (unit @ task.text.classes().to(x).T).argmax(dim=1) == y
        mined = Mined(x, y, unit, right, nearness(unit, torch.nonzero(~right)[:, 0]))
        parts = bundles(problems)
        fitted = on_every_core(
            lambda part: _train(mined, part), parts, x.device, piece_bytes=PIECE, limit=task.memory_limit
        )
        return in_place(parts, fitted)


@dataclass(frozen=True)
class Mined:
    """What is the same for all seeds.

    Attributes:
        x, y: (n, d), (n,).
        unit: (n, d) embeddings of length 1.
        right: (n,) whether zero-shot gets the example right.
        least: (n,) similarity to the furthest of an anchor's nearest neighbours; anchors only.
    """

    x: torch.Tensor
    y: torch.Tensor
    unit: torch.Tensor
    right: torch.Tensor
    least: torch.Tensor


def nearness(unit: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """(n,) cosine of the NEIGHBOURS-th nearest other example of each anchor; -2 for fewer, and for other examples."""
    least = torch.full((len(unit),), -2.0, device=unit.device)
    if len(unit) - 1 > NEIGHBOURS:
        for some in torch.split(anchors, 256):
            # One more than asked for: the nearest is the anchor itself.
            similarity = unit[some] @ unit.T
            least[some] = similarity.kthvalue(len(unit) - NEIGHBOURS, dim=1).values
    return least


def _train(mined: Mined, part: Bundle) -> list[Fitted]:
    adapters = adapters_of(part, mined.x)
    anchors = torch.nonzero(~mined.right)[:, 0].cpu()
    generator = part.task.seed.derive("batches").torch()
    snapshots = []
    for epoch in range(1, EPOCHS[-1] + 1):
        if epoch % 2:
            for some in torch.split(anchors[torch.randperm(len(anchors), generator=generator)], ANCHORS):
                pool = torch.randint(len(mined.y), (POOL,), generator=generator)
                contrastive_step(adapters, mined, some.to(mined.x.device), pool.to(mined.x.device))
        else:
            for rows in resampled(mined, part.task.n_classes, generator):
                cross_entropy_step(adapters, mined.x, mined.y, rows.to(mined.x.device))
        if epoch in EPOCHS:
            snapshots.append(adapters.heads())
    return [list(along) for along in zip(*snapshots, strict=True)]


def contrastive_step(adapters: Adapters, mined: Mined, anchors: torch.Tensor, pool: torch.Tensor) -> None:
    """One step on the mean loss of the anchors (rows) that have a positive and a negative in the pool (rows)."""
    same = mined.y[anchors][:, None] == mined.y[pool]
    positive = same & mined.right[pool]
    near = mined.unit[anchors] @ mined.unit[pool].T >= mined.least[anchors][:, None]
    negative = near & ~same
    usable = positive.any(dim=1) & negative.any(dim=1)
    if int(usable.sum()) == 0:
        return
    positive, negative = positive[usable], negative[usable]
    scale = min(NEGATIVES, len(mined.y) - 1) / near[usable].sum(dim=1).to(mined.x)
    anchors = anchors[usable]
    r = adapters.hidden_of(mined.x[torch.cat([anchors, pool])])
    cosines = adapters.cosines(r[:, : len(anchors)], r[:, len(anchors) :])
    adapters.descend(contrastive_loss(cosines / TAU, positive, negative, scale).mean(dim=1))


def contrastive_loss(
    z: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """(C, m) mean over positives of -log e^{z_p} / (e^{z_p} + scale sum_n e^{z_n}).

    Args:
        z: (C, m, P) similarities over tau, of m anchors to P candidates.
        positive, negative: (m, P) bool; every anchor has one of each.
        scale: (m,) what the sum over negatives is multiplied by.
    """
    against = torch.logsumexp(z.masked_fill(~negative, -torch.inf), dim=-1, keepdim=True) + scale.log()[:, None]
    losses = torch.nn.functional.softplus(against - z)
    return (losses * positive).sum(dim=-1) / positive.sum(dim=-1)


def resampled(mined: Mined, n_classes: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches of rows, PER_CELL of each class x prediction that occurs, drawn with replacement and shuffled."""
    rows = []
    for k in range(n_classes):
        for outcome in (True, False):
            cell = torch.nonzero((mined.y == k) & (mined.right == outcome))[:, 0].cpu()
            if len(cell):
                rows.append(cell[torch.randint(len(cell), (PER_CELL,), generator=generator)])
    together = torch.cat(rows)
    yield from torch.split(together[torch.randperm(len(together), generator=generator)], BATCH)
