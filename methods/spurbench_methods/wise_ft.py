"""WiSE-FT: between zero-shot and fine-tuned, of the whole image tower or of the head alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch

from spurbench.cards import MethodCard
from spurbench.finetuning import ImageTower, TunedTower, cosine
from spurbench.heads import Descent, UnitLinearHead, Weights, cross_entropy_gradient, descend, shuffled
from spurbench.method import BatchedMethod, Bundle, Fitted, Predictor, Problem, Task, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Choice, Config, Distribution, LogUniform

from . import erm_finetune

EPOCHS, BATCH, WARM_UP = 10, 128, 500
ALPHAS = (0.5, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The first is the default without labels, and wins where validation sees no difference."""


class WiSEFT:
    """Interpolate all weights of the image tower and head between zero-shot and fine-tuned ones.

    Wortsman et al. 2022 (arXiv 2109.01903): theta(alpha) = (1 - alpha) theta_zs + alpha theta_ft over everything that
    `erm_finetune` trains, which is how theta_ft is trained here, to its last epoch; the head of theta_zs is s w_c.
    BatchNorm's statistics are no weights, and are the same at both ends. Alphas are candidates of one fit: 0.5 first,
    the paper's choice without labels, then 0 (zero-shot) to 1 (fine-tuned) in steps of 0.2; the paper's are of 0.05,
    each another pass over validation and test.
    """

    card = MethodCard(
        name="wise_ft",
        title="WiSE-FT",
        paper="arXiv 2109.01903",
        inputs=("images", "text"),
        trains="image tower + linear head",
        track="image",
    )
    space = erm_finetune.SPACE

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One predictor for each alpha."""
        (tuned,) = erm_finetune.tuned_towers(task, config, erm_finetune.snapshots(config)[-1:])
        start = erm_finetune.zero_shot_weight(task)
        return [
            BetweenTowers(
                **{field.name: getattr(tuned, field.name) for field in fields(tuned)}, start=start, alpha=alpha
            )
            for alpha in ALPHAS
        ]


@dataclass(frozen=True)
class BetweenTowers(TunedTower):
    """A tower and head between the backbone's and fine-tuned ones; interpolated only when asked.

    Attributes:
        start: (K, d) weight of the head at alpha = 0, whose bias is 0.
        alpha: share of the fine-tuned weights.
    """

    start: torch.Tensor
    alpha: float

    def realised(self, tower: ImageTower) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """As `TunedTower.realised`, at alpha."""
        before = tower.state_dict()
        state = {name: torch.lerp(before[name], end.to(before[name]), self.alpha) for name, end in self.state.items()}
        return state, torch.lerp(self.start, self.weight, self.alpha), self.alpha * self.bias


class WiSEFTHead(BatchedMethod):
    """Interpolate the zero-shot head and its fine-tuned version: W = (1 - alpha) W_zs + alpha W_ft.

    Wortsman et al. 2022 (arXiv 2109.01903), the linear-classifier variant: only the head is fine-tuned, on unit-length
    embeddings, from W_zs = s w_c. AdamW, cosine schedule with 500 steps of warm-up (a tenth of the steps where that is
    less), 10 epochs, gradients clipped to norm 1, as in the released `finetune.py`; its default learning rate for heads
    comes first. Alpha is a hyper-parameter like any other, 0.5 first, which is the paper's choice without labels;
    alpha = 0 is zero-shot.
    """

    card = MethodCard(
        name="wise_ft_head", title="WiSE-FT (head)", paper="arXiv 2109.01903", inputs=("embeddings", "text")
    )
    space: Mapping[str, Distribution] = {
        "alpha": Choice(0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0),
        "lr": LogUniform(1e-4, 1e-1, first=1e-3),
        "weight_decay": LogUniform(1e-3, 1.0, first=0.1),
    }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each."""
        task = problems[0].task
        x = torch.nn.functional.normalize(task.train.embeddings(), dim=-1).to(task.device)
        parts = bundles(problems)
        return in_place(parts, on_every_core(partial(_train, x), parts, x.device))


def _train(x: torch.Tensor, part: Bundle) -> list[Fitted]:
    task, count = part.task, len(part.configs)
    y = task.train.y.to(x.device)
    zero_shot = (task.text.logit_scale * task.text.classes()).to(x)
    start = Weights(zero_shot.expand(count, -1, -1), torch.zeros(count, task.n_classes, device=x.device))
    steps = EPOCHS * -(-len(x) // BATCH)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in shuffled(len(x), BATCH, task.seed.derive("batches").torch()):
            rows = rows.to(x.device)
            yield x[rows], y[rows]

    schedule = partial(cosine, steps=steps, warm_up=WARM_UP)
    descent = Descent(part.column("lr"), part.column("weight_decay"), "adamw", schedule=schedule, clip=1.0)
    shape = count, task.n_classes, x.shape[1]
    (tuned,) = descend(batches(), cross_entropy_gradient, descent, shape, [steps], start)
    alpha = part.column("alpha")
    weight = torch.lerp(start.weight, tuned.weight, alpha[:, None, None]).cpu()
    bias = (tuned.bias * alpha[:, None]).cpu()
    return [[UnitLinearHead(weight[c], bias[c])] for c in range(count)]
