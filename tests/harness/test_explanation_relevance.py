"""Relevance against the paper's equations written out in float64, and the attention weights it is made of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from torch import nn
from torchvision.models import VisionTransformer

from spurbench.backbones.cutting import cut_image
from spurbench.backbones.timm_modules import TimmHead, TimmTrunk
from spurbench.errors import UsageError, WeightsError
from spurbench.explanation import How
from spurbench.explanation.kept import weights_kept
from spurbench.explanation.relevance import Relevance, relevance
from spurbench.heads import LinearHead

from .looking import Modules, of_heads, shaken

VIT = {"layers": 3, "width": 32, "head_width": 8, "patch_size": 8, "image_size": 32}


def vit(**changes: Any) -> Modules:
    torch.manual_seed(7)
    visual = _build_vision_tower(24, CLIPVisionCfg(**{**VIT, **changes}))
    for part in visual.modules():
        if isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
            nn.init.normal_(part.in_proj_weight, std=0.4)
            nn.init.normal_(part.in_proj_bias, std=0.3)
    return cut_image(shaken(visual))


def bare(name: str) -> Modules:
    torch.manual_seed(7)
    model = shaken(timm.create_model(name, num_classes=0))
    return TimmTrunk(model).eval(), TimmHead(model).eval()


def torchvisions() -> Modules:
    torch.manual_seed(7)
    model = VisionTransformer(32, 8, 3, 4, 32, 64, num_classes=5)
    model.heads = nn.Identity()
    return shaken(model), nn.Identity()


OPEN_CLIP: dict[str, dict[str, Any]] = {
    "class token": {},
    "mean of patches": {"pool_type": "avg"},
    "norm last": {"pool_type": "avg", "final_ln_after_pool": True},
    "layer scale": {"ls_init_value": 0.5},
}
MADE: dict[str, tuple[Callable[[], Modules], int]] = {
    "open_clip": (vit, 32),
    "timm": (lambda: bare("test_vit"), 160),
    "timm's mean": (lambda: bare("test_vit2"), 160),
    "timm's rotary": (lambda: bare("eva02_tiny_patch14_224"), 224),
    "torchvision": (torchvisions, 32),
}


def literal(modules: Modules, head: LinearHead, x: torch.Tensor, k: int, score: str, start: int = 0) -> Any:
    """Equations 5 and 6 for one photo and class, head by head, with R whole."""
    trunk: Any
    trunk, projection = (copy.deepcopy(module).double() for module in modules)
    tokens, kept = trunk._embeds(x[None].double()), []
    for block in trunk.transformer.resblocks:
        attention, normal = block.attn, block.ln_1(tokens)[0]
        width, heads = normal.shape[1], attention.num_heads
        size, outputs, weights = width // heads, [], []
        for h in range(heads):
            query, key, value = (
                normal @ attention.in_proj_weight[one].T + attention.in_proj_bias[one]
                for one in (slice(part * width + h * size, part * width + (h + 1) * size) for part in range(3))
            )
            exponents = (query @ key.T / size**0.5).exp()
            weights.append((exponents / exponents.sum(dim=1, keepdim=True)).requires_grad_())
            weights[-1].retain_grad()
            outputs.append(weights[-1] @ value)
        kept.append(weights)
        tokens = tokens + block.ls_1(attention.out_proj(torch.cat(outputs, dim=1)[None]))
        tokens = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    z = (projection(trunk._pool(tokens)[0]) @ head.weight.double().T + head.bias.double())[0]
    others = torch.cat([z[:k], z[k + 1 :]])
    (z[k] - others.exp().sum().log() if score == "odds" else z[k]).backward()
    T = tokens.shape[1]
    R = torch.eye(T, dtype=torch.float64)
    for weights in kept[start:]:
        mean = sum((one * one.grad).detach().clamp(min=0) for one in weights) / len(weights)
        R = R + mean @ R
    rows = R[:1] if trunk.pool_type == "tok" else R[1:] - torch.eye(T, dtype=torch.float64)[1:]
    return rows.mean(dim=0)[1:].reshape(trunk.grid_size).numpy()


@pytest.mark.parametrize("score", ["odds", "logit"])
@pytest.mark.parametrize("kind", OPEN_CLIP)
def test_maps_are_the_papers_equations(kind: str, score: Any) -> None:
    modules = vit(**OPEN_CLIP[kind])
    torch.manual_seed(1)
    head = LinearHead(torch.randn(3, 24), torch.randn(3))
    x, y = torch.randn(4, 3, 32, 32), [0, 1, 2, 0]
    (maps,) = of_heads(modules, [head], x, y, How(score=score))
    assert maps.true.shape == (4, 4, 4)
    for i, own in enumerate(y):
        for k, found in ((own, maps.true[i]), (int(maps.rival[i]), maps.confused[i])):
            expected = literal(modules, head, x[i], k, score)
            assert expected.max() > 0
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_relevance_may_begin_at_any_block() -> None:
    modules = vit()
    torch.manual_seed(1)
    head, x = LinearHead(torch.randn(3, 24), torch.randn(3)), torch.randn(2, 3, 32, 32)
    found = []
    for start in range(3):
        (maps,) = of_heads(modules, [head], x, [0, 1], How(layer=f"transformer.resblocks.{start}"))
        expected = literal(modules, head, x[1], 1, "odds", start)
        np.testing.assert_allclose(maps.true[1], expected, rtol=1e-3, atol=1e-4 * expected.max())
        found.append(maps.true)
    # Whatever a block adds is not negative.
    assert (found[0] >= found[1]).all()
    assert (found[1] >= found[2]).all()
    assert (found[0] > found[2]).any()


@pytest.mark.parametrize("kind", MADE)
def test_towers_whose_weights_are_kept_compute_what_they_did(kind: str) -> None:
    make, side = MADE[kind]
    trunk, projection = make()
    lens = relevance(trunk, None)
    x = torch.randn(2, 3, side, side)
    before = projection(trunk(x))
    with lens.watching() as seen:
        after = projection(trunk(x))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5 * float(before.abs().max()))
    assert len(seen) == len(lens.transformer.blocks) == len(lens.attentions)
    for weights in seen:
        assert weights.shape[2:] == (lens.transformer.tokens,) * 2
        torch.testing.assert_close(weights.sum(dim=3), torch.ones(weights.shape[:3]), atol=1e-5, rtol=0)
    assert seen[0].is_leaf
    assert not any(weights.is_leaf for weights in seen[1:])
    torch.testing.assert_close(projection(trunk(x)), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_weights_are_those_of_queries_and_keys(kind: str) -> None:
    make, side = MADE[kind]
    trunk, _ = make()
    lens = relevance(trunk, None)
    layer: Any = lens.attentions[1]
    taken: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    with lens.watching() as seen:
        trunk(torch.randn(1, 3, side, side))
    hook.remove()
    weight, bias = (layer.in_proj_weight, layer.in_proj_bias) if kind == "torchvision" else (
        layer.qkv.weight, layer.qkv.bias)  # fmt: skip
    query, key, _ = (taken[0][0] @ weight.T + bias).chunk(3, dim=1)
    size = query.shape[1] // layer.num_heads
    for h in range(layer.num_heads):
        part = slice(h * size, (h + 1) * size)
        expected = torch.softmax(query[:, part] @ key[:, part].T / size**0.5, dim=1)
        torch.testing.assert_close(seen[1][0, h], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["open_clip", "timm"])
def test_layers_are_as_they_were_even_after_an_error(kind: str) -> None:
    lens = relevance(MADE[kind][0]()[0], None)
    before = [dict(vars(layer)) for layer in lens.attentions]
    hooks = [len(part._forward_hooks) for layer in lens.attentions for part in layer.modules()]
    with pytest.raises(KeyError, match="on the way"), weights_kept(lens.attentions):
        raise KeyError("on the way")
    assert [dict(vars(layer)) for layer in lens.attentions] == before
    assert [len(part._forward_hooks) for layer in lens.attentions for part in layer.modules()] == hooks


def made_up(lens: Relevance, heads: int = 4) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    T, blocks = lens.transformer.tokens, len(lens.attentions)
    torch.manual_seed(0)
    weights = [torch.softmax(torch.randn(2, heads, T, T), dim=-1) for _ in range(blocks)]
    return weights, [torch.randn(2, heads, T, T) for _ in range(blocks)]


@pytest.mark.parametrize("pooling", ["tok", "avg"])
def test_what_maps_do_not_depend_on(pooling: str) -> None:
    lens = relevance(vit(pool_type=pooling)[0], None)
    weights, gradients = made_up(lens)
    maps = lens.maps(weights, gradients)
    assert maps.min() >= 0
    assert maps.max() > 0
    order = torch.tensor([2, 0, 3, 1])
    swapped = lens.maps([one[:, order] for one in weights], [one[:, order] for one in gradients])
    torch.testing.assert_close(swapped, maps)
    # What speaks against the class does not take part, however strongly it does.
    louder = [torch.where(one < 0, 100 * one, one) for one in gradients]
    torch.testing.assert_close(lens.maps(weights, louder), maps)
    assert lens.maps(weights, [torch.zeros_like(one) for one in gradients]).abs().max() == 0
    # Each photo by itself.
    torch.testing.assert_close(lens.maps([one[1:] for one in weights], [one[1:] for one in gradients]), maps[1:])


def test_the_map_of_one_block_is_its_tokens_row() -> None:
    lens = relevance(vit()[0], "transformer.resblocks.2")
    (weights,), (gradients,) = made_up(lens)
    expected = (weights * gradients).clamp(min=0).mean(dim=1)[:, 0, 1:].reshape(2, 4, 4)
    torch.testing.assert_close(lens.maps([weights], [gradients]), expected)


def test_swapping_classes_swaps_maps_and_other_heads_have_others() -> None:
    modules = vit()
    torch.manual_seed(1)
    head, other = (LinearHead(torch.randn(2, 24), torch.randn(2)) for _ in range(2))
    x = torch.randn(3, 3, 32, 32)
    maps, others = of_heads(modules, [head, other], x, [0, 1, 0], How())
    swapped, _ = of_heads(modules, [head, other], x, [1, 0, 1], How())
    np.testing.assert_array_equal(swapped.true, maps.confused)
    np.testing.assert_array_equal(swapped.confused, maps.true)
    for one, two in ((maps.true, maps.confused), (maps.true, others.true)):
        assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(one, two, strict=True)) < 0.9


@pytest.mark.parametrize("kind", ["grad-cam", "relevance"])
def test_maps_follow_the_photo_when_it_is_turned_around(kind: Any) -> None:
    """Of a tower that is blind to where patches are, and whose filters are their own mirror images."""
    trunk: Any
    trunk, projection = vit(pool_type="avg")
    trunk.positional_embedding.zero_()
    trunk.conv1.weight.copy_((trunk.conv1.weight + trunk.conv1.weight.flip(3)) / 2)
    torch.manual_seed(1)
    head, x = LinearHead(torch.randn(3, 24), torch.randn(3)), torch.randn(3, 3, 32, 32)
    (maps,) = of_heads((trunk, projection), [head], x, [0, 1, 2], How(kind))
    (turned,) = of_heads((trunk, projection), [head], x.flip(3), [0, 1, 2], How(kind))
    assert np.abs(maps.true - maps.true[:, :, ::-1]).max() > 0.1 * maps.true.max() > 0
    np.testing.assert_allclose(turned.true, maps.true[:, :, ::-1], atol=1e-4 * maps.true.max())
    np.testing.assert_allclose(turned.confused, maps.confused[:, :, ::-1], atol=1e-4 * maps.confused.max())


def test_what_relevance_cannot_be_had_of_is_named() -> None:
    with pytest.raises(WeightsError, match=r"kind Sequential is none; use --maps grad-cam"):
        relevance(nn.Sequential(nn.Conv2d(3, 3, 1)), None)
    pooled = vit(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=2)[0]
    with pytest.raises(WeightsError, match=r"VisionTransformer pools otherwise; use --maps grad-cam"):
        relevance(pooled, None)
    with pytest.raises(WeightsError, match=r"kind VisionTransformer pools otherwise"):
        relevance(bare("test_vit3")[0], None)
    with pytest.raises(WeightsError, match=r"VisionTransformerDistilled pools otherwise"):
        relevance(bare("deit_tiny_distilled_patch16_224")[0], None)
    with pytest.raises(WeightsError, match=r"cannot be had from its layers of the kind Attention; use --maps grad-cam"):
        relevance(vit(qk_norm=True)[0], None)
    with pytest.raises(UsageError, match=r"unknown block 'transformer.resblock.1'; did you mean transformer.resblocks"):
        relevance(vit()[0], "transformer.resblock.1")
