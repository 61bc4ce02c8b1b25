"""Proposals against what torchvision's whole detector hands to its second stage, with random weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import detection

from spurbench.errors import WeightsError
from spurbench.regions.proposals import FILE, Proposer, find_weights

SMALL = partial(detection.fasterrcnn_resnet50_fpn_v2, min_size=32, max_size=64)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch hub's folder of weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_without_weights_it_is_said_where_to_put_which(checkpoints: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights()
    assert str(checkpoints) in str(caught.value)
    assert f"put https://download.pytorch.org/models/{FILE} there" in str(caught.value)
    (checkpoints / FILE).write_bytes(b"")
    assert find_weights() == checkpoints / FILE


@pytest.mark.parametrize("content", [{"something": torch.zeros(2)}, None])
def test_other_weights_are_refused(checkpoints: Path, content: Any) -> None:
    path = checkpoints / FILE
    path.write_bytes(b"no weights")
    if content is not None:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=f"{FILE} does not hold the weights"):
        Proposer(path, 20, "cpu")


@pytest.mark.slow
def test_the_best_boxes_are_the_detectors_own(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "fasterrcnn_resnet50_fpn_v2", SMALL)
    torch.manual_seed(0)
    whole: Any = SMALL(weights=None, weights_backbone=None).eval()
    torch.save(whole.state_dict(), checkpoints / FILE)
    handed: list[Any] = []
    whole.roi_heads.register_forward_pre_hook(lambda _, taken: handed.append((taken[1][0], taken[2][0])))
    draw = np.random.default_rng(0)
    photos = [Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((60, 90), (120, 70))]
    proposer = Proposer(find_weights(), 7, "cpu")
    prepared = [proposer.prepare(photo) for photo in photos]
    found = proposer.encode([0, 1], prepared)["proposals"]
    assert (found.shape, found.dtype) == ((2, 7, 4), torch.float32)
    with torch.no_grad():
        for photo, boxes in zip(photos, found, strict=True):
            whole([torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255])
            proposed, (height, width) = handed.pop()
            torch.testing.assert_close(boxes, proposed[:7] / torch.tensor([width, height, width, height]))
    # The same alone as in company, and again.
    assert torch.equal(proposer.encode([1], prepared[1:])["proposals"][0], found[1])
    assert (found[..., 2:] > found[..., :2]).all()
    assert len(found[0].unique(dim=0)) == 7
    many = Proposer(find_weights(), 300, "cpu").encode([0], prepared[:1])["proposals"][0]
    there = many.isfinite().all(dim=1)
    assert torch.equal(many[:7], found[0])
    assert 7 < int(there.sum()) < 300
    assert many[~there].isnan().all()
    assert not there[int(there.sum()) :].any()
