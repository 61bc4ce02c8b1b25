"""Models that break while they are looked into: whose fault it is, and what is left of it for those after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spurbench.data import View
from spurbench.errors import MethodError, UsageError, WeightsError
from spurbench.explanation import How, Subject
from spurbench.explanation.draw import check, draw
from spurbench.heads import LinearHead

from .looking import Images, Modules, shaken, tower_of


def conv() -> Modules:
    """A tower of two layers of 8 x 8 cells, and a projection."""
    torch.manual_seed(3)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.Tanh())
    return shaken(trunk), shaken(nn.Sequential(nn.Flatten(), nn.Linear(5 * 64, 6)))


class Asked:
    """A predictor of what computes logits, or of what makes its own module."""

    def __init__(self, compute: Callable[[View], Any] | None = None, make: Callable[[], Any] | None = None) -> None:
        self.compute = compute
        if make is not None:
            self.module = make

    def logits(self, view: View) -> Any:
        assert self.compute is not None
        return self.compute(view)


GOOD = LinearHead(torch.linspace(-1, 1, 18).reshape(3, 6), torch.tensor([0.3, 0.0, -0.1]))
X = torch.linspace(-1, 2, 4 * 3 * 64).sin().reshape(4, 3, 8, 8)
Y = np.array([0, 1, 2, 0])


def drawn(*predictors: Any, how: How | None = None, modules: Modules | None = None) -> Any:
    subjects = [
        Subject("fine" if one is GOOD else "odd", ("embeddings", "penultimate", "images"), one) for one in predictors
    ]
    return draw(tower_of(*(modules or conv())), subjects, Images(X.clone()), Y, how)


def divided_in_place(view: View) -> torch.Tensor:
    e = view.embeddings()
    e /= e.norm(dim=-1, keepdim=True)
    return e[:, :3]


def leaving(view: View) -> torch.Tensor:
    raise SystemExit(0)


def elsewhere(view: View) -> torch.Tensor:
    return torch.ones(len(view), 3, requires_grad=True) * 2


def rough(view: View) -> torch.Tensor:
    raise RuntimeError


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (
            divided_in_place,
            r"there are no gradients of its logits: .*inplace.*\d instead; .*e = e / e.norm\(\), not e /= ",
        ),
        (leaving, "its predictor fails on features that carry gradients, .*: SystemExit: 0; compute its logits by"),
        (elsewhere, "there are no gradients of its logits: RuntimeError: .*; compute its logits by torch alone"),
        (rough, "its predictor fails .* can be drawn: RuntimeError; compute"),
        (lambda view: view.embeddings()[:, :3] * (1 + 2j), "there are no gradients of its logits: "),
        (lambda view: view.embeddings()[:, :3].to_sparse(), "there are no gradients of its logits: "),
    ],
)
def test_a_predictors_faults_are_its_methods(compute: Callable[[View], Any], says: str) -> None:
    with pytest.raises(MethodError, match=f"^method 'odd': {says}"):
        drawn(GOOD, Asked(compute))


def raising(*_: Any) -> Any:
    raise KeyError("x")


class Lost(nn.Module):
    """Fails on photos, having been let in."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.first, self.error = nn.Conv2d(3, 4, 3), error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.first(x).requires_grad:
            raise self.error
        return torch.zeros(len(x), 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (raising, r"its module\(\) fails: KeyError: 'x'; what it returns must make \(b, K\) logits of \(b, 3, H, W\)"),
        (lambda: leaving(None), r"its module\(\) fails: SystemExit: 0"),  # type: ignore[arg-type]
        (lambda: 3, r"module\(\) must return a torch module, not int"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2)), r"module\(\) returns lazy layers"),
        (
            lambda: nn.Linear(5, 2),
            r"what its module\(\) returns fails on photos: RuntimeError: .*; what it returns must",
        ),
        (lambda: nn.Conv2d(3, 4, 3), r"its module\(\): a tower of the kind Conv2d has no stage"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), r"logits must be \(4, K\) for 4 photos, not \(4, 4, 6, 6\)"),
        (lambda: Lost(SystemExit(0)), r"what its module\(\) returns fails on photos: SystemExit: 0"),
        (lambda: Lost(ValueError("lost")), r"what its module\(\) returns fails on photos: ValueError: lost"),
    ],
)
def test_a_modules_faults_are_its_methods(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(MethodError, match=f"^method 'odd': {says}"):
        drawn(GOOD, Asked(make=make))


def test_layers_and_kinds_that_a_module_has_not_are_told_of_it() -> None:
    own = Asked(make=lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3)))
    with pytest.raises(UsageError, match=r"^method 'odd': its module\(\): layer '2' gives no map; layers that do: 0$"):
        drawn(GOOD, own, how=How(layer="2"))
    with pytest.raises(UsageError, match=r"^method 'odd': its module\(\): relevance needs a vision transformer"):
        drawn(own, how=How("relevance"))


def test_whoever_stops_the_run_stops_it() -> None:
    def stopped(view: View) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn(Asked(stopped))


def same(found: Any, expected: Any) -> None:
    for name in ("true", "confused", "rival", "logits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def careless(view: View) -> torch.Tensor:
    logits = GOOD.logits(view)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    return logits


def wasteful(view: View) -> torch.Tensor:
    """Takes gradients of all but the first look at what all share."""
    with torch.inference_mode():
        view.embeddings().sum()
    return GOOD.logits(view)


def overwriting(view: View) -> torch.Tensor:
    logits = GOOD.logits(view)
    with torch.no_grad():
        view.embeddings().zero_()
        view.penultimate().zero_()
    return logits


@pytest.mark.parametrize("compute", [careless, wasteful, overwriting])
def test_nothing_that_a_predictor_leaves_behind_reaches_others(compute: Callable[[View], Any]) -> None:
    expected = drawn(GOOD).of[0]
    assert expected.true.max() > 0
    for found in drawn(Asked(compute), GOOD).of:
        same(found, expected)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_photos_that_a_module_changes_are_as_they_were_for_the_next() -> None:
    class Own(nn.Module):
        """Normalises photos where they are, and leaves torch as it likes."""

        def __init__(self, *, in_place: bool) -> None:
            super().__init__()
            trunk, projection = conv()
            self.trunk, self.projection, self.in_place = trunk, projection, in_place

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.mul_(3).sub_(1) if self.in_place else x * 3 - 1
            z: torch.Tensor = self.projection(self.trunk(x))[:, :3]
            if self.in_place:
                torch.set_default_dtype(torch.float64)
            return z

    careful, hasty = (Asked(make=lambda changes=changes: Own(in_place=changes)) for changes in (False, True))  # type: ignore[misc]
    expected = [drawn(one).of[0] for one in (careful, careful, GOOD)]
    found = drawn(hasty, careful, GOOD).of
    assert expected[0].true.max() > 0
    for one, other in zip(found, expected, strict=True):
        same(one, other)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        (
            How("relevance"),
            UsageError,
            "relevance needs a vision transformer, .*kind Sequential is none; use --maps grad",
        ),
        (How(layer="7"), UsageError, "unknown layer '7'; known: 0, 2$"),
        (How("grad-cam", layer="4"), UsageError, "layer '4' gives no map; layers that do: 0, 2$"),
        (How("grad-cam", layer="1"), None, ""),
        (How(), None, ""),
    ],
)
def test_layers_and_kinds_are_judged_before_anything_is_fitted_as_when_it_is_drawn(
    how: How, error: type[Exception] | None, says: str
) -> None:
    trunk, projection = conv()
    # Something was here once.
    modules = nn.Sequential(*trunk, nn.Identity()), projection
    seen: list[str] = []

    def preprocess(image: Image.Image) -> torch.Tensor:
        seen.append(image.mode)
        return X[0]

    tower = replace(tower_of(*modules), preprocess=preprocess)
    if error is None:
        check(tower, how)
        assert drawn(GOOD, how=how, modules=modules).kind == "grad-cam"
        assert seen == ["RGB"]
        return
    for judge in (lambda: check(tower, how), lambda: drawn(GOOD, how=how, modules=modules)):
        with pytest.raises(error, match=says):
            judge()


def test_towers_that_give_no_maps_are_told_before_anything_is_fitted() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval()
    for modules, says in (
        (None, "gives no modules that gradients pass through"),
        ((flat, flat), "no stage whose output"),
    ):
        tower = replace(tower_of(flat, flat), preprocess=lambda image: X[0], modules=modules)
        with pytest.raises(WeightsError, match=says):
            check(tower, How())
