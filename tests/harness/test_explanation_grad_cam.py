"""Grad-CAM against the reference library, plain loops in float64, and models built so that the answer is known."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
import torchvision
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from pytorch_grad_cam import GradCAM as ReferenceGradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.nn.functional import normalize

from spurbench.backbones.cutting import cut_image
from spurbench.backbones.timm_modules import TimmHead, TimmTrunk
from spurbench.errors import UsageError, WeightsError
from spurbench.explanation import How
from spurbench.explanation.grad_cam import grad_cam
from spurbench.heads import LinearHead, UnitLinearHead

from .looking import Modules, of_heads, shaken

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 64}
VIT = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}


def resnet(**changes: Any) -> Modules:
    torch.manual_seed(2)
    return cut_image(shaken(_build_vision_tower(24, CLIPVisionCfg(**{**RESNET, **changes}))))


class Whole(nn.Module):
    """Images to logits, for the library."""

    def __init__(self, trunk: nn.Module, projection: nn.Module, head: LinearHead) -> None:
        super().__init__()
        self.trunk, self.projection, self.head = trunk, projection, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.projection(self.trunk(x))
        z = normalize(z, dim=-1) if isinstance(self.head, UnitLinearHead) else z
        return z @ self.head.weight.T + self.head.bias


def library(model: Whole, layer: nn.Module, x: torch.Tensor, classes: Sequence[int]) -> npt.NDArray[np.float32]:
    """The reference's maps: scaled to 0..1, as large as the image. It needs parameters that take gradients."""
    model.requires_grad_(True)
    with ReferenceGradCAM(model=model, target_layers=[layer]) as cam:
        found: npt.NDArray[np.float32] = cam(input_tensor=x, targets=[ClassifierOutputTarget(k) for k in classes])
    model.requires_grad_(False)
    return found


def as_the_library(maps: npt.NDArray[np.float32], side: int) -> Any:
    """It scales twice: each layer's map, and their mean."""
    return scale_cam_image(scale_cam_image(maps, (side, side)))


@pytest.mark.parametrize("kind", [LinearHead, UnitLinearHead])
@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer4"])
def test_maps_of_a_modified_resnet_are_the_reference_librarys(kind: type[LinearHead], layer: str) -> None:
    trunk, projection = resnet()
    torch.manual_seed(5)
    head = kind(torch.randn(4, 24), torch.randn(4))
    x, y = torch.randn(6, 3, 64, 64), [0, 1, 2, 3, 0, 1]
    (maps,) = of_heads((trunk, projection), [head], x, y, How("grad-cam", "logit", layer))
    model = Whole(trunk, projection, head)
    place = trunk.get_submodule(layer)
    assert maps.true.max() > 0
    np.testing.assert_allclose(as_the_library(maps.true, 64), library(model, place, x, y), atol=1e-4)
    rival = maps.rival.tolist()
    np.testing.assert_allclose(as_the_library(maps.confused, 64), library(model, place, x, rival), atol=1e-4)


def test_maps_of_torchvisions_resnet_are_the_reference_librarys() -> None:
    model = shaken(torchvision.models.resnet18(weights=None))
    classifier: Any = model.fc
    head = LinearHead(classifier.weight, classifier.bias)
    model.fc = nn.Identity()
    x, y = torch.randn(3, 3, 96, 96), [3, 141, 59]
    (maps,) = of_heads((model, nn.Identity()), [head], x, y, How("grad-cam", "logit", "layer4"))
    assert maps.true.shape == (3, 3, 3)
    found = library(Whole(model, nn.Identity(), head), model.get_submodule("layer4"), x, y)
    np.testing.assert_allclose(as_the_library(maps.true, 96), found, atol=1e-4)


def literal(modules: Modules, head: LinearHead, layer: str, x: torch.Tensor, k: int, score: str) -> Any:
    """Equations 1 and 2 for one photo and class, in float64, by loops over channels."""
    trunk, projection = (copy.deepcopy(module).double() for module in modules)
    kept: list[torch.Tensor] = []

    def keep(_: nn.Module, __: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    hook = trunk.get_submodule(layer).register_forward_hook(keep)
    z = (projection(trunk(x[None].double().requires_grad_())) @ head.weight.double().T + head.bias.double())[0]
    hook.remove()
    others = torch.cat([z[:k], z[k + 1 :]])
    (z[k] - others.exp().sum().log() if score == "odds" else z[k]).backward()  # type: ignore[no-untyped-call]
    assert kept[0].grad is not None
    found = torch.zeros(kept[0].shape[2:], dtype=torch.float64)
    for cells, gradient in zip(kept[0][0].detach(), kept[0].grad[0], strict=True):
        found += gradient.sum() / gradient.numel() * cells
    return found.clamp(min=0).numpy()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("score", ["odds", "logit"])
def test_maps_are_the_papers_equations(classes: int, score: Any) -> None:
    modules = resnet()
    torch.manual_seed(classes)
    # Small weights: an odds' other classes must all count.
    head = LinearHead(torch.randn(classes, 24), torch.randn(classes))
    x, y = torch.randn(4, 3, 64, 64), [0, 1, 1, 0]
    (maps,) = of_heads(modules, [head], x, y, How("grad-cam", score))
    z = modules[1](modules[0](x)) @ head.weight.T + head.bias
    np.testing.assert_allclose(maps.logits, z.numpy(), rtol=1e-5, atol=1e-5)
    for i, own in enumerate(y):
        rival = max((k for k in range(classes) if k != own), key=lambda k: float(z[i, k]))
        assert rival == maps.rival[i]
        for k, found in ((own, maps.true[i]), (rival, maps.confused[i])):
            expected = literal(modules, head, "layer2", x[i], k, score)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max() + 1e-9)


def test_odds_do_not_change_with_what_is_added_to_every_class_and_logits_do() -> None:
    modules = resnet()
    torch.manual_seed(1)
    head, more = LinearHead(torch.randn(3, 24), torch.randn(3)), torch.randn(24)
    moved = LinearHead(head.weight + more, head.bias)
    x, y = torch.randn(4, 3, 64, 64), [0, 1, 2, 0]
    one, other = of_heads(modules, [head, moved], x, y, How(score="odds"))
    assert one.true.max() > 0
    for name in ("true", "confused"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4 * getattr(one, name).max())
    one, other = of_heads(modules, [head, moved], x, y, How(score="logit"))
    assert np.abs(one.true - other.true).max() > 0.1 * one.true.max()


class Colours(nn.Module):
    """A map of colours as they are; `stage` has a parameter, for stages have."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.stage.weight.copy_(torch.eye(3)[:, :, None, None])
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.stage(x).mean(dim=(2, 3))
        return found


@pytest.mark.parametrize("score", ["odds", "logit"])
def test_classes_that_are_in_different_halves_light_up_there(score: Any) -> None:
    x = torch.zeros(1, 3, 8, 8)
    x[0, 0, :, :4], x[0, 1, :, 4:] = 1.0, 1.0
    modules = (Colours(), nn.Identity())
    heads = [LinearHead(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])[: 2 + third], torch.zeros(2 + third))
             for third in (0, 1)]  # fmt: skip
    left = np.tile(np.arange(8) < 4, (8, 1))
    for maps, swapped in zip(
        of_heads(modules, heads, x, [0], How(score=score)), of_heads(modules, heads, x, [1], How(score=score)),
        strict=True,
    ):  # fmt: skip
        assert maps.true[0][left].min() > 0
        assert maps.true[0][~left].max() == 0
        assert maps.confused[0][left].max() == 0
        assert maps.confused[0][~left].min() > 0
        np.testing.assert_array_equal(swapped.true, maps.confused)
        np.testing.assert_array_equal(swapped.confused, maps.true)


def symmetric(module: nn.Module) -> None:
    """Filters that are their own mirror images."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = (part.weight.data + part.weight.data.flip(3)) / 2


def test_maps_follow_the_photo_when_it_is_turned_around() -> None:
    torch.manual_seed(3)
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()
    )
    symmetric(trunk.requires_grad_(False))
    modules = (trunk, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    head = LinearHead(torch.randn(3, 16), torch.zeros(3))
    x, y = torch.randn(5, 3, 20, 20), [0, 1, 2, 0, 1]
    (maps,) = of_heads(modules, [head], x, y, How())
    (turned,) = of_heads(modules, [head], x.flip(3), y, How())
    assert np.abs(maps.true - maps.true[:, :, ::-1]).max() > 0.1 * maps.true.max() > 0
    np.testing.assert_allclose(turned.true, maps.true[:, :, ::-1], atol=1e-5 * maps.true.max())
    np.testing.assert_allclose(turned.confused, maps.confused[:, :, ::-1], atol=1e-5 * maps.confused.max())


def timm_trunk(name: str) -> nn.Module:
    return TimmTrunk(timm.create_model(name, num_classes=0).eval()).requires_grad_(False).eval()


CHOSEN: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "menagerie's": (lambda: resnet()[0], 64, "layer2"),
    "the papers'": (lambda: resnet(image_size=224)[0], 224, "layer4"),
    "nowhere fine": (lambda: resnet(image_size=32)[0], 32, "layer1"),
    "torchvision's": (lambda: torchvision.models.resnet18(weights=None), 224, "layer4"),
    "timm's": (lambda: timm_trunk("test_resnet"), 224, "layer4"),
    "a sequence's parts": (lambda: timm_trunk("test_convnext"), 64, "stages.1"),
    "channels last": (lambda: timm_trunk("test_mambaout"), 224, "stages"),
    "transformer": (lambda: cut_image(_build_vision_tower(8, CLIPVisionCfg(**VIT)))[0], 32, "transformer.resblocks.1"),
    "timm's transformer": (lambda: timm_trunk("test_vit"), 160, "blocks.4"),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_layer_is_the_last_whose_map_is_fine_enough(case: str) -> None:
    make, side, layer = CHOSEN[case]
    assert grad_cam(make().eval(), None, torch.randn(1, 3, side, side)).layer == layer


def test_of_maps_that_are_all_coarse_the_finest_is_taken() -> None:
    trunk = nn.Sequential(*(nn.Conv2d(3, 3, 3, 2, 1) for _ in range(3)))
    assert grad_cam(trunk, None, torch.randn(1, 3, 10, 10)).layer == "0"
    twice = nn.Sequential(nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3, 2, 1))
    assert grad_cam(twice, None, torch.randn(1, 3, 10, 10)).layer == "1"


def test_maps_with_channels_last_are_turned() -> None:
    model = shaken(timm.create_model("test_mambaout", num_classes=0))
    modules = (TimmTrunk(model).eval(), TimmHead(model).eval())
    torch.manual_seed(0)
    x = torch.randn(2, 3, 160, 192)
    width = modules[1](modules[0](x)).shape[1]
    head = LinearHead(torch.randn(2, width), torch.zeros(2))
    kept = []
    hook = modules[0].stages.register_forward_hook(lambda _, __, output: kept.append(output))
    (maps,) = of_heads(modules, [head], x, [0, 1], How(score="logit", layer="stages"))
    hook.remove()
    assert maps.true.shape == (2, 5, 6)
    features = kept[-1].detach().requires_grad_()
    (model.forward_head(features) @ head.weight.T)[[0, 1], [0, 1]].sum().backward()
    expected = torch.einsum("bhwc,bc->bhw", features.detach(), features.grad.mean(dim=(1, 2))).relu()
    np.testing.assert_allclose(maps.true, expected, rtol=1e-3, atol=1e-6)


def test_a_layer_whose_output_is_changed_in_place_later_keeps_its_map() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten())
    hasty = nn.Sequential(plain[0], nn.ReLU(inplace=True), nn.Flatten())
    head, x = LinearHead(torch.randn(2, 6 * 64), torch.zeros(2)), torch.randn(3, 3, 8, 8)
    found = [
        of_heads((trunk.requires_grad_(False), nn.Identity()), [head], x, [0, 1, 0], How(layer="0"))[0]
        for trunk in (plain, hasty)
    ]
    assert found[0].true.max() > 0
    np.testing.assert_array_equal(found[0].true, found[1].true)


def test_wrong_layers_are_named() -> None:
    trunk, _ = resnet()
    photo = torch.randn(1, 3, 64, 64)
    with pytest.raises(UsageError, match=r"unknown layer 'layer5'; did you mean .*layer4"):
        grad_cam(trunk, "layer5", photo)
    with pytest.raises(UsageError, match="unknown layer ''"):
        grad_cam(trunk, "", photo)
    with pytest.raises(UsageError, match="unknown layer 'zzz'; known: bn1, .*layer1, layer1.0, layer2"):
        grad_cam(trunk, "zzz", photo)
    # The attention pool is the projection's: what stands in its place hands on the map of layer4.
    with pytest.raises(UsageError, match="layer 'attnpool' gives no map; layers that do: .*layer4"):
        grad_cam(trunk, "attnpool", photo)
    vit, _ = cut_image(_build_vision_tower(8, CLIPVisionCfg(**VIT)).eval())
    with pytest.raises(UsageError, match=r"layer 'transformer.resblocks' gives no map; layers that do: .*resblocks.0"):
        grad_cam(vit, "transformer.resblocks", photo[:, :, :32, :32])
    with pytest.raises(WeightsError, match="kind MlpMixer has no stage whose output is a map"):
        grad_cam(timm_trunk("mixer_s32_224"), None, torch.randn(1, 3, 224, 224))
