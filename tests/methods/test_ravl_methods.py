"""RaVL's mitigation and its peers: what the first model shows, what each does with it, and whole runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.errors import SupervisionError
from spurbench.evaluation import evaluate
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import draw_configs
from spurbench.tasks import make_task, split_validation, train_view, view_of
from spurbench_methods.clip_finetune import Captions, CLIPFinetune, ImageText, tuned
from spurbench_methods.contrastive_yang_finetune import ContrastiveYangFinetune, DrawnTogether, across_attribute
from spurbench_methods.flyp import matching
from spurbench_methods.ravl import RaVL, RegionAware
from spurbench_methods.ravl_groups import FIRST, SpuriousRegions, spurious_regions
from spurbench_methods.ravl_terms import region_losses
from spurbench_methods.upsampled_ft import UpsampledFinetune
from spurbench_methods.vl_erm import VLERM, Classifying
from spurbench_methods.vl_gdro import VLGDRO, WorstGroups
from spurbench_methods.yang_terms import vision_class

if TYPE_CHECKING:
    from conftest import Gallery

QUADRANTS = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]])
METHODS: tuple[type[Any], ...] = (RaVL, UpsampledFinetune, VLERM, VLGDRO, ContrastiveYangFinetune)
CONFIG: dict[str, Any] = {
    "lr": 1e-3, "weight_decay": 0.1, "epochs": 3, "text": "frozen", "weight": 0.8, "first_lr": 5e-5,
}  # fmt: skip
MakeGallery = Callable[..., "Gallery"]


@pytest.fixture
def make_quartered(make_gallery: MakeGallery) -> MakeGallery:
    """Galleries whose photos have four regions, each about a quarter, one of which every fifth photo lacks."""

    def make(kind: str, n: int = 40) -> Gallery:
        gallery = make_gallery(kind, n)
        jitter = torch.rand(2 * n, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.1
        boxes = QUADRANTS + jitter * torch.tensor([1, 1, -1, -1])
        boxes[::5, 3] = torch.nan
        source: Any = gallery.prepared.source
        source = replace(source, regions=SimpleNamespace(boxes=boxes))
        return replace(gallery, prepared=replace(gallery.prepared, source=source))

    return make


class Known:
    """A discoverer whose centres are the regions of the first photos; it suspects the first of them."""

    asked: list[Evidence]

    def __init__(self) -> None:
        self.asked = []

    def __call__(self) -> Known:
        return self

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        self.asked.append(evidence)
        centers = evidence.region_embeddings[:8]
        nearest = (evidence.region_embeddings @ centers.T).argmax(dim=1)
        return Discovery((Finding((nearest == 0).nonzero()[:, 0], 1.0, center=centers[0]),), centers)


class Unsuspecting(Known):
    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        self.asked.append(evidence)
        return Discovery((), evidence.region_embeddings[:2])


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    known = Known()
    monkeypatch.setattr("spurbench_methods.ravl_groups.RaVL", known)
    return known


def task_of(gallery: Gallery, method: Any) -> Any:
    prepared = gallery.prepared
    rows, _ = split_validation(method, prepared.examples, prepared.examples.rows("val"), load_rules("quick"), 0)
    return make_task(method, prepared, train_view(method, prepared), rows, Seed(("one",)))


def unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def first_model(task: Any, **config: Any) -> Any:
    """By the recipe that the docstring promises."""
    (first, *_) = draw_configs(CLIPFinetune.space, 1, Seed(("any",)))
    assert first == {"lr": 5e-5, "weight_decay": 0.1, "epochs": 10, "text": "frozen"}
    first = {**first, **config}
    return tuned(task, first, ImageText(Captions.of(task, first), task.train.y), FIRST)[-1]


# What the first model shows


def test_a_discoverer_is_given_what_the_first_model_makes_of_validation(
    make_quartered: MakeGallery, known: Known
) -> None:
    task = task_of(make_quartered("vit"), RaVL())
    spurious_regions(task, CONFIG)
    (evidence,) = known.asked
    val, model = task.val, first_model(task, epochs=3)
    boxes = val.boxes()
    embedded = model.embed(val, boxes)
    assert evidence.y.tolist() == val.y.tolist()
    torch.testing.assert_close(evidence.image_embeddings, unit(embedded[:, 0]))
    torch.testing.assert_close(evidence.image_scores, torch.softmax(model.logits(val), dim=1), rtol=1e-4, atol=1e-5)
    w, place = task.text.classes(), 0
    for i in range(len(val)):
        for r in range(4):
            if boxes[i, r].isnan().any():
                continue
            f = embedded[i, 1 + r] / embedded[i, 1 + r].norm()
            assert evidence.image_of[place] == i
            torch.testing.assert_close(evidence.region_embeddings[place], f)
            torch.testing.assert_close(evidence.region_scores[place], torch.softmax(w @ f / 0.07, dim=0))
            place += 1
    assert place == len(evidence.image_of) == len(evidence.region_scores) < 4 * len(val)


def test_regions_of_the_training_photos_go_to_the_nearest_centre(make_quartered: MakeGallery, known: Known) -> None:
    task = task_of(make_quartered("vit"), RaVL())
    found = spurious_regions(task, CONFIG)
    assert found is not None
    centers = known.asked[0].region_embeddings[:8]
    boxes = task.train.boxes()
    embedded = first_model(task, epochs=3).embed(task.train, boxes)
    for i in range(len(task.train)):
        for r in range(4):
            there = not bool(boxes[i, r].isnan().any())
            nearest = max(range(8), key=lambda c: float(unit(embedded[i, 1 + r]) @ centers[c]))
            assert bool(found.spurious[i, r]) == (there and nearest == 0)
            assert bool(found.rest[i, r]) == (there and nearest != 0)
    assert 0 < found.spurious.sum() < 100, "some of both"
    y = task.train.y
    groups = [2 * int(y[i]) + int(any(found.spurious[i])) for i in range(len(y))]
    assert found.groups(y).tolist() == groups
    assert found.images.tolist() == [g % 2 for g in groups]
    weights = found.balancing(y)
    for group in set(groups):
        of_group = [float(weight) for weight, g in zip(weights, groups, strict=True) if g == group]
        assert sum(of_group) == pytest.approx(1.0)
        assert len(set(of_group)) == 1


class Patched:
    """Photos of little noise; what carries the attribute has a red patch in the first quadrant."""

    at_once = 1

    def __init__(self, a: Any) -> None:
        self.a = a

    def __len__(self) -> int:
        return len(self.a)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        photos = []
        for row in rows:
            pixels = np.random.default_rng(row).integers(60, 100, (16, 16, 3)).astype(np.uint8)
            if self.a[row]:
                pixels[:8, :8] = 255, 0, 0
            photos.append(Image.fromarray(pixels))
        return photos


def test_ravls_own_discovery_finds_what_a_model_takes_for_the_class(make_quartered: MakeGallery) -> None:
    """The class vectors are such that the model tells the patch instead of the class."""
    gallery = make_quartered("vit")
    prepared = gallery.prepared
    examples, source = prepared.examples, prepared.source
    patched: Any = replace(source, photos=Patched(examples.a))
    patched = replace(patched, regions=SimpleNamespace(boxes=QUADRANTS.expand(len(examples), 4, 4)))
    images = torch.stack(patched.images(np.arange(len(examples))).__getitems__(range(len(examples))))
    with torch.no_grad():
        f = gallery.model.encode_image(images, normalize=True)
    has = torch.from_numpy(examples.a)
    direction = unit(torch.linalg.lstsq(f, 2.0 * has[:, None] - 1).solution[:, 0])
    assert prepared.text is not None
    text = replace(prepared.text, class_vectors=torch.stack([-direction, direction]))
    gallery = replace(gallery, prepared=replace(prepared, source=patched, text=text))
    task = task_of(gallery, RaVL())
    found = spurious_regions(task, {**CONFIG, "epochs": 1})
    assert found is not None
    has = has[torch.from_numpy(task.train._rows)] == 1
    assert found.spurious[has, 0].float().mean() > 0.9
    assert found.spurious[~has].float().mean() < 0.1
    assert found.spurious[:, 1:].float().mean() < 0.1


def test_what_was_found_serves_all_configurations_that_train_as_long(make_quartered: MakeGallery, known: Known) -> None:
    gallery = make_quartered("vit")
    task = task_of(gallery, RaVL())
    first = spurious_regions(task, CONFIG)
    count = len(gallery.photos.opened)
    again = spurious_regions(task, {**CONFIG, "lr": 1e-4, "weight": 0.5})
    assert first is not None
    assert again is not None
    assert len(known.asked) == 1
    assert len(gallery.photos.opened) == count
    assert torch.equal(first.spurious, again.spurious)
    spurious_regions(task, {**CONFIG, "epochs": 1})
    spurious_regions(task, {**CONFIG, "text": "all"})
    spurious_regions(task, {**CONFIG, "first_lr": 1e-4})
    assert len(known.asked) == 4
    assert not torch.equal(known.asked[0].image_scores, known.asked[1].image_scores)


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_is_suspected_all_of_them_are_standard_fine_tuning(
    method: type[Any], make_quartered: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Unsuspecting()
    monkeypatch.setattr("spurbench_methods.ravl_groups.RaVL", nothing)
    gallery = make_quartered("vit")
    task = task_of(gallery, method())
    view = view_of(method(), gallery.prepared, "evaluation", gallery.prepared.examples.rows("test"))
    plain = CLIPFinetune().fit(task_of(gallery, CLIPFinetune()), CONFIG)
    for _ in range(2):
        for mine, theirs in zip(method().fit(task, CONFIG), plain, strict=True):
            assert torch.equal(mine.logits(view), theirs.logits(view))
    assert len(nothing.asked) == 1, "that nothing was found is kept as well"


# What each does with it


def objective_of(kind: type[Any], task: Any, found: SpuriousRegions, *more: Any) -> Any:
    return kind(Captions.of(task, CONFIG), task.train.y, found, *more)


def made_up(n: int) -> SpuriousRegions:
    """Regions of which a third is spurious; photos of which some have none of the rest."""
    boxes = QUADRANTS.expand(n, 4, 4).clone()
    boxes[::5, 3] = torch.nan
    spurious = torch.rand(n, 4, generator=torch.Generator().manual_seed(4)) < 0.3
    spurious[::7] = True
    spurious[::5, 3] = False
    return SpuriousRegions(boxes, spurious)


def batch_of(objective: Any, task: Any, regions: int = 0) -> tuple[Any, Any, Any, Any, Any]:
    """rows, classes, embeddings, target, L_CL of a batch."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randperm(40, generator=generator)[:24]
    target, _ = objective.batch(rows, generator)
    f = torch.randn(24, *([1 + regions] if regions else []), 8, generator=generator)
    captions = Captions.of(task, CONFIG).vectors
    assert captions is not None
    own = unit(f[:, 0] if regions else f)
    return rows, task.train.y[rows], f, target, float(matching(own @ captions[target[:, 1]].T / 0.07))


def test_ravls_loss_weighs_clips_and_that_of_regions(make_quartered: MakeGallery) -> None:
    task = task_of(make_quartered("vit"), RaVL())
    found = made_up(40)
    objective = objective_of(RegionAware, task, found, 0.8)
    assert torch.equal(objective.boxes.nan_to_num(-1), found.boxes.nan_to_num(-1))
    assert objective.weights is None
    rows, y, f, target, matched = batch_of(objective, task, 4)
    parts = region_losses(unit(f)[:, 1:], found.spurious[rows], found.rest[rows], y, task.text.classes(), 0.07)
    expected = 0.8 * matched + 0.2 * float(sum(parts))
    assert float(objective(f, target, None)) == pytest.approx(expected, rel=1e-5)


def test_vl_erms_loss_weighs_clips_and_the_zero_shot_heads(make_quartered: MakeGallery) -> None:
    task = task_of(make_quartered("vit"), VLERM())
    found = made_up(40)
    objective = objective_of(Classifying, task, found, 0.8)
    assert torch.equal(objective.weights, found.balancing(task.train.y))
    _, y, f, target, matched = batch_of(objective, task)
    own = torch.nn.functional.cross_entropy(unit(f) @ task.text.classes().T / 0.07, y)
    assert float(objective(f, target, None)) == pytest.approx(0.8 * matched + 0.2 * float(own), rel=1e-5)


def test_vl_gdros_weights_move_as_in_the_paper(make_quartered: MakeGallery) -> None:
    task = task_of(make_quartered("vit"), VLGDRO())
    found = made_up(40)
    objective = objective_of(WorstGroups, task, found, 0.8)
    assert torch.equal(objective.weights, found.balancing(task.train.y))
    assert "q" in objective.state_dict(), "what is kept with an epoch"
    groups = found.groups(task.train.y)
    q = [0.25] * 4
    assert len(set(groups.tolist())) == 4
    rows, y, f, target, matched = batch_of(objective, task)
    logits = unit(f) @ task.text.classes().T / 0.07
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none").tolist()
    for _ in range(3):
        of_group: dict[int, list[float]] = {g: [] for g in range(4)}
        for row, loss in zip(rows, losses, strict=True):
            of_group[int(groups[row])].append(loss)
        means = [sum(some) / len(some) for some in of_group.values()]
        q = [weight * math.exp(0.01 * mean) for weight, mean in zip(q, means, strict=True)]
        q = [weight / sum(q) for weight in q]
        expected = 0.8 * matched + 0.2 * sum(weight * mean for weight, mean in zip(q, means, strict=True))
        assert float(objective(f, target, None)) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(objective.q, torch.tensor([q]))
    assert max(q) > 0.252, "they have moved"


def test_vl_gdro_descends_the_weighted_mean(make_quartered: MakeGallery) -> None:
    """Weights are constants in a step: the gradient is that of the weighted losses alone."""
    task = task_of(make_quartered("vit"), VLGDRO())
    found = made_up(40)
    objective = objective_of(WorstGroups, task, found, 0.0)
    rows, y, f, target, _ = batch_of(objective, task)
    f.requires_grad_()
    (gradient,) = torch.autograd.grad(objective(f, target, None), f)
    groups = found.groups(task.train.y)[rows]
    sizes = torch.bincount(groups, minlength=4)
    losses = torch.nn.functional.cross_entropy(unit(f) @ task.text.classes().T / 0.07, y, reduction="none")
    (expected,) = torch.autograd.grad((objective.q[0] / sizes)[groups] @ losses, f)
    torch.testing.assert_close(gradient, expected)


def test_yangs_loss_adds_two_terms_between_photos(make_quartered: MakeGallery) -> None:
    task = task_of(make_quartered("vit"), ContrastiveYangFinetune())
    found = made_up(40)
    objective = objective_of(DrawnTogether, task, found)
    rows, y, f, target, matched = batch_of(objective, task)
    terms = vision_class(unit(f)[None], y)[0] + across_attribute(unit(f), y, found.images[rows])
    assert float(objective(f, target, None)) == pytest.approx(matched + float(terms), rel=1e-5)


@pytest.mark.parametrize("kind", [RegionAware, Classifying])
def test_where_the_text_tower_is_trained_class_vectors_are_captions_of_the_batch(
    kind: type[Any], make_quartered: MakeGallery
) -> None:
    task, found = task_of(make_quartered("vit"), RaVL()), made_up(40)
    captions, y = Captions.of(task, {**CONFIG, "text": "all"}), task.train.y
    objective = kind(captions, y, found, 0.0)
    # Of the second class alone: its captions are not the classes'.
    rows, generator = (y == 1).nonzero()[:6, 0], torch.Generator().manual_seed(6)
    target, which = objective.batch(rows, generator)
    assert (which[:2] // 3).tolist() == [0, 1]
    text = torch.randn(len(which), 8, generator=generator)
    f = torch.randn(6, 5, 8, generator=generator)
    w = unit(text[:2])
    if kind is RegionAware:
        expected = sum(region_losses(unit(f)[:, 1:], found.spurious[rows], found.rest[rows], y[rows], w, 0.07))
    else:
        f = f[:, 0]
        expected = torch.nn.functional.cross_entropy(unit(f) @ w.T / 0.07, y[rows])
    torch.testing.assert_close(objective(f, target, text), expected)


def test_upsampling_draws_pseudo_groups_equally_often(
    make_quartered: MakeGallery, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[ImageText] = []

    def spied(task: Any, config: Any, objective: ImageText, stage: str = "") -> list[Any]:
        given.append(objective)
        return tuned(task, config, objective, stage)

    monkeypatch.setattr("spurbench_methods.ravl_groups.tuned", spied)
    task = task_of(make_quartered("vit"), UpsampledFinetune())
    UpsampledFinetune().fit(task, CONFIG)
    first, second = given
    found = spurious_regions(task, CONFIG)
    assert found is not None
    assert first.weights is None
    assert second.weights is not None
    assert torch.equal(second.weights, found.balancing(task.train.y))
    assert type(second) is ImageText


# Whole runs


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("kind", "text"), [("vit", "frozen"), ("modified-resnet", "frozen"), ("timm", "frozen"), ("vit", "all")]
)
def test_they_run_under_the_rules(
    kind: str, method: type[Any], text: str, make_quartered: MakeGallery, known: Known
) -> None:
    gallery = make_quartered(kind, 20)
    chosen = method()
    pinned = {"epochs": chosen.space["epochs"].pinned("3"), "text": chosen.space["text"].pinned(text)}
    chosen.space = {**chosen.space, **pinned}
    ((result, predictions),) = evaluate(chosen, gallery.prepared, load_rules("quick").variant(2, None), [0])
    assert not any(candidate.error for candidate in result.candidates)
    assert len(result.candidates) == 4, "two configurations after one epoch and after three"
    examples = gallery.prepared.examples
    _, selected_on = split_validation(chosen, examples, examples.rows("val"), load_rules("quick"), 0)
    assert sum(result.selection_total) == len(selected_on) < 10
    assert all(len(classes) == 10 for classes in predictions.values())
    assert len(known.asked) == 1, "one first model for both configurations"


@pytest.mark.parametrize("method", METHODS)
def test_what_they_say_of_themselves(method: type[Any], make_quartered: MakeGallery) -> None:
    card = method.card
    assert card.supervision.words == ("val_labels",)
    assert set(card.inputs) == {"images", "text", "regions"}
    assert card.track == "image"
    first = draw_configs(method.space, 1, Seed(("any",)))[0]
    assert {"lr": 5e-5, "weight_decay": 0.1, "text": "frozen"}.items() <= first.items()
    assert first.get("weight", 0.8) == 0.8
    task = task_of(make_quartered("vit"), method())
    with pytest.raises(SupervisionError, match="val_groups=True"):
        _ = task.val.groups


@pytest.mark.parametrize("method", [RaVL, VLGDRO])
@pytest.mark.parametrize(
    ("stop", "saved"),
    [
        # Photos are opened by two trainings, 20 in each epoch and 1 to see how large they are, and between them 6 of
        # validation and 20 of training are embedded.
        pytest.param(30, 20, id="first training"),
        pytest.param(75, 61, id="embedding"),
        pytest.param(100, 87, id="second training"),
        pytest.param(120, 107, id="its second epoch"),
    ],
)
def test_interrupted_in_any_stage_they_end_as_an_undisturbed_run(
    method: type[Any],
    stop: int,
    saved: int,
    make_quartered: MakeGallery,
    known: Known,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that photos are opened in every epoch.
    monkeypatch.setattr("spurbench.finetuning.training.PHOTO_SHARE", 2**40)

    def run(gallery: Gallery, scratch: Path | None) -> Any:
        chosen = method()
        chosen.space = {**chosen.space, "epochs": chosen.space["epochs"].pinned("3")}
        prepared = replace(gallery.prepared, scratch=scratch)
        ((result, predictions),) = evaluate(chosen, prepared, load_rules("quick").variant(1, None), [0])
        return result, predictions

    gallery = make_quartered("vit", 20)
    whole, predictions = run(gallery, None)
    everything = len(gallery.photos.opened)
    gallery.photos.opened.clear()
    gallery.photos.most = stop
    with pytest.raises(KeyboardInterrupt):
        run(gallery, tmp_path / "job")
    gallery.photos.most = None
    gallery.photos.opened.clear()
    result, again = run(gallery, tmp_path / "job")
    assert len(gallery.photos.opened) == everything - saved
    assert result == whole
    for key, classes in predictions.items():
        np.testing.assert_array_equal(again[key], classes)
