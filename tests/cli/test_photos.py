"""Photos end to end: a folder of one's own, photos made by a plugin, broken ones, features listed and verified."""

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


PLUGIN = """
import numpy as np
import torch
from PIL import Image
from spurbench.backbones import Tower
from spurbench.cards import BackboneCard, DatasetCard
from spurbench.data import Examples
from spurbench.errors import DataError
from spurbench.files import digest


class Pixels:
    card = BackboneCard("pixels", "4 x 4 pixels", "none", has_text=False)
    fingerprint = "4 x 4"

    def load(self, device):
        return Tower(self.preprocess, lambda images: images.flatten(1), lambda x: x, None, 1.0)

    def preprocess(self, image):
        return torch.from_numpy(np.asarray(image.resize((4, 4)), np.float32).transpose(2, 0, 1) / 255)


class Drawn:
    at_once = 4

    def __init__(self, colours, broken):
        self.colours, self.broken = colours, broken

    def __len__(self):
        return len(self.colours)

    def open(self, rows):
        for row in rows:
            if row in self.broken:
                raise DataError(f"square {row} cannot be drawn")
        return [Image.new("RGB", (8, 8), tuple(self.colours[row])) for row in rows]

    def fingerprint(self, ids, hashes):
        return digest([self.colours.tolist(), self.broken])


class Squares:
    card = DatasetCard("squares", "Squares", ("dark", "light"), ("cold", "warm"), "none")
    broken = []

    def prepare(self, root, *, download): ...

    def load(self, root):
        row = np.arange(120)
        y, a, split = row % 2, row // 2 % 2, row // 4 % 3
        colours = np.stack([120 * y + 80 * a, 120 * y, 120 * y + 80 * (1 - a)], axis=1) + row[:, None] % 7
        return Examples([str(i) for i in row], y, a, split, 2, 2, photos=Drawn(colours, self.broken))


class Shattered(Squares):
    card = DatasetCard("shattered", "Shattered squares", ("dark", "light"), ("cold", "warm"), "none")
    broken = [5, 6]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A backbone that loads in no time, and two data sets that draw their photos, one of them not all."""
    path = tmp_path / "drawn.py"
    path.write_text(PLUGIN)
    return path


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
    grid = ("--datasets", f"folder:{photos}", "--backbones", f"local-dir:{backbone}")
    run = spurbench("run", *grid, "--rules", "quick", "--methods", "zero_shot,erm,subg", "--prompts", "photo")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("86 photos at") == 1
    assert "of the time in the image tower" in run.stdout
    assert "cached already" in spurbench("features", "build", *grid).stdout
    listed = spurbench("features", "list").stdout
    assert "86x16" in listed
    assert "text" in listed


def test_photos_that_a_plugin_makes_are_like_photos_in_files(
    spurbench: Spurbench, plugin: Path, tmp_path: Path
) -> None:
    grid = ("--datasets", "squares,shattered", "--backbones", "pixels", "--plugin", plugin)
    run = spurbench("run", *grid, "--methods", "erm", "--rules", "quick")
    assert run.returncode == 1
    assert "120 photos at" in run.stdout
    assert "2 of 120 photos cannot be read" in run.stdout
    assert "\n  square 5 cannot be drawn\n  square 6 cannot be drawn\n" in run.stdout
    seeds = json.loads((tmp_path / "results/quick/squares/pixels/erm.json").read_text())["seeds"]
    assert {seed["status"] for seed in seeds} == {"ok"}


def test_damaged_features_are_found_and_built_again(
    spurbench: Spurbench, photos: Path, plugin: Path, tmp_path: Path
) -> None:
    command = (
        "features", "build", "--datasets", f"folder:{photos}", "--backbones", "pixels", "--plugin", plugin,
        "--kinds", "embeddings,penultimate",
    )  # fmt: skip
    assert "86 photos at" in spurbench(*command).stdout
    files = sorted((tmp_path / "cache/features").glob("*.safetensors"))
    assert len(files) == 2
    intact = files[0].read_bytes()
    files[0].write_bytes(intact[:-10])
    verified = spurbench("features", "verify")
    assert verified.returncode == 1
    assert verified.stdout.count("DAMAGED") == 1
    assert verified.stdout.count("intact") == 1
    spurbench(*command)
    assert files[0].read_bytes() == intact
    assert spurbench("features", "remove", "zz").returncode == 2
    assert spurbench("features", "remove").returncode == 2
    assert spurbench("features", "remove", "--all").stdout.count("removed") == 2
    assert not list((tmp_path / "cache/features").glob("*.safetensors"))


def test_all_broken_photos_are_named_in_one_list(spurbench: Spurbench, photos: Path, plugin: Path) -> None:
    good = (photos / "train/cat/lawn/0.jpg").read_bytes()
    (photos / "train/cat/lawn/1.jpg").write_bytes(b"")
    (photos / "test/dog/sofa/2.jpg").write_bytes(good[: len(good) // 2])
    (photos / "val/dog/lawn/3.jpg").write_text("a page that says 404")
    run = spurbench(
        "run", "--datasets", f"folder:{photos}", "--backbones", "pixels", "--plugin", plugin, "--methods", "erm,subg"
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
    assert "40 cells to compute, 0 done, about" in plan.stdout
    assert "10 missing" in plan.stdout
    assert "weights 'openai' of RN50 are not on this machine" in plan.stdout
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "cache/features").exists()


def test_a_photo_that_changes_makes_the_features_and_the_records_stale(
    spurbench: Spurbench, photos: Path, plugin: Path
) -> None:
    grid = ("--datasets", f"folder:{photos}", "--backbones", "pixels", "--plugin", plugin)
    spurbench("run", *grid, "--methods", "subg")
    Image.new("RGB", (40, 48), "red").save(photos / "test/cat/lawn/0.jpg")
    plan = spurbench("plan", *grid, "--methods", "subg").stdout
    assert "10 stale" in plan
    assert "changed since: data" in plan
    assert "86 photos at" in spurbench("features", "build", *grid).stdout


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
