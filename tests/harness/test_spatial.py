"""Towers that embed regions: the image stays what it was, and a region is what the tower's own layers make of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from torch import nn

from spurbench.backbones.cutting import cut_image
from spurbench.backbones.spatial import SpatialTower, spatial
from spurbench.errors import MethodError

VIT = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 96}
TIMM = {"timm_proj": "linear", "timm_pool": "avg", "image_size": 96}
OPEN_CLIP: dict[str, dict[str, Any]] = {
    "vit": VIT,
    "vit-scaled": {**VIT, "ls_init_value": 0.5},
    "vit-avg": {**VIT, "pool_type": "avg"},
    "vit-norm-last": {**VIT, "pool_type": "avg", "final_ln_after_pool": True},
    "vit-coca": {**VIT, "attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2},
    "vit-custom": {**VIT, "qk_norm": True},
    "resnet": RESNET,
    "timm": {**TIMM, "timm_model_name": "test_resnet"},
    "timm-attention": {**TIMM, "timm_model_name": "test_byobnet", "timm_pool": "rot_attn", "timm_proj": ""},
    "timm-placed": {**TIMM, "timm_model_name": "test_byobnet", "timm_pool": "abs_attn", "timm_proj": ""},
}
BARE = ("test_resnet", "test_mambaout", "test_efficientnet", "test_vit", "test_vit2", "test_vit3")
KINDS = (*OPEN_CLIP, *BARE)
Parts = tuple[nn.Module, nn.Module, torch.Tensor]


def parts_of(kind: str) -> Parts:
    """Trunk, projection and three images of the size they take."""
    torch.manual_seed(3)
    if kind in BARE:
        model = timm.create_model(kind, num_classes=0).eval()
        side = model.default_cfg["input_size"][1]
        trunk, projection = model, nn.Identity()
    else:
        side = OPEN_CLIP[kind]["image_size"]
        trunk, projection = cut_image(_build_vision_tower(8, CLIPVisionCfg(**OPEN_CLIP[kind])).eval())
    for module in (*trunk.modules(), *projection.modules()):
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, nn.MultiheadAttention):
            nn.init.normal_(module.in_proj_bias, std=0.3)
    if isinstance(getattr(trunk, "positional_embedding", None), nn.Parameter):
        nn.init.normal_(trunk.positional_embedding)
    return trunk, projection, torch.randn(3, 3, side, side)


@pytest.fixture(scope="module")
def made() -> Callable[[str], Parts]:
    found: dict[str, Parts] = {}

    def make(kind: str) -> Parts:
        if kind not in found:
            found[kind] = parts_of(kind)
        return found[kind]

    return make


BOXES = torch.tensor([[[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.6], [0.5, 0.5, 0.75, 1]]]).expand(3, -1, -1).clone()


def cell(row: int, column: int, side: int) -> torch.Tensor:
    """(3, 1, 4): the box of one cell, in each of three images."""
    corners = [column / side, row / side, (column + 1) / side, (row + 1) / side]
    return torch.tensor(corners).expand(3, 1, 4)


@pytest.mark.parametrize("pooling", ["value", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_image_is_embedded_as_ever_in_one_pass(made: Callable[[str], Parts], kind: str, pooling: Any) -> None:
    trunk, projection, images = made(kind)
    passes: list[int] = []
    first = next(module for module in trunk.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        expected = projection(trunk(images))
        hook = first.register_forward_hook(lambda *_: passes.append(1))
        found = spatial(trunk, projection, pooling)(images, BOXES)
        hook.remove()
    assert passes == [1]
    assert (found.shape, found.dtype) == ((3, 4, expected.shape[1]), torch.float32)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-6, atol=1e-6)
    assert found.isfinite().all()
    # Boxes of different content, in different images, are embedded differently.
    assert len(found[:, 1:].flatten(0, 1).mul(1e4).round().unique(dim=0)) == 9


@pytest.mark.parametrize("kind", ["vit-avg", "vit-norm-last", "timm", "test_resnet", "test_mambaout", "test_vit2"])
def test_a_box_around_everything_is_the_image_where_the_tower_averages(made: Callable[[str], Parts], kind: str) -> None:
    trunk, projection, images = made(kind)
    with torch.no_grad():
        found = spatial(trunk, projection, "plain")(images, BOXES)
    torch.testing.assert_close(found[:, 1], found[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["resnet", "timm-attention", "timm-placed"])
def test_an_attention_pool_over_everything_is_the_image(made: Callable[[str], Parts], kind: str) -> None:
    trunk, projection, images = made(kind)
    with torch.no_grad():
        found = spatial(trunk, projection, "plain")(images, BOXES)
    torch.testing.assert_close(found[:, 1], found[:, 0], rtol=1e-4, atol=1e-5)


def test_values_of_a_cell_are_what_the_pool_gives_that_attends_to_it_alone() -> None:
    trunk, pool, images = parts_of("resnet")
    box = cell(1, 2, 3)
    with torch.no_grad():
        for layer in (pool.k_proj, pool.q_proj):  # type: ignore[union-attr]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # Every key is the sum over a head of what stands at its place, and one place stands out.
        nn.init.eye_(pool.k_proj.weight)  # type: ignore[union-attr, arg-type]
        nn.init.constant_(pool.q_proj.bias, 100.0)  # type: ignore[union-attr, arg-type]
        pool.positional_embedding[1 + 1 * 3 + 2] += 50  # type: ignore[index, operator]
        found = spatial(trunk, pool, "value")(images, box)
    torch.testing.assert_close(found[:, 1], found[:, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["vit", "vit-scaled", "vit-avg", "vit-norm-last"])
def test_values_of_a_patch_are_what_the_last_block_gives_to_a_token_that_sees_itself_alone(
    made: Callable[[str], Parts], kind: str
) -> None:
    trunk: Any
    trunk, projection, images = made(kind)
    with torch.no_grad():
        tokens = trunk._embeds(images)
        *blocks, last = trunk.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        alone = torch.full((17, 17), -torch.inf).fill_diagonal_(0)
        expected = projection(trunk.ln_post(last(tokens, attn_mask=alone))[:, 1 + 2 * 4 + 3])
        found = spatial(trunk, projection, "value")(images, cell(2, 3, 4))
        plain = spatial(trunk, projection, "plain")(images, cell(2, 3, 4))
        ordinary = projection(trunk.ln_post(last(tokens))[:, 1 + 2 * 4 + 3])
    torch.testing.assert_close(found[:, 1], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain[:, 1], ordinary, rtol=1e-4, atol=1e-5)
    assert (found[:, 1] - plain[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("context", [32, 24])
def test_a_patch_under_an_attention_pool_is_what_the_pool_makes_of_it_alone(context: int) -> None:
    # Where the pool is as wide as the trunk its three matrices are one.
    torch.manual_seed(0)
    config = CLIPVisionCfg(**OPEN_CLIP["vit-coca"])
    trunk: Any
    trunk, projection = cut_image(_build_vision_tower(context, config).eval())
    nn.init.normal_(trunk.attn_pool.attn.in_proj_bias)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        tokens = trunk.transformer(trunk._embeds(images))
        expected = projection(trunk.ln_post(trunk.attn_pool(tokens[:, 7:8]))[:, 0])
        found = spatial(trunk, projection)(images, cell(1, 2, 4))
    torch.testing.assert_close(found[:, 1], expected, rtol=1e-4, atol=1e-5)


def test_a_timm_models_patch_tokens_go_through_its_own_norm(made: Callable[[str], Parts]) -> None:
    trunk: Any
    trunk, projection, images = made("test_vit2")
    with torch.no_grad():
        tokens = trunk.forward_features(images)[:, trunk.num_prefix_tokens :]
        grid = trunk.patch_embed.grid_size[0]
        expected = trunk.fc_norm(tokens[:, 2 * grid + 1])
        found = spatial(trunk, projection)(images, cell(2, 1, grid))
    torch.testing.assert_close(found[:, 1], expected, rtol=1e-4, atol=1e-5)


def test_where_patches_have_no_position_moving_them_moves_their_regions() -> None:
    trunk, projection, images = parts_of("vit")
    with torch.no_grad():
        trunk.positional_embedding.zero_()  # type: ignore[union-attr, operator]
        moved = torch.roll(images, (8, -16), dims=(2, 3))
        tower = spatial(trunk, projection)
        before = tower(images, cell(1, 3, 4))[:, 1]
        after = tower(moved, cell(2, 1, 4))[:, 1]
        elsewhere = tower(moved, cell(1, 3, 4))[:, 1]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert (elsewhere - before).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_absent_boxes_are_zero_and_have_no_say_in_gradients(made: Callable[[str], Parts], kind: str) -> None:
    trunk, projection, images = made(kind)
    tower = spatial(copy.deepcopy(trunk), copy.deepcopy(projection))
    absent = BOXES.clone()
    absent[1, 1], absent[2] = torch.nan, torch.nan

    def gradients(boxes: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        tower.zero_grad()
        found = tower(images, boxes)
        (found * keep[..., None]).pow(2).sum().backward()
        return found.detach(), {n: p.grad.clone() for n, p in tower.named_parameters() if p.grad is not None}

    everything = torch.ones(3, 4)
    there = torch.cat([torch.ones(3, 1), absent.isfinite().all(dim=-1).float()], dim=1)
    found, given = gradients(absent, everything)
    full, expected = gradients(BOXES, there)
    assert (found[there == 0] == 0).all()
    torch.testing.assert_close(found[there == 1], full[there == 1])
    assert given.keys() == expected.keys()
    for name, gradient in given.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4, msg=name)
    assert sum(float(gradient.abs().sum()) for gradient in given.values()) > 0


@pytest.mark.parametrize("kind", ["vit", "resnet", "vit-coca", "timm"])
def test_gradients_of_regions_reach_the_trunk_checkpointed_or_not(made: Callable[[str], Parts], kind: str) -> None:
    trunk, projection, images = made(kind)
    slopes = []
    for checkpointed in (False, True):
        tower: Any = spatial(copy.deepcopy(trunk), copy.deepcopy(projection))
        if kind != "resnet":
            tower.trunk.set_grad_checkpointing(checkpointed)
        tower(images, BOXES)[:, 1:].pow(2).sum().backward()
        first = next(module for module in tower.trunk.modules() if isinstance(module, nn.Conv2d))
        slopes.append(first.weight.grad)
    assert slopes[0].abs().sum() > 0
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-5)


class Owner(nn.Module):
    """A module that owns the parts and makes the tower of them when it runs."""

    def __init__(self, trunk: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.trunk, self.projection = trunk, projection

    def forward(self, images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = spatial(self.trunk, self.projection)(images, boxes)
        return embedded


@pytest.mark.parametrize("owner", [Owner, spatial])
@pytest.mark.parametrize("kind", ["vit", "resnet", "timm", "test_vit"])
def test_parameters_can_be_exchanged_for_one_call(
    made: Callable[[str], Parts], kind: str, owner: Callable[..., nn.Module]
) -> None:
    trunk, projection, images = made(kind)
    module = owner(trunk, projection)
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
        found = torch.func.functional_call(module, dict(other.named_parameters()), (images, BOXES))
        torch.testing.assert_close(found, other(images, BOXES))
        assert (found - module(images, BOXES)).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["vit", "resnet", "timm", "test_mambaout"])
def test_half_precision_is_nearly_the_same(made: Callable[[str], Parts], kind: str) -> None:
    trunk, projection, images = made(kind)
    tower = spatial(trunk, projection)
    with torch.no_grad():
        whole = tower(images, BOXES)
        with torch.autocast("cpu", torch.bfloat16):
            half = tower(images, BOXES)
            image = projection(trunk(images))
    assert half.dtype == torch.float32
    assert torch.equal(half[:, 0], image.float())
    assert nn.functional.cosine_similarity(half, whole, dim=-1).min() > 0.99


def test_nothing_stays_hooked_even_where_the_tower_fails() -> None:
    trunk: Any
    trunk, projection, images = parts_of("vit")
    tower = spatial(trunk, projection)
    broken = trunk.transformer.resblocks[-1].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tower(images, BOXES)
    broken.remove()
    for module in trunk.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
    assert isinstance(tower, SpatialTower)


def test_towers_without_a_map_are_refused_by_name() -> None:
    with pytest.raises(MethodError, match="Linear has no spatial map"):
        spatial(nn.Linear(2, 2), nn.Identity())
    config = CLIPVisionCfg(**{**VIT, "output_tokens": True})
    with pytest.raises(MethodError, match="VisionTransformer has no spatial map"):
        spatial(*cut_image(_build_vision_tower(8, config)))
    mixer = timm.create_model("mixer_s32_224", num_classes=0).eval()
    with torch.no_grad(), pytest.raises(MethodError, match="MlpMixer has no spatial map"):
        spatial(mixer, nn.Identity())(torch.zeros(1, 3, 224, 224), BOXES[:1])
