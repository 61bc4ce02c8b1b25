"""AFR: its split, its weights, and a second stage done literally, with autograd in float64."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from spurbench.errors import ConfigurationError
from spurbench.heads import LinearHead
from spurbench.method import Bundle, Problem, Task
from spurbench.seeds import Seed
from spurbench.space import Config
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.afr import AFR, STEPS, C, first_part, hardness_weights

if TYPE_CHECKING:
    from conftest import MakePrepared

CONFIGS: list[Config] = [
    {"gamma": 4.0, "lambda": 0.0, "lr": 0.01},
    {"gamma": 20.0, "lambda": 0.3, "lr": 0.05},
    {"gamma": 20.0, "lambda": 0.0, "lr": 0.05},
]


def task_of(prepared: Prepared, seed: int = 0) -> Task:
    return make_task(
        AFR(), prepared, train_view(AFR(), prepared), prepared.examples.rows("val")[:0], Seed(("afr", seed))
    )


def test_hardness_weights_are_the_formula_example_by_example() -> None:
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(30, generator=generator)
    y = torch.tensor([0] * 18 + [2] * 9 + [3] * 3)  # class 1 does not occur
    gammas = [4.0, 12.0, 0.0]
    found = hardness_weights(right, y, torch.tensor(gammas)).double()
    sizes = {0: 18, 2: 9, 3: 3}
    for c, gamma in enumerate(gammas):
        # n_0 / n_y as published; the n_0 goes with the normalisation.
        literal = [math.exp(-gamma * p) * 18 / sizes[k] for p, k in zip(right.tolist(), y.tolist(), strict=True)]
        expected = torch.tensor(literal, dtype=torch.float64) / sum(literal)
        torch.testing.assert_close(found[:, c], expected, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found.sum(dim=0), torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)
    # Without emphasis on the hard, every class has the same mass.
    for k in sizes:
        assert found[y == k, 2].sum().item() == pytest.approx(1 / 3, abs=1e-6)


def test_hardness_weights_survive_examples_that_are_all_easy() -> None:
    weight = hardness_weights(torch.ones(4), torch.tensor([0, 0, 1, 1]), torch.tensor([20.0]))
    assert weight[:, 0].tolist() == pytest.approx([0.25] * 4)


def test_four_fifths_of_every_class_are_in_the_first_part_and_the_seed_says_which(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(50, 10, 20, 20, 4, 1), val=(5,) * 6, test=(5,) * 6)
    tasks = [task_of(prepared, seed) for seed in (0, 1, 0)]
    parts = [first_part(Bundle(task, (CONFIGS[0],), (0,))) for task in tasks]
    y = tasks[0].train.y
    for first in parts:
        assert [int(first[y == k].sum()) for k in range(3)] == [48, 32, 4]
    assert torch.equal(parts[0], parts[2])
    assert not torch.equal(parts[0], parts[1])


def literal_second_stage(task: Task, config: Config) -> tuple[list[torch.Tensor], list[float]]:
    """AFR as the paper has it, one configuration, in float64: scikit-learn, then gradient descent with autograd.

    Returns logits on the held-out examples, at the start and at every snapshot, and the gradients' norms.
    """
    raw = task.train.embeddings().double()
    x, y = (raw - raw.mean(dim=0)) / raw.std(dim=0, correction=0), task.train.y
    first = first_part(Bundle(task, (config,), (0,)))
    erm = LogisticRegression(C=C, max_iter=10_000, tol=1e-12).fit(x[first].numpy(), y[first].numpy())
    coefficients, intercepts = torch.from_numpy(erm.coef_), torch.from_numpy(erm.intercept_)
    if task.n_classes == 2:
        # One column of scikit-learn's is the difference of two rows.
        coefficients, intercepts = (
            torch.cat([-coefficients, coefficients]) / 2,
            torch.cat([-intercepts, intercepts]) / 2,
        )
    x, y = x[~first], y[~first]
    layer = torch.nn.Linear(x.shape[1], task.n_classes).double()
    with torch.no_grad():
        layer.weight.copy_(coefficients)
        layer.bias.copy_(intercepts)
        p = torch.softmax(layer(x), dim=1)
        n = torch.bincount(y)
        b = torch.stack([torch.exp(-float(config["gamma"]) * p[i, y[i]]) * n[0] / n[y[i]] for i in range(len(y))])
        b = b / b.sum()
    w0, b0 = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimiser = torch.optim.SGD(layer.parameters(), lr=float(config["lr"]))
    taken, norms = [layer(x).detach()], []
    for step in range(1, STEPS[-1] + 1):
        losses = torch.nn.functional.cross_entropy(layer(x), y, reduction="none")
        distance = (layer.weight - w0).square().sum() + (layer.bias - b0).square().sum()
        optimiser.zero_grad()
        ((b * losses).sum() + float(config["lambda"]) * distance).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0).item())
        optimiser.step()
        if step in STEPS:
            taken.append(layer(x).detach())
    return taken, norms


@pytest.mark.parametrize("sizes", [(60, 12, 8, 40), (60, 12, 30, 30, 9, 50)])
def test_snapshots_are_those_of_literal_gradient_descent(make_prepared: MakePrepared, sizes: tuple[int, ...]) -> None:
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    tasks = [task_of(prepared, seed) for seed in (0, 1)]
    problems = [Problem(task, config) for task in tasks for config in CONFIGS]
    longest = []
    for problem, snapshots in zip(problems, AFR().fit_many(problems), strict=True):
        assert isinstance(snapshots, list)
        assert len(snapshots) == len(STEPS)
        first = first_part(Bundle(problem.task, (problem.config,), (0,)))
        raw = problem.task.train.embeddings().double()[~first]
        (start, *expected), norms = literal_second_stage(problem.task, problem.config)
        longest.append(max(norms))
        for head, logits in zip(snapshots, expected, strict=True):
            assert isinstance(head, LinearHead)
            ours = raw @ head.weight.double().T + head.bias.double()
            # Rows may be shifted by a constant: softmax does not see it, and ERM's solver need not settle it.
            ours, logits = ours - ours.mean(dim=1, keepdim=True), logits - logits.mean(dim=1, keepdim=True)
            np.testing.assert_allclose(ours.numpy(), logits.numpy(), atol=2e-3)
        assert (expected[-1] - start).abs().max() > 0.1, "the second stage leads away from ERM"
    assert max(longest) > 1.05, "clipping has something to do, or it was not compared"


def test_what_cannot_be_fitted_is_lost_and_says_why(make_prepared: MakePrepared) -> None:
    # Of two examples of a class, four fifths are both: nothing is held out.
    prepared = make_prepared(train=(1, 1, 1, 1))
    (fitted,) = AFR().fit_many([Problem(task_of(prepared), CONFIGS[0])])
    assert isinstance(fitted, ConfigurationError)
    assert "held out" in str(fitted)
