"""Fine-tuning with CLIP's loss on captions of classes: the loss, its captions, and the head it ends in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from open_clip.loss import ClipLoss

from spurbench.seeds import Seed
from spurbench.tasks import make_task, train_view, view_of
from spurbench_methods.clip_finetune import Captions, CLIPFinetune, ImageText

if TYPE_CHECKING:
    from conftest import Gallery

CONFIG: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1, "epochs": 10, "text": "frozen"}
MakeGallery = Callable[..., "Gallery"]
TEXT = ("frozen", "all")


def task_of(gallery: Gallery) -> Any:
    method, prepared = CLIPFinetune(), gallery.prepared
    none = prepared.examples.rows("val")[:0]
    return make_task(method, prepared, train_view(method, prepared), none, Seed(("one",)))


def unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def prompts_of(task: Any) -> list[str]:
    return [prompt for some in task.text.class_prompts() for prompt in some]


def embedded(gallery: Gallery, task: Any) -> torch.Tensor:
    """(K T, d) unit vectors by the open_clip model itself."""
    with torch.no_grad():
        vectors: torch.Tensor = gallery.model.encode_text(task.model.tokenize(prompts_of(task)), normalize=True)
    return vectors


@pytest.mark.parametrize("text", TEXT)
def test_the_loss_is_open_clips_between_photos_and_captions_of_their_classes(
    text: str, make_gallery: MakeGallery
) -> None:
    gallery = make_gallery("vit")
    task = task_of(gallery)
    objective = ImageText(Captions.of(task, {**CONFIG, "text": text}), task.train.y)
    vectors = embedded(gallery, task)
    generator = torch.Generator().manual_seed(1)
    rows = torch.randperm(40, generator=generator)[:24]
    target, which = objective.batch(rows, generator)
    assert torch.equal(target[:, 0], rows)
    drawn = target[:, 1] if which is None else which[target[:, 1]]
    prompts = prompts_of(task)
    names = [set(prompts[int(i)].split()) & {"dim", "bright"} for i in drawn]
    assert names == [{("dim", "bright")[int(k)]} for k in task.train.y[rows]]
    assert len(set(drawn.tolist())) == 6, "all templates occur"
    assert (which is None) == (text == "frozen")
    if which is not None:
        assert len(which) == 6, "each embedded once"
    f = torch.randn(24, 8, generator=generator)
    # A text tower gives vectors of any length.
    found = objective(f, target, None if which is None else 3 * vectors[which])
    expected = ClipLoss()(unit(f), vectors[drawn], torch.tensor(1 / 0.07))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", TEXT)
def test_class_vectors_are_there_for_every_class_of_every_batch(text: str, make_gallery: MakeGallery) -> None:
    class Asking(ImageText):
        asks_for_classes = True

        def loss(self, matched: torch.Tensor, f: torch.Tensor, rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            given.append((rows, w))
            return matched

    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    gallery = make_gallery("vit")
    task = task_of(gallery)
    objective = Asking(Captions.of(task, {**CONFIG, "text": text}), task.train.y)
    vectors, generator = embedded(gallery, task), torch.Generator().manual_seed(2)
    of_one_class = (task.train.y == 1).nonzero()[:5, 0]
    kinds = set()
    for _ in range(20):
        target, which = objective.batch(of_one_class, generator)
        matched = objective(torch.ones(5, 8), target, None if which is None else vectors[which])
        drawn = target[:, 1] if which is None else which[target[:, 1]]
        torch.testing.assert_close(
            matched, ClipLoss()(unit(torch.ones(5, 8)), vectors[drawn], torch.tensor(1 / 0.07)), rtol=1e-4, atol=1e-5
        )
        rows, w = given[-1]
        assert torch.equal(rows, of_one_class)
        assert w.shape == (2, 8)
        if which is None:
            torch.testing.assert_close(w, task.text.classes())
        else:
            assert [int(i) // 3 for i in which[:2]] == [0, 1], "a caption of each class, in order"
            assert (drawn // 3 == 1).all()
            torch.testing.assert_close(w, vectors[which[:2]])
            kinds.add(tuple(which[:2].tolist()))
    assert text == "frozen" or len(kinds) > 4, "drawn anew for every batch"


@pytest.mark.parametrize("kind", ["vit", "modified-resnet", "timm"])
@pytest.mark.parametrize("text", TEXT)
def test_a_step_of_no_size_predicts_as_zero_shot(kind: str, text: str, make_gallery: MakeGallery) -> None:
    gallery = make_gallery(kind)
    task = task_of(gallery)
    view = view_of(CLIPFinetune(), gallery.prepared, "evaluation", gallery.prepared.examples.rows("test"))
    images = torch.stack([view.images()[i] for i in range(len(view))])
    with torch.no_grad():
        expected = gallery.model.encode_image(images, normalize=True) @ task.text.classes().T / 0.07
    fitted = CLIPFinetune().fit(task, {**CONFIG, "lr": 1e-12, "text": text})
    assert len(fitted) == 3
    for predictor in fitted:
        torch.testing.assert_close(predictor.logits(view), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", TEXT)
def test_training_learns_what_the_labels_say(text: str, make_gallery: MakeGallery) -> None:
    task = task_of(make_gallery("vit"))
    fitted = CLIPFinetune().fit(task, {**CONFIG, "text": text})
    assert float((fitted[-1].logits(task.train).argmax(dim=1) == task.train.y).float().mean()) > 0.9
    moved = (fitted[-1].weight - task.text.classes() / 0.07).abs().max()  # type: ignore[attr-defined]
    assert (moved > 1e-3) == (text == "all"), "a locked text tower keeps the head"
