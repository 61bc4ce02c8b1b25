"""Supervised backbones with their own classifiers, against timm and torchvision themselves on random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from spurbench.backbones import Setting, resolve
from spurbench.errors import MethodError, UsageError, WeightsError
from spurbench.images import open_rgb
from spurbench.model_space import ModelSpace
from spurbench.registry import load_registries


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return sorted(folder.iterdir())


def find(name: str, cache: Path) -> Any:
    return resolve(load_registries().backbones, name, Setting(cache))


def space(backbone: Any, imagenet: tuple[int, ...]) -> ModelSpace:
    tower = backbone.load("cpu")
    return ModelSpace("own_head", ("embeddings", "classifier"), lambda: tower, torch.device("cpu"), {}, imagenet)


def logits(backbone: Any, images: list[Path], imagenet: tuple[int, ...]) -> torch.Tensor:
    tower = backbone.load("cpu")
    batch = torch.stack([tower.preprocess(open_rgb(path)) for path in images])
    with torch.inference_mode():
        embeddings = tower.project(tower.trunk(batch))
        found: torch.Tensor = space(backbone, imagenet).classifier()(embeddings)
    return found


def test_timms_published_models_bring_their_classifier(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", pretrained=False, num_classes=1000)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("spurbench.backbones.timm.find_on_hub", lambda *_, **__: tmp_path / "model.safetensors")
    backbone = find("timm:test_resnet.r160_in1k", tmp_path)
    assert backbone.card.has_classifier
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config(timm.get_pretrained_cfg("test_resnet.r160_in1k").to_dict()), is_training=False
    )
    model.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = model(torch.stack([transform(open_rgb(path)) for path in images]))
    classes = (999, 3, 41)
    torch.testing.assert_close(logits(backbone, images, classes), expected[:, classes], rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_ones_own_has_no_classifier_of_imagenet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", pretrained=False, num_classes=7).state_dict(), tmp_path / "own.pt")
    backbone = find(f"timm:test_resnet.r160_in1k={tmp_path / 'own.pt'}", tmp_path)
    assert not backbone.card.has_classifier
    with pytest.raises(MethodError, match="there is none"):
        space(backbone, (0, 1)).classifier()


@pytest.mark.parametrize(
    ("name", "width"), [("resnet18", 512), ("alexnet", 4096), ("convnext_tiny", 768), ("vit_b_32", 768)]
)
def test_torchvisions_models_say_what_torchvision_says(
    images: list[Path], tmp_path: Path, name: str, width: int
) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None)
    torch.nn.init.normal_(list(model.modules())[-1].weight if name == "vit_b_32" else next(model.parameters()), 0, 0.02)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    backbone = find(f"torchvision:{name}={tmp_path / 'w.pth'}", tmp_path)
    assert backbone.card.has_classifier
    assert not backbone.card.has_text
    transform = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].transforms()
    model.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = model(torch.stack([transform(open_rgb(path)) for path in images]))
    found = logits(backbone, images, tuple(range(1000)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    tower = backbone.load("cpu")
    assert tower.classifier is not None
    assert tower.classifier.in_features == width


def test_torchvisions_names_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no model 'resnet5'; did you mean .*resnet50"):
        find("torchvision:resnet5", tmp_path)
    with pytest.raises(UsageError, match="no ImageNet weights 'V9'; there are: IMAGENET1K_V1, IMAGENET1K_V2"):
        find("torchvision:resnet50.V9", tmp_path)
    with pytest.raises(UsageError, match="there is no file"):
        find(f"torchvision:resnet50={tmp_path / 'none.pth'}", tmp_path)
    with pytest.raises(WeightsError, match=r"resnet50-0676ba61.pth is not in .*: not fetched yet"):
        find("torchvision:resnet50", tmp_path)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="do not fit"):
        find(f"torchvision:resnet18={tmp_path / 'w.pth'}", tmp_path).load("cpu")


@pytest.mark.parametrize("name", ["googlenet"])
def test_models_that_scale_their_input_do_so_here_too(images: list[Path], tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, transform_input=True, init_weights=False)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    backbone = find(f"torchvision:{name}={tmp_path / 'w.pth'}", tmp_path)
    transform = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].transforms()
    model.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = model(torch.stack([transform(open_rgb(path)) for path in images]))
    torch.testing.assert_close(logits(backbone, images, tuple(range(1000))), expected, rtol=1e-3, atol=1e-4)


def test_models_that_end_in_no_linear_layer_are_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_0(weights=None).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="ends in no linear layer"):
        find(f"torchvision:squeezenet1_0={tmp_path / 'w.pth'}", tmp_path).load("cpu")


def test_the_classifier_is_only_for_those_who_declare_it() -> None:
    closed = ModelSpace("erm", ("embeddings",), None, torch.device("cpu"), {}, (0, 1))
    with pytest.raises(MethodError, match="without declaring it: write inputs=.*'classifier'"):
        closed.classifier()


@pytest.mark.parametrize("architecture", ["ViT-B/32", "ViT-B-32"])
def test_weights_can_be_run_with_the_wrong_activation_on_purpose(tmp_path: Path, architecture: str) -> None:
    (tmp_path / "w.pt").write_bytes(b"weights are not read before they are loaded")
    right = find(f"{architecture}:laion400m_e31={tmp_path / 'w.pt'}", tmp_path)
    wrong = find(f"{architecture}-gelu:laion400m_e31={tmp_path / 'w.pt'}", tmp_path)
    assert (right.card.activation, right.quick_gelu) == ("QuickGELU", True)
    assert not wrong.quick_gelu
    assert "in place of the QuickGELU" in wrong.card.activation
    assert wrong.fingerprint != right.fingerprint
    assert wrong.card.name.startswith("ViT-B/32-gelu:laion400m_e31=")
    with pytest.raises(WeightsError, match="were trained with GELU"):
        find(f"{architecture}-gelu:laion2b_s34b_b79k={tmp_path / 'w.pt'}", tmp_path)
