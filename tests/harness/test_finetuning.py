"""Fine-tuning against plain loops over open_clip's own models, whole and in parts, undisturbed and interrupted."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss

from spurbench.cards import MethodCard
from spurbench.errors import ConfigurationError, MethodError
from spurbench.finetuning import Objective, Recipe, Trained, TunedTower, cosine, finetune
from spurbench.finetuning.memory import Plan, plan_of
from spurbench.finetuning.steps import backward
from spurbench.finetuning.towers import Towers
from spurbench.finetuning.training import _Training
from spurbench.method import Task
from spurbench.scratch import FolderScratch, MemoryScratch
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view, view_of
from spurbench_methods.erm_finetune import CrossEntropy, ERMFinetune, zero_shot_weight
from spurbench_methods.flyp import Contrastive

if TYPE_CHECKING:
    from conftest import Gallery

KINDS = ("vit", "modified-resnet", "timm")
RECIPE = Recipe(lr=1e-3, weight_decay=0.1, epochs=3, batch=16, snapshots=(1, 3), clip=1.0)
WHOLE, SPLIT = Plan(room=2**40, image=1, text=1), Plan(room=30, image=6, text=10)
MakeGallery = Callable[..., "Gallery"]


def task_of(prepared: Prepared, **changes: Any) -> Task:
    method = ERMFinetune()
    view = train_view(method, prepared)
    task = make_task(method, prepared, view, prepared.examples.rows("val")[:0], Seed(("tuning",)))
    return replace(task, **changes)


def cross_entropy(task: Task) -> CrossEntropy:
    return CrossEntropy(zero_shot_weight(task), task.train.y)


def contrastive(task: Task) -> Contrastive:
    prompts = task.text.class_prompts()
    tokens = task.model.tokenize([prompt for some in prompts for prompt in some])
    return Contrastive(tokens, len(prompts), task.text.logit_scale, task.train.y)


def test_view(prepared: Prepared) -> Any:
    return view_of(ERMFinetune(), prepared, "evaluation", prepared.examples.rows("test"))


test_view.__test__ = False  # type: ignore[attr-defined]


def batch_of(task: Task, size: int = 13) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.arange(size)
    return rows, torch.stack(task.train.images().__getitems__(rows.tolist()))


def plain_loop(gallery: Gallery, task: Task, recipe: Recipe, *, trains: str, batch_norm: bool = False) -> Any:
    """torch's own optimiser, schedule and clipping on the open_clip model itself. Returns model, weight, bias."""
    model = copy.deepcopy(gallery.model).eval()
    model.visual.to(memory_format=torch.channels_last)
    for module in model.visual.modules():
        if batch_norm and isinstance(module, torch.nn.BatchNorm2d):
            module.train()
    weight = torch.nn.Parameter(task.text.logit_scale * task.text.classes())
    bias = torch.nn.Parameter(torch.zeros(2))
    if trains == "both":
        named = dict(model.named_parameters())
    else:
        named = {**dict(model.visual.named_parameters()), "weight": weight, "bias": bias}
    groups = [
        {"params": [p for p in named.values() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in named.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr)
    n, y = len(task.train), task.train.y
    images = torch.stack([task.train.images()[i] for i in range(n)]).contiguous(memory_format=torch.channels_last)
    steps = recipe.epochs * math.ceil(n / recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, steps, recipe.warm_up))
    prompts = [prompt for some in task.text.class_prompts() for prompt in some]
    for epoch in range(recipe.epochs):
        order = torch.randperm(n, generator=task.seed.derive("epoch", epoch).torch())
        draws = task.seed.derive("epoch", epoch, "draws").torch()
        for rows in order.split(recipe.batch):
            optimiser.zero_grad()
            features = model.encode_image(images[rows], normalize=True)
            if trains == "both":
                drawn = torch.randint(3, (len(rows),), generator=draws)
                captions = [prompts[3 * int(k) + int(t)] for k, t in zip(y[rows], drawn, strict=True)]
                texts = model.encode_text(task.model.tokenize(captions), normalize=True)
                loss = ClipLoss()(features, texts, model.logit_scale.exp())
            else:
                loss = torch.nn.functional.cross_entropy(features @ weight.T + bias, y[rows])
            loss.backward()
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(named.values(), recipe.clip)
            optimiser.step()
            schedule.step()
    return model.eval(), weight.detach(), bias.detach()


def plain_logits(gallery: Gallery, model: Any, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    images = test_view(gallery.prepared).images()
    with torch.no_grad():
        features = model.encode_image(torch.stack([images[i] for i in range(len(images))]), normalize=True)
    return features @ weight.T + bias


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_is_a_plain_loop_over_the_open_clip_model(
    kind: str, batch_norm: bool, make_gallery: MakeGallery
) -> None:
    gallery = make_gallery(kind)
    task = task_of(gallery.prepared)
    model, weight, bias = plain_loop(gallery, task, RECIPE, trains="image", batch_norm=batch_norm)
    trained = Trained(batch_norm="train" if batch_norm else "eval")
    early, late = finetune(task, {}, cross_entropy(task), RECIPE, trained)
    expected = plain_logits(gallery, model, weight, bias)
    found = late.logits(test_view(gallery.prepared))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close((late.weight, late.bias), (weight, bias), rtol=1e-3, atol=1e-3)
    start = plain_logits(gallery, gallery.model, zero_shot_weight(task), torch.zeros(2))
    assert (expected - start).abs().max() > 0.1, "training has changed something"
    assert not torch.equal(early.weight, late.weight)
    moved = {name: value for name, value in late.state.items() if "running" in name}
    if batch_norm and kind != "vit":
        statistics = [value for name, value in model.visual.named_buffers() if "running" in name]
        assert len(moved) == len(statistics) > 3
        sums = [sorted(float(value.sum()) for value in values) for values in (moved.values(), statistics)]
        assert sums[0] == pytest.approx(sums[1], rel=1e-3, abs=1e-3)
    else:
        assert not moved


@pytest.mark.parametrize("kind", ["vit", "timm"])
def test_contrastive_training_is_a_plain_loop_with_open_clips_loss(kind: str, make_gallery: MakeGallery) -> None:
    gallery = make_gallery(kind)
    task = task_of(gallery.prepared)
    recipe = replace(RECIPE, lr=1e-3, clip=None)
    model, _, _ = plain_loop(gallery, task, recipe, trains="both")
    late = finetune(task, {}, contrastive(task), recipe, Trained(text="all"))[-1]
    prompts = [prompt for some in task.text.class_prompts() for prompt in some]
    with torch.no_grad():
        texts = model.encode_text(task.model.tokenize(prompts), normalize=True).reshape(2, 3, -1).mean(dim=1)
        weight = model.logit_scale.exp() * torch.nn.functional.normalize(texts, dim=-1)
    torch.testing.assert_close(late.weight, weight, rtol=1e-3, atol=1e-3)
    expected = plain_logits(gallery, model, weight, torch.zeros(2))
    torch.testing.assert_close(late.logits(test_view(gallery.prepared)), expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", [cross_entropy, contrastive])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_split_batch_has_the_gradient_of_the_whole(
    kind: str, build: Callable[[Task], Objective], checkpointing: bool, make_gallery: MakeGallery
) -> None:
    task = task_of(make_gallery(kind).prepared)
    rows, images = batch_of(task)
    found = []
    for plan in (WHOLE, SPLIT):
        objective = build(task)
        towers = Towers(task.model, Trained(text="all" if objective.texts is not None else "frozen"), objective)
        if checkpointing and plan is SPLIT:
            towers.checkpoint_gradients()
        target, which = objective.batch(rows, torch.Generator().manual_seed(0))
        tokens = None if which is None or objective.texts is None else objective.texts[which]
        loss = backward(towers, plan, images, tokens, target)
        found.append((loss, {name: p.grad for name, p in towers.trained() if p.grad is not None}))
    (loss, whole), (split_loss, split) = found
    torch.testing.assert_close(split_loss, loss, rtol=1e-5, atol=1e-6)
    assert whole.keys() == split.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-3, atol=1e-5 * largest, msg=lambda m: f"{name}: {m}")  # noqa: B023


def test_checkpointed_towers_hold_less(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit").prepared)
    towers = Towers(task.model, Trained(text="all"), contrastive(task))
    one = torch.zeros(1, 3, 16, 16)
    texts = towers.objective.texts
    plain = plan_of("m", towers, one, texts, 0, 4, 2**30)
    towers.checkpoint_gradients()
    assert plan_of("m", towers, one, texts, 0, 4, 2**30).image < plain.image
    assert plan_of("m", towers, one, texts, 0, 4, 2**30).text < plain.text


def test_what_is_measured_is_what_an_example_takes() -> None:
    """A tower of one product and one square: the activations that its gradient needs are known."""
    from spurbench.finetuning.memory import _bytes_per_example

    layer = torch.nn.Linear(100, 1000, bias=False)
    per_example, shared = _bytes_per_example(lambda x: layer(x).square(), torch.zeros(1, 100))
    # The product, its square, the square of that: three of 4,000 bytes live in the forward pass; then gradients come.
    assert 3 * 4000 <= per_example <= 6 * 4000
    # The gradient of the weights, while it is added to what is there.
    assert 4 * 100 * 1000 <= shared <= 2 * 4 * 100 * 1000


@pytest.mark.parametrize(
    ("trained", "named"),
    [
        (Trained(), {"image.trunk.", "image.projection.", "objective."}),
        (Trained(image="projection"), {"image.projection.", "objective."}),
        (Trained(text="all"), {"image.trunk.", "image.projection.", "text.trunk.", "text.projection.", "objective."}),
        (
            Trained(image="projection", text="released", batch_norm="train"),
            {
                "image.projection.",
                "text.trunk.token_embedding.",
                "text.trunk.positional_embedding",
                "text.trunk.ln_final.",
                "text.projection.",
                "objective.",
            },
        ),
    ],
)
def test_exactly_what_is_named_moves(trained: Trained, named: set[str], make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("modified-resnet").prepared)
    objective = cross_entropy(task) if trained.text == "frozen" else contrastive(task)
    recipe = replace(RECIPE, epochs=1, snapshots=(1,))
    training = _Training(task, "name", task.seed, objective, recipe, trained)
    before = copy.deepcopy(training.towers.state_dict())
    training.run()
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    for name, value in training.towers.state_dict().items():
        moves = any(name.startswith(beginning) for beginning in named) and not name.endswith(statistics)
        # A key's bias shifts all scores of a query alike: its gradient is rounding, or nothing.
        if name.endswith(("in_proj_bias", "k_proj.bias")):
            continue
        # Rows of words that do not occur stay where they are but for their decay.
        if name.endswith(statistics):
            moves = trained.batch_norm == "train"
        assert torch.equal(value, before[name]) != moves, name


def test_the_projection_alone_needs_one() -> None:
    class Bare:
        method, device, precision = "mine", torch.device("cpu"), "fp32"

        def trunk(self) -> torch.nn.Module:
            return torch.nn.Linear(2, 2)

        def projection(self) -> torch.nn.Module:
            return torch.nn.Identity()

    nothing: Any = torch.nn.Module()
    nothing.texts = None
    bare: Any = Bare()
    with pytest.raises(MethodError, match="'mine' trains the projection of the image tower, and this backbone"):
        Towers(bare, Trained(image="projection"), nothing)


# Interruptions


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_ends_as_an_undisturbed_one_bit_for_bit(
    kind: str, make_gallery: MakeGallery, tmp_path: Path
) -> None:
    n, trained = 40, Trained(text="all", batch_norm="train")
    whole = task_of(make_gallery(kind, n).prepared, memory_limit=2**40)
    expected = finetune(whole, {}, contrastive(whole), RECIPE, trained)
    # Nothing kept in memory, so that every epoch opens all photos: too few bytes for that.
    for stop in (n // 2, n + n // 2, 2 * n + n // 2):
        scratch = FolderScratch(tmp_path / str(stop))
        gallery = make_gallery(kind, n)
        gallery.photos.most = stop + 1
        task = task_of(gallery.prepared, scratch=scratch)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spurbench.finetuning.training.PHOTO_SHARE", 2**40)
            with pytest.raises(KeyboardInterrupt):
                finetune(task, {}, contrastive(task), RECIPE, trained)
            gallery.photos.most = None
            gallery.photos.opened.clear()
            found = finetune(task, {}, contrastive(task), RECIPE, trained)
        epochs_left = 3 - stop // n
        # One more photo is opened to see its shape.
        assert len(gallery.photos.opened) == n * epochs_left + 1
        assert len(found) == len(expected) == 2
        for mine, theirs in zip(found, expected, strict=True):
            same(mine, theirs)


def same(one: TunedTower, other: TunedTower) -> None:
    assert one.state.keys() == other.state.keys()
    for name, value in one.state.items():
        assert torch.equal(value, other.state[name]), name
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_what_is_finished_is_not_trained_again(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("vit")
    task = task_of(gallery.prepared)
    first = finetune(task, {"a": 1}, cross_entropy(task), RECIPE)
    count = len(gallery.photos.opened)
    for mine, theirs in zip(finetune(task, {"a": 1}, cross_entropy(task), RECIPE), first, strict=True):
        same(mine, theirs)
    assert len(gallery.photos.opened) == count
    for other in ({"config": {"a": 2}}, {"recipe": replace(RECIPE, lr=0.1)}, {"trained": Trained(image="projection")}):
        arguments: dict[str, Any] = {"config": {"a": 1}, "recipe": RECIPE, "trained": Trained(), **other}
        finetune(task, objective=cross_entropy(task), **arguments)
        assert len(gallery.photos.opened) > count, other
        count = len(gallery.photos.opened)


def test_texts_and_a_text_tower_go_together(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit").prepared)
    with pytest.raises(MethodError, match='the objective has texts.* it has none, and the text side is "all"'):
        finetune(task, {}, cross_entropy(task), RECIPE, Trained(text="all"))
    with pytest.raises(MethodError, match='it has some, and the text side is "frozen"'):
        finetune(task, {}, contrastive(task), RECIPE)


def test_photos_are_opened_once_where_they_fit(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("vit")
    task = task_of(gallery.prepared)
    finetune(task, {}, cross_entropy(task), RECIPE)
    assert len(gallery.photos.opened) == 40 + 1


def test_a_broken_snapshot_is_made_again(make_gallery: MakeGallery, tmp_path: Path) -> None:
    task = task_of(make_gallery("vit").prepared, scratch=FolderScratch(tmp_path))
    first = finetune(task, {}, cross_entropy(task), RECIPE)
    expected = [{name: value.clone() for name, value in tower.state.items()} for tower in first]
    early = next(path for path in tmp_path.iterdir() if path.stem.endswith("-1"))
    early.write_bytes(early.read_bytes()[:-1])
    for tower, state in zip(finetune(task, {}, cross_entropy(task), RECIPE), expected, strict=True):
        assert all(torch.equal(tower.state[name], value) for name, value in state.items())


def test_what_is_removed_during_training_is_missed(make_gallery: MakeGallery, tmp_path: Path) -> None:
    class Swept(FolderScratch):
        def drop(self, name: str) -> None:
            self.clear()

    task = task_of(make_gallery("vit").prepared, scratch=Swept(tmp_path / "job" / "seed"))
    with pytest.raises(MethodError, match="was removed meanwhile.*run it again"):
        finetune(task, {}, cross_entropy(task), RECIPE)


# Memory


def test_one_example_that_does_not_fit_is_an_error_with_the_numbers(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("modified-resnet")
    task = task_of(gallery.prepared, memory_limit=2**20)
    with pytest.raises(MethodError) as caught:
        finetune(task, {}, cross_entropy(task), RECIPE)
    message = str(caught.value)
    assert "'erm_finetune' needs" in message
    assert "--memory-limit is 1M" in message
    needed = int(message.rpartition("--memory-limit ")[2].partition("M")[0])
    task = task_of(gallery.prepared, memory_limit=needed * 2**20)
    assert finetune(task, {}, cross_entropy(task), RECIPE)
    with pytest.raises(MethodError, match="16 images, whose BatchNorm statistics are the batch's"):
        finetune(task, {}, cross_entropy(task), RECIPE, Trained(batch_norm="train"))


def test_with_moving_statistics_texts_must_fit_beside_the_batch(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("modified-resnet").prepared)
    objective = contrastive(task)
    towers = Towers(task.model, Trained(text="all", batch_norm="train"), objective)
    one = torch.zeros(1, 3, 32, 32)
    plan = plan_of("m", towers, one, objective.texts, 0, 16, 2**30)
    assert plan.least == 16 * plan.image + 6 * plan.text
    held = 2**30 - plan.room
    assert plan_of("m", towers, one, objective.texts, 0, 16, held + plan.least).whole(16, 6)
    with pytest.raises(MethodError, match="16 images"):
        plan_of("m", towers, one, objective.texts, 0, 16, held + plan.least - 1)


PEAK = """
    import sys
    from pathlib import Path
    import open_clip, torch
    from spurbench.encode import keep_freed_memory
    from spurbench.finetuning.memory import plan_of
    from spurbench.finetuning.steps import backward
    from spurbench.finetuning.towers import Towers, Trained
    from spurbench.backbones import Parts, Tower
    from spurbench.backbones.cutting import cut_image
    from spurbench.model_space import ModelSpace
    from spurbench_methods.erm_finetune import CrossEntropy

    limit, batch = int(sys.argv[1]), 48

    def peak():
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

    keep_freed_memory()
    torch.set_num_threads(1)
    vision = {"image_size": 96, "layers": 6, "width": 192, "head_width": 32, "patch_size": 8}
    model = open_clip.CLIP(64, vision, {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1})
    trunk, projection = cut_image(model.visual)
    tower = Tower(None, trunk, projection, None, 1.0, Parts(trunk, projection))
    space = ModelSpace("m", ("images",), lambda: tower, torch.device("cpu"))
    images, target = torch.randn(batch, 3, 96, 96), torch.arange(batch) % 2
    objective = CrossEntropy(torch.randn(2, 64), target)
    # Code is loaded and buffers are made once, whatever the limit.
    trunk(images[:1]).sum().backward()
    trunk.zero_grad()
    before = peak()
    towers = Towers(space, Trained(), objective)
    plan = plan_of("m", towers, torch.zeros(1, 3, 96, 96), None, 0, batch, limit)
    optimiser = torch.optim.AdamW(towers.parameters(), lr=1e-3)
    for _ in range(2):
        optimiser.zero_grad()
        backward(towers, plan, images, None, target)
        optimiser.step()
    print(peak() - before, plan.images_at_once())
"""


def test_the_peak_stays_under_the_limit() -> None:
    """Up to a sixth more: operators' own working space, and how torn a heap gets is chance."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells the most memory that a process has used")
    limit = 300 * 2**20
    command = [sys.executable, "-c", textwrap.dedent(PEAK), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, at_once = map(int, done.stdout.split())
    assert 1 <= at_once < 48, "the limit has something to do"
    assert 0.5 * limit < grown < 1.15 * limit, "and what is allowed is used"


# Wrong use, and what goes wrong


def test_a_card_without_images_is_told_what_to_declare(make_gallery: MakeGallery) -> None:
    class Blind(ERMFinetune):
        card = MethodCard(name="blind", title="", paper="", inputs=("text",), track="image")

    prepared = make_gallery("vit").prepared
    method = Blind()
    task = make_task(method, prepared, train_view(method, prepared), np.zeros(0, np.int64), Seed(("s",)))
    with pytest.raises(MethodError, match=r"'blind' uses images without .* write inputs=\('text', 'images'\)"):
        method.fit(task, {name: values.first for name, values in method.space.items()})


def test_a_loss_that_is_no_number_loses_the_configuration(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit").prepared)
    with pytest.raises(ConfigurationError, match="the loss became NaN or infinite in epoch 1"):
        finetune(task, {}, cross_entropy(task), replace(RECIPE, lr=1e30, clip=None))


@pytest.mark.parametrize("snapshots", [(), (2, 1, 3), (1, 2), (0, 3), (1, 1, 3)])
def test_snapshots_are_ascending_and_end_with_the_last_epoch(snapshots: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        replace(RECIPE, snapshots=snapshots)


def test_bf16_towers_train_in_bf16_with_weights_in_float32(make_gallery: MakeGallery) -> None:
    exact, rounded = (task_of(make_gallery("vit", precision=precision).prepared) for precision in ("fp32", "bf16"))
    recipe = replace(RECIPE, epochs=1, snapshots=(1,))
    (one,), (other,) = (finetune(task, {}, contrastive(task), recipe, Trained(text="all")) for task in (exact, rounded))
    assert {value.dtype for value in other.state.values()} == {torch.float32}
    assert not torch.equal(one.weight, other.weight)
    torch.testing.assert_close(one.weight, other.weight, rtol=0.05, atol=0.3)


def test_many_predictors_say_what_each_says_alone(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("modified-resnet")
    task = task_of(gallery.prepared, scratch=MemoryScratch())
    towers = finetune(task, {}, cross_entropy(task), RECIPE)
    # One batch of photos at a time.
    towers = [replace(tower, memory_limit=1) for tower in towers]
    view = test_view(gallery.prepared)
    gallery.photos.opened.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spurbench.finetuning.predictor.BATCH", {"cpu": 8})
        together = TunedTower.logits_many(towers, view)
        assert len(gallery.photos.opened) == len(view) + 1
        for tower, logits in zip(towers, together, strict=True):
            assert torch.equal(tower.logits(view), logits)
    assert not torch.equal(*together)
