"""GroupDRO against a literal reference: loops over groups, autograd, torch's own SGD."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spurbench.evaluation import evaluate
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench_methods.group_dro import DROState, GroupDRO, dro_step

if TYPE_CHECKING:
    from conftest import MakePrepared

CONFIGS = [
    {"lr": 1e-2, "weight_decay": 1e-2, "eta": 0.1, "adjustment": 0.0},
    {"lr": 3e-3, "weight_decay": 0.5, "eta": 0.01, "adjustment": 3.0},
]


def state(b: int, d: int, k: int, g: int) -> DROState:
    return DROState.start(b, d, k, torch.ones(g))


def reference_run(x: torch.Tensor, y: torch.Tensor, groups: torch.Tensor, config: dict[str, float], totals: list[int]):  # type: ignore[no-untyped-def]
    """Algorithm 1 of Sagawa et al. 2020, one problem, group by group; absent groups keep their q."""
    head = torch.nn.Linear(x.shape[2], 2).double()
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimiser = torch.optim.SGD(
        [{"params": [head.weight], "weight_decay": config["weight_decay"]}, {"params": [head.bias]}],
        lr=config["lr"],
        momentum=0.9,
    )
    q = [1 / len(totals)] * len(totals)
    for batch, labels, member in zip(x, y, groups, strict=True):
        losses = torch.nn.functional.cross_entropy(head(batch.double()), labels, reduction="none")
        total = torch.zeros((), dtype=torch.float64)
        means = {g: losses[member == g].mean() for g in range(len(totals)) if (member == g).any()}
        mass = sum(q[g] for g in means)
        grown = {
            g: q[g] * math.exp(config["eta"] * (mean.item() + config["adjustment"] / math.sqrt(totals[g])))
            for g, mean in means.items()
        }
        for group, value in grown.items():
            q[group] = mass * value / sum(grown.values())
        for group, mean in means.items():
            total = total + q[group] * mean
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    return head, q


def test_batched_steps_equal_the_literal_algorithm_with_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(25, 16, 5, generator=generator)
    y = torch.randint(2, (25, 16), generator=generator)
    groups = 2 * y + torch.randint(2, (25, 16), generator=generator)
    groups[::3] = 2 * y[::3]  # batches in which two groups are absent
    totals = [50, 7, 9, 40]
    ours = state(2, 5, 2, 4)
    lr, decay, eta, adjustment = (
        torch.tensor([config[name] for config in CONFIGS]) for name in ("lr", "weight_decay", "eta", "adjustment")
    )
    margin = adjustment[:, None] / torch.tensor(totals).sqrt()
    for step in range(25):
        dro_step(ours, x[step], y[step], groups[step], lr, decay, eta, margin)
    for b, config in enumerate(CONFIGS):
        head, q = reference_run(x, y, groups, config, totals)
        torch.testing.assert_close(ours.weight[b].T.double(), head.weight.detach(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.bias[b, 0].double(), head.bias.detach(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.q[b].double(), torch.tensor(q, dtype=torch.float64), atol=1e-5, rtol=1e-4)


def test_group_weights_sum_to_one_and_absent_groups_keep_theirs() -> None:
    ours = state(1, 3, 2, 4)
    ours.q = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    one = torch.ones(1)
    y, groups, margin = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 2]), torch.tensor([[0.0, 0.0, 1.0, 9.0]])
    dro_step(ours, torch.randn(3, 3), y, groups, 0.1 * one, 0 * one, one, margin)
    assert ours.q.sum().item() == pytest.approx(1.0)
    assert ours.q[0, [1, 3]].tolist() == pytest.approx([0.3, 0.1])
    # Losses are equal at the start, so the margin alone decides: 0.2 e against 0.4, sharing 0.6.
    assert ours.q[0, 2].item() == pytest.approx(0.6 * 0.2 * math.e / (0.2 * math.e + 0.4))


def test_group_weights_survive_huge_steps() -> None:
    ours = state(1, 3, 2, 2)
    one = torch.ones(1)
    dro_step(
        ours, torch.randn(2, 3), torch.tensor([0, 1]), torch.tensor([0, 1]), one, 0 * one, 1e6 * one, torch.zeros(1, 2)
    )
    assert torch.isfinite(ours.q).all()
    assert ours.q.sum().item() == pytest.approx(1.0)


def test_all_configurations_at_once_equal_each_alone(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    method = GroupDRO()
    from spurbench.evaluation import _task  # the harness's own way of making a task

    task = _task(method, prepared, prepared.examples.rows("val")[:0], Seed(("test",)))
    together = method.fit_many(task, CONFIGS)
    for config, snapshots in zip(CONFIGS, together, strict=True):
        alone = method.fit(task, config)
        assert len(alone) == len(snapshots) == 5
        for one, other in zip(alone, snapshots, strict=True):
            torch.testing.assert_close(one.weight, other.weight, atol=1e-5, rtol=1e-4)  # type: ignore[attr-defined]


def test_training_lifts_the_worst_group_above_plain_training(make_prepared: MakePrepared) -> None:
    from spurbench_methods.erm import ERM

    prepared = make_prepared(train=(800, 40, 30, 500), val=(200,) * 4, test=(600,) * 4)
    rules = load_rules("v1")
    worst = {}
    for method in (ERM(), GroupDRO()):
        result, _ = evaluate(method, prepared, rules, 0)
        test = result.selected["worst_group"].test
        worst[method.card.name] = min(np.array(test) / result.test_total)
    assert worst["group_dro"] > worst["erm"] + 0.1
