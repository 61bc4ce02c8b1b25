"""Candidates: the ranking against a loop over photos and labels, the whole against a plain open_clip evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from spurbench.candidates import Candidates, read_candidates
from spurbench.candidates.ranking import most_similar, name_candidates
from spurbench.errors import DataError, UsageError
from spurbench.session import Session

LABELS = ("ant", "bee", "cow", "dog", "elk")


@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
@settings(max_examples=40)
def test_the_labels_most_similar_to_all_photos_of_a_class_are_named(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers: sums are exact, and ties are frequent.
    photos, labels = rng.integers(-2, 3, (25, 3)).astype(np.float32), rng.integers(-2, 3, (7, 3)).astype(np.float32)
    y = rng.integers(0, 7, 25)
    found = most_similar(photos, y, labels, size)
    assert list(found) == sorted(set(y.tolist()))
    for label, named in found.items():
        total = [sum(float(p @ other) for p, c in zip(photos, y, strict=True) if c == label) for other in labels]
        ranked = sorted(range(7), key=lambda k: (-total[k], k))[:size]
        if label not in ranked:
            ranked = [*ranked[:-1], label]
        assert list(named) == ranked


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    vision = {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": [0.5] * 3, "std": [0.3] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    torch.manual_seed(1)
    made = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    weights = {name: value.contiguous() for name, value in made.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, labels in {"train": LABELS, "test": LABELS[:4]}.items():
        for label in labels:
            for value in ("lawn", "sofa"):
                place = folder / split / label / value
                place.mkdir(parents=True)
                for i in range(2):
                    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(cache=tmp_path_factory.mktemp("cache"), data_root=Path("nowhere"), device="cpu")


def test_a_model_names_what_a_plain_evaluation_names(model: Path, photos: Path, session: Session) -> None:
    told: list[tuple[int, int]] = []
    found = name_candidates(session, f"folder:{photos}", f"local-dir:{model}", 3, lambda *a: told.append(a))
    clip, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{model}")
    clip.eval()
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(f"local-dir:{model}")([f"a photo of a {label}." for label in LABELS])
        labels = clip.encode_text(tokens, normalize=True).double()
        for number, label in enumerate(LABELS[:4]):
            files = sorted((photos / "test" / label).rglob("*.png"))
            embedded = [
                clip.encode_image(preprocess(Image.open(file)).unsqueeze(0), normalize=True)[0].double()
                for file in files
            ]
            total = [sum(float(one @ other) for one in embedded) for other in labels]
            ranked = sorted(range(5), key=lambda k: -total[k])[:3]
            expected = ranked if number in ranked else [*ranked[:2], number]
            assert list(found.candidates[number]) == expected
    assert list(found.candidates) == [0, 1, 2, 3]
    assert told[-1] == (36, 36)
    assert (found.size, found.prompts) == (3, "photo")
    assert len(found.data) == len(found.fingerprint) == 64


@pytest.mark.parametrize("size", [1, 6])
def test_more_labels_than_there_are_classes_are_refused(model: Path, photos: Path, session: Session, size: int) -> None:
    with pytest.raises(UsageError, match=rf"--size must lie in 2\.\.5, the classes of folder:.*; not {size}"):
        name_candidates(session, f"folder:{photos}", f"local-dir:{model}", size, lambda done, total: None)


def test_data_without_photos_have_none(model: Path, session: Session) -> None:
    with pytest.raises(UsageError, match="gaussians' brings its own features: it has no photos"):
        name_candidates(session, "gaussians", f"local-dir:{model}", 2, lambda done, total: None)


def made(candidates: dict[int, tuple[int, ...]]) -> Candidates:
    return Candidates(size=2, backbone="b", fingerprint="f", prompts="p", data="d", candidates=candidates)


@given(st.dictionaries(st.integers(0, 8), st.integers(1, 8), min_size=1))
def test_a_file_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, steps: dict[int, int]) -> None:
    path = tmp_path_factory.mktemp("file") / "candidates.json"
    written = made({label: (label, (label + step) % 9) for label, step in steps.items()})
    path.write_text(written.model_dump_json())
    read = read_candidates(path)
    assert read == written
    among = read.among(9, steps)
    for label in range(9):
        allowed = {label, (label + steps[label]) % 9} if label in steps else set(range(9))
        assert set(np.flatnonzero(among[label]).tolist()) == allowed


def test_a_class_with_photos_but_without_candidates_is_named() -> None:
    with pytest.raises(DataError, match="there are photos of class 4, but no candidates"):
        made({1: (1, 2)}).among(9, [1, 4, 5])


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent.json cannot be read: No such file"):
        read_candidates(tmp_path / "absent.json")
