"""First-order training against torch's own optimisers and autograd; and that nobody's numbers depend on company."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench.heads import (
    Descent,
    LinearHead,
    Standardiser,
    Weights,
    cross_entropy_gradient,
    descend,
    drawn,
    heads_of,
    shuffled,
)

D, STEPS = 7, 12
MANY = 41


@dataclass(frozen=True)
class Stream:
    """Batches of random examples; the last is smaller, as an epoch's last often is."""

    x: tuple[torch.Tensor, ...]
    y: tuple[torch.Tensor, ...]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return iter(zip(self.x, self.y, strict=True))


def stream(classes: int, d: int = D, size: int = 16, steps: int = STEPS) -> Stream:
    generator = torch.Generator().manual_seed(classes)
    sizes = [size] * (steps - 1) + [max(1, size // 3)]
    x = tuple(torch.randn(m, d, generator=generator) for m in sizes)
    return Stream(x, tuple(torch.randint(classes, (m,), generator=generator) for m in sizes))


def start(heads: int, classes: int, d: int = D) -> Weights:
    generator = torch.Generator().manual_seed(heads)
    return Weights(
        torch.randn(heads, classes, d, generator=generator), torch.randn(heads, classes, generator=generator)
    )


def trained(
    batches: Stream,
    descent: Descent,
    classes: int,
    *,
    snapshots: tuple[int, ...] = (STEPS,),
    begin: Weights | None = None,
    d: int = D,
) -> list[Weights]:
    return descend(batches, cross_entropy_gradient, descent, (len(descent.lr), classes, d), snapshots, begin)


def reference(
    batches: Stream, descent: Descent, c: int, classes: int, begin: Weights | None = None, steps: int = STEPS
) -> torch.nn.Linear:
    """One configuration by torch.optim, autograd and clip_grad_norm_, in float64."""
    head = torch.nn.Linear(D, classes).double()
    with torch.no_grad():
        head.weight.copy_(begin.weight[c] if begin else torch.zeros(classes, D))
        head.bias.copy_(begin.bias[c] if begin else torch.zeros(classes))
    origin = [part.detach().clone() for part in head.parameters()]
    decayed = {"params": [head.weight], "weight_decay": float(descent.weight_decay[c])}
    groups = [decayed, {"params": [head.bias], "weight_decay": 0.0}]
    lr = float(descent.lr[c])
    optimiser: torch.optim.Optimizer
    if descent.rule == "adamw":
        optimiser = torch.optim.AdamW(groups, lr=lr)
    else:
        optimiser = torch.optim.SGD(groups, lr=lr, momentum=descent.momentum)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, descent.schedule)
    for x, y in islice(batches, steps):
        loss = torch.nn.functional.cross_entropy(head(x.double()), y)
        if descent.pull is not None:
            distance = sum((part - there).square().sum() for part, there in zip(head.parameters(), origin, strict=True))
            loss = loss + float(descent.pull[c]) * distance
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if descent.clip is not None:
            torch.nn.utils.clip_grad_norm_(head.parameters(), descent.clip)
        optimiser.step()
        scheduler.step()
    return head


LR, DECAY = torch.tensor([0.1, 0.01, 0.03, 1e-3]), torch.tensor([0.0, 0.5, 0.01, 2.0])
PULL = torch.tensor([0.0, 0.3, 1.0, 3.0])


def cosine(step: int) -> float:
    return 0.5 + 0.5 * torch.cos(torch.tensor(torch.pi * step / STEPS)).item()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    "descent",
    [
        Descent(LR, DECAY),
        Descent(LR, DECAY, momentum=0.0),
        Descent(LR, DECAY, schedule=cosine),
        Descent(LR, DECAY, pull=PULL),
        Descent(LR, DECAY, clip=0.05),
        Descent(LR, DECAY, clip=0.2, pull=PULL, schedule=cosine),
        Descent(LR, DECAY, "adamw"),
        Descent(LR, DECAY, "adamw", schedule=cosine, clip=0.05, pull=PULL),
    ],
    ids=["sgd", "plain", "schedule", "pull", "clip", "sgd with all", "adamw", "adamw with all"],
)
def test_every_configuration_descends_as_by_torchs_own_optimiser(descent: Descent, started: bool, classes: int) -> None:
    batches = stream(classes)
    begin = start(len(LR), classes) if started else None
    (ours,) = trained(batches, descent, classes, begin=begin)
    for c in range(len(LR)):
        head = reference(batches, descent, c, classes, begin)
        torch.testing.assert_close(ours.weight[c].double(), head.weight.detach(), atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(ours.bias[c].double(), head.bias.detach(), atol=2e-5, rtol=1e-4)


def test_the_reference_tells_the_ways_to_descend_apart() -> None:
    """Every part of `Descent` moves the heads by much more than the tolerance, or agreement would say nothing."""
    batches, begin = stream(2), start(len(LR), 2)
    ways = [
        Descent(LR, DECAY),
        Descent(LR, 2 * DECAY),
        Descent(LR, DECAY, momentum=0.5),
        Descent(LR, DECAY, schedule=cosine),
        Descent(LR, DECAY, pull=PULL),
        Descent(LR, DECAY, clip=0.05),
        Descent(LR, DECAY, "adamw"),
    ]
    ends = [trained(batches, way, 2, begin=begin)[0].weight[1] for way in ways]
    for i, one in enumerate(ends):
        assert all((one - other).abs().max() > 1e-3 for other in ends[:i])


@pytest.mark.parametrize("rule", ["sgd", "adamw"])
def test_weight_decay_leaves_the_biases_alone(rule: Literal["sgd", "adamw"]) -> None:
    """Without examples' pull a decayed weight shrinks, and a bias stays where it was."""
    descent = replace(Descent(torch.tensor([0.1]), torch.tensor([1.0])), rule=rule)
    begin = start(1, 3)
    batches = [(torch.zeros(4, D), torch.zeros(4, dtype=torch.int64))] * 3
    (ours,) = descend(batches, lambda z, _: torch.zeros_like(z), descent, (1, 3, D), [3], begin)
    assert torch.equal(ours.bias, begin.bias)
    assert (ours.weight.abs() < 0.95 * begin.weight.abs()).all()


def several(count: int) -> Descent:
    """Configurations that have nothing in common."""
    return Descent(torch.logspace(-4, 0, count), torch.linspace(0, 0.5, count))


def only(descent: Descent, chosen: list[int]) -> Descent:
    pull = None if descent.pull is None else descent.pull[chosen]
    return replace(descent, lr=descent.lr[chosen], weight_decay=descent.weight_decay[chosen], pull=pull)


def picked(weights: Weights, chosen: list[int]) -> Weights:
    return Weights(weights.weight[chosen], weights.bias[chosen])


def assert_same_bits(one: Weights, other: Weights) -> None:
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


# Sizes around those at which BLAS changes how it adds up: single rows, odd ones, and more than a block of columns.
@pytest.mark.parametrize(("classes", "d", "size"), [(2, 7, 16), (5, 7, 1), (2, 130, 9), (3, 1, 33), (5, 64, 128)])
@pytest.mark.parametrize("rule", ["sgd", "adamw", "everything"])
def test_a_configuration_alone_is_bit_for_bit_the_one_among_forty_others(
    rule: str, classes: int, d: int, size: int
) -> None:
    descent = several(MANY)
    if rule == "everything":
        descent = replace(descent, clip=0.1, pull=torch.linspace(0, 1, MANY), schedule=cosine)
    elif rule == "adamw":
        descent = replace(descent, rule="adamw")
    batches, begin = stream(classes, d, size, steps=5), start(MANY, classes, d)
    (together,) = trained(batches, descent, classes, snapshots=(5,), begin=begin, d=d)
    for chosen in ([0], [17], [MANY - 1], [30, 2, 8]):
        (alone,) = trained(batches, only(descent, chosen), classes, snapshots=(5,), begin=picked(begin, chosen), d=d)
        assert_same_bits(alone, picked(together, chosen))


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 40), st.integers(1, 40), st.permutations(range(11)))
def test_the_order_of_configurations_changes_no_bit(classes: int, d: int, size: int, order: list[int]) -> None:
    batches = stream(classes, d, size, steps=3)
    descent = replace(several(11), clip=0.3)
    (straight,) = trained(batches, descent, classes, snapshots=(3,), d=d)
    (moved,) = trained(batches, only(descent, order), classes, snapshots=(3,), d=d)
    assert_same_bits(moved, picked(straight, order))


@pytest.mark.parametrize("rule", ["sgd", "adamw", "clipped"])
def test_who_diverges_leaves_the_neighbours_alone(rule: str) -> None:
    descent = {
        "sgd": several(6),
        "adamw": replace(several(6), rule="adamw"),
        "clipped": replace(several(6), clip=1.0),
    }[rule]
    lr = descent.lr.clone()
    lr[2] = 1e30
    begin = start(6, 3)
    (ours,) = trained(stream(3), replace(descent, lr=lr), 3, begin=begin)
    assert not torch.isfinite(ours.weight[2]).all()
    others = [0, 1, 3, 4, 5]
    (without,) = trained(stream(3), only(descent, others), 3, begin=picked(begin, others))
    assert_same_bits(picked(ours, others), without)
    assert torch.isfinite(without.weight).all()


def test_snapshots_are_the_heads_as_they_were() -> None:
    batches = stream(3)
    descent = several(4)
    taken = trained(batches, descent, 3, snapshots=(2, 5, STEPS))
    assert len(taken) == 3
    for steps, snapshot in zip((2, 5, STEPS), taken, strict=True):
        (shorter,) = trained(batches, descent, 3, snapshots=(steps,))
        assert_same_bits(shorter, snapshot)
    before = taken[1].weight.clone()
    taken[0].weight.zero_()
    taken[2].weight.zero_()
    assert torch.equal(taken[1].weight, before), "snapshots share no memory"


def test_training_ends_with_the_last_snapshot() -> None:
    read: list[None] = []

    def endless() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            read.append(None)
            yield torch.ones(2, D), torch.tensor([0, 1])

    descend(endless(), cross_entropy_gradient, several(2), (2, 2, D), {3, 1})
    assert len(read) == 3


def test_the_start_is_not_written_to() -> None:
    begin = start(2, 3)
    kept = begin.weight.clone()
    trained(stream(3), several(2), 3, begin=begin)
    assert torch.equal(begin.weight, kept)


def test_heads_of_snapshots_are_on_raw_features_configuration_by_configuration() -> None:
    raw = 3 + 5 * torch.randn(20, D, generator=torch.Generator().manual_seed(0))
    scaler = Standardiser.fit(raw)
    taken = [start(4, 3), start(5, 3)]
    taken[1] = picked(taken[1], [0, 1, 2, 3])
    fitted = heads_of(scaler, taken)
    assert [len(candidates) for candidates in fitted if isinstance(candidates, list)] == [2] * 4
    for c, candidates in enumerate(fitted):
        assert isinstance(candidates, list)
        for weights, head in zip(taken, candidates, strict=True):
            assert isinstance(head, LinearHead)
            ours = raw.double() @ head.weight.double().T + head.bias
            expected = scaler(raw).double() @ weights.weight[c].double().T + weights.bias[c]
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", ["mean", "shared", "each"])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_gradient_of_the_cross_entropy_is_autograds(classes: int, weighted: str, soft: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    m, heads = 9, 3
    logits = (4 * torch.randn(m, heads, classes, generator=generator)).double().requires_grad_()
    target = torch.randint(classes, (m,), generator=generator)
    if soft:
        target = torch.softmax(torch.randn(m, classes, generator=generator).double(), dim=-1)
    columns = {"mean": 0, "shared": 1, "each": heads}[weighted]
    weight = torch.rand(m, columns, generator=generator).double() if columns else None
    total = torch.zeros((), dtype=torch.float64)
    for c in range(heads):
        losses = torch.nn.functional.cross_entropy(logits[:, c], target, reduction="none")
        total = total + (losses.mean() if weight is None else (weight[:, c % columns] * losses).sum())
    total.backward()  # type: ignore[no-untyped-call]
    ours = cross_entropy_gradient(logits.detach(), target, weight)
    assert logits.grad is not None
    torch.testing.assert_close(ours, logits.grad, atol=1e-12, rtol=1e-9)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 99))
def test_an_epoch_shows_every_row_once(n: int, size: int, seed: int) -> None:
    batches = shuffled(n, size, torch.Generator().manual_seed(seed))
    per_epoch = -(-n // size)
    for _ in range(3):
        epoch = list(islice(batches, per_epoch))
        assert all(len(batch) == size for batch in epoch[:-1])
        assert sorted(torch.cat(epoch).tolist()) == list(range(n))


def test_every_epoch_has_an_order_of_its_own_and_the_generator_decides_it() -> None:
    one, again = (list(islice(shuffled(50, 50, torch.Generator().manual_seed(3)), 2)) for _ in range(2))
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one[0], torch.arange(50))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))


def test_rows_are_drawn_as_often_as_their_probability_says() -> None:
    probabilities = torch.tensor([1.0, 2.0, 3.0, 0.0, 4.0])
    draws = 4000
    batches = list(islice(drawn(probabilities, 10, torch.Generator().manual_seed(0)), draws // 10))
    assert {len(batch) for batch in batches} == {10}
    counts = torch.bincount(torch.cat(batches), minlength=5)
    share = probabilities / probabilities.sum()
    deviation = (draws * share * (1 - share)).sqrt()
    assert counts[3] == 0
    assert ((counts - draws * share).abs() <= 4 * deviation).all()


@given(st.integers(1, 20), st.integers(1, 7))
def test_drawn_batches_are_all_of_one_size(n: int, size: int) -> None:
    for batch in islice(drawn(torch.ones(n), size, torch.Generator().manual_seed(n)), 20):
        assert len(batch) == size
        assert 0 <= int(batch.min()) <= int(batch.max()) < n
