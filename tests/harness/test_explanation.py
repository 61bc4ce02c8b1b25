"""Drawing the maps of many models: one pass for those that share a tower, and each model's own logits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from spurbench.data import View
from spurbench.errors import DataError, MethodError, UsageError, WeightsError
from spurbench.explanation import Drawn, How, Subject
from spurbench.explanation.draw import draw
from spurbench.finetuning import ImageTower, TunedTower
from spurbench.heads import LinearHead, UnitLinearHead
from spurbench.model_space import ModelSpace
from spurbench.projections import ProjectionHead, form_of
from spurbench_methods.wise_ft import BetweenTowers

from .looking import Images

if TYPE_CHECKING:
    from conftest import Gallery

KINDS = ("vit", "modified-resnet", "timm")
MakeGallery = Callable[..., "Gallery"]


@dataclass(frozen=True)
class Asked:
    """A predictor of whatever computes logits of a view."""

    compute: Callable[[View], Any]

    def logits(self, view: View) -> Any:
        return self.compute(view)


def subject(predictor: Any, *inputs: Any, name: str = "m") -> Subject:
    return Subject(name, inputs or ("embeddings",), predictor)


def looked(gallery: Gallery, subjects: list[Subject], n: int = 10, how: How | None = None, **changes: Any) -> Drawn:
    prepared = gallery.prepared
    rows = prepared.examples.rows("test")[:n]
    assert prepared.tower is not None
    return draw(
        prepared.tower(), subjects, prepared.source.images(rows), prepared.examples.y[rows], how, **changes
    )  # fmt: skip


def heads(count: int, classes: int = 2) -> list[UnitLinearHead]:
    torch.manual_seed(count)
    return [UnitLinearHead(10 * torch.randn(classes, 8), torch.randn(classes)) for _ in range(count)]


def features(gallery: Gallery, n: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    tower = gallery.prepared.tower()
    images = gallery.prepared.source.images(gallery.prepared.examples.rows("test")[:n])
    penultimate = tower.trunk(torch.stack([images[i] for i in range(n)]))
    return penultimate, tower.project(penultimate)


def close(found: Any, expected: Any) -> None:
    for name in ("true", "confused", "logits"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, atol=1e-5 * max(np.abs(other).max(), 1e-3), rtol=1e-4, err_msg=name)
    np.testing.assert_array_equal(found.rival, expected.rival)


@pytest.mark.parametrize("kind", KINDS)
def test_models_that_share_a_tower_share_its_pass(make_gallery: MakeGallery, kind: str) -> None:
    gallery = make_gallery(kind)
    tower = gallery.prepared.tower()
    calls: list[int] = []
    assert tower.modules is not None
    hooks = [
        module.register_forward_pre_hook(lambda _, given, at=at: calls.append(len(given[0]) * (at == 0) or -1))
        for at, module in enumerate(tower.modules)
    ]
    subjects = [subject(head, name=f"m{i}") for i, head in enumerate(heads(4))]
    looked(gallery, subjects)
    alone = list(calls)
    calls.clear()
    looked(gallery, subjects[:1])
    for hook in hooks:
        hook.remove()
    assert calls == alone
    # The last of the passes through the trunk is over all photos; before it, one was looked at in probes.
    assert [n for n in alone if n > 0][-1] == 10
    assert sum(n == 10 for n in alone) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_maps_do_not_depend_on_company_nor_on_how_photos_are_batched(make_gallery: MakeGallery, kind: str) -> None:
    gallery = make_gallery(kind)
    subjects = [subject(head, name=f"m{i}") for i, head in enumerate(heads(3, classes=3))]
    told: list[tuple[int, int]] = []
    together = looked(gallery, subjects, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 10)]
    one_by_one = looked(gallery, subjects, memory_limit=1)
    for one, found, split in zip(subjects, together.of, one_by_one.of, strict=True):
        assert found.true.shape == (10, *found.true.shape[1:])
        assert found.true.dtype == found.confused.dtype == found.logits.dtype == np.float32
        assert found.true.min() >= 0
        assert found.true.max() > 0
        close(looked(gallery, [one]).of[0], found)
        close(split, found)
    assert together.kind == ("relevance" if kind == "vit" else "grad-cam")
    assert not np.allclose(together.of[0].true, together.of[1].true)


def test_memory_decides_how_many_photos_are_held(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("vit")
    trunk = gallery.prepared.tower().modules[0]
    sizes: list[int] = []
    hook = trunk.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    # 2 blocks of 2 heads of 5 x 5 weights, and as many gradients for each of two classes, at the least.
    least = 2 * 2 * 5 * 5 * 4 * 3
    looked(gallery, [subject(heads(1)[0])], memory_limit=10 * least)
    assert max(sizes) < 10
    looked(gallery, [subject(heads(1)[0])])
    hook.remove()
    assert max(sizes) == 10


def test_the_same_predictor_is_drawn_once(make_gallery: MakeGallery) -> None:
    asked: list[int] = []
    head = heads(1)[0]

    def logits(view: View) -> torch.Tensor:
        asked.append(len(view))
        return head.logits(view)

    predictor = Asked(logits)
    gallery = make_gallery("modified-resnet")
    drawn = looked(gallery, [subject(predictor, name="a"), subject(head, name="b"), subject(predictor, name="c")])
    assert sum(n == 10 for n in asked) == 1
    assert drawn.of[0] is drawn.of[2]
    close(drawn.of[1], drawn.of[0])


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_predictors_own(make_gallery: MakeGallery, kind: str) -> None:
    gallery = make_gallery(kind)
    penultimate, embeddings = features(gallery)
    torch.manual_seed(0)
    projection = copy.deepcopy(gallery.prepared.tower().parts.projection).requires_grad_(True)
    form, weights = form_of(projection)
    moved = {name: value + 0.1 * torch.randn_like(value) for name, value in weights.items()}
    projected = ProjectionHead(form, moved, normalize(torch.randn(2, 8), dim=-1), 20.0)
    two = torch.randn(2, 8)
    mixed = Asked(lambda view: view.embeddings() @ two.T + view.penultimate().flatten(1).sum(1, keepdim=True))
    subjects = [subject(heads(1)[0]), subject(projected, "penultimate"), subject(mixed, "embeddings", "penultimate")]

    class Source:
        def features(self, of: str, rows: Any) -> torch.Tensor:
            return (embeddings if of == "embeddings" else penultimate)[torch.from_numpy(rows)]

    for one, found in zip(subjects, looked(gallery, subjects).of, strict=True):
        view = View("test", np.arange(10), Source(), method="m", inputs=one.inputs, n_attributes=1)  # type: ignore[arg-type]
        expected = one.predictor.logits(view).detach().numpy()
        np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
        assert found.true.max() > 0


class AsModule:
    """A predictor that says what it is as a module."""

    def __init__(self, module: nn.Module) -> None:
        self.whole = module

    def logits(self, view: View) -> torch.Tensor:
        raise AssertionError("its module is asked")

    def module(self) -> nn.Module:
        return self.whole


class Headed(nn.Module):
    """A tower whose parts keep their names, and a head on unit embeddings."""

    def __init__(self, trunk: nn.Module, projection: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        for name, part in trunk.named_children():
            self.add_module(name, part)
        self.held = (trunk, projection, weight, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        trunk, projection, weight, bias = self.held
        return normalize(projection(trunk(x)), dim=-1) @ weight.T + bias


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [None, 0.3])
def test_a_fine_tuned_towers_maps_are_those_of_its_weights(
    make_gallery: MakeGallery, kind: str, alpha: float | None
) -> None:
    gallery = make_gallery(kind)
    model = ModelSpace("m", ("images",), gallery.prepared.tower, torch.device("cpu"))
    tower = ImageTower(model)
    torch.manual_seed(0)
    state = {name: value.detach() + 0.05 * torch.randn_like(value) for name, value in tower.named_parameters()}
    weight, bias, start = 10 * torch.randn(2, 8), torch.randn(2), 10 * torch.randn(2, 8)
    predictor = TunedTower(model, state, weight, bias, 2**30, 1)
    if alpha is not None:
        predictor = BetweenTowers(model, state, weight, bias, 2**30, 1, start=start, alpha=alpha)
        weight, bias = (1 - alpha) * start + alpha * weight, alpha * bias
        state = {name: (1 - alpha) * value + alpha * state[name] for name, value in tower.named_parameters()}
    frozen = subject(heads(1)[0], name="frozen")
    before = looked(gallery, [frozen]).of[0]
    tower.load_state_dict({**tower.state_dict(), **state})
    found = looked(gallery, [frozen, subject(predictor, "images", name="tuned")])
    trunk: Any = tower.trunk.eval()
    layer = found.layer
    if kind == "vit":
        # A module of its own is a transformer where it is one of open_clip's: the head is put behind its tokens.
        trunk.proj = None
        whole: nn.Module = trunk
        trunk.ln_post = nn.Sequential(trunk.ln_post)
        pooled, projection = trunk._pool, tower.projection
        trunk._pool = lambda x: (normalize(projection(pooled(x)[0]), dim=-1) @ weight.T + bias, None)
    else:
        whole = Headed(trunk, tower.projection, weight, bias)
    plain = looked(gallery, [subject(AsModule(whole), "images")], how=How(layer=layer)).of[0]
    assert plain.true.max() > 0
    close(found.of[1], plain)
    close(found.of[0], before)
    assert np.abs(found.of[1].true - found.of[0].true).max() > 0.01 * plain.true.max()
    rows = gallery.prepared.examples.rows("test")[:10]
    view = View("test", rows, gallery.prepared.source, method="m", inputs=("images",), n_attributes=2)
    np.testing.assert_allclose(found.of[1].logits, predictor.logits(view), rtol=1e-3, atol=1e-4)


def test_rivals_and_odds_keep_to_the_classes_that_a_photo_is_told_apart_from(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("modified-resnet")
    torch.manual_seed(4)
    head = LinearHead(5 * torch.randn(4, 8), torch.tensor([0.0, 0.0, 30.0, 0.0]))
    among = np.eye(4, dtype=bool)
    among[[0, 0, 1], [1, 3, 0]] = True
    free, kept = (looked(gallery, [subject(head)], candidates=mask).of[0] for mask in (None, among))
    assert (free.rival == 2).all()
    y = gallery.prepared.examples.y[gallery.prepared.examples.rows("test")[:10]]
    for own, rival, z in zip(y, kept.rival, kept.logits, strict=True):
        assert rival == (0 if own else 1 + 2 * (z[3] > z[1]))
    # Photos of class 1 are told apart from class 0 alone: as by a head that knows no other.
    two = looked(gallery, [subject(LinearHead(head.weight[:2], head.bias[:2]))]).of[0]
    np.testing.assert_allclose(kept.true[y == 1], two.true[y == 1], atol=1e-5 * two.true.max())
    assert np.abs(free.true[y == 1] - two.true[y == 1]).max() > 0.01 * two.true.max()
    with pytest.raises(MethodError, match=r"logits must be \(\d+, K\) for \d+ photos, not \(\d+, 2\)"):
        looked(gallery, [subject(heads(1)[0])], candidates=among)
    among[0] = [True, False, False, False]
    with pytest.raises(DataError, match="class 0 has no other class"):
        looked(gallery, [subject(head)], candidates=among)


def test_whoever_calls_without_gradients_gets_maps_all_the_same(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("modified-resnet")
    one = subject(heads(1)[0])
    expected = looked(gallery, [one]).of[0]
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            close(looked(gallery, [one]).of[0], expected)


def without_gradients(view: View) -> torch.Tensor:
    with torch.no_grad():
        return view.embeddings()[:, :2]


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (without_gradients, "'odd': its logits carry no gradient.*outside of no_grad"),
        (lambda view: view.embeddings().detach()[:, :2], "'odd': its logits carry no gradient"),
        (lambda view: torch.from_numpy(view.embeddings().numpy()), "'odd': its predictor fails on features that carry"),
        (lambda view: view.embeddings().tolist(), r"'odd': logits must be \(\d+, K\) for \d+ photos, not list"),
        (lambda view: view.embeddings()[:, :1], r"'odd': logits must be \(\d+, K\) for \d+ photos, not \(\d+, 1\)"),
        (lambda view: view.embeddings()[:1, :2], r"not \(1, 2\)"),
        (lambda view: view.embeddings()[:, :2].square().neg().log(), "'odd': logits are NaN or infinite"),
        (lambda view: (view.embeddings()[:, :2] * 0).sqrt(), "'odd': gradients of its logits are NaN"),
        (lambda view: view.penultimate(), "uses penultimate without declaring them"),
        (lambda view: view.images(), r"'odd': its predictor reads images.*give it a method module\(\)"),
        (lambda view: view.boxes(), "'odd': its predictor reads regions"),
        (lambda view: view.regions(), "'odd': its predictor reads regions"),
    ],
)
def test_models_that_cannot_be_looked_into_are_named(
    make_gallery: MakeGallery, compute: Callable[[View], Any], says: str
) -> None:
    odd = subject(Asked(compute), "embeddings", "images", "regions", name="odd")
    with pytest.raises(MethodError, match=says):
        looked(make_gallery("modified-resnet"), [subject(heads(1)[0]), odd])


def test_calls_that_ask_for_nothing_and_towers_that_give_none_are_named(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("modified-resnet")
    with pytest.raises(UsageError, match="nothing to look at: 10 photos, 0 models"):
        looked(gallery, [])
    with pytest.raises(UsageError, match="nothing to look at: 0 photos, 1 models"):
        looked(gallery, [subject(heads(1)[0])], n=0)
    predictor: Any = AsModule(nn.Identity())
    predictor.module = lambda: "net"
    with pytest.raises(MethodError, match=r"'m': module\(\) must return a torch module, not str"):
        looked(gallery, [subject(predictor, "images")])
    closed = replace(gallery.prepared.tower(), modules=None)
    images = Images(torch.randn(2, 3, 32, 32))
    with pytest.raises(WeightsError, match=r"return a Tower with modules=\(trunk, projection\)"):
        draw(closed, [subject(heads(1)[0])], images, np.zeros(2, np.int64))
    # A model that has its own module needs none of the tower's.
    whole = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 900, 2))
    drawn = draw(closed, [subject(AsModule(whole), "images")], images, np.zeros(2, np.int64))
    assert (drawn.kind, drawn.layer, drawn.of[0].true.shape) == ("grad-cam", "0", (2, 30, 30))
