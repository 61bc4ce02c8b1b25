"""JTT: the error set is that of a literal SGD, and the second stage is scikit-learn's weighted logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from spurbench.heads import LinearHead, shuffled, standardised
from spurbench.heads.early import BATCH, LR, WEIGHT_DECAY
from spurbench.method import Problem, Task
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.inference.errors import misclassified
from spurbench_methods.jtt import JTT, upweighted

if TYPE_CHECKING:
    from conftest import MakePrepared

STEPS = (3, 7, 40)


def task_of(prepared: Prepared, seed: int = 0) -> Task:
    return make_task(
        JTT(), prepared, train_view(JTT(), prepared), prepared.examples.rows("val")[:0], Seed(("jtt", seed))
    )


def literal_mistakes(task: Task, steps: int) -> torch.Tensor:
    """Stage 1 with torch's own linear layer and SGD, in float64; only the order of the rows is the harness's."""
    assert (BATCH, LR, WEIGHT_DECAY) == (128, 1e-3, 1e-4)
    x = task.train.embeddings().double()
    x = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    y = task.train.y
    head = torch.nn.Linear(x.shape[1], task.n_classes).double()
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimiser = torch.optim.SGD(
        [{"params": [head.weight], "weight_decay": WEIGHT_DECAY}, {"params": [head.bias]}], lr=LR, momentum=0.9
    )
    batches = shuffled(len(x), BATCH, task.seed.derive("early ERM").torch())
    for _ in range(steps):
        rows = next(batches)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        return head(x).argmax(dim=1) != y


def test_a_mistake_weighs_one_plus_upweight_times_as_much_and_the_mean_is_one() -> None:
    wrong = torch.tensor([True, False, False, True, False])
    weight = upweighted(wrong, 20.0)
    # A copy stays and 20 are added: 21 times the weight, not 20.
    torch.testing.assert_close(weight / weight[1], torch.tensor([21.0, 1.0, 1.0, 21.0, 1.0]))
    assert weight.mean().item() == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [True, False])
def test_with_everything_or_nothing_wrong_all_weigh_alike(wrong: bool) -> None:
    assert upweighted(torch.full((4,), wrong), 50.0).tolist() == [1.0] * 4


# 60 examples are fewer than a batch, 270 end an epoch with a small one, and three classes are not a special case.
@pytest.mark.parametrize("sizes", [(25, 10, 5, 20), (130, 40, 30, 70), (60, 12, 30, 30, 9, 50)])
def test_the_error_set_is_what_a_literal_sgd_gets_wrong(make_prepared: MakePrepared, sizes: tuple[int, ...]) -> None:
    task = task_of(make_prepared(train=sizes, val=sizes, test=sizes))
    _, x = standardised(task)
    found = misclassified(task, x, STEPS)
    assert sorted(found) == sorted(STEPS)
    for steps in STEPS:
        expected = literal_mistakes(task, steps)
        assert 0 < int(expected.sum()) < len(expected), "neither set is empty, or the comparison says nothing"
        assert torch.equal(found[steps], expected)
    assert not torch.equal(found[STEPS[0]], found[STEPS[-1]]), "a longer stage 1 makes other mistakes"


def test_each_seed_makes_its_own_mistakes(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(130, 40, 30, 70))
    _, x = standardised(task_of(prepared))
    sets = [misclassified(task_of(prepared, seed), x, [3])[3] for seed in (0, 1, 0)]
    assert not torch.equal(sets[0], sets[1])
    assert torch.equal(sets[0], sets[2])


@pytest.mark.parametrize("sizes", [(60, 12, 8, 40), (60, 12, 30, 30, 9, 50)])
def test_stage_two_is_scikit_learns_weighted_regression(make_prepared: MakePrepared, sizes: tuple[int, ...]) -> None:
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    tasks = [task_of(prepared, seed) for seed in (0, 1)]
    configs = [{"steps": 3, "upweight": 20.0, "C": 0.1}, {"steps": 40, "upweight": 100.0, "C": 1.0}]
    problems = [Problem(task, config) for config in configs for task in tasks]
    raw = tasks[0].train.embeddings().double().numpy()
    x = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    for problem, fitted in zip(problems, JTT().fit_many(problems), strict=True):
        assert isinstance(fitted, list)
        (head,) = fitted
        assert isinstance(head, LinearHead)
        task, config = problem.task, problem.config
        wrong = literal_mistakes(task, int(config["steps"])).numpy()
        weight = np.where(wrong, 1 + float(config["upweight"]), 1.0)
        reference = LogisticRegression(C=float(config["C"]), max_iter=10_000, tol=1e-10)
        reference.fit(x, task.train.y.numpy(), weight / weight.mean())
        ours = torch.softmax(
            torch.from_numpy(raw @ head.weight.double().numpy().T + head.bias.double().numpy()), dim=1
        ).numpy()
        np.testing.assert_allclose(ours, reference.predict_proba(x), atol=1e-3)
        # What the tolerance could hide: leaving the weights out moves probabilities a hundred times as much.
        plain = LogisticRegression(C=float(config["C"]), max_iter=10_000).fit(x, task.train.y.numpy())
        assert np.abs(ours - plain.predict_proba(x)).max() > 0.1
