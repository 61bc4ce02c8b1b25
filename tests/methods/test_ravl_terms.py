"""RaVL's terms against loops written from the equations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench_methods.contrastive_yang_finetune import across_attribute
from spurbench_methods.ravl_terms import region_losses

TAU = 0.07


def loops(f: Any, spurious: Any, rest: Any, y: Any, w: Any, tau: float) -> tuple[float, float]:
    """Image by image and region by region, in plain exponentials."""

    def sigma(region: Any, k: int) -> float:
        return math.exp(float(np.dot(region, w[k])) / tau)

    def largest(i: int, k: int) -> float:
        return max(sigma(f[i][r], k) for r in range(len(f[i])) if rest[i][r])

    classes = sorted({int(k) for k in y})
    wrong = [f[i][r] for i in range(len(f)) for r in range(len(f[i])) if spurious[i][r]]
    penalty = sum(max(sigma(region, k) for k in classes) for region in wrong)
    counted = [i for i in range(len(f)) if any(rest[i])]
    regional, across = [], []
    for i in counted:
        own = largest(i, int(y[i]))
        regional.append(-math.log(own / (sum(largest(i, k) for k in classes) + penalty)))
        others = sum(largest(j, int(y[i])) for j in counted if y[j] != y[i])
        spurious_sum = sum(sigma(region, int(y[i])) for region in wrong)
        across.append(-math.log(own / (own + others + spurious_sum)))
    if not counted:
        return 0.0, 0.0
    return sum(regional) / len(counted), sum(across) / len(counted)


def unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Regions of which each is spurious, of the rest, or not there; classes of which some may not occur."""
    b, r, n_classes = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    f = unit(torch.randn(b, r, 5, dtype=torch.float64, generator=generator))
    kind = torch.tensor(draw(st.lists(st.sampled_from([0, 0, 1, 2]), min_size=b * r, max_size=b * r))).reshape(b, r)
    y = torch.tensor(draw(st.lists(st.integers(0, n_classes - 1), min_size=b, max_size=b)))
    w = unit(torch.randn(n_classes, 5, dtype=torch.float64, generator=generator))
    return f, kind == 1, kind == 0, y, w


@given(cases(), st.sampled_from([TAU, 0.5, 1.0]))
def test_the_losses_are_the_equations(case: Case, tau: float) -> None:
    expected = loops(*(part.numpy() for part in case), tau)
    found = region_losses(*case, tau)
    assert [float(part) for part in found] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert all(part.shape == () and float(part) >= -1e-12 for part in found)


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_photos_and_of_their_regions_does_not_matter(case: Case, random: Any) -> None:
    f, spurious, rest, y, w = case
    rows, places = list(range(len(f))), list(range(f.shape[1]))
    random.shuffle(rows)
    random.shuffle(places)
    moved = (f[rows][:, places], spurious[rows][:, places], rest[rows][:, places], y[rows], w)
    for found, expected in zip(region_losses(*moved, TAU), region_losses(*case, TAU), strict=True):
        torch.testing.assert_close(found, expected)


@given(cases())
def test_classes_that_do_not_occur_do_not_matter(case: Case) -> None:
    f, spurious, rest, y, w = case
    more = torch.cat([w[:1] * -1, w, w[:1]])
    for found, expected in zip(
        region_losses(f, spurious, rest, y + 1, more, TAU), region_losses(*case, TAU), strict=True
    ):
        torch.testing.assert_close(found, expected)


@given(cases())
def test_regions_that_are_not_there_do_not_matter_whatever_they_hold(case: Case) -> None:
    f, spurious, rest, y, w = case
    expected = loops(*(part.numpy() for part in case), TAU)
    broken = f.clone()
    broken[~(spurious | rest)] = torch.nan
    broken.requires_grad_()
    w.requires_grad_()
    found = region_losses(broken, spurious, rest, y, w, TAU)
    assert [float(part.detach()) for part in found] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    gradient, of_classes = torch.autograd.grad(sum(found), (broken, w))  # type: ignore[arg-type]
    assert gradient.isfinite().all()
    assert of_classes.isfinite().all()
    assert (gradient[~(spurious | rest)] == 0).all()


@settings(max_examples=25)
@given(cases())
def test_gradients_are_those_of_the_numbers(case: Case) -> None:
    f, spurious, rest, y, w = case
    f, w = f.requires_grad_(), w.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: region_losses(a, spurious, rest, y, b, 0.5), (f, w))


def test_terms_at_a_point_known_by_hand() -> None:
    """Two photos of two classes with one region each that finds its class, and one spurious region across both."""
    w = torch.eye(2, dtype=torch.float64)
    f = torch.stack([torch.stack([w[0], torch.zeros_like(w[0])]), torch.stack([w[1], unit(w.sum(dim=0))])])
    spurious = torch.tensor([[False, False], [False, True]])
    rest = torch.tensor([[True, False], [True, False]])
    regional, across = region_losses(f, spurious, rest, torch.tensor([0, 1]), w, 1.0)
    expected = math.log(1 + (1 + math.exp(math.sqrt(0.5))) / math.e)
    assert float(regional) == pytest.approx(expected)
    assert float(across) == pytest.approx(expected)


def test_without_spurious_regions_l_r_is_the_cross_entropy_of_the_best_regions() -> None:
    generator = torch.Generator().manual_seed(1)
    f, w = (unit(torch.randn(*shape, 6, dtype=torch.float64, generator=generator)) for shape in ((8, 3), (3,)))
    y = torch.arange(8) % 3
    none, every = torch.zeros(8, 3, dtype=torch.bool), torch.ones(8, 3, dtype=torch.bool)
    regional, _ = region_losses(f, none, every, y, w, TAU)
    best = (f @ w.T / TAU).amax(dim=1)
    torch.testing.assert_close(regional, torch.nn.functional.cross_entropy(best, y))


@pytest.mark.parametrize("tau", [1e-3, 1e-4])
def test_extreme_values_stay_finite(tau: float) -> None:
    """Logits of thousands, whose exponentials no float holds."""
    generator = torch.Generator().manual_seed(2)
    f, w = (unit(torch.randn(*shape, 4, generator=generator)) for shape in ((9, 3), (3,)))
    f.requires_grad_()
    spurious = torch.rand(9, 3, generator=generator) < 0.3
    losses = region_losses(f, spurious, ~spurious, torch.arange(9) % 3, w, tau)
    assert all(part.isfinite() and part > 0 for part in losses)
    (gradient,) = torch.autograd.grad(sum(losses), f)  # type: ignore[arg-type]
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("spurious", [False, True])
def test_a_batch_without_regions_of_the_rest_has_no_loss_and_no_gradient(spurious: bool) -> None:
    f = torch.ones(3, 2, 4, requires_grad=True)
    mask = torch.full((3, 2), spurious)
    losses = region_losses(f, mask, torch.zeros(3, 2, dtype=torch.bool), torch.tensor([0, 1, 1]), torch.eye(4)[:2], TAU)
    assert [float(part.detach()) for part in losses] == [0.0, 0.0]
    (losses[0] + losses[1]).backward()  # type: ignore[no-untyped-call]
    assert f.grad is not None
    assert (f.grad == 0).all()


@given(st.integers(1, 8), st.integers(0, 1000))
def test_the_attributes_term_is_its_equation(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    f = unit(torch.randn(n, 4, dtype=torch.float64, generator=generator))
    y, a = torch.randint(3, (n,), generator=generator), torch.randint(2, (n,), generator=generator)
    total = 0.0
    for i in range(n):
        for j in range(n):
            if y[i] == y[j]:
                total += float(f[i] @ f[j]) * (1 if a[i] == a[j] else -1)
    assert float(across_attribute(f, y, a)) == pytest.approx(total / n**2, abs=1e-12)
    torch.testing.assert_close(across_attribute(f, y, 1 - a), across_attribute(f, y, a))


def test_the_attributes_term_draws_photos_with_and_without_together() -> None:
    f = torch.eye(4, requires_grad=True)
    loss = across_attribute(f, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
    (gradient,) = torch.autograd.grad(loss, f)
    # Descending brings each nearer to its partner of the other attribute, and changes nothing towards other classes.
    assert -gradient[0, 1] > 0
    assert -gradient[2, 3] > 0
    assert gradient[0, 2] == gradient[0, 3] == 0
