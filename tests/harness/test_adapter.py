"""Adapters against the network they stand for, its second layer trained as it is written in the paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from spurbench.data import View
from spurbench.heads import AdapterHead, Adapters

if TYPE_CHECKING:
    from conftest import ArraySource

D, HIDDEN, STEPS, SCALE = 24, 16, 12, 20.0
LR, DECAY = torch.tensor([1e-2, 1e-3, 3e-3, 3e-2, 1e-4]), torch.tensor([0.0, 0.1, 0.01, 0.5, 5e-5])
FIELDS = ("first", "scale", "shift", "P", "G")


def text(classes: int) -> torch.Tensor:
    return normalize(torch.randn(classes, D, generator=torch.Generator().manual_seed(classes)), dim=-1)


def batches(classes: int, size: int, steps: int = STEPS) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, D, generator=generator), torch.randint(classes, (size,), generator=generator))
        for _ in range(steps)
    ]


def adapters(classes: int, chosen: list[int]) -> Adapters:
    return Adapters(text(classes), SCALE, LR[chosen], DECAY[chosen], torch.Generator().manual_seed(1), hidden=HIDDEN)


Loss = Callable[[Adapters, torch.Tensor, torch.Tensor], torch.Tensor]


def by_labels(ours: Adapters, r: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.stack([cross_entropy(z, y) for z in ours.logits(r)])


def by_pairs(ours: Adapters, r: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Examples of one class are drawn together, half of the batch to all of it; P, the text's, gets no gradient."""
    half = len(y) // 2
    alike = (y[:half, None] == y).float()
    return (alike - ours.cosines(r[:, :half], r)).square().mean(dim=(1, 2))


def by_both(ours: Adapters, r: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return by_labels(ours, r, y) + by_pairs(ours, r, y)


def reference_loss(loss: Loss, h: torch.Tensor, w: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The same losses on the network's output itself."""
    unit = normalize(h, dim=-1)
    labels = cross_entropy(SCALE * unit @ w.T, y)
    half = len(y) // 2
    pairs = ((y[:half, None] == y).double() - unit[:half] @ unit.T).square().mean()
    wanted: dict[Loss, torch.Tensor] = {by_labels: labels, by_pairs: pairs, by_both: labels + pairs}
    return wanted[loss]


def reference(loss: Loss, c: int, classes: int, size: int) -> torch.nn.Sequential:
    """W1, batch normalisation, ReLU and W2 in float64, all of it trained by torch's SGD with autograd."""
    generator = torch.Generator().manual_seed(1)
    first, second = torch.nn.Linear(D, HIDDEN, bias=False), torch.nn.Linear(HIDDEN, D, bias=False)
    with torch.no_grad():
        first.weight.copy_(((2 * torch.rand(D, HIDDEN, generator=generator) - 1) / math.sqrt(D)).T)
        second.weight.copy_((2 * torch.rand(D, HIDDEN, generator=generator) - 1) / math.sqrt(HIDDEN))
    network = torch.nn.Sequential(first, torch.nn.BatchNorm1d(HIDDEN), torch.nn.ReLU(), second).double()
    optimiser = torch.optim.SGD(network.parameters(), lr=float(LR[c]), momentum=0.9, weight_decay=float(DECAY[c]))
    for x, y in batches(classes, size):
        optimiser.zero_grad()
        reference_loss(loss, network(x.double()), text(classes).double(), y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


def trained(
    loss: Loss, classes: int, size: int, chosen: list[int] | None = None, steps: int = STEPS
) -> list[AdapterHead]:
    ours = adapters(classes, list(range(len(LR))) if chosen is None else chosen)
    for x, y in batches(classes, size, steps):
        ours.descend(loss(ours, ours.hidden_of(x), y))
    return ours.heads()


def shown(x: torch.Tensor, source: type[ArraySource]) -> View:
    rows = np.arange(len(x))
    return View("evaluation", rows, source(x.numpy()), method="mine", inputs=("embeddings",), n_attributes=1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("loss", [by_labels, by_pairs, by_both])
def test_steps_on_inner_products_are_those_of_sgd_on_all_weights(
    loss: Loss, classes: int, array_source: type[ArraySource]
) -> None:
    heads = trained(loss, classes, 32)
    x = torch.randn(50, D, generator=torch.Generator().manual_seed(2))
    for c, head in enumerate(heads):
        network = reference(loss, c, classes, 32)
        with torch.no_grad():
            expected = SCALE * normalize(network(x.double()), dim=-1) @ text(classes).double().T
        logits = head.logits(shown(x, array_source)).double()
        torch.testing.assert_close(logits, expected, atol=2e-3, rtol=1e-3)
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        second = weights["3.weight"]
        torch.testing.assert_close(head.G.double(), second.T @ second, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(head.P.double(), second.T @ text(classes).double().T, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(head.first.double(), weights["0.weight"].T, atol=1e-4, rtol=1e-3)


def test_the_configurations_part_by_more_than_the_tolerance(array_source: type[ArraySource]) -> None:
    x = shown(torch.randn(50, D), array_source)
    ends = [head.logits(x) for head in trained(by_both, 2, 32)]
    untrained = adapters(2, [0]).heads()[0].logits(x)
    for i, one in enumerate(ends):
        assert all((one - other).abs().max() > 0.05 for other in [untrained, *ends[:i]])


def test_training_normalises_by_the_batch_and_prediction_by_running_statistics(array_source: type[ArraySource]) -> None:
    x = 3 + 2 * torch.randn(40, D, generator=torch.Generator().manual_seed(3))
    ours = adapters(3, [0, 1])
    norm = torch.nn.BatchNorm1d(HIDDEN).double()
    first = ours.first[:, :HIDDEN].double()
    for _ in range(3):
        r = ours.hidden_of(x)
        expected = torch.relu(norm(x.double() @ first))
        torch.testing.assert_close(r[0].double(), expected, atol=1e-5, rtol=1e-4)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(ours.running[0, 0, 0].double(), norm.running_mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.running[1, 0, 0].double(), norm.running_var, atol=1e-5, rtol=1e-4)
    norm.eval()
    r = torch.relu(norm(x.double() @ first))
    head = ours.heads()[0]
    length = ((r @ head.G.double()) * r).sum(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(
        head.logits(shown(x, array_source)).double(), SCALE * r @ head.P.double() / length, atol=1e-3, rtol=1e-4
    )


# 7 and 13: an epoch's last batch may have any size, and BLAS adds up small products in ways of its own.
@pytest.mark.parametrize("size", [2, 7, 13, 32])
@pytest.mark.parametrize("classes", [2, 3, 5, 7])
@pytest.mark.parametrize("loss", [by_labels, by_pairs])
def test_a_configuration_alone_is_bit_for_bit_the_one_among_others(loss: Loss, classes: int, size: int) -> None:
    together = trained(loss, classes, size, steps=4)
    for chosen in ([0], [1], [4], [3, 2]):
        alone = trained(loss, classes, size, chosen, steps=4)
        for head, c in zip(alone, chosen, strict=True):
            for name in FIELDS:
                assert torch.equal(getattr(head, name), getattr(together[c], name)), (name, c)


def test_who_diverges_leaves_the_neighbours_alone() -> None:
    lr = LR.clone()
    lr[2] = 1e30

    def run(chosen: list[int]) -> list[AdapterHead]:
        ours = Adapters(text(3), SCALE, lr[chosen], DECAY[chosen], torch.Generator().manual_seed(1), hidden=HIDDEN)
        for x, y in batches(3, 32):
            ours.descend(by_labels(ours, ours.hidden_of(x), y))
        return ours.heads()

    together, others = run([0, 1, 2, 3, 4]), [0, 1, 3, 4]
    assert not all(bool(torch.isfinite(getattr(together[2], name)).all()) for name in FIELDS)
    for head, c in zip(run(others), others, strict=True):
        for name in FIELDS:
            assert torch.isfinite(getattr(head, name)).all()
            assert torch.equal(getattr(head, name), getattr(together[c], name))


@pytest.mark.parametrize("n", [1, 3, 40, 513, 1025])
@pytest.mark.parametrize("classes", [2, 5])
def test_every_adapters_logits_are_bit_for_bit_those_it_gives_alone(
    classes: int, n: int, array_source: type[ArraySource]
) -> None:
    heads = trained(by_labels, classes, 16, steps=2)
    view = shown(torch.randn(n, D, generator=torch.Generator().manual_seed(n)), array_source)
    many = AdapterHead.logits_many(heads, view)
    assert many.shape == (len(heads), n, classes)
    for head, logits in zip(heads, many, strict=True):
        assert torch.equal(head.logits(view), logits)


def test_heads_are_copies_that_further_training_does_not_reach() -> None:
    ours = adapters(2, [0, 3])
    before = ours.heads()
    kept = [[getattr(head, name).clone() for name in FIELDS] for head in before]
    for x, y in batches(2, 32):
        ours.descend(by_labels(ours, ours.hidden_of(x), y))
    for head, parts in zip(before, kept, strict=True):
        assert all(torch.equal(getattr(head, name), part) for name, part in zip(FIELDS, parts, strict=True))
    assert not torch.equal(ours.heads()[0].first, before[0].first)
