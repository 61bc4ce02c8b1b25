"""The main job on real photos: its zero-shot groups are those of a plain open_clip loop, and wilds agrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from spurbench.record import Record, read_predictions, read_record

if TYPE_CHECKING:
    from conftest import Spurbench

pytestmark = pytest.mark.slow


EVERY = 4
"""The plain loop takes one test photo in so many: it is slow."""


def plain_zero_shot(shared_data: Path) -> np.ndarray:
    """Predicted class of some test photos, by the loop that open_clip's own documentation shows."""
    import open_clip

    name = f"local-dir:{shared_data / 'backbones/mobilenet-lit'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    root = shared_data / "waterbirds_v1.0"
    metadata = pd.read_csv(root / "metadata.csv")
    files = metadata[metadata.split == 2].img_filename.tolist()[::EVERY]
    predictions = []
    with torch.no_grad():
        texts = model.encode_text(tokenizer(["a photo of a landbird.", "a photo of a waterbird."]), normalize=True)
        for start in range(0, len(files), 32):
            photos = [preprocess(Image.open(root / file).convert("RGB")) for file in files[start : start + 32]]
            predictions.append((model.encode_image(torch.stack(photos), normalize=True) @ texts.T).argmax(dim=1))
    return torch.cat(predictions).numpy()


def test_the_main_job_on_all_waterbirds_photos(spurbench: Spurbench, shared_data: Path, tmp_path: Path) -> None:
    run = spurbench(
        "run", "--data-root", shared_data, "--datasets", "waterbirds", "--methods", "zero_shot,erm,dfr_val",
        "--backbones", f"local-dir:{shared_data / 'backbones/mobilenet-lit'}",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(spurbench("export", "--format", "json").stdout)
    by_method = {row["method"]: row for row in rows}
    # What was measured independently with these photos and this backbone.
    assert 0.43 <= by_method["erm"]["wga"] <= 0.48
    assert by_method["erm"]["acc_test"] == pytest.approx(0.79, abs=0.01)
    assert by_method["dfr_val"]["wga"] == pytest.approx(0.815, abs=0.03)
    assert by_method["dfr_val"]["acc_test"] == pytest.approx(0.84, abs=0.02)

    (path,) = tmp_path.glob("results/v1/waterbirds/*/zero_shot.json")
    record = read_record(path)
    assert isinstance(record, Record)
    arrays = read_predictions(path, record)
    np.testing.assert_array_equal(arrays["0.worst_group"][::EVERY], plain_zero_shot(shared_data))
