"""How projections compute, alone and in company: against the modules themselves and torch's SGD; their predictors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.modified_resnet import AttentionPool2d
from torch import nn
from torch.nn.functional import normalize

from spurbench.backbones.cutting import MatrixProjection
from spurbench.data import View
from spurbench.errors import MethodError
from spurbench.projections import (
    SGD,
    PenultimateRows,
    ProjectionHead,
    form_of,
    initial,
)

if TYPE_CHECKING:
    pass

Rows = dict[str, tuple[int, ...]]
SHAPES: Rows = {"matrix": (32,), "linear": (32,), "plain linear": (32,), "mlp": (32,), "pool": (64, 3, 2)}
"""Of one row of what each projection takes."""


def module(kind: str) -> nn.Module:
    """A projection into 24 dimensions, with weights that training might have left."""
    torch.manual_seed(len(kind))
    made: dict[str, Callable[[], nn.Module]] = {
        "matrix": lambda: MatrixProjection(nn.Parameter(torch.randn(32, 24) / 5)),
        "linear": lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(32, 24)),
        "plain linear": lambda: nn.Linear(32, 24, bias=False),
        "mlp": lambda: nn.Sequential(nn.Linear(32, 16), nn.GELU(), nn.Dropout(0.5), nn.Linear(16, 24)),
        "pool": lambda: pool(),
    }
    return made[kind]().eval()


def pool() -> nn.Module:
    """An attention pool whose maps are 3 x 2, with biases everywhere, that of the keys included."""
    built = AttentionPool2d(2, 64, 4, 24)
    built.positional_embedding = nn.Parameter(torch.randn(7, 64) / 8)
    for name, parameter in built.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return cast("nn.Module", built)


def drawn(kind: str, count: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Different weights for each of C configurations."""
    _, start = form_of(module(kind).to(dtype))
    generator = torch.Generator().manual_seed(1)
    return {
        name: (value + torch.randn(count, *value.shape, generator=generator).to(dtype) / 10).requires_grad_()
        for name, value in start.items()
    }


def named(inside: nn.Module, name: str) -> tuple[nn.Parameter, bool]:
    """The module's parameter that a form's weight stands for, and whether it is transposed."""
    layers = [layer for layer in inside.modules() if isinstance(layer, nn.Linear)]
    if name in ("weight", "bias") and layers:
        return getattr(layers[0], name), name == "weight"
    return inside.get_parameter(name), False


@pytest.mark.parametrize("kind", SHAPES)
def test_a_form_is_the_module_with_each_set_of_weights_and_so_are_its_gradients(kind: str) -> None:
    weights, (form, _) = drawn(kind, 3, torch.float64), form_of(module(kind))
    x = torch.randn(5, *SHAPES[kind], dtype=torch.float64)
    probe = torch.randn(3, 5, 24, dtype=torch.float64)
    outputs = form(weights, x)
    (outputs * probe).sum().backward()  # type: ignore[no-untyped-call]
    for c in range(3):
        reference = module(kind).double()
        with torch.no_grad():
            for name, value in weights.items():
                parameter, turned = named(reference, name)
                parameter.copy_(value[c].T if turned else value[c])
        expected = reference(x)
        torch.testing.assert_close(outputs[c], expected, atol=1e-10, rtol=1e-8)
        (expected * probe[c]).sum().backward()
        for name, value in weights.items():
            parameter, turned = named(reference, name)
            assert parameter.grad is not None
            assert value.grad is not None
            found = value.grad[c].T if turned else value.grad[c]
            torch.testing.assert_close(found, parameter.grad, atol=1e-10, rtol=1e-8)
        left = {name for name, _ in reference.named_parameters()} - set(weights)
        assert kind not in ("matrix", "mlp", "pool") or left == ({"k_proj.bias"} if kind == "pool" else set())


def test_the_initial_weights_are_the_modules_own_as_copies() -> None:
    for kind in SHAPES:
        own = module(kind)
        form, weights = form_of(own)
        many = initial(weights, 2)
        x = torch.randn(4, *SHAPES[kind])
        torch.testing.assert_close(form(many, x), own(x).expand(2, -1, -1), atol=1e-5, rtol=1e-5)
        with torch.no_grad():
            for value in many.values():
                assert value.is_leaf
                assert value.requires_grad
                value.zero_()
        assert all(bool(value.any()) for value in own.parameters())


def test_what_has_no_weights_cannot_be_trained() -> None:
    for nothing in (nn.Identity(), nn.Sequential(), nn.Linear(3, 3).requires_grad_(False)):
        with pytest.raises(MethodError, match="cannot be cut before a projection"):
            form_of(nothing)


# 7 and 13: an epoch's last batch may have any size, and BLAS adds up small products in ways of its own.
@pytest.mark.parametrize("size", [1, 7, 13, 128])
@pytest.mark.parametrize("kind", SHAPES)
def test_steps_of_a_configuration_alone_are_bit_for_bit_those_among_others(kind: str, size: int) -> None:
    form, _ = form_of(module(kind))
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(3, size, *SHAPES[kind], generator=generator)
    y = torch.randint(3, (size,), generator=generator)
    classes = normalize(torch.randn(3, 24, generator=generator), dim=-1)
    lr, decay, start = torch.linspace(0.01, 0.5, 20), torch.linspace(0, 0.1, 20), drawn(kind, 20)

    def run(chosen: list[int]) -> dict[str, torch.Tensor]:
        weights = {name: value.detach()[chosen].requires_grad_() for name, value in start.items()}
        sgd = SGD(list(weights.values()), lr[chosen], decay[chosen])
        for batch in x:
            z = 14.3 * torch.matmul(normalize(form(weights, batch), dim=-1), classes[None].mT)
            losses = -torch.log_softmax(z, dim=-1)[:, torch.arange(size), y]
            losses.mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
            sgd.step()
        return weights

    together = run(list(range(20)))
    assert all((together[name] - start[name]).abs().max() > 1e-4 for name in start if size > 1)
    for chosen in ([0], [19], [4, 2, 11]):
        for name, value in run(chosen).items():
            assert torch.equal(value, together[name][chosen]), (name, chosen)


@settings(max_examples=15)
@given(st.integers(1, 6), st.integers(0, 99), st.integers(0, 3))
def test_sgd_is_torchs_own_parameter_by_parameter(steps: int, seed: int, silent: int) -> None:
    """One of the parameters has no gradient in the first few steps."""
    generator = torch.Generator().manual_seed(seed)
    lr, decay = torch.tensor([0.1, 0.003, 1.0]), torch.tensor([0.0, 0.3, 0.01])
    start = [torch.randn(3, *shape, generator=generator) for shape in ((4, 2), (5,), ())]
    gradients = [[torch.randn(value.shape, generator=generator) for value in start] for _ in range(steps)]
    ours = [value.clone().requires_grad_() for value in start]
    sgd = SGD(ours, lr, decay)
    references = [[nn.Parameter(value[c].clone()) for value in start] for c in range(3)]
    optimisers = [
        torch.optim.SGD(references[c], lr=float(lr[c]), momentum=0.9, weight_decay=float(decay[c])) for c in range(3)
    ]
    for number, step in enumerate(gradients):
        for i, gradient in enumerate(step):
            if i != 1 or number >= silent:
                ours[i].grad = gradient.clone()
                for c in range(3):
                    references[c][i].grad = gradient[c].clone()
        sgd.step()
        assert all(value.grad is None for value in ours)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    for i, value in enumerate(ours):
        expected = torch.stack([references[c][i].detach() for c in range(3)])
        torch.testing.assert_close(value.detach(), expected, atol=1e-5, rtol=1e-4)


# Predictors and rows


class Counting:
    """Features that remember how many rows were asked for at a time."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x
        self.asked: list[int] = []

    def features(self, kind: str, rows: Any) -> torch.Tensor:
        self.asked.append(len(rows))
        return self.x[torch.from_numpy(rows)].float()

    def images(self, rows: Any) -> Any:
        raise AssertionError("no images here")


def shown(source: Any, rows: Any) -> View:
    return View("train", rows, source, method="mine", inputs=("penultimate",), n_attributes=1)


def heads_of(kind: str, count: int) -> list[ProjectionHead]:
    form, _ = form_of(module(kind))
    weights = {name: value.detach() for name, value in drawn(kind, count).items()}
    generator = torch.Generator().manual_seed(2)
    return [
        ProjectionHead(
            form,
            {name: value[c] for name, value in weights.items()},
            normalize(torch.randn(3, 24, generator=generator), dim=-1),
            10.0 + c,
        )
        for c in range(count)
    ]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("n", [1, 13, 600])
def test_logits_are_scaled_cosines_and_many_heads_give_what_each_gives_alone(
    kind: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, x = heads_of(kind, 7), torch.randn(n, *SHAPES[kind])
    source = Counting(x)
    view = shown(source, np.arange(n))
    alone = [head.logits(view) for head in heads]
    assert max(source.asked) <= 256
    for head, found in zip(heads, alone, strict=True):
        projected = head.form({name: value[None] for name, value in head.weights.items()}, x)[0]
        cosines = [[torch.cosine_similarity(one, w, dim=0) for w in head.classes] for one in projected[:5]]
        torch.testing.assert_close(found[:5], head.scale * torch.tensor(cosines), atol=1e-4, rtol=1e-4)
    size = heads[0].form.activation_bytes(torch.Size((256, *SHAPES[kind])), 24)
    for budget in (1, 3 * size, 2**40):
        monkeypatch.setattr("spurbench.projections.head.BUDGET", budget)
        together = ProjectionHead.logits_many(heads, view)
        assert together.shape == (7, n, 3)
        assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True)), budget


def test_rows_are_the_same_from_memory_and_from_the_view_and_memory_is_bounded() -> None:
    x = torch.randn(50, 4, 2, 2).half()
    order = np.random.default_rng(0).permutation(50)[:40]
    need = 4 * 40 * 16
    picked = torch.tensor([3, 39, 3, 0])
    for limit, whole in ((4 * need, True), (4 * need - 1, False)):
        source = Counting(x)
        rows = PenultimateRows(shown(source, order), torch.device("cpu"), limit)
        assert (len(rows), rows.shape) == (40, (4, 2, 2))
        assert source.asked == ([1, 40] if whole else [1])
        assert torch.equal(rows[picked], x[torch.from_numpy(order)][picked].float())
        assert rows[picked].dtype == torch.float32
        assert source.asked[-1] == (40 if whole else 4)
        assert rows[picked[:0]].shape == (0, 4, 2, 2)
