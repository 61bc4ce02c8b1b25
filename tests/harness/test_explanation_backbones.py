"""The modules of a loaded tower are its functions, with gradients; and maps can be drawn of every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision

from spurbench.backbones import Setting, Tower, resolve
from spurbench.explanation import Subject
from spurbench.explanation.draw import draw
from spurbench.heads import LinearHead
from spurbench.registry import load_registries

from .looking import Images, shaken

EXPECTED = {
    "menagerie-rn": ("grad-cam", "layer2", (8, 8)),
    "menagerie-vit": ("relevance", "transformer.resblocks.0", (8, 8)),
    "timm:test_resnet": ("grad-cam", "layer3", (10, 10)),
    "timm:test_vit": ("relevance", "blocks.0", (10, 10)),
    "torchvision:resnet18": ("grad-cam", "layer4", (7, 7)),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of random weights."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("test_resnet", "test_vit"):
        torch.save(shaken(timm.create_model(name)).state_dict(), folder / f"{name}.pt")
    torch.save(shaken(torchvision.models.resnet18(weights=None)).state_dict(), folder / "resnet18.pt")
    return folder


def load(name: str, weights: Path, precision: str = "fp32") -> Tower:
    full = name if name.startswith("menagerie") else f"{name}={weights / name.partition(':')[2]}.pt"
    tower: Any = resolve(load_registries().backbones, full, Setting(weights, precision)).load("cpu")
    assert isinstance(tower, Tower)
    return tower


def photos_for(tower: Tower) -> torch.Tensor:
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    return torch.stack([tower.preprocess(Image.fromarray(one)) for one in pixels])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", EXPECTED)
def test_modules_are_the_towers_functions_and_maps_are_drawn_of_them(name: str, precision: str, weights: Path) -> None:
    tower = load(name, weights, precision)
    x = photos_for(tower)
    embeddings = tower.project(tower.trunk(x)).clone()
    assert tower.modules is not None
    trunk, projection = tower.modules
    for module in (trunk, projection):
        assert not any(part.training for part in module.modules())
        assert not any(parameter.requires_grad for parameter in module.parameters())
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found = projection(trunk(x.clone().requires_grad_()).float()).float()
    assert found.requires_grad
    # With gradients other kernels run, which round otherwise: in bf16 to 8 bits.
    share = 1e-5 if precision == "fp32" else 2**-7
    torch.testing.assert_close(found, embeddings, rtol=0, atol=share * float(embeddings.abs().max()))
    torch.manual_seed(0)
    head = LinearHead(torch.randn(3, embeddings.shape[1]), torch.randn(3))
    y = np.asarray([0, 1, 2])
    drawn = draw(tower, [Subject("m", ("embeddings",), head)], Images(x), y)
    kind, layer, grid = EXPECTED[name]
    maps = drawn.of[0]
    assert (drawn.kind, drawn.layer, maps.true.shape, maps.confused.shape) == (kind, layer, (3, *grid), (3, *grid))
    assert min(maps.true.max(), maps.confused.max()) > 0
    expected = embeddings @ head.weight.T + head.bias
    np.testing.assert_allclose(maps.logits, expected, rtol=0, atol=share * float(expected.abs().max()))
