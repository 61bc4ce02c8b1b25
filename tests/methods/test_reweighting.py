"""ERM, RWG, RWY, SUBG and SUBY against scikit-learn, tightly; and what seeds share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from spurbench.heads import LinearHead, probes
from spurbench.method import BatchedMethod, Problem, Task
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.erm import ERM
from spurbench_methods.rwg import RWG, RWY
from spurbench_methods.subg import SUBG, SUBY

if TYPE_CHECKING:
    from conftest import MakePrepared

SIZES = [(60, 12, 8, 40), (60, 12, 30, 30, 9, 50)]
Array = NDArray[Any]


def tasks_of(method: Any, prepared: Prepared, seeds: tuple[int, ...] = (0, 1)) -> list[Task]:
    """As the harness makes them: one view of the training split for all seeds."""
    view = train_view(method, prepared)
    rows = prepared.examples.rows("val")[:0]
    return [make_task(method, prepared, view, rows, Seed(("reweighting", seed))) for seed in seeds]


def columns(task: Task) -> tuple[Array, Array, Array]:
    """Embeddings, the same standardised, classes; float64."""
    raw = task.train.embeddings().double().numpy()
    return raw, (raw - raw.mean(axis=0)) / raw.std(axis=0), task.train.y.numpy()


def literal_weights(labels: list[int]) -> Array:
    """N / (G n_g), counted one by one."""
    return np.array([len(labels) / (len(set(labels)) * labels.count(label)) for label in labels])


def probabilities(head: Any, raw: Array) -> Array:
    assert isinstance(head, LinearHead)
    z = raw @ head.weight.double().numpy().T + head.bias.double().numpy()
    return torch.softmax(torch.from_numpy(z), dim=1).numpy()  # type: ignore[no-any-return]


def reference(x: Array, y: Array, c: float, weight: Array | None = None) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=10_000, tol=1e-10).fit(x, y, weight)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("method", [ERM(), RWG(), RWY()])
def test_weighted_fits_are_scikit_learns(
    method: BatchedMethod, sizes: tuple[int, ...], make_prepared: MakePrepared
) -> None:
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    task, *_ = tasks_of(method, prepared)
    raw, x, y = columns(task)
    labels = y if isinstance(method, RWY) else prepared.examples.groups[task.train._rows]
    weight = None if isinstance(method, ERM) else literal_weights(labels.tolist())
    for c in (0.01, 0.3, 10.0):
        (head,) = method.fit(task, {"C": c})
        expected = reference(x, y, c, weight).predict_proba(x)
        np.testing.assert_allclose(probabilities(head, raw), expected, atol=8e-4)
    if weight is not None:
        plain = reference(x, y, 10.0).predict_proba(x)
        assert np.abs(expected - plain).max() > 0.02, "the weights make a difference that the tolerance does not cover"


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("method", [SUBG(), SUBY()])
def test_subset_fits_are_scikit_learns_on_a_balanced_subset(
    method: BatchedMethod, sizes: tuple[int, ...], make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subset is read off what the solver was given, checked for balance, and fitted by scikit-learn."""
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    task, *_ = tasks_of(method, prepared)
    raw, x, y = columns(task)
    kept: list[Array] = []
    solve = probes.solve_logistic

    def watched(features: torch.Tensor, y: torch.Tensor, n_classes: int, designs: Any, **rest: Any) -> Any:
        kept.extend(design.rows.numpy() for design in designs)
        return solve(features, y, n_classes, designs, **rest)

    monkeypatch.setattr(probes, "solve_logistic", watched)
    for c in (0.01, 0.3, 10.0):
        (head,) = method.fit(task, {"C": c})
        rows = kept.pop()
        labels = y if isinstance(method, SUBY) else prepared.examples.groups[task.train._rows]
        assert len(set(rows.tolist())) == len(rows)
        assert set(np.bincount(labels[rows]).tolist()) == {np.bincount(labels).min()}
        expected = reference(x[rows], y[rows], c).predict_proba(x)
        np.testing.assert_allclose(probabilities(head, raw), expected, atol=8e-4)


@pytest.mark.parametrize("method", [ERM(), RWG(), RWY()])
def test_seeds_that_try_the_same_strength_share_one_fit(
    method: BatchedMethod, make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    solve = probes.solve_logistic

    def watched(features: torch.Tensor, y: torch.Tensor, n_classes: int, designs: Any, **rest: Any) -> Any:
        asked.extend(len(design.c) for design in designs)
        return solve(features, y, n_classes, designs, **rest)

    monkeypatch.setattr(probes, "solve_logistic", watched)
    tasks = tasks_of(method, make_prepared(), (0, 1, 2))
    strengths = [(1.0, 0.1), (0.1, 3.0), (1.0, 0.1)]
    problems = [Problem(task, {"C": c}) for task, some in zip(tasks, strengths, strict=True) for c in some]
    fitted = method.fit_many(problems)
    assert asked == [3], "1, 0.1 and 3"
    by_strength: dict[float, torch.Tensor] = {}
    for problem, snapshots in zip(problems, fitted, strict=True):
        assert isinstance(snapshots, list)
        weight = by_strength.setdefault(float(problem.config["C"]), snapshots[0].weight)
        assert torch.equal(snapshots[0].weight, weight)
    norms = {c: float(weight.norm()) for c, weight in by_strength.items()}
    assert norms[0.1] < norms[1.0] < norms[3.0], "a weaker penalty leaves longer weights"


def test_tasks_with_groups_of_their_own_share_nothing(make_prepared: MakePrepared) -> None:
    """As under inferred groups, which differ by seed: the same C, other weights."""
    from dataclasses import replace

    tasks = tasks_of(RWG(), make_prepared())
    guesses = [tasks[0].train.a, (torch.arange(len(tasks[0].train)) % 7 == 0).long()]
    tasks = [
        replace(task, train=task.train.with_groups(guess.numpy(), 2))
        for task, guess in zip(tasks, guesses, strict=True)
    ]
    fitted = RWG().fit_many([Problem(task, {"C": 1.0}) for task in tasks])
    for task, snapshots in zip(tasks, fitted, strict=True):
        raw, x, y = columns(task)
        expected = reference(x, y, 1.0, literal_weights(task.train.groups.tolist())).predict_proba(x)
        assert isinstance(snapshots, list)
        np.testing.assert_allclose(probabilities(snapshots[0], raw), expected, atol=8e-4)


@pytest.mark.parametrize("method", [SUBG(), SUBY()])
def test_every_seed_draws_one_subset_for_all_its_configurations(
    method: BatchedMethod, make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[int, ...]] = []
    solve = probes.solve_logistic

    def watched(features: torch.Tensor, y: torch.Tensor, n_classes: int, designs: Any, **rest: Any) -> Any:
        kept.extend(tuple(sorted(design.rows.tolist())) for design in designs)
        assert all(len(design.c) == 2 for design in designs)
        return solve(features, y, n_classes, designs, **rest)

    monkeypatch.setattr(probes, "solve_logistic", watched)
    tasks = tasks_of(method, make_prepared(), (0, 1, 0))
    method.fit_many([Problem(task, {"C": c}) for c in (1.0, 0.1) for task in tasks])
    assert len(kept) == 3
    assert kept[0] == kept[2] != kept[1]


@pytest.mark.parametrize("method", [RWG(), SUBG()])
def test_groups_that_do_not_occur_are_left_out(method: BatchedMethod, make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(30, 12, 0, 20))
    task, *_ = tasks_of(method, prepared)
    raw, x, y = columns(task)
    (head,) = method.fit(task, {"C": 1.0})
    assert np.isfinite(probabilities(head, raw)).all()
    if isinstance(method, RWG):
        groups = task.train.groups.tolist()
        weight = np.array([62 / (3 * groups.count(g)) for g in groups])
        np.testing.assert_allclose(probabilities(head, raw), reference(x, y, 1.0, weight).predict_proba(x), atol=8e-4)
