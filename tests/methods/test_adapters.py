"""The adapter methods: losses and mined sets against loops over pairs; and that they learn."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import pytest
import torch

from spurbench.evaluation import evaluate
from spurbench.heads import Adapters
from spurbench.method import BatchedMethod, Problem, Task
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods import contrastive_adapter
from spurbench_methods.contrastive_adapter import (
    NEGATIVES,
    PER_CELL,
    TAU,
    ContrastiveAdapter,
    Mined,
    contrastive_loss,
    contrastive_step,
    nearness,
    resampled,
)
from spurbench_methods.erm_adapter import BATCH, EPOCHS, ERMAdapter, mean_cross_entropy

if TYPE_CHECKING:
    from conftest import MakePrepared


def task_of(method: BatchedMethod, prepared: Prepared, seed: int = 0) -> Task:
    return make_task(
        method,  # type: ignore[arg-type]
        prepared,
        train_view(method, prepared),  # type: ignore[arg-type]
        prepared.examples.rows("val")[:0],
        Seed(("adapters", seed)),
    )


def test_cross_entropy_is_torchs_mean_for_each_configuration() -> None:
    logits, y = 5 * torch.randn(3, 11, 4, generator=torch.Generator().manual_seed(0)), torch.arange(11) % 4
    expected = torch.stack([torch.nn.functional.cross_entropy(part.double(), y) for part in logits])
    torch.testing.assert_close(mean_cross_entropy(logits, y).double(), expected, rtol=1e-5, atol=1e-6)


def test_the_contrastive_loss_and_its_gradient_are_those_of_the_loops() -> None:
    generator = torch.Generator().manual_seed(1)
    z = (10 * torch.rand(2, 5, 9, generator=generator)).double().requires_grad_()
    kind = torch.randint(3, (5, 9), generator=generator)
    kind[:, 0], kind[:, 1] = 0, 1
    scale = torch.tensor([1.0, 2.5, 40.0, 0.1, 2048.0]).double()
    found = contrastive_loss(z, kind == 0, kind == 1, scale)
    rows = []
    for c in range(2):
        for i in range(5):
            positives = [j for j in range(9) if kind[i, j] == 0]
            below = scale[i] * sum(torch.exp(z[c, i, j]) for j in range(9) if kind[i, j] == 1)
            terms = [-torch.log(torch.exp(z[c, i, p]) / (torch.exp(z[c, i, p]) + below)) for p in positives]
            rows.append(torch.stack(terms).mean())
    expected = torch.stack(rows).reshape(2, 5)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(part.sum(), z)[0] for part in (found, expected)]
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("neighbours", [1, 4, 11, 28])
def test_the_nearest_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch, neighbours: int) -> None:
    monkeypatch.setattr(contrastive_adapter, "NEIGHBOURS", neighbours)
    unit = torch.nn.functional.normalize(torch.randn(30, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    anchors = torch.tensor([0, 3, 7, 8, 29])
    least = nearness(unit, anchors)
    for i in range(30):
        if i not in anchors.tolist():
            assert least[i] == -2
            continue
        others = sorted(((float(unit[i].double() @ unit[j].double()), j) for j in range(30) if j != i), reverse=True)
        nearest = {j for _, j in others[:neighbours]}
        # Half-way to the next, so that rounding decides nothing.
        assert least[i] == pytest.approx(others[neighbours - 1][0], abs=1e-6)
        near = unit[i] @ unit.T >= least[i] - 1e-6
        assert {j for j in range(30) if near[j] and j != i} == nearest


@pytest.mark.parametrize("n", [2, 29, 30])
def test_with_fewer_examples_than_neighbours_all_are_near(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(contrastive_adapter, "NEIGHBOURS", 29)
    unit = torch.nn.functional.normalize(torch.randn(n, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    assert nearness(unit, torch.arange(n)).tolist() == [-2.0] * n


def mined_of(y: list[int], right: list[bool], d: int = 6, neighbours: float = -1.0) -> Mined:
    x = torch.randn(len(y), d, generator=torch.Generator().manual_seed(5))
    unit = torch.nn.functional.normalize(x, dim=1)
    return Mined(x, torch.tensor(y), unit, torch.tensor(right), torch.full((len(y),), neighbours))


def test_a_resample_has_as_many_of_every_class_and_prediction_that_occurs() -> None:
    # Class 2 is never right, class 3 never occurs, and one cell has a single example.
    y = [0] * 10 + [1] * 5 + [2] * 3
    right = [True] * 7 + [False] * 3 + [True] * 4 + [False] + [False] * 3
    mined = mined_of(y, right)
    batches = list(resampled(mined, 4, torch.Generator().manual_seed(0)))
    assert {len(rows) for rows in batches[:-1]} == {BATCH}
    rows = torch.cat(batches)
    assert len(rows) == 5 * PER_CELL
    for k, outcome in ((0, True), (0, False), (1, True), (1, False), (2, False)):
        inside = [i for i in range(len(y)) if (y[i], right[i]) == (k, outcome)]
        counts = torch.bincount(rows, minlength=len(y))[inside]
        assert int(counts.sum()) == PER_CELL
        # Uniform within a cell: five deviations of a binomial.
        share = 1 / len(inside)
        assert (counts - PER_CELL * share).abs().max() <= 5 * (PER_CELL * share * (1 - share)) ** 0.5
    cells = mined.y[batches[0]] * 2 + mined.right[batches[0]]
    assert len(cells.unique()) == 5, "cells are mixed, not one after the other"
    again = torch.cat(list(resampled(mined, 4, torch.Generator().manual_seed(0))))
    assert torch.equal(rows, again)


class CaughtError(Exception):
    """Ends a step once its loss is known."""


def test_a_step_descends_the_mean_over_usable_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pairs count, by loops; the network's cosines are taken as given."""
    y = [0, 0, 0, 0, 1, 1, 1, 2, 2, 0]
    right = [True, True, False, False, True, False, True, False, False, True]
    mined = mined_of(y, right)
    least = torch.full((10,), -1.0)
    least[2], least[3] = 0.1, 2.0  # a threshold that parts the pool, and one that nobody reaches
    mined = replace(mined, least=least)
    anchors, pool = torch.tensor([2, 3, 5, 7]), torch.tensor([0, 1, 4, 6, 2, 9, 8, 7, 5, 0])
    text = torch.nn.functional.normalize(torch.randn(3, 6, generator=torch.Generator().manual_seed(1)), dim=1)
    adapters = Adapters(text, 100.0, torch.tensor([0.1, 0.2]), torch.zeros(2), torch.Generator().manual_seed(2))
    kept: list[torch.Tensor] = []

    def descend(loss: torch.Tensor) -> None:
        kept.append(loss.detach())
        raise CaughtError

    monkeypatch.setattr(adapters, "descend", descend)
    with pytest.raises(CaughtError):
        contrastive_step(adapters, mined, anchors, pool)
    terms = []
    for i in anchors.tolist():
        near = [j for j in pool.tolist() if mined.unit[i] @ mined.unit[j] >= least[i]]
        positives = [place for place, j in enumerate(pool.tolist()) if y[j] == y[i] and right[j]]
        negatives = [place for place, j in enumerate(pool.tolist()) if y[j] != y[i] and j in near]
        if positives and negatives:
            terms.append((i, positives, negatives, min(NEGATIVES, len(y) - 1) / len(near)))
    # Class 2 is never right, and for anchor 3 nobody is near.
    assert [i for i, *_ in terms] == [2, 5]
    r = adapters.hidden_of(mined.x[torch.cat([torch.tensor([2, 5]), pool])])
    cosines = adapters.cosines(r[:, :2], r[:, 2:]).double().detach()
    for c in range(2):
        losses = []
        for row, (_, positives, negatives, scale) in enumerate(terms):
            e = torch.exp(cosines[c, row] / TAU)
            below = scale * e[negatives].sum()
            losses.append(torch.stack([-torch.log(e[p] / (e[p] + below)) for p in positives]).mean())
        torch.testing.assert_close(kept[0][c].double(), torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("right", [[True] * 6, [False] * 6])
def test_without_anchors_or_positives_a_step_changes_nothing(right: list[bool]) -> None:
    mined = mined_of([0, 0, 0, 1, 1, 1], right)
    text = torch.eye(2, 6)
    adapters = Adapters(text, 100.0, torch.tensor([0.1]), torch.zeros(1), torch.Generator().manual_seed(2))
    before = adapters.first.clone(), adapters.running.clone()
    contrastive_step(adapters, mined, torch.nonzero(~mined.right)[:, 0], torch.arange(6))
    assert torch.equal(adapters.first, before[0])
    assert torch.equal(adapters.running, before[1])


@pytest.mark.parametrize("method", [ERMAdapter(), ContrastiveAdapter()])
def test_adapters_beat_chance_end_to_end(method: BatchedMethod, make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(150, 40, 40, 120), d=8)
    # Two deviations more between the classes, or the best there is were not far from chance.
    prepared.source.x[:, 0] += 2.0 * torch.from_numpy(prepared.examples.y)  # type: ignore[attr-defined]
    [(result, _)] = evaluate(method, prepared, load_rules("quick"), [0])  # type: ignore[arg-type]
    assert sum(result.selected["average"].test) / sum(result.test_total) > 0.8
    assert len(result.candidates) == len(EPOCHS) * len(result.configs)


@pytest.mark.parametrize("method", [ERMAdapter(), ContrastiveAdapter()])
def test_adapters_of_a_seed_do_not_depend_on_other_seeds_and_seeds_differ(
    method: BatchedMethod, make_prepared: MakePrepared
) -> None:
    prepared = make_prepared(train=(20, 12, 8, 15))
    config = {"lr": 1e-2, "weight_decay": 1e-4}
    tasks = [task_of(method, prepared, seed) for seed in (0, 1, 2)]
    together = method.fit_many([Problem(task, config) for task in tasks])
    ends = []
    for task, snapshots in zip(tasks, together, strict=True):
        assert isinstance(snapshots, list)
        for one, other in zip(snapshots, method.fit(task, config), strict=True):
            for name in ("first", "scale", "shift", "P", "G"):
                assert torch.equal(getattr(one, name), getattr(other, name))
        ends.append(snapshots[-1].first)
    assert not torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[1], ends[2])


def test_contrastive_epochs_alternate_with_cross_entropy_and_every_mistake_is_an_anchor_once(
    make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = make_prepared(train=(120, 90, 60, 90))
    task = task_of(ContrastiveAdapter(), prepared)
    done: list[tuple[str, list[int]]] = []

    def contrastive(adapters: Adapters, mined: Mined, anchors: torch.Tensor, pool: torch.Tensor) -> None:
        assert len(pool) == 512
        done.append(("contrastive", anchors.tolist()))

    def plain(adapters: Adapters, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> None:
        done.append(("cross-entropy", rows.tolist()))

    monkeypatch.setattr(contrastive_adapter, "contrastive_step", contrastive)
    monkeypatch.setattr(contrastive_adapter, "cross_entropy_step", plain)
    snapshots = ContrastiveAdapter().fit(task, {"lr": 1e-3, "weight_decay": 5e-5})
    assert len(snapshots) == len(contrastive_adapter.EPOCHS)
    unit = torch.nn.functional.normalize(task.train.embeddings(), dim=1)
    wrong = [i for i, v in enumerate(unit) if int((task.text.classes() @ v).argmax()) != int(task.train.y[i])]
    assert len(wrong) > 128
    epochs = [(kind, [rows for _, rows in steps]) for kind, steps in groupby(done, lambda step: step[0])]
    assert [kind for kind, _ in epochs] == ["contrastive", "cross-entropy"] * 5
    for kind, steps in epochs:
        together = [row for rows in steps for row in rows]
        assert {len(rows) for rows in steps[:-1]} == {128}
        if kind == "contrastive":
            assert sorted(together) == wrong
        else:
            assert len(together) == 4 * PER_CELL
    assert epochs[0][1] != epochs[2][1], "every epoch has an order of its own"


def test_when_zero_shot_is_always_right_cross_entropy_is_what_remains(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(20, 12, 8, 15))
    method = ContrastiveAdapter()
    task = task_of(method, prepared)
    x, y = torch.nn.functional.normalize(task.train.embeddings(), dim=1), task.train.y
    assert prepared.text is not None
    assert 0 < int(((x @ prepared.text.class_vectors.T).argmax(dim=1) == y).sum()) < len(y)
    # Ties go to the first class: of two equal texts, class 0 is always right and class 1 never.
    text = replace(prepared.text, class_vectors=prepared.text.class_vectors[[0, 0]])
    snapshots = method.fit(task_of(method, replace(prepared, text=text)), {"lr": 1e-3, "weight_decay": 5e-5})
    assert all(bool(torch.isfinite(snapshot.logits(task.train)).all()) for snapshot in snapshots)
