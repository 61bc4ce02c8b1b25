"""Fine-tuning with regions, with drawn batches and with an objective that learns on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.backbones.spatial import spatial
from spurbench.cards import MethodCard
from spurbench.finetuning import Objective, Recipe, Trained, TunedTower, finetune
from spurbench.finetuning.memory import Plan, plan_of
from spurbench.finetuning.photos import Photos
from spurbench.finetuning.steps import backward
from spurbench.finetuning.towers import Towers
from spurbench.finetuning.training import _Training
from spurbench.method import Task
from spurbench.scratch import FolderScratch
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view, view_of
from spurbench_methods.erm_finetune import CrossEntropy, ERMFinetune, zero_shot_weight

if TYPE_CHECKING:
    from conftest import Gallery

KINDS = ("vit", "modified-resnet", "timm")
RECIPE = Recipe(lr=1e-3, weight_decay=0.1, epochs=3, batch=16, snapshots=(1, 3))
QUADRANTS = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]])
MakeGallery = Callable[..., "Gallery"]


def task_of(prepared: Prepared, **changes: Any) -> Task:
    method = ERMFinetune()
    view = train_view(method, prepared)
    task = make_task(method, prepared, view, prepared.examples.rows("val")[:0], Seed(("tuning",)))
    return replace(task, **changes)


def boxes_of(n: int) -> torch.Tensor:
    """(n, 4, 4) quadrants of random sizes; every fifth photo lacks some."""
    jitter = torch.rand(n, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.2
    boxes = (QUADRANTS + jitter * torch.tensor([1, 1, -1, -1])).float()
    boxes[::5, 2:] = torch.nan
    return boxes


class Regional(Objective):
    """A loss that hangs on all photos and regions of a batch at once, and on how many batches there were before."""

    steps: torch.Tensor

    def __init__(self, task: Task, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.boxes, self.weights = boxes_of(len(task.train)), weights
        self.weight = torch.nn.Parameter(zero_shot_weight(task))
        self.y = task.train.y
        self.register_buffer("steps", torch.zeros(()))
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.rows: list[torch.Tensor] = []

    def batch(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, None]:
        self.rows.append(rows)
        return torch.stack([rows, self.y[rows]], dim=1), None

    def forward(self, image: torch.Tensor, target: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
        rows, y = target.T
        self.seen.append((rows, image.detach().clone()))
        assert self.boxes is not None
        there = ~self.boxes[rows].isnan().any(dim=-1)
        assert (image[:, 1:][~there] == 0).all()
        f = torch.nn.functional.normalize(image, dim=-1)
        regions = torch.einsum("brd,kd->brk", f[:, 1:], self.weight).masked_fill(~there[..., None], -9.0)
        best = regions.amax(dim=1)
        together = torch.nn.functional.cross_entropy(f[:, 0] @ f[:, 0].T * 5 + best @ best.T, y)
        self.steps += 1
        return together * (1 + 0.1 * self.steps)

    def head(self, encode: object) -> tuple[torch.Tensor, torch.Tensor]:
        return self.weight, torch.zeros(2)


def by_hand(task: Task, tower: TunedTower | None, images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """(b, 1 + r, d) by the towers as they were, or as they were tuned."""
    modules = torch.nn.ModuleDict({"trunk": task.model.trunk(), "projection": task.model.projection()})
    if tower is not None:
        modules.load_state_dict(dict(tower.state), strict=False)
    with torch.no_grad():
        found: torch.Tensor = spatial(modules["trunk"], modules["projection"])(images, boxes)
    return found


def photos_of(view: Any) -> torch.Tensor:
    return torch.stack([view.images()[i] for i in range(len(view))])


# Regions


@pytest.mark.parametrize("kind", KINDS)
def test_an_objective_is_given_the_regions_of_its_photos(kind: str, make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery(kind).prepared)
    objective = Regional(task)
    assert objective.boxes is not None
    finetune(task, {}, objective, replace(RECIPE, lr=1e-12, epochs=1, snapshots=(1,)))
    expected = by_hand(task, None, photos_of(task.train), objective.boxes)
    assert sorted(torch.cat([rows for rows, _ in objective.seen]).tolist()) == list(range(40))
    for rows, embedded in objective.seen:
        torch.testing.assert_close(embedded, expected[rows], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_split_batch_with_regions_has_the_gradient_of_the_whole(
    kind: str, checkpointing: bool, make_gallery: MakeGallery
) -> None:
    task = task_of(make_gallery(kind).prepared)
    images, rows = photos_of(task.train)[:13], torch.arange(13)
    found = []
    for plan in (Plan(room=2**40, image=1), Plan(room=30, image=6)):
        objective = Regional(task)
        assert objective.boxes is not None
        towers = Towers(task.model, Trained(), objective)
        if checkpointing and plan.room == 30:
            towers.checkpoint_gradients()
        target, _ = objective.batch(rows, torch.Generator())
        loss = backward(towers, plan, images, None, target, objective.boxes[rows])
        found.append((loss, {name: p.grad for name, p in towers.trained() if p.grad is not None}))
        assert len(objective.seen) == 1, "the objective sees the whole batch"
    (loss, whole), (split_loss, split) = found
    torch.testing.assert_close(split_loss, loss, rtol=1e-5, atol=1e-6)
    assert whole.keys() == split.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    assert largest > 1e-3
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-3, atol=1e-5 * largest, msg=lambda m: f"{name}: {m}")  # noqa: B023


@pytest.mark.parametrize("kind", KINDS)
def test_regions_count_in_what_an_image_takes(kind: str, make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery(kind).prepared)
    towers = Towers(task.model, Trained(), Regional(task))
    one = torch.zeros(1, *task.train.images()[0].shape)
    sizes = [plan_of("m", towers, one, None, 0, 4, 2**30, regions).image for regions in (0, 256, 512)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_training_plans_with_its_regions(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit").prepared)
    objective = Regional(task)
    training = _Training(task, "name", task.seed, objective, RECIPE, Trained())
    one = torch.zeros(1, 3, 16, 16)
    with_, without = (plan_of("m", training.towers, one, None, 0, 16, 2**30, regions).image for regions in (4, 0))
    assert training.plan.image == with_ > without


def test_a_split_training_ends_as_one_that_is_not(make_gallery: MakeGallery) -> None:
    """Under a limit that holds some photos with their regions, and not a batch of them."""
    gallery = make_gallery("vit")
    task = task_of(gallery.prepared)
    towers = Towers(task.model, Trained(), Regional(task))
    photos = Photos(task.train.images(), torch.device("cpu"), 16).bytes
    plan = plan_of("m", towers, torch.zeros(1, 3, 16, 16), None, photos, 16, 2**40, 4)
    tight = replace(task, memory_limit=2**40 - plan.room + 9 * plan.image)
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        original = Plan.whole

        def spied(self: Plan, images: int, texts: int) -> bool:
            calls.append(original(self, images, texts))
            return calls[-1]

        patch.setattr(Plan, "whole", spied)
        small = finetune(tight, {}, Regional(task), RECIPE)[-1]
        assert not calls[-2], "batches are split"
        large = finetune(replace(task, memory_limit=2**40), {"other": 1}, Regional(task), RECIPE)[-1]
    torch.testing.assert_close(small.weight, large.weight, rtol=1e-3, atol=1e-3)


def test_regions_are_embedded_in_bf16_where_the_tower_is(make_gallery: MakeGallery) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        task = task_of(make_gallery("vit", precision=precision).prepared)
        objective = Regional(task)
        (tower,) = finetune(task, {}, objective, replace(RECIPE, epochs=1, snapshots=(1,)))
        found.append(tower.embed(task.train, objective.boxes))
    exact, rounded = found
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0.1, atol=0.1)


# Batches that are drawn


def test_rows_are_drawn_in_proportion_to_their_weights_and_as_many_as_there_are(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit").prepared)
    weights = torch.arange(40.0) % 5
    objective = Regional(task, weights)
    finetune(task, {}, objective, RECIPE)
    epochs = torch.cat(objective.rows).reshape(3, 40)
    assert [len(rows) for rows in objective.rows] == [16, 16, 8] * 3
    assert not torch.equal(epochs[0], epochs[1])
    training = _Training(task, "name", task.seed, objective, RECIPE, Trained())
    assert torch.equal(training._order(task.seed.derive("epoch", 1)), epochs[1])
    drawn = torch.cat([training._order(Seed(("order", i))) for i in range(500)])
    counts = torch.bincount(drawn, minlength=40).double()
    expected = len(drawn) * weights.double() / weights.sum()
    assert (counts[weights == 0] == 0).all()
    # Chi-square with 31 degrees of freedom: beyond 61.1 once in a thousand.
    some = weights > 0
    assert ((counts - expected)[some] ** 2 / expected[some]).sum() < 61.1


class Counted:
    """Ten images whose values are their rows; knows how often each was opened."""

    at_once = 1

    def __init__(self) -> None:
        self.opened: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.full((1, 1, 1), float(row))

    def __getitems__(self, rows: list[int]) -> list[torch.Tensor]:
        self.opened += rows
        return [self[row] for row in rows]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=6), st.booleans())
def test_photos_come_in_the_order_asked_for_however_often_they_recur(epochs: list[list[int]], keep: bool) -> None:
    images = Counted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spurbench.finetuning.photos.BATCH", {"cpu": 2})
        photos = Photos(images, torch.device("cpu"), 3)
    if keep:
        photos.keep()
    for rows in epochs:
        batches = torch.split(torch.tensor(rows), 3)
        found = list(photos.batches(batches))
        assert [len(some) for some in found] == [len(some) for some in batches]
        assert torch.cat(found).flatten().tolist() == rows
    everything = [row for rows in epochs for row in rows]
    assert sorted(images.opened) == sorted(set(everything) if keep else everything)


# Stages, and interruptions


def test_stages_are_told_apart(make_gallery: MakeGallery, tmp_path: Path) -> None:
    task = task_of(make_gallery("vit").prepared, scratch=FolderScratch(tmp_path))
    objectives = [Regional(task) for _ in range(4)]
    found = [
        finetune(task, {}, objective, RECIPE, stage=stage)[-1]
        for objective, stage in zip(objectives, ("", "first", "second", "first"), strict=True)
    ]
    orders = [torch.cat(objective.rows) for objective in objectives[:3]]
    assert not objectives[3].rows, "what was done in a stage is not done again"
    assert torch.equal(found[1].weight, found[3].weight)
    assert not any(torch.equal(orders[i], orders[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert not any(torch.equal(found[i].weight, found[j].weight) for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_goes_on_with_what_the_objective_has_learned(
    kind: str, make_gallery: MakeGallery, tmp_path: Path
) -> None:
    n = 40
    weights = 1.0 + torch.arange(n) % 3
    whole = task_of(make_gallery(kind, n).prepared, memory_limit=2**40)
    objective = Regional(whole, weights)
    expected = finetune(whole, {}, objective, RECIPE)
    assert int(objective.steps) == 9
    with pytest.MonkeyPatch.context() as patch:
        # Nothing kept in memory, so that every epoch opens all photos.
        patch.setattr("spurbench.finetuning.training.PHOTO_SHARE", 2**40)
        for stop in (n + n // 2, 2 * n + n // 2):
            gallery = make_gallery(kind, n)
            gallery.photos.most = stop + 1
            task = task_of(gallery.prepared, scratch=FolderScratch(tmp_path / str(stop)))
            with pytest.raises(KeyboardInterrupt):
                finetune(task, {}, Regional(task, weights), RECIPE)
            gallery.photos.most = None
            again = Regional(task, weights)
            found = finetune(task, {}, again, RECIPE)
            assert len(again.rows) == 3 * (3 - stop // n), "epochs that were finished are not done again"
            assert int(again.steps) == 9
            for mine, theirs in zip(found, expected, strict=True):
                assert torch.equal(mine.weight, theirs.weight)
                assert all(torch.equal(mine.state[name], value) for name, value in theirs.state.items())


# Embedding by a tuned tower


@pytest.mark.parametrize("kind", KINDS)
def test_a_tuned_tower_embeds_photos_and_regions(
    kind: str, make_gallery: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spurbench.finetuning.predictor.BATCH", {"cpu": 8})
    prepared = make_gallery(kind).prepared
    task = task_of(prepared)
    tower = finetune(task, {}, Regional(task), RECIPE)[-1]
    view = view_of(ERMFinetune(), prepared, "evaluation", prepared.examples.rows("test"))
    boxes = boxes_of(len(view))
    expected = by_hand(task, tower, photos_of(view), boxes)
    found = tower.embed(view, boxes)
    assert found.shape == (20, 5, 8)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert (found - by_hand(task, None, photos_of(view), boxes)).abs().max() > 0.01, "the tuned one"
    alone = tower.embed(view)
    torch.testing.assert_close(alone, found[:, 0], rtol=1e-3, atol=1e-5)
    logits = torch.nn.functional.normalize(alone, dim=-1) @ tower.weight.T + tower.bias
    torch.testing.assert_close(tower.logits(view), logits, rtol=1e-3, atol=1e-4)
    parts = list(tower.embedded(view, boxes))
    assert [len(part) for part in parts] == [8, 8, 4]
    assert torch.equal(torch.cat(parts), found)
    assert not any(part.is_inference() for part in parts), "so that they may be used in training"


def test_no_photos_have_no_embeddings(make_gallery: MakeGallery) -> None:
    prepared = make_gallery("vit").prepared
    task = task_of(prepared)
    recipe = replace(RECIPE, epochs=1, snapshots=(1,))
    (tower,) = finetune(task, {}, CrossEntropy(zero_shot_weight(task), task.train.y), recipe)
    nothing = view_of(ERMFinetune(), prepared, "evaluation", np.zeros(0, np.int64))
    assert tower.embed(nothing).shape == (0, 8)
    assert tower.embed(nothing, torch.zeros(0, 3, 4)).shape == (0, 4, 8)


def test_what_embeds_without_declaring_images_is_told(make_gallery: MakeGallery) -> None:
    prepared = make_gallery("vit").prepared
    task = task_of(prepared)
    recipe = replace(RECIPE, epochs=1, snapshots=(1,))
    (tower,) = finetune(task, {}, CrossEntropy(zero_shot_weight(task), task.train.y), recipe)

    class Blind(ERMFinetune):
        card = MethodCard(name="blind", title="", paper="", inputs=("text",), track="image")

    with pytest.raises(Exception, match="'blind' uses images without declaring them"):
        tower.embed(view_of(Blind(), prepared, "evaluation", prepared.examples.rows("test")))
