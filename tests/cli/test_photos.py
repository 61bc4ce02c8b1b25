"""Photos end to end: a folder of one's own under a small backbone, broken files, features listed and verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

if TYPE_CHECKING:
    from conftest import Spurbench

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP as a `local-dir:` folder."""
    import open_clip

    folder = tmp_path_factory.mktemp("backbone") / "tiny-clip"
    folder.mkdir()
    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG["model_cfg"])
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        str(folder / "open_clip_model.safetensors"),
    )
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Grey or coloured animals on dark or light ground, as `split/class/attribute/*.jpg`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "my photos"
    for split, counts in {"train": (12, 3, 3, 12), "val": (6,) * 4, "test": (8,) * 4}.items():
        for group, count in enumerate(counts):
            y, a = divmod(group, 2)
            place = folder / split / ("cat", "dog")[y] / ("lawn", "sofa")[a]
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 60, (40, 48, 3)) + 140 * a
                pixels[10:30, 10:30, 2 * y] = 255
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.jpg")
    return folder


def test_ones_own_photos_are_encoded_once_and_every_method_runs(
    spurbench: Spurbench, photos: Path, backbone: Path
) -> None:
    command = ("run", "--datasets", f"folder:{photos}", "--backbones", f"local-dir:{backbone}", "--rules", "quick")
    first = spurbench(*command, "--methods", "zero_shot,erm,subg")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "86 photos at" in first.stdout
    assert "of the time in the image tower" in first.stdout
    second = spurbench(*command, "--methods", "dfr_train", "--prompts", "photo")
    assert "images/s" not in second.stdout, "features are read, not built again"
    listed = spurbench("features", "list").stdout
    assert "86x16" in listed
    assert "text" in listed


def test_damaged_features_are_found_and_built_again(
    spurbench: Spurbench, photos: Path, backbone: Path, tmp_path: Path
) -> None:
    command = ("features", "build", "--datasets", f"folder:{photos}", "--backbones", f"local-dir:{backbone}")
    assert "86 photos at" in spurbench(*command, "--kinds", "embeddings,penultimate").stdout
    assert "cached already" in spurbench(*command).stdout
    files = sorted((tmp_path / "cache/features").glob("*.safetensors"))
    assert len(files) == 2
    intact = files[0].read_bytes()
    files[0].write_bytes(intact[:-10])
    verified = spurbench("features", "verify")
    assert verified.returncode == 1
    assert verified.stdout.count("DAMAGED") == 1
    assert verified.stdout.count("intact") == 1
    spurbench(*command, "--kinds", "embeddings,penultimate")
    assert files[0].read_bytes() == intact
    assert spurbench("features", "verify").returncode == 0
    assert spurbench("features", "remove", "zz").returncode == 2
    assert spurbench("features", "remove").returncode == 2
    assert spurbench("features", "remove", "--all").stdout.count("removed") == 2
    assert not list((tmp_path / "cache/features").glob("*.safetensors"))


def test_all_broken_photos_are_named_in_one_list(spurbench: Spurbench, photos: Path, backbone: Path) -> None:
    good = (photos / "train/cat/lawn/0.jpg").read_bytes()
    (photos / "train/cat/lawn/1.jpg").write_bytes(b"")
    (photos / "test/dog/sofa/2.jpg").write_bytes(good[: len(good) // 2])
    (photos / "val/dog/lawn/3.jpg").write_text("a page that says 404")
    run = spurbench(
        "run", "--datasets", f"folder:{photos}", "--backbones", f"local-dir:{backbone}", "--methods", "erm,subg"
    )
    assert run.returncode == 1
    assert "3 of 86 photos cannot be read" in run.stdout
    for name in ("train/cat/lawn/1.jpg: empty file", "test/dog/sofa/2.jpg", "val/dog/lawn/3.jpg"):
        assert name in run.stdout


def test_a_plan_says_what_will_be_done_and_does_nothing(
    spurbench: Spurbench, photos: Path, backbone: Path, tmp_path: Path
) -> None:
    command = (
        "--datasets",
        f"folder:{photos}",
        "--backbones",
        f"local-dir:{backbone},RN50",
        "--methods",
        "erm,zero_shot",
    )
    plan = spurbench("plan", *command)
    assert plan.returncode == 0
    assert "12 cells to compute, 0 done, about" in plan.stdout
    assert "3 missing" in plan.stdout
    assert "weights 'openai' of RN50 are not on this machine" in plan.stdout
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "cache/features").exists()


def test_a_photo_that_changes_makes_the_features_and_the_records_stale(
    spurbench: Spurbench, photos: Path, backbone: Path
) -> None:
    command = ("--datasets", f"folder:{photos}", "--backbones", f"local-dir:{backbone}", "--methods", "subg")
    spurbench("run", *command)
    Image.new("RGB", (40, 48), "red").save(photos / "test/cat/lawn/0.jpg")
    plan = spurbench("plan", *command).stdout
    assert "3 stale" in plan
    assert "changed since: data" in plan
    assert "86 photos at" in spurbench("run", *command).stdout


def test_cards_are_listed(spurbench: Spurbench) -> None:
    methods = json.loads(spurbench("list", "methods", "--json").stdout)
    by_name = {row["name"]: row for row in methods}
    assert by_name["dfr_val"]["supervision"] == "val groups"
    assert by_name["zero_shot"]["trains"] == "nothing"
    datasets = json.loads(spurbench("list", "datasets", "--json").stdout)
    assert {"waterbirds", "gaussians", "folder:DIR", "embeddings:FILE"} <= {row["name"] for row in datasets}
    assert next(row for row in datasets if row["name"] == "waterbirds")["here"].startswith("no")
    backbones = json.loads(spurbench("list", "backbones", "--json").stdout)
    assert {"RN50", "ViT-B/16", "ViT-L/14@336px", "timm:MODEL[=checkpoint]"} <= {row["name"] for row in backbones}
    assert spurbench("list", "nothing").returncode == 2
