"""Perceptrons against the network they stand for, and in company against alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from spurbench.data import View
from spurbench.heads.perceptron import PerceptronHead, Perceptrons

if TYPE_CHECKING:
    from conftest import ArraySource

D, HIDDEN, STEPS = 24, 16, 12
LR, DECAY = torch.tensor([1e-2, 1e-3, 3e-3, 3e-2, 1e-4]), torch.tensor([0.0, 0.1, 0.01, 0.5, 5e-5])
FIELDS = ("first", "scale", "shift", "second", "bias")


def batches(classes: int, size: int, steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, D, generator=generator), torch.randint(classes, (size,), generator=generator))
        for _ in range(steps)
    ]


def trained(classes: int, size: int, chosen: list[int] | None = None, steps: int = STEPS) -> list[PerceptronHead]:
    here = list(range(len(LR))) if chosen is None else chosen
    generator = torch.Generator().manual_seed(1)
    ours = Perceptrons(D, classes, LR[here], DECAY[here], generator, hidden=HIDDEN)
    for x, y in batches(classes, size, steps):
        ours.descend(torch.stack([cross_entropy(z, y) for z in ours.logits(ours.hidden_of(x))]))
    return ours.heads()


def shown(x: torch.Tensor, source: type[ArraySource]) -> View:
    rows = np.arange(len(x))
    return View("evaluation", rows, source(x.numpy()), method="mine", inputs=("embeddings",), n_attributes=1)


@pytest.mark.parametrize("classes", [2, 5])
def test_steps_are_those_of_torchs_sgd_on_all_weights(classes: int, array_source: type[ArraySource]) -> None:
    heads = trained(classes, 32)
    seen = torch.randn(50, D, generator=torch.Generator().manual_seed(2))
    for c, head in enumerate(heads):
        generator = torch.Generator().manual_seed(1)
        first, second = torch.nn.Linear(D, HIDDEN, bias=False), torch.nn.Linear(HIDDEN, classes)
        with torch.no_grad():
            first.weight.copy_(((2 * torch.rand(D, HIDDEN, generator=generator) - 1) / math.sqrt(D)).T)
            second.weight.copy_(((2 * torch.rand(HIDDEN, classes, generator=generator) - 1) / math.sqrt(HIDDEN)).T)
            second.bias.copy_((2 * torch.rand(classes, generator=generator) - 1) / math.sqrt(HIDDEN))
        network = torch.nn.Sequential(first, torch.nn.BatchNorm1d(HIDDEN), torch.nn.ReLU(), second).double()
        optimiser = torch.optim.SGD(network.parameters(), lr=float(LR[c]), momentum=0.9, weight_decay=float(DECAY[c]))
        for x, y in batches(classes, 32, STEPS):
            optimiser.zero_grad()
            cross_entropy(network(x.double()), y).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            expected = network.eval()(seen.double())
        torch.testing.assert_close(head.logits(shown(seen, array_source)).double(), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("size", [2, 7, 13, 32, 100])
@pytest.mark.parametrize("classes", [2, 3, 5, 7])
def test_a_configuration_alone_is_bit_for_bit_the_one_among_others(classes: int, size: int) -> None:
    together = trained(classes, size, steps=4)
    for chosen in ([0], [1], [4], [3, 2]):
        for head, c in zip(trained(classes, size, chosen, steps=4), chosen, strict=True):
            for name in FIELDS:
                assert torch.equal(getattr(head, name), getattr(together[c], name)), (name, c)


@pytest.mark.parametrize("n", [1, 3, 7, 40, 513, 1025])
@pytest.mark.parametrize("classes", [2, 5])
def test_every_perceptrons_logits_are_bit_for_bit_those_it_gives_alone(
    classes: int, n: int, array_source: type[ArraySource]
) -> None:
    heads = trained(classes, 16, steps=2)
    view = shown(torch.randn(n, D, generator=torch.Generator().manual_seed(n)), array_source)
    many = PerceptronHead.logits_many(heads, view)
    assert many.shape == (len(heads), n, classes)
    for head, logits in zip(heads, many, strict=True):
        assert torch.equal(head.logits(view), logits)
