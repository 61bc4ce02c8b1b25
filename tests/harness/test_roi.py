"""Pooling boxes against torchvision's RoIAlign, a loop over its samples, and what must hold of any average."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import roi_align

from spurbench.backbones.roi import roi_pool

SHARE = st.floats(0, 1, width=32)


def sampled(cells: torch.Tensor, box: list[float], bins: tuple[int, int]) -> torch.Tensor:
    """(C, p, q) of one map (C, h, w), by loops over the samples of RoIAlign."""
    channels, height, width = cells.shape
    left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    tall, wide = (bottom - top) / bins[0], (right - left) / bins[1]
    down, along = max(1, math.ceil(tall - 1e-4)), max(1, math.ceil(wide - 1e-4))
    found = torch.zeros(channels, *bins, dtype=cells.dtype)
    for p in range(bins[0]):
        for q in range(bins[1]):
            for i in range(down):
                for j in range(along):
                    y = min(max(top + tall * (p + (i + 0.5) / down) - 0.5, 0), height - 1)
                    x = min(max(left + wide * (q + (j + 0.5) / along) - 0.5, 0), width - 1)
                    y0, x0 = int(y), int(x)
                    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
                    above = cells[:, y0, x0] * (x0 + 1 - x) + cells[:, y0, x1] * (x - x0)
                    below = cells[:, y1, x0] * (x0 + 1 - x) + cells[:, y1, x1] * (x - x0)
                    found[:, p, q] += (above * (y0 + 1 - y) + below * (y - y0)) / (down * along)
    return found


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.tuples(SHARE, SHARE, SHARE, SHARE), min_size=1, max_size=3),
)
def test_every_box_is_the_mean_of_its_samples(
    size: tuple[int, int], bins: tuple[int, int], corners: list[tuple[float, float, float, float]]
) -> None:
    maps = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    boxes = [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners]
    pooled = roi_pool(maps, torch.tensor([boxes, boxes], dtype=torch.float64), bins)
    expected = torch.stack([torch.stack([sampled(cells, box, bins) for box in boxes]) for cells in maps])
    torch.testing.assert_close(pooled, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bins", [(1, 1), (3, 2), (7, 7)])
def test_it_is_torchvisions(bins: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(4, 5, 7, 9, generator=generator)
    ends = torch.rand(4, 6, 2, 2, generator=generator).sort(dim=-2).values
    boxes = ends.flatten(-2)
    rows = torch.arange(4).repeat_interleave(6)[:, None]
    scaled = (boxes * torch.tensor([9.0, 7.0, 9.0, 7.0])).flatten(0, 1)
    expected = roi_align(maps, torch.cat([rows, scaled], dim=1), bins, aligned=True).unflatten(0, (4, 6))
    torch.testing.assert_close(roi_pool(maps, boxes, bins), expected, rtol=1e-5, atol=1e-5)


def test_cells_are_found_exactly_and_the_whole_is_the_mean() -> None:
    maps = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    thirds = [(x / 3, y / 3, (x + 1) / 3, (y + 1) / 3) for y in range(3) for x in range(3)]
    pooled = roi_pool(maps, torch.tensor([[*thirds, (0, 0, 1, 1)]], dtype=torch.float32))[0, :, :, 0, 0]
    torch.testing.assert_close(pooled[:9], maps[0].flatten(1).T, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(pooled[9], maps[0].mean(dim=(1, 2)), rtol=1e-6, atol=1e-6)


@given(SHARE, SHARE, SHARE, SHARE)
def test_a_constant_stays_what_it_is_in_half_precision_too(a: float, b: float, c: float, d: float) -> None:
    box = torch.tensor([[[min(a, c), min(b, d), max(a, c), max(b, d)]]])
    with torch.autocast("cpu", torch.bfloat16):
        pooled = roi_pool(torch.full((1, 2, 5, 4), 1.5, dtype=torch.bfloat16), box, (2, 3))
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, torch.full((1, 1, 2, 2, 3), 1.5), rtol=1e-5, atol=0)


def test_the_gradient_is_the_weight_of_each_cell() -> None:
    maps = torch.zeros(1, 1, 4, 4, requires_grad=True)
    roi_pool(maps, torch.tensor([[[0.25, 0.5, 0.75, 1.0]]])).sum().backward()
    expected = torch.zeros(4, 4)
    expected[2:, 1:3] = 0.25
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad[0, 0], expected)
