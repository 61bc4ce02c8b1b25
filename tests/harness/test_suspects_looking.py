"""Looking for words: cosines against the tower itself, what is encoded, which words are left, and who predicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spurbench.backbones import resolve
from spurbench.data import Dataset
from spurbench.errors import DataError, UsageError
from spurbench.features import FeatureStore, feature_key
from spurbench.keys import load_data
from spurbench.record import array_hash
from spurbench.session import Session
from spurbench.suspects.cell import Cell
from spurbench.suspects.looking import Look, look
from spurbench.suspects.words import Entry, Words

DIGITS, TINY, OTHER = "digits-sticker:strength=0.9", "menagerie-rn", "menagerie-vit"
KNOWN = ("water", "land", "forest", "street")
PLUGIN = """
from spurbench.cards import BackboneCard

class Blind:
    card = BackboneCard("blind", "Sees no text", "none", has_text=False)
    fingerprint = "blind"
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One for all tests: each photo is encoded once."""
    folder = tmp_path_factory.mktemp("looking")
    (folder / "blind.py").write_text(PLUGIN)
    return Session(cache=folder / "cache", data_root=folder, device="cpu", plugins=(str(folder / "blind.py"),))


def listed(*words: str) -> Words:
    return Words(tuple(Entry(word, "scene", f"with {word}") for word in words), "ab" * 32, "here")


def looked(session: Session, *words: str, dataset: str = DIGITS, backbone: str = TINY, **named: Any) -> Look:
    defaults: dict[str, Any] = {"seen_by": None, "cell": None, "split": "val", "memory_limit": 2**30}
    defaults["listen"] = lambda _: None
    return look(session, dataset, backbone, listed(*(words or KNOWN)), **{**defaults, **named})


def unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x.float(), dim=-1)


def by_hand(session: Session, found: Look, backbone: str, texts: list[str]) -> torch.Tensor:
    """Cosines of photos and texts, from the tower."""
    tower = resolve(session.registries.backbones, backbone, session.setting).load("cpu")
    assert tower.encode_text is not None
    assert tower.parts is not None
    assert found.examples.photos is not None
    images = torch.stack([tower.preprocess(image) for image in found.examples.photos.open(found.rows.tolist())])
    with torch.no_grad():
        embedded = tower.parts.projection(tower.parts.trunk(images))
        return unit(embedded) @ unit(tower.encode_text(texts)).T


def coloured(folder: Path) -> str:
    """A folder of plain photos, so small that every one can be encoded by hand."""
    rng = np.random.default_rng(0)
    for label in ("duck", "camel", "wolf"):
        for split, n in (("train", 1), ("val", 10), ("test", 1)):
            place = folder / split / label / "anywhere"
            place.mkdir(parents=True)
            for i in range(n):
                ground, sky = (np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (24, 48, 3)) for _ in range(2))
                Image.fromarray(np.concatenate([sky, ground])).save(place / f"{label}{i}.png")
    return f"folder:{folder}"


def test_scores_and_predictions_are_the_tower_s(session: Session, tmp_path: Path) -> None:
    found = looked(session, dataset=coloured(tmp_path / "colours"))
    assert found.rows.tolist() == found.examples.rows("val").tolist()
    assert (found.model, found.split, found.backbone, found.seen_by) == ("zero-shot", "val", TINY, TINY)
    # Embeddings are kept in single precision, and encoded in batches of another size.
    words = by_hand(session, found, TINY, [f"a photo of a {word}." for word in KNOWN])
    assert np.allclose(found.scores, words, atol=1e-5)
    classes = by_hand(session, found, TINY, [f"a photo of a {name}." for name in found.card.classes])
    assert found.predicted.tolist() == classes.argmax(dim=1).tolist()
    assert len(set(found.predicted.tolist())) > 1
    assert np.array_equal(found.right, found.predicted == found.examples.y[found.rows])


def test_no_more_photos_are_encoded_than_the_split_has_and_kept_ones_are_read(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = looked(session)
    store = FeatureStore(session.cache / "features")
    shapes = {entry.shape for entry in store.entries() if entry.label.startswith(f"{DIGITS} · {TINY} · val")}
    assert shapes == {(len(first.rows), 128)}
    data = load_data(session.registries, DIGITS, session.data_root, session.setting.hashes, download=False)
    backbone = resolve(session.registries.backbones, TINY, session.setting)
    key, parts = feature_key(data.encoded, backbone.fingerprint, "embeddings")
    whole = torch.randn(len(data.examples.y), 128, generator=torch.Generator().manual_seed(0))
    store.write(key, parts, "all photos", [whole])
    monkeypatch.setattr("spurbench.suspects.looking.TowerEncoder", None)
    try:
        again = looked(session)
    finally:
        store.remove(key)
    kept = unit(whole[torch.from_numpy(first.rows)])
    texts = unit(torch.linalg.lstsq(kept.double(), torch.from_numpy(again.scores)).solution.T)
    assert np.allclose(again.scores, kept @ texts.T, atol=1e-5), "scores are cosines with the embeddings that are kept"


def test_words_that_the_tower_has_not_learnt_are_left_out(session: Session) -> None:
    found = looked(session, "water", "kettle", "picture frame", "Forest", "trombone", "forest street")
    assert [entry.word for entry in found.words.entries] == ["water", "Forest", "forest street"]
    assert found.indistinct == ("kettle", "picture frame", "trombone")
    assert found.scores.shape == (len(found.rows), 3)
    assert np.allclose(found.scores[:, :1], looked(session, "water", "land").scores[:, :1], atol=1e-6)
    with pytest.raises(DataError, match="tell none of the words from another"):
        looked(session, "kettle", "trombone")
    # `water|mark`, of which the towers know the first half, from `water|bird`; `water` is another token.
    assert looked(session, "watermark", "water", "kettle").indistinct == ("watermark", "kettle")


def test_words_that_name_a_class_are_left_out(session: Session) -> None:
    dataset: Dataset = session.registries.datasets.get(DIGITS)
    named = dataset.card.classes[3]
    found = looked(session, "water", named, "land")
    assert found.excluded == (named,)
    assert [entry.word for entry in found.words.entries] == ["water", "land"]
    with pytest.raises(DataError, match="every word of the list names a class"):
        looked(session, named)


def test_another_backbone_sees_the_words_and_the_model_predicts(session: Session) -> None:
    own, other = looked(session), looked(session, seen_by=OTHER)
    assert (other.backbone, other.seen_by) == (TINY, OTHER)
    assert np.array_equal(own.predicted, other.predicted)
    assert np.array_equal(other.scores, looked(session, backbone=OTHER).scores)
    assert other.fingerprints["seen_by"] != other.fingerprints["backbone"] == own.fingerprints["seen_by"]


def a_cell(session: Session, dataset: Any, backbone: str, fingerprint: str) -> Cell:
    data = load_data(session.registries, dataset, session.data_root, session.setting.hashes, download=False)
    rows = data.examples.rows("test")
    record: Any = SimpleNamespace(
        dataset=data.card.name,
        backbone=backbone,
        method="erm",
        key_parts={"data": data.fingerprint, "backbone": fingerprint},
        test_groups=array_hash(data.examples.groups[rows].astype(np.int16)),
    )
    return Cell(
        Path("erm.json"), record, 0, (data.examples.y[rows] + np.arange(len(rows)) % 3) % data.examples.n_classes
    )


def test_a_cell_gives_the_predictions_on_test(session: Session) -> None:
    fingerprint = resolve(session.registries.backbones, TINY, session.setting).fingerprint
    cell = a_cell(session, DIGITS, TINY, fingerprint)
    found = looked(session, cell=cell, split="test")
    assert (found.model, found.split) == ("erm", "test")
    assert found.rows.tolist() == found.examples.rows("test").tolist()
    assert found.right.tolist() == [i % 3 == 0 for i in range(len(found.rows))]
    with pytest.raises(UsageError, match="is of backbone 'menagerie-rn', not 'menagerie-vit'"):
        looked(session, backbone=OTHER, cell=cell, split="test")


def test_a_backbone_without_texts_needs_a_record_and_another_s_eyes(session: Session) -> None:
    cell = a_cell(session, DIGITS, "blind", "blind")
    found = looked(session, backbone="blind", seen_by=TINY, cell=cell, split="test")
    assert (found.backbone, found.seen_by) == ("blind", TINY)
    with pytest.raises(UsageError, match="cannot classify by texts; give the record .* --cell RECORD"):
        looked(session, backbone="blind", seen_by=TINY)
    with pytest.raises(UsageError, match="cannot say which words a photo shows; .* --seen-by"):
        looked(session, backbone="blind", cell=cell, split="test")


def test_a_data_set_without_photos_has_nothing_to_look_at(session: Session) -> None:
    with pytest.raises(UsageError, match="'gaussians' brings its own features"):
        looked(session, dataset="gaussians")


def test_a_split_without_photos_gives_way_to_the_next(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset: Any = session.registries.datasets.get(DIGITS)
    load = dataset.load

    def without_validation(root: Path) -> Any:
        examples = load(root)
        return replace(examples, split=np.where(examples.split == 1, 0, examples.split))

    monkeypatch.setattr(dataset, "load", without_validation)
    assert looked(session).split == "test"
