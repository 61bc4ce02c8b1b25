"""Activation maps can be drawn of every registered method that works on features: its logits carry gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from spurbench.explanation import Subject
from spurbench.explanation.models import Features, head_logits
from spurbench.method import Problem, fit_many
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import draw_configs
from spurbench.tasks import Prepared, make_task, split_validation, train_view, view_of
from spurbench_methods.group_prompt import NearestGroup
from spurbench_methods.perception_clip import TwoStep
from spurbench_methods.roboshot import MovedHead

if TYPE_CHECKING:
    from conftest import MakePrepared

REGISTRY = load_registries().methods


def names() -> list[str]:
    """Of methods that the toy has inputs for, and that need not be told anything in words."""
    plain = [name for name in REGISTRY.names() if not REGISTRY.needs_argument(name)]
    cards = {name: REGISTRY.get(name).card for name in plain}
    inputs = {"embeddings", "penultimate", "text"}
    return [name for name, card in cards.items() if set(card.inputs) <= inputs and not card.words]


def test_most_methods_are_here() -> None:
    kinds = {"zero_shot", "erm", "dfr_val", "group_dro", "erm_adapter", "wise_ft_head", "erm_projection", "jtt"}
    assert kinds <= set(names())


@pytest.mark.parametrize("name", names())
def test_logits_with_gradients_are_its_own(
    make_prepared: MakePrepared, with_tower: Callable[[Prepared], Prepared], name: str
) -> None:
    # One epoch: how well it is trained is no matter.
    method: Any = REGISTRY.get(f"{name}:epochs=1" if "epochs" in REGISTRY.get(name).space else name)
    prepared = make_prepared(train=(14, 3, 4, 12), val=(4,) * 4, test=(4,) * 4, d=5)
    assert prepared.text is not None
    if "penultimate" in method.card.inputs:
        prepared = with_tower(prepared)
    else:
        prepared = replace(prepared, text=replace(prepared.text, attribute_vectors=torch.eye(2, 5)))
    fit_rows, _ = split_validation(method, prepared.examples, prepared.examples.rows("val"), load_rules("quick"), 0)
    task = make_task(method, prepared, train_view(method, prepared), fit_rows, Seed(("explained", name)))
    (candidates,) = fit_many(method, [Problem(task, draw_configs(method.space, 1, Seed(("c", 0)))[0])])
    assert not isinstance(candidates, Exception)
    view = view_of(method, prepared, "test", prepared.examples.rows("test"))
    expected = candidates[-1].logits(view).detach().cpu().numpy()
    x = prepared.source.features("embeddings", prepared.examples.rows("test"))
    compare(Subject(name, method.card.inputs, candidates[-1]), x, expected)


def compare(subject: Subject, x: torch.Tensor, expected: npt.NDArray[np.float32]) -> None:
    """The logits of a model on features with a graph, and gradients by these."""
    x = x.clone().requires_grad_()
    found = head_logits(subject, Features(x, lambda penultimate: penultimate))
    np.testing.assert_allclose(found.detach().cpu(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    (gradient,) = torch.autograd.grad((found[:, 0] - found[:, 1]).sum(), x)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def test_so_are_those_of_methods_that_are_told_words(make_prepared: MakePrepared) -> None:
    torch.manual_seed(0)
    prepared = make_prepared(d=5)
    rows = prepared.examples.rows("test")
    for predictor in (
        MovedHead(torch.randn(5, 5), unit(2, 5), 20.0),
        TwoStep(unit(2, 3, 5), None, 20.0, 1.0),
        TwoStep(unit(2, 3, 5), unit(3, 5), 20.0, 2.0),
        NearestGroup(unit(2, 3, 5), 20.0),
    ):
        view = view_of(REGISTRY.get("erm"), prepared, "test", rows)
        x = prepared.source.features("embeddings", rows)
        compare(Subject("told", ("embeddings",), predictor), x, predictor.logits(view).numpy())
