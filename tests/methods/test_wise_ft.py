"""WiSE-FT: the ends of the line and what lies between, the schedule, and AdamW step by step."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spurbench.finetuning import cosine
from spurbench.heads import UnitLinearHead, shuffled
from spurbench.method import Problem, Task
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view, view_of
from spurbench_methods.wise_ft import BATCH, EPOCHS, WARM_UP, WiSEFTHead
from spurbench_methods.zero_shot import ZeroShot

if TYPE_CHECKING:
    from conftest import MakePrepared


def task_of(prepared: Prepared, seed: int = 0) -> Task:
    method = WiSEFTHead()
    return make_task(
        method, prepared, train_view(method, prepared), prepared.examples.rows("val")[:0], Seed(("wise", seed))
    )


def literal_fine_tuning(task: Task, lr: float, weight_decay: float, clipped: list[float]) -> torch.nn.Linear:
    """torch's own AdamW, learning-rate schedule and clipping, in float64."""
    x = torch.nn.functional.normalize(task.train.embeddings().double(), dim=1)
    y = task.train.y
    head = torch.nn.Linear(x.shape[1], task.n_classes).double()
    with torch.no_grad():
        head.weight.copy_(100.0 * task.text.classes().double())
        head.bias.zero_()
    optimiser = torch.optim.AdamW(
        [
            {"params": [head.weight], "weight_decay": weight_decay},
            {"params": [head.bias], "weight_decay": 0.0},
        ],
        lr=lr,
    )
    steps = 10 * math.ceil(len(x) / 128)
    warm_up = min(500, steps // 10)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    batches = shuffled(len(x), 128, task.seed.derive("batches").torch())
    for _ in range(steps):
        rows = next(batches)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
        clipped.append(torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0).item())
        optimiser.step()
        schedule.step()
    return head


@pytest.mark.parametrize("sizes", [(15, 10, 160, 145), (10, 12, 90, 30, 40, 50)])
def test_fine_tuning_is_torchs_adamw(make_prepared: MakePrepared, sizes: tuple[int, ...]) -> None:
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    # All look alike and like the text of a rare class: on unit embeddings only such gradients are longer than 1.
    prepared.source.x[:, 2] += 3  # type: ignore[attr-defined]
    assert prepared.text is not None
    vectors = torch.eye(6)[[2, 0, 1][: len(prepared.text.class_vectors)]]
    prepared = replace(prepared, text=replace(prepared.text, class_vectors=vectors))
    assert (EPOCHS, BATCH, WARM_UP) == (10, 128, 500)
    configs = [
        {"alpha": 1.0, "lr": 1e-3, "weight_decay": 0.1},
        {"alpha": 1.0, "lr": 3e-1, "weight_decay": 1.0},
        {"alpha": 0.3, "lr": 3e-1, "weight_decay": 0.01},
    ]
    for seed in (0, 1):
        task = task_of(prepared, seed)
        norms: list[float] = []
        zero_shot = 100.0 * task.text.classes().double()
        for config, fitted in zip(
            configs, WiSEFTHead().fit_many([Problem(task, config) for config in configs]), strict=True
        ):
            assert isinstance(fitted, list)
            (head,) = fitted
            assert isinstance(head, UnitLinearHead)
            tuned = literal_fine_tuning(task, config["lr"], config["weight_decay"], norms)
            weight = (1 - config["alpha"]) * zero_shot + config["alpha"] * tuned.weight.detach()
            # Zero-shot weights are of the order of 100, in float32.
            torch.testing.assert_close(head.weight.double(), weight, atol=2e-3, rtol=1e-4)
            torch.testing.assert_close(head.bias.double(), config["alpha"] * tuned.bias.detach(), atol=2e-3, rtol=1e-3)
        assert max(norms) > 1, "clipping has something to do"


def test_between_zero_shot_and_fine_tuned_logits_lie_on_a_line(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    task = task_of(prepared)
    view = view_of(WiSEFTHead(), prepared, "evaluation", prepared.examples.rows("test"))
    alphas = (0.0, 0.25, 0.5, 0.9, 1.0)
    problems = [Problem(task, {"alpha": alpha, "lr": 0.5, "weight_decay": 0.1}) for alpha in alphas]
    logits = []
    for fitted in WiSEFTHead().fit_many(problems):
        assert isinstance(fitted, list)
        logits.append(fitted[0].logits(view).double())
    (reference,) = ZeroShot().fit(task, {})
    torch.testing.assert_close(logits[0], reference.logits(view).double(), atol=1e-4, rtol=1e-5)
    assert (logits[-1] - logits[0]).abs().max() > 1
    for alpha, found in zip(alphas, logits, strict=True):
        torch.testing.assert_close(found, (1 - alpha) * logits[0] + alpha * logits[-1], atol=1e-3, rtol=1e-4)


def test_alpha_is_all_that_an_infinite_learning_rate_leaves(make_prepared: MakePrepared) -> None:
    """One configuration diverges; the others, and what they give, stay."""
    task = task_of(make_prepared())
    sane = {"alpha": 0.5, "lr": 1e-2, "weight_decay": 0.1}
    (lost,), (kept,) = WiSEFTHead().fit_many(
        [Problem(task, {**sane, "lr": 1e38, "weight_decay": 1.0}), Problem(task, sane)]
    )
    (alone,) = WiSEFTHead().fit(task, sane)
    assert not torch.isfinite(lost.weight).all()
    assert torch.equal(kept.weight, alone.weight)  # type: ignore[attr-defined]


@pytest.mark.parametrize("steps", [10, 30, 990, 5000, 20_000])
def test_the_schedule_rises_in_a_line_and_falls_along_half_a_cosine(steps: int) -> None:
    warm_up = min(500, steps // 10)
    factors = np.array([cosine(step, steps, WARM_UP) for step in range(steps)])
    np.testing.assert_allclose(factors[:warm_up], np.arange(1, warm_up + 1) / warm_up)
    # cos(pi t) falls from 1 to -1: the square of the cosine of half the angle.
    t = (np.arange(warm_up, steps) - warm_up) / (steps - warm_up)
    np.testing.assert_allclose(factors[warm_up:], np.cos(np.pi * t / 2) ** 2, atol=1e-12)
    assert factors.argmax() in (warm_up - 1, warm_up)
    assert factors[-1] < 0.3
