"""Encoding photos: our pipeline against the plain loop that benchmarks usually run, same photos, same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from spurbench.backbones import Setting
from spurbench.backbones.open_clip import LocalDir
from spurbench.encode import Speed, TowerEncoder, encode_part
from spurbench.images import PhotoFiles

pytestmark = pytest.mark.slow
N = 512


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Path]:
    """Real photos."""
    return sorted((shared_data / "waterbirds_v1.0").glob("*/*.jpg"))[:N]


@pytest.mark.benchmark(group="encode 512 photos")
def test_pipeline(benchmark: Any, shared_data: Path, photos: list[Path], tmp_path: Path) -> None:
    backbone = LocalDir(str(shared_data / "backbones/mobilenet-lit")).resolve(Setting(tmp_path))
    tower = backbone.load("cpu")
    speed = Speed()
    benchmark.pedantic(
        encode_part,
        args=(
            TowerEncoder(tower, ["embeddings"], "cpu"),
            PhotoFiles(photos),
            range(N),
            "cpu",
            speed,
            lambda done: None,
        ),
        rounds=2,
        warmup_rounds=1,
    )
    benchmark.extra_info["pipeline"] = str(speed)


@pytest.mark.benchmark(group="encode 512 photos")
def test_plain_loop(benchmark: Any, shared_data: Path, photos: list[Path]) -> None:
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{shared_data}/backbones/mobilenet-lit")
    model.eval()

    def loop() -> torch.Tensor:
        with torch.no_grad():
            batches = [photos[i : i + 64] for i in range(0, len(photos), 64)]
            return torch.cat(
                [
                    model.encode_image(torch.stack([preprocess(Image.open(p).convert("RGB")) for p in batch]))
                    for batch in batches
                ]
            )

    benchmark.pedantic(loop, rounds=1, warmup_rounds=1)
