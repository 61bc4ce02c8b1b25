"""WiSE-FT of the head: between the zero-shot head and a fine-tuned one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from spurbench.cards import MethodCard
from spurbench.heads import Descent, UnitLinearHead, Weights, cross_entropy_gradient, descend, shuffled
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Choice, Distribution, LogUniform

EPOCHS, BATCH, WARM_UP = 10, 128, 500


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

    descent = Descent(
        part.column("lr"), part.column("weight_decay"), "adamw", schedule=partial(cosine, steps=steps), clip=1.0
    )
    shape = count, task.n_classes, x.shape[1]
    (tuned,) = descend(batches(), cross_entropy_gradient, descent, shape, [steps], start)
    alpha = part.column("alpha")
    weight = torch.lerp(start.weight, tuned.weight, alpha[:, None, None]).cpu()
    bias = (tuned.bias * alpha[:, None]).cpu()
    return [[UnitLinearHead(weight[c], bias[c])] for c in range(count)]


def cosine(step: int, steps: int) -> float:
    """Factor of the learning rate at a step: up in a line, then down along half a cosine."""
    warm_up = min(WARM_UP, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
