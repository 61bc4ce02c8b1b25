"""CFR's terms against loops over anchors, positives and negatives."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench_methods.cfr_terms import cross_entropy, emphasis, recalibration, supervised_contrast

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))


def similarities(m: int, p: int, n: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Of three configurations to positives and negatives; masks of both."""
    generator = torch.Generator().manual_seed(seed)
    positive = 4 * torch.randn(3, m, p, generator=generator, dtype=torch.float64)
    negative = 4 * torch.randn(3, m, n, generator=generator, dtype=torch.float64)
    masks = (torch.rand(m, size, generator=generator) < 0.6 for size in (p, n))
    return positive, negative, *masks


def literal_recalibration(
    positive: torch.Tensor, negative: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
) -> torch.Tensor:
    anchors = []
    for j in range(len(positive)):
        below = sum((negative[j, n].exp() for n in range(negative.shape[1]) if negatives[j, n]), torch.zeros(()))
        found = [positive[j, p].exp() for p in range(positive.shape[1]) if positives[j, p]]
        if found:
            anchors.append(torch.stack([-torch.log(near / (near + below)) for near in found]).mean())
    return torch.stack(anchors).mean() if anchors else torch.zeros((), dtype=positive.dtype)


def literal_contrast(f: torch.Tensor, y: list[int], tau: float) -> torch.Tensor:
    n, anchors = len(y), []
    for i in range(n):
        partners = [p for p in range(n) if p != i and y[p] == y[i]]
        if not partners:
            continue
        below = sum((torch.exp(f[i] @ f[j] / tau) for j in range(n) if j != i), torch.zeros(()))
        terms = [torch.log(torch.exp(f[i] @ f[p] / tau) / below) for p in partners]
        anchors.append(-torch.stack(terms).mean())
    return torch.stack(anchors).mean() if anchors else torch.zeros((), dtype=f.dtype)


def batch(size: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features of three configurations, and classes."""
    generator = torch.Generator().manual_seed(seed)
    f = torch.nn.functional.normalize(torch.randn(3, size, 4, generator=generator, dtype=torch.float64), dim=-1)
    return f, torch.randint(classes, (size,), generator=generator)


@settings(max_examples=40)
@given(SIZES)
def test_recalibration_is_that_of_the_loops(sizes: tuple[int, int, int, int]) -> None:
    """Small masks: anchors without a positive, without a negative, and without either are common."""
    positive, negative, positives, negatives = similarities(*sizes)
    everything = torch.ones_like(positives), torch.ones_like(negatives)
    for masks, given_masks in (((positives, negatives), (positives, negatives)), (everything, ())):
        one, other = positive.clone().requires_grad_(), negative.clone().requires_grad_()
        found = recalibration(one, other, *given_masks)
        assert found.shape == (3,)
        slopes = torch.autograd.grad(found.sum(), (one, other))
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes)
        for c in range(3):
            torch.testing.assert_close(found[c], literal_recalibration(positive[c], negative[c], *masks))
            alone = recalibration(positive[c : c + 1], negative[c : c + 1], *given_masks)
            torch.testing.assert_close(found[c : c + 1], alone, rtol=1e-12, atol=1e-12)


def test_recalibration_is_the_specifications_sum_when_nothing_is_masked() -> None:
    """(1/P) sum_p mean_j, in that order."""
    positive, negative, *_ = similarities(5, 3, 4, 0)
    total = torch.zeros((), dtype=torch.float64)
    for p in range(3):
        near = positive[0, :, p].exp()
        total = total + (-torch.log(near / (near + negative[0].exp().sum(dim=1)))).mean() / 3
    torch.testing.assert_close(recalibration(positive, negative)[0], total)


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 3), st.sampled_from([0.07, 0.5, 1.0]), st.integers(0, 999))
def test_supervised_contrast_is_that_of_the_loops(size: int, classes: int, tau: float, seed: int) -> None:
    """Examples that are alone in their class, batches of one, and batches of one class are common."""
    f, y = batch(size, classes, seed)
    f.requires_grad_()
    found = supervised_contrast(f, y, tau)
    assert found.shape == (3,)
    (slope,) = torch.autograd.grad(found.sum(), f)
    assert bool(torch.isfinite(slope).all())
    for c in range(3):
        torch.testing.assert_close(found[c], literal_contrast(f[c], y.tolist(), tau), check_dtype=False)
        alone = supervised_contrast(f[c : c + 1], y, tau)
        torch.testing.assert_close(found[c : c + 1], alone, rtol=1e-12, atol=1e-12)


def test_every_configuration_may_have_a_temperature_of_its_own() -> None:
    f, y = batch(6, 2, 0)
    taus = [0.07, 0.5, 1.0]
    together = supervised_contrast(f, y, torch.tensor(taus))
    for c, tau in enumerate(taus):
        torch.testing.assert_close(together[c], supervised_contrast(f, y, tau)[c], rtol=1e-6, atol=1e-6)


@settings(max_examples=15)
@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 999))
def test_cross_entropy_is_that_of_the_loops(size: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = 5 * torch.randn(3, size, classes, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (size,), generator=generator)
    for c, found in enumerate(cross_entropy(z, y)):
        losses = [-torch.log(z[c, i, y[i]].exp() / z[c, i].exp().sum()) for i in range(size)]
        torch.testing.assert_close(found, torch.stack(losses).mean())


def test_gradients_are_those_of_differences() -> None:
    positive, negative, positives, negatives = similarities(4, 3, 3, 1)
    negatives[2] = False
    positives[3] = False
    leaves = positive.requires_grad_(), negative.requires_grad_()
    assert torch.autograd.gradcheck(lambda p, n: recalibration(p, n, positives, negatives), leaves)
    assert torch.autograd.gradcheck(recalibration, leaves)
    f, _ = batch(5, 2, 2)
    y = torch.tensor([0, 1, 0, 1, 2])
    assert torch.autograd.gradcheck(lambda x: supervised_contrast(x, y, 0.5), f.requires_grad_())
    z = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, torch.tensor([0, 2, 1, 1])), z)


def test_the_order_of_anchors_positives_and_negatives_does_not_matter() -> None:
    positive, negative, positives, negatives = similarities(5, 4, 4, 3)
    expected = recalibration(positive, negative, positives, negatives)
    rows, columns = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 3, 1])
    moved = (positive[:, rows][:, :, columns], negative[:, rows][:, :, columns])
    found = recalibration(*moved, positives[rows][:, columns], negatives[rows][:, columns])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    f, y = batch(5, 2, 3)
    torch.testing.assert_close(supervised_contrast(f[:, rows], y[rows], 0.1), supervised_contrast(f, y, 0.1))


def test_a_configuration_of_nan_harms_no_other() -> None:
    positive, negative, positives, negatives = similarities(4, 3, 3, 4)
    f, y = batch(6, 2, 4)
    before = recalibration(positive, negative, positives, negatives), supervised_contrast(f, y, 0.1)
    for value in (positive, negative, f):
        value[1] = torch.nan
    after = recalibration(positive, negative, positives, negatives), supervised_contrast(f, y, 0.1)
    for found, expected in zip(after, before, strict=True):
        assert torch.isnan(found[1])
        torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_similarities_stay_finite_and_so_do_their_gradients(dtype: torch.dtype) -> None:
    positive = torch.tensor([[[1e4], [-1e4], [1e4]]], dtype=dtype, requires_grad=True)
    negative = torch.tensor([[[-1e4], [1e4], [1e4]]], dtype=dtype, requires_grad=True)
    found = recalibration(positive, negative)
    assert found.dtype == dtype
    assert found.item() == pytest.approx((0 + 2e4 + math.log(2)) / 3, rel=1e-6)
    slopes = torch.autograd.grad(found.sum(), (positive, negative))
    torch.testing.assert_close(slopes[0], torch.tensor([[[0.0], [-1 / 3], [-1 / 6]]], dtype=dtype))
    torch.testing.assert_close(slopes[1], -slopes[0])
    f = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]], dtype=dtype, requires_grad=True)
    # Two of a class at the same place, the third as far as can be; at this temperature it does not exist.
    contrast = supervised_contrast(f, torch.tensor([0, 0, 1]), 1e-4)
    (slope,) = torch.autograd.grad(contrast.sum(), f)
    assert contrast.dtype == dtype
    assert contrast.item() == 0.0
    assert bool(torch.isfinite(slope).all())


def test_who_has_no_partner_is_no_anchor_but_still_a_negative() -> None:
    f, _ = batch(3, 2, 5)
    y = torch.tensor([0, 0, 1])
    near, *far = (f[0, i] @ f[0, j] for i, j in ((0, 1), (0, 2), (1, 2)))
    by_hand = sum(torch.log(near.exp() + other.exp()) - near for other in far) / 2
    torch.testing.assert_close(supervised_contrast(f, y, 1.0)[0], by_hand)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_a_batch_without_anchors_has_no_loss_and_no_gradient(labels: list[int]) -> None:
    f, _ = batch(len(labels), 2, 6)
    f.requires_grad_()
    found = supervised_contrast(f, torch.tensor(labels), 0.1)
    (slope,) = torch.autograd.grad(found.sum(), f)
    assert found.tolist() == [0.0] * 3
    assert torch.equal(slope, torch.zeros_like(slope))
    positive, negative, *_ = similarities(2, 3, 3, 6)
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    assert recalibration(positive, negative, nobody).tolist() == [0.0] * 3
    assert recalibration(positive, negative, None, nobody).tolist() == [0.0] * 3
    assert recalibration(positive, negative[:, :, :0]).tolist() == [0.0] * 3


def test_emphasis_falls_and_rises_again() -> None:
    assert [emphasis(epoch, 4) for epoch in range(5)] == pytest.approx([1.5, 1.0, 0.5, 1.0, 1.5])
    assert sum(emphasis(epoch, 100) for epoch in range(100)) == pytest.approx(100)


@pytest.mark.parametrize("m", [7, 13, 61])
def test_a_configuration_alone_is_bit_for_bit_the_one_among_others(m: int) -> None:
    generator = torch.Generator().manual_seed(m)
    positive, negative = torch.randn(9, m, 1, generator=generator), torch.randn(9, m, 32, generator=generator)

    def run(chosen: list[int]) -> tuple[torch.Tensor, ...]:
        p, n = (part[chosen].requires_grad_() for part in (positive, negative))
        losses = recalibration(p, n)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        assert p.grad is not None
        assert n.grad is not None
        return losses.detach(), p.grad, n.grad

    together = run(list(range(9)))
    for chosen in ([0], [8], [3, 1]):
        for mine, theirs in zip(run(chosen), together, strict=True):
            assert torch.equal(mine, theirs[chosen])
