"""Pooling boxes out of maps: RoIAlign (He et al. 2017, Mask R-CNN, section 3) as a product of matrices.

What RoIAlign samples in a box is a grid, so a cell's weight is that of its row times that of its column. As a product
it gives the same bits on every run, its backward pass on GPUs included, which torchvision's scattered additions do not.
"""

from __future__ import annotations

import torch

SLACK = 1e-4
"""Cells by which a box may be longer than it means to be: 2.0000002 cells, from rounding, are sampled as 2 are."""


def roi_pool(maps: torch.Tensor, boxes: torch.Tensor, bins: tuple[int, int] = (1, 1)) -> torch.Tensor:
    """What `torchvision.ops.roi_align(aligned=True)` gives with as many samples as a box has cells, in float32.

    Args:
        maps: (b, C, h, w), floating point.
        boxes: (b, r, 4) left, top, right, bottom within the map, in shares (0..1) of its width and height; finite.
        bins: rows and columns (p, q) that each box is divided into.

    Returns:
        (b, r, C, p, q); differentiable in the maps.
    """
    wide = maps.dtype if maps.dtype == torch.float64 else torch.float32
    # In half precision the weights of a box would no longer sum to 1.
    with torch.autocast(maps.device.type, enabled=False):
        left, top, right, bottom = boxes.to(wide).unbind(dim=-1)
        rows = _weights(top, bottom, maps.shape[2], bins[0])
        columns = _weights(left, right, maps.shape[3], bins[1])
        weights = torch.einsum("brph,brqw->brpqhw", rows, columns).flatten(4).flatten(1, 3)
        pooled = weights @ maps.to(wide).flatten(2).transpose(1, 2)
        return pooled.reshape(*boxes.shape[:2], *bins, maps.shape[1]).movedim(-1, 2)


def _weights(start: torch.Tensor, end: torch.Tensor, cells: int, bins: int) -> torch.Tensor:
    """(..., bins, cells): how much each cell counts for each part of the stretch from `start` to `end`, in shares."""
    length = (end - start) * (cells / bins)
    samples = (length - SLACK).ceil().clamp(min=1)
    # As many places for samples as the longest stretch needs; those that a shorter one lacks count nothing.
    number = torch.arange(-(-cells // bins), device=start.device, dtype=start.dtype)
    bin_number = torch.arange(bins, device=start.device, dtype=start.dtype)[:, None]
    steps = bin_number + ((number + 0.5) / samples[..., None])[..., None, :]
    # A cell's value stands at its middle; beyond the outermost middles the map goes on as it ends.
    at = start[..., None, None] * cells + steps * length[..., None, None] - 0.5
    at = at.clamp(0, cells - 1)
    near = (1 - (at[..., None] - torch.arange(cells, device=start.device, dtype=start.dtype)).abs()).clamp(min=0)
    counts = (number < samples[..., None]).to(start.dtype) / samples[..., None]
    return (near * counts[..., None, :, None]).sum(dim=-2)
