"""A model under study: its evidence against the tower itself, its truth against the photos' pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from spurbench.backbones import resolve
from spurbench.backbones.spatial import spatial
from spurbench.errors import DataError, UsageError
from spurbench.regions import cells
from spurbench.session import Session
from spurbench.study import Study, study

DIGITS, TINY = "digits-sticker:strength=0.9", "menagerie-rn"
FIRST = 40


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(cache=tmp_path / "cache", data_root=tmp_path / "data", device="cpu")


def studied(session: Session, dataset: str = DIGITS, backbone: str = TINY, **named: Any) -> Study:
    defaults: dict[str, Any] = {
        "checkpoint": None, "method": None, "regions": None, "split": "val", "seed": 0,
        "memory_limit": 2**30, "listen": lambda _: None,
    }  # fmt: skip
    return study(session, dataset, backbone, **{**defaults, **named})


def photos(found: Study, rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.uint8]]:
    assert found.examples.photos is not None
    return [np.asarray(image) for image in found.examples.photos.open(rows.tolist())]


def test_evidence_is_what_the_tower_makes_of_photos_and_quadrants(session: Session) -> None:
    found = studied(session)
    assert (found.model, found.regions, found.split) == ("zero-shot", "grid2", "val")
    assert found.rows.tolist() == found.examples.rows("val").tolist()
    assert found.evidence.image_of.tolist() == np.repeat(np.arange(len(found.rows)), 4).tolist()
    tower = resolve(session.registries.backbones, TINY, session.setting).load("cpu")
    assert tower.parts is not None
    assert tower.encode_text is not None
    assert found.examples.photos is not None
    images = torch.stack([tower.preprocess(image) for image in found.examples.photos.open(found.rows[:FIRST].tolist())])
    with torch.no_grad():
        both = spatial(tower.parts.trunk, tower.parts.projection)(
            images, torch.from_numpy(cells(2)).expand(FIRST, 4, 4)
        )
    unit = torch.nn.functional.normalize(both, dim=-1)
    # Kept in half precision, as maps are.
    assert torch.allclose(found.evidence.image_embeddings[:FIRST], unit[:, 0], atol=2e-3)
    assert torch.allclose(found.evidence.region_embeddings[: 4 * FIRST], unit[:, 1:].flatten(0, 1), atol=2e-3)
    texts = tower.encode_text([f"a photo of the digit {name}." for name in found.card.classes])
    scores = torch.softmax(unit[:, 0] @ torch.nn.functional.normalize(texts, dim=-1).T / 0.07, dim=1)
    assert torch.allclose(found.evidence.image_scores[:FIRST], scores, atol=0.02)


def test_truth_is_where_the_red_square_is(session: Session) -> None:
    found = studied(session)
    assert found.truth is not None
    expected = []
    for pixels in photos(found, found.rows):
        red = (pixels == (255, 0, 0)).all(axis=-1)
        expected += [bool(red[top : top + 28, left : left + 28].all()) for top in (0, 28) for left in (0, 28)]
    assert found.truth.tolist() == expected
    assert sum(expected) == len(found.rows) / 2
    assert np.allclose(found.boxes, np.tile(cells(2), (len(found.rows), 1)), atol=0.02)


def test_the_same_study_again_reads_what_was_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    first = studied(session)
    monkeypatch.setattr("spurbench.study._Looking", None)
    again = studied(session)
    assert torch.equal(first.evidence.region_embeddings, again.evidence.region_embeddings)
    with pytest.raises(TypeError, match="not callable"):
        studied(session, regions="grid3")


def test_a_checkpoint_stands_in_for_the_weights(session: Session, tmp_path: Path) -> None:
    backbone: Any = resolve(session.registries.backbones, TINY, session.setting)
    import open_clip

    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{backbone.weights.parent}")
    with torch.no_grad():
        model.visual.attnpool.c_proj.weight.mul_(-1)
        model.visual.attnpool.c_proj.bias.mul_(-1)
    path = tmp_path / "turned.pt"
    torch.save(model.state_dict(), path)
    before, after = studied(session), studied(session, checkpoint=path)
    assert after.model == "turned.pt"
    assert after.backbone.startswith("menagerie-rn=turned.pt@")
    assert torch.allclose(after.evidence.image_embeddings, -before.evidence.image_embeddings, atol=2e-3)
    with pytest.raises(UsageError, match="there is no checkpoint file"):
        studied(session, checkpoint=tmp_path / "absent.pt")


def test_a_method_tunes_first_and_what_it_reached_is_kept(session: Session) -> None:
    told: list[str] = []
    first = studied(session, method="clip_finetune:epochs=1", listen=told.append)
    assert first.model == "clip_finetune:epochs=1"
    assert any("fine-tunes" in line for line in told)
    assert not torch.allclose(first.evidence.image_embeddings, studied(session).evidence.image_embeddings, atol=0.01)
    again = studied(session, method="clip_finetune:epochs=1")
    assert torch.equal(first.evidence.image_embeddings, again.evidence.image_embeddings)


def test_a_split_without_photos_gives_way_to_the_next(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = session.registries.datasets.get(DIGITS)
    load = dataset.load

    def without_validation(root: Path) -> Any:
        examples = load(root)
        return replace(examples, split=np.where(examples.split == 1, 0, examples.split))

    monkeypatch.setattr(dataset, "load", without_validation)
    assert studied(session).split == "test"


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ({"dataset": "gaussians"}, "brings its own features"),
        ({"method": "erm"}, "does not fine-tune the image tower"),
        ({"regions": "grid0"}, "out of range"),
    ],
)
def test_what_cannot_be_studied_is_told(session: Session, named: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        studied(session, **named)


def test_a_data_set_that_does_not_know_where_things_are_says_so(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = session.registries.datasets.get(DIGITS)

    def lost(root: Path, rows: object) -> None:
        raise DataError("put the boxes there")

    monkeypatch.setattr(dataset, "places", lost)
    found = studied(session)
    assert (found.truth, found.why_no_truth) == (None, "put the boxes there")
