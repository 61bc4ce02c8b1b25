"""GroupDRO against a literal reference: loops over groups, autograd, torch's own SGD."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.evaluation import evaluate
from spurbench.heads import Descent, LinearHead, cross_entropy_gradient, descend, drawn
from spurbench.method import Problem, Task
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import Config, draw_configs
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.group_dro import BATCH, EPOCHS, GroupDRO, GroupWeights

if TYPE_CHECKING:
    from conftest import MakePrepared

CONFIGS: list[Config] = [
    {"lr": 1e-2, "weight_decay": 1e-2, "eta": 0.1, "adjustment": 0.0},
    {"lr": 3e-3, "weight_decay": 0.5, "eta": 0.01, "adjustment": 3.0},
]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Features, classes and groups."""


def column(name: str) -> torch.Tensor:
    return torch.tensor([float(config[name]) for config in CONFIGS])


def reference_run(batches: list[Batch], config: Config, totals: list[int]) -> tuple[torch.nn.Linear, list[float]]:
    """Algorithm 1 of Sagawa et al. 2020, one problem, group by group; absent groups keep their q."""
    head = torch.nn.Linear(batches[0][0].shape[1], 2).double()
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    decayed = {"params": [head.weight], "weight_decay": float(config["weight_decay"])}
    parts: list[dict[str, Any]] = [decayed, {"params": [head.bias]}]
    optimiser = torch.optim.SGD(parts, lr=float(config["lr"]), momentum=0.9)
    eta, adjustment = float(config["eta"]), float(config["adjustment"])
    q = [1 / len(totals)] * len(totals)
    for x, y, groups in batches:
        losses = torch.nn.functional.cross_entropy(head(x.double()), y, reduction="none")
        means = {g: losses[groups == g].mean() for g in range(len(totals)) if (groups == g).any()}
        mass = sum(q[g] for g in means)
        grown = {
            g: q[g] * math.exp(eta * (mean.item() + adjustment / math.sqrt(totals[g]))) for g, mean in means.items()
        }
        for g, value in grown.items():
            q[g] = mass * value / sum(grown.values())
        total = torch.stack([q[g] * mean for g, mean in means.items()]).sum()
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return head, q


def test_batched_steps_equal_the_literal_algorithm_with_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(25, 16, 5, generator=generator)
    y = torch.randint(2, (25, 16), generator=generator)
    groups = 2 * y + torch.randint(2, (25, 16), generator=generator)
    groups[::3] = 2 * y[::3]  # batches in which two groups are absent
    totals = [50, 7, 9, 40]
    batches = list(zip(x, y, groups, strict=True))
    weights = GroupWeights(torch.tensor(totals), column("eta"), column("adjustment"))

    def gradient(logits: torch.Tensor, known: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        y, groups = known
        losses = torch.stack(
            [torch.nn.functional.cross_entropy(logits[:, c], y, reduction="none") for c in range(len(CONFIGS))], dim=1
        )
        return cross_entropy_gradient(logits, y, weights.update(losses, groups))

    descent = Descent(column("lr"), column("weight_decay"))
    (ours,) = descend(((x, (y, g)) for x, y, g in batches), gradient, descent, (len(CONFIGS), 2, 5), [25])
    for c, config in enumerate(CONFIGS):
        head, q = reference_run(batches, config, totals)
        torch.testing.assert_close(ours.weight[c].double(), head.weight.detach(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.bias[c].double(), head.bias.detach(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(weights.q[c].double(), torch.tensor(q, dtype=torch.float64), atol=1e-5, rtol=1e-4)


def test_the_weights_of_examples_share_their_groups_weight() -> None:
    weights = GroupWeights(torch.tensor([5, 5, 5]), torch.zeros(2), torch.zeros(2))
    weights.q = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    found = weights.update(torch.rand(4, 2), torch.tensor([0, 2, 0, 0]))
    expected = [[0.5 / 3, 0.1 / 3], [0.2, 0.8], [0.5 / 3, 0.1 / 3], [0.5 / 3, 0.1 / 3]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_absent_groups_keep_their_weight_and_the_others_share_the_rest() -> None:
    weights = GroupWeights(torch.tensor([4, 4, 1, 4]), torch.ones(1), torch.ones(1))
    weights.q = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    weights.update(torch.full((3, 1), 0.7), torch.tensor([0, 0, 2]))
    assert weights.q.sum().item() == pytest.approx(1.0)
    assert weights.q[0, [1, 3]].tolist() == pytest.approx([0.3, 0.1])
    # Losses are equal, so the margins 1 / sqrt(4) and 1 / sqrt(1) alone decide how 0.6 is shared.
    grown = 0.4 * math.exp(0.5), 0.2 * math.e
    assert weights.q[0, [0, 2]].tolist() == pytest.approx([0.6 * part / sum(grown) for part in grown])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.floats(0, 2), st.integers(0, 99))
def test_whatever_the_batch_the_weights_stay_a_distribution(groups: list[int], eta: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = GroupWeights(torch.tensor([9, 1, 4, 30]), torch.tensor([eta, 0.1]), torch.tensor([0.0, 5.0]))
    for _ in range(3):
        before = weights.q.clone()
        weights.update(10 * torch.rand(len(groups), 2, generator=generator), torch.tensor(groups))
        absent = [g for g in range(4) if g not in groups]
        assert torch.equal(weights.q[:, absent], before[:, absent])
        assert (weights.q >= 0).all()
        torch.testing.assert_close(weights.q.sum(dim=1), torch.ones(2))


def test_groups_without_training_examples_have_no_weight() -> None:
    weights = GroupWeights(torch.tensor([9, 0, 4, 0]), torch.ones(1), torch.ones(1))
    weights.update(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 2]))
    assert weights.q[0, [1, 3]].tolist() == [0.0, 0.0]
    assert weights.q.sum().item() == pytest.approx(1.0)


def test_group_weights_survive_huge_steps() -> None:
    weights = GroupWeights(torch.ones(2), torch.tensor([1e6]), torch.zeros(1))
    for _ in range(3):
        weights.update(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1]))
        assert weights.q[0].tolist() == pytest.approx([0.0, 1.0])


def task_of(prepared: Prepared, seed: int) -> Task:
    """A task made as the harness makes it; one view serves all seeds there, and here too where it is the same."""
    rows = prepared.examples.rows("val")[:0]
    return make_task(GroupDRO(), prepared, train_view(GroupDRO(), prepared), rows, Seed(("test", seed)))


def test_a_fit_is_the_literal_algorithm_on_standardised_features(make_prepared: MakePrepared) -> None:
    """From features to snapshots; only which rows a batch holds is taken from the harness."""
    prepared = make_prepared()
    task, (config, _) = task_of(prepared, 0), CONFIGS
    snapshots = GroupDRO().fit(task, config)
    assert len(snapshots) == len(EPOCHS)
    x, y, groups = task.train.embeddings().double(), task.train.y, task.train.groups
    mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
    totals = torch.bincount(groups, minlength=4)
    rows = drawn(1.0 / totals[groups].double(), BATCH, task.seed.derive("batches").torch())
    steps = max(EPOCHS) * -(-len(x) // BATCH)
    batches = [
        (((x - mean) / deviation)[some], y[some], groups[some]) for _, some in zip(range(steps), rows, strict=False)
    ]
    head, _ = reference_run(batches, config, totals.tolist())
    assert isinstance(snapshots[-1], LinearHead)
    on_raw = x @ snapshots[-1].weight.double().T + snapshots[-1].bias
    expected = head((x - mean) / deviation).detach()
    torch.testing.assert_close(on_raw, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("sizes", [(60, 12, 8, 40), (20, 5, 9, 4, 12, 7, 3, 5, 21, 6)])
def test_all_configurations_and_seeds_at_once_equal_each_alone_bit_for_bit(
    make_prepared: MakePrepared, sizes: tuple[int, ...]
) -> None:
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    tasks = [task_of(prepared, seed) for seed in (0, 1, 2)]
    configs = draw_configs(GroupDRO.space, 9, Seed(("configurations", 0)))
    # Task by task is how the harness asks; the order must not matter all the same.
    problems = [Problem(task, config) for config in configs for task in tasks]
    together = GroupDRO().fit_many(problems)
    seen = set()
    for problem, snapshots in zip(problems, together, strict=True):
        alone = GroupDRO().fit(problem.task, problem.config)
        assert isinstance(snapshots, list)
        assert len(alone) == len(snapshots) == len(EPOCHS)
        for one, other in zip(alone, snapshots, strict=True):
            assert isinstance(one, LinearHead)
            assert isinstance(other, LinearHead)
            assert torch.equal(one.weight, other.weight)
            assert torch.equal(one.bias, other.bias)
            seen.add(one.weight[0, 0].item())
    assert len(seen) == len(problems) * len(EPOCHS), "no two problems give the same heads"


def test_training_lifts_the_worst_group_above_plain_training(make_prepared: MakePrepared) -> None:
    from spurbench_methods.erm import ERM

    prepared = make_prepared(train=(800, 40, 30, 500), val=(200,) * 4, test=(600,) * 4)
    rules = load_rules("v1")
    worst = {}
    for method in (ERM(), GroupDRO()):
        [(result, _)] = evaluate(method, prepared, rules, [0])
        test = result.selected["worst_group"].test
        worst[method.card.name] = min(np.array(test) / result.test_total)
    assert worst["group_dro"] > worst["erm"] + 0.1
