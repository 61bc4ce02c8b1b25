"""What boxes are to each other, by arithmetic alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Places

Floats = NDArray[np.float32]
HALF = 0.5


def cells(side: int) -> Floats:
    """(side * side, 4) equal cells of a square grid over everything, row by row."""
    edges = np.arange(side + 1, dtype=np.float64) / side
    top, left = (part.ravel() for part in np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    return np.stack([edges[left], edges[top], edges[left + 1], edges[top + 1]], axis=1).astype(np.float32)


def areas(boxes: NDArray[Any]) -> NDArray[Any]:
    """(...,) shares of the whole area; 0 for boxes that are none or the wrong way round."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(np.nan_to_num(sides[..., 0] * sides[..., 1]))


def overlap_share(boxes: Floats, box: Floats) -> Floats:
    """(...,) the area that two boxes share, as a share of the smaller one's; 0 where one is NaN or empty.

    Args:
        boxes, box: (..., 4), which broadcast together.
    """
    common = areas(np.concatenate(_corners(boxes, box), axis=-1))
    smaller = np.minimum(areas(boxes), areas(box))
    share = np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0)
    # A box is not its own by more than 1, whatever rounding makes of it.
    return np.asarray(np.minimum(share, 1), dtype=np.float32)


def _corners(boxes: Floats, box: Floats) -> tuple[Floats, Floats]:
    boxes, box = np.broadcast_arrays(boxes, box)
    return np.maximum(boxes[..., :2], box[..., :2]), np.minimum(boxes[..., 2:], box[..., 2:])


def truth(view_boxes: Floats, places: Places) -> NDArray[np.bool_]:
    """(n, r) whether a region shows what is spurious, as far as the data set knows where that is.

    Where its box is known: whether they overlap by half of the smaller one. Where all but the object is spurious (the
    background): whether the region's middle lies outside the object's box; of a photo without object, every region.

    Args:
        view_boxes: (n, r, 4); a row of NaN is no region and shows nothing.
        places: of the same n photos, in the same frame.
    """
    if places.spurious is not None:
        return np.asarray(overlap_share(view_boxes, places.spurious[:, None]) >= HALF)
    middles = (view_boxes[..., :2] + view_boxes[..., 2:]) / 2
    objects = places.objects[:, None]
    # Comparisons with NaN are false: outside of nothing is everywhere.
    inside = ((middles >= objects[..., :2]) & (middles <= objects[..., 2:])).all(axis=-1)
    return np.asarray(~inside & np.isfinite(view_boxes).all(axis=-1))
