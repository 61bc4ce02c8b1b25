"""Methods that fine-tune whole towers: where they start, where they end, and killed in between."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from PIL import Image

from spurbench.evaluation import Outcome, evaluate
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.tasks import make_task, train_view, view_of
from spurbench_methods.erm_finetune import ERMFinetune
from spurbench_methods.flyp import FLYP, Contrastive
from spurbench_methods.wise_ft import ALPHAS, WiSEFT

if TYPE_CHECKING:
    from conftest import Gallery

KINDS = ("vit", "modified-resnet", "timm")
METHODS: dict[str, Any] = {"erm_finetune": ERMFinetune, "flyp": FLYP, "wise_ft": WiSEFT}
CONFIG: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1, "epochs": 10, "trains": "all", "batch_norm": "eval"}
MakeGallery = Callable[..., "Gallery"]


def task_of(gallery: Gallery, method: Any) -> Any:
    prepared = gallery.prepared
    view = train_view(method, prepared)
    return make_task(method, prepared, view, prepared.examples.rows("val")[:0], Seed(("one",)))


def seen(gallery: Gallery, method: Any) -> Any:
    return view_of(method, gallery.prepared, "evaluation", gallery.prepared.examples.rows("test"))


def zero_shot(gallery: Gallery) -> torch.Tensor:
    """By the open_clip model itself."""
    images = seen(gallery, ERMFinetune()).images()
    with torch.no_grad():
        features = gallery.model.encode_image(torch.stack([images[i] for i in range(len(images))]), normalize=True)
        assert gallery.prepared.text is not None
        return gallery.model.logit_scale.exp() * features @ gallery.prepared.text.class_vectors.T


@pytest.mark.parametrize("kind", KINDS)
def test_wise_ft_lies_between_zero_shot_and_fine_tuned(kind: str, make_gallery: MakeGallery) -> None:
    gallery = make_gallery(kind)
    method = WiSEFT()
    between = method.fit(task_of(gallery, method), CONFIG)
    assert [predictor.alpha for predictor in between] == list(ALPHAS)  # type: ignore[attr-defined]
    assert ALPHAS[0] == 0.5, "without labels, hence first among equals"
    view = seen(gallery, method)
    logits = dict(zip(ALPHAS, (predictor.logits(view) for predictor in between), strict=True))
    torch.testing.assert_close(logits[0.0], zero_shot(gallery), rtol=1e-4, atol=1e-4)
    # The same task, not `wise_ft`'s own: the training is the same.
    tuned = ERMFinetune().fit(replace(task_of(gallery, method)), CONFIG)[-1]
    assert torch.equal(logits[1.0], tuned.logits(view))
    assert (logits[1.0] - logits[0.0]).abs().max() > 0.1
    # Half way, by hand.
    tower = task_of(gallery, method).model
    modules = torch.nn.ModuleDict({"trunk": tower.trunk(), "projection": tower.projection()})
    state: Any = tuned.state  # type: ignore[attr-defined]
    with torch.no_grad():
        for name, parameter in modules.named_parameters():
            parameter.copy_((parameter + state[name]) / 2)
        images = torch.stack([view.images()[i] for i in range(len(view))])
        unit = torch.nn.functional.normalize(modules["projection"](modules["trunk"](images)), dim=-1)
        weight = (gallery.model.logit_scale.exp() * gallery.prepared.text.class_vectors + tuned.weight) / 2  # type: ignore[attr-defined,union-attr]
        torch.testing.assert_close(logits[0.5], unit @ weight.T + tuned.bias / 2, rtol=1e-4, atol=1e-4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", METHODS)
def test_a_step_of_no_size_predicts_as_zero_shot(name: str, make_gallery: MakeGallery) -> None:
    gallery = make_gallery("vit")
    method = METHODS[name]()
    for predictor in method.fit(task_of(gallery, method), {**CONFIG, "lr": 1e-12}):
        found = predictor.logits(seen(gallery, method))
        torch.testing.assert_close(found, zero_shot(gallery), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["erm_finetune", "flyp"])
def test_training_learns_what_the_labels_say(name: str, make_gallery: MakeGallery) -> None:
    gallery = make_gallery("vit")
    method = METHODS[name]()
    task = task_of(gallery, method)
    fitted = method.fit(task, CONFIG)
    assert len(fitted) == 3
    y = task.train.y
    accuracies = [float((p.logits(task.train).argmax(dim=1) == y).float().mean()) for p in fitted]
    assert accuracies[-1] > 0.9


def test_what_is_pinned_decides_on_epochs_and_on_what_moves(make_gallery: MakeGallery) -> None:
    gallery = make_gallery("modified-resnet")
    task = task_of(gallery, ERMFinetune())
    moved = {}
    for trains in ("all", "projection"):
        for batch_norm in ("eval", "train"):
            config = {**CONFIG, "epochs": 1, "trains": trains, "batch_norm": batch_norm}
            (fitted,) = ERMFinetune().fit(task, config)
            names = set(fitted.state)  # type: ignore[attr-defined]
            moved[trains, batch_norm] = (
                any(name.startswith("trunk.") and name.endswith("weight") for name in names),
                any(name.startswith("projection.") for name in names),
                any(name.endswith("running_mean") for name in names),
            )
    assert moved == {
        ("all", "eval"): (True, True, False),
        ("all", "train"): (True, True, True),
        ("projection", "eval"): (False, True, False),
        ("projection", "train"): (False, True, True),
    }


def test_flyps_loss_is_clips(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit"), FLYP())
    prompts = [prompt for some in task.text.class_prompts() for prompt in some]
    objective = Contrastive(task.model.tokenize(prompts), 2, 20.0, task.train.y)
    generator = torch.Generator().manual_seed(1)
    rows = torch.randperm(40, generator=generator)[:24]
    place, which = objective.batch(rows, generator)
    captions = [prompts[int(i)] for i in which[place]]
    names = {"dim", "bright"}
    for row, caption in zip(rows, captions, strict=True):
        assert set(caption.split()) & names == {("dim", "bright")[int(task.train.y[row])]}
    assert len(which) == len(set(captions)) == 6, "all templates occur, each embedded once"
    f, t = torch.randn(24, 8, generator=generator), torch.randn(6, 8, generator=generator)
    unit = torch.nn.functional.normalize
    expected = ClipLoss()(unit(f, dim=-1), unit(t[place], dim=-1), torch.tensor(20.0))
    torch.testing.assert_close(objective(f, place, t), expected)


def test_prompts_are_the_filled_templates(make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit"), FLYP())
    assert task.text.class_prompts() == [["a dim", "the dim", "no dim"], ["a bright", "the bright", "no bright"]]


# Killed in the middle of an epoch


class Deadly:
    """Photos of which one kills the process."""

    def __init__(self, photos: Any, at: int) -> None:
        self._photos, self._left, self.at_once = photos, at, 1

    def __len__(self) -> int:
        return len(self._photos)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        self._left -= len(rows)
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return list(self._photos.open(rows))


def result_of(gallery: Gallery, name: str, scratch: Path | None) -> Outcome:
    prepared = replace(gallery.prepared, scratch=scratch)
    (outcome,) = evaluate(METHODS[name](), prepared, load_rules("quick").variant(2, None), [0])
    return outcome


def dies(gallery: Gallery, name: str, scratch: Path, at: int) -> None:
    """Evaluate until the photo of that number is opened."""
    source: Any = gallery.prepared.source
    deadly: Any = Deadly(gallery.photos, at)
    prepared = replace(gallery.prepared, source=replace(source, photos=deadly))
    result_of(replace(gallery, prepared=prepared), name, scratch)


@pytest.mark.parametrize("name", METHODS)
def test_killed_in_the_middle_of_epochs_it_ends_as_an_undisturbed_run(
    name: str, make_gallery: MakeGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that photos are opened in every epoch.
    monkeypatch.setattr("spurbench.finetuning.training.PHOTO_SHARE", 2**40)
    gallery = make_gallery("vit", 20)
    whole, predictions = result_of(gallery, name, None)
    everything = len(gallery.photos.opened)
    assert everything > 2 * 10 * 20, "two configurations"
    scratch = tmp_path / "job"
    gallery.photos.opened.clear()
    # In the third epoch, and in the second configuration: 20 photos an epoch, one more for each start.
    for at in (1 + 2 * 20 + 9, 1 + 8 * 20 + 1 + 5 * 20 + 7):
        process = multiprocessing.get_context("fork").Process(target=dies, args=(gallery, name, scratch, at))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    result, again = result_of(gallery, name, scratch)
    assert len(gallery.photos.opened) < everything / 2, "most was done before"
    assert result == whole
    assert again.keys() == predictions.keys()
    for key, classes in predictions.items():
        np.testing.assert_array_equal(again[key], classes)
    assert not scratch.exists()
