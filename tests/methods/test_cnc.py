"""Correct-n-Contrast: its loss against loops over anchors, positives and negatives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench.evaluation import evaluate
from spurbench.heads import shuffled
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.tasks import make_task, train_view
from spurbench_methods import cnc
from spurbench_methods.cnc import BATCH, EPOCHS, CnC, two_sided_loss
from spurbench_methods.inference.errors import predicted

if TYPE_CHECKING:
    from conftest import MakePrepared


def literal_loss(z: torch.Tensor, y: list[int], guess: list[int]) -> torch.Tensor:
    """One configuration, in the paper's words: right anchors first, then the side where wrong ones are anchors."""
    total = torch.zeros((), dtype=z.dtype)
    for of_right in (True, False):
        losses = []
        for i in range(len(y)):
            if (guess[i] == y[i]) != of_right:
                continue
            if of_right:
                positives = [j for j in range(len(y)) if y[j] == y[i] and guess[j] != y[j]]
                negatives = [j for j in range(len(y)) if y[j] != y[i] and guess[j] == guess[i]]
            else:
                positives = [j for j in range(len(y)) if y[j] == y[i] and guess[j] == y[j]]
                negatives = [j for j in range(len(y)) if guess[j] == y[j] == guess[i]]
            if not positives or not negatives:
                continue
            below = sum(torch.exp(z[i, j]) for j in positives) + sum(torch.exp(z[i, j]) for j in negatives)
            terms = [-torch.log(torch.exp(z[i, p]) / below) for p in positives]
            losses.append(torch.stack(terms).mean())
        if losses:
            total = total + torch.stack(losses).mean()
    return total


def batch(m: int, classes: int, configurations: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cosines over 0.1, classes, guesses."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(configurations, m, 5, generator=generator).double(), dim=-1)
    y = torch.randint(classes, (m,), generator=generator)
    guess = torch.randint(classes, (configurations, m), generator=generator)
    return unit @ unit.mT / 0.1, y, guess


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_loss_and_its_gradient_are_those_of_the_loops(classes: int) -> None:
    z, y, guess = batch(24, classes, 3, seed=classes)
    z.requires_grad_()
    found = two_sided_loss(z, y, guess)
    (slope,) = torch.autograd.grad(found.sum(), z)
    expected = torch.stack([literal_loss(z[c], y.tolist(), guess[c].tolist()) for c in range(3)])
    (literal_slope,) = torch.autograd.grad(expected.sum(), z)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(slope, literal_slope, rtol=1e-6, atol=1e-9)
    assert (expected > 0).all()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9), st.integers(0, 99))
def test_whatever_the_batch_holds_the_loss_is_that_of_the_loops(pairs: list[tuple[int, int]], seed: int) -> None:
    """Small batches: anchors without positives, without negatives, and sides without anchors are common."""
    y, guess = (list(column) for column in zip(*pairs, strict=True))
    generator = torch.Generator().manual_seed(seed)
    z = 10 * torch.randn(1, len(y), len(y), generator=generator).double()
    z.requires_grad_()
    found = two_sided_loss(z, torch.tensor(y), torch.tensor([guess]))
    (slope,) = torch.autograd.grad(found.sum(), z, allow_unused=True)
    expected = literal_loss(z[0], y, guess).item()
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert slope is None or bool(torch.isfinite(slope).all())


def test_two_by_two_by_hand() -> None:
    """One example of each class and prediction: each has exactly one positive and one negative."""
    y, guess = torch.tensor([0, 0, 1, 1]), torch.tensor([[0, 1, 0, 1]])
    z = torch.zeros(1, 4, 4)
    z[0, 0, 1], z[0, 0, 2] = 2.0, 1.0  # anchor 0, right: its positive is 1, its negative is 2
    z[0, 1, 0], z[0, 1, 3] = 0.5, 3.0  # anchor 1, wrong: its positive is 0, its negative is 3
    right = (math.log(math.exp(2) + math.e) - 2 + math.log(2)) / 2
    wrong = (math.log(math.exp(0.5) + math.exp(3)) - 0.5 + math.log(2)) / 2
    assert two_sided_loss(z, y, guess).item() == pytest.approx(right + wrong)


@pytest.mark.parametrize("guess", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
def test_a_batch_without_anchors_has_no_loss_and_a_finite_gradient(guess: list[int]) -> None:
    """All right; all wrong, so that nobody has a positive; everything taken for class 0."""
    z = torch.randn(1, 4, 4, requires_grad=True)
    loss = two_sided_loss(z, torch.tensor([0, 0, 1, 1]), torch.tensor([guess]))
    (slope,) = torch.autograd.grad(loss.sum(), z)
    assert loss.item() == 0.0
    assert torch.equal(slope, torch.zeros_like(slope))


def test_a_configuration_of_nan_harms_no_other() -> None:
    z, y, guess = batch(12, 2, 2, seed=0)
    alone = two_sided_loss(z[1:], y, guess[1:])
    z[0] = torch.nan
    together = two_sided_loss(z, y, guess)
    assert torch.isnan(together[0])
    assert torch.equal(together[1:], alone)


def test_training_is_literal_sgd_on_three_quarters_of_the_contrast_and_a_quarter_of_cross_entropy(
    make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network written out in float64; only its start, the batches and stage 1 are the harness's."""
    monkeypatch.setattr(cnc, "BATCH", 64)
    prepared = make_prepared(train=(60, 25, 20, 40))
    method = CnC()
    task = make_task(method, prepared, train_view(method, prepared), prepared.examples.rows("val")[:0], Seed(("cnc",)))
    config = {"lr": 3e-2, "weight_decay": 1e-2, "tau": 0.2, "steps": 5}
    snapshots = method.fit(task, config)
    assert len(snapshots) == len(EPOCHS)

    from spurbench.heads import Perceptrons, standardised

    x, y = task.train.embeddings(), task.train.y
    guess = predicted(task, standardised(task)[1], [5])[5]
    assert 10 < int((guess != y).sum()) < len(y) - 10
    start = Perceptrons(x.shape[1], 2, torch.ones(1), torch.ones(1), task.seed.derive("start").torch())
    hidden = start.first.shape[1]
    first, last = torch.nn.Linear(x.shape[1], hidden, bias=False), torch.nn.Linear(hidden, 2)
    with torch.no_grad():
        first.weight.copy_(start.first.T)
        last.weight.copy_(start.second[0].T)
        last.bias.copy_(start.bias[0, 0])
    encoder = torch.nn.Sequential(first, torch.nn.BatchNorm1d(hidden), torch.nn.ReLU()).double()
    last = last.double()
    optimiser = torch.optim.SGD([*encoder.parameters(), *last.parameters()], lr=3e-2, momentum=0.9, weight_decay=1e-2)
    batches = shuffled(len(x), 64, task.seed.derive("batches").torch())
    contrasts = []
    for epoch in range(1, EPOCHS[-1] + 1):
        for _ in range(3):  # 145 examples: 64, 64, 17
            rows = next(batches)
            r = encoder(x[rows].double())
            unit = torch.nn.functional.normalize(r, dim=1)
            contrast = literal_loss(unit @ unit.T / 0.2, y[rows].tolist(), guess[rows].tolist())
            contrasts.append(contrast.item())
            loss = 0.75 * contrast + 0.25 * torch.nn.functional.cross_entropy(last(r), y[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if epoch in EPOCHS:
            encoder.eval()
            with torch.no_grad():
                expected = last(encoder(x.double())).numpy()
            encoder.train()
            ours = snapshots[EPOCHS.index(epoch)].logits(task.train).numpy()
            np.testing.assert_allclose(ours, expected, atol=2e-3)
    assert min(contrasts) > 0


def test_it_learns_a_toy(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(200, 40, 30, 150), d=8)
    [(result, _)] = evaluate(CnC(), prepared, load_rules("quick"), [0])
    accuracy = sum(result.selected["average"].test) / sum(result.test_total)
    assert BATCH == 256
    assert accuracy > 0.62, "better than a coin"
