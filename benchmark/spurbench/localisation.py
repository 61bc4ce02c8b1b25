"""How much of an activation map lies in the object: adjusted IoU, the pointing game, the share of energy.

All three compare a map with the pixels that show the object, photo by photo, at the resolution of those pixels:

* Adjusted IoU (Yang et al. 2023, arXiv 2304.03916): with M+ and M- what the maps of the true class and of its rival
  show, the class it is confused with most, and G the object, IoU(M+, G) / (IoU(M+, G) + IoU(M-, G)). The paper's
  threshold is not known, so it is swept over THRESHOLDS. It is 1 where the map of the true class touches the object and
  its rival's does not, 1/2 where both are the same and touch it, 0 where that of the true class does not, whatever its
  rival's does. A map equal to the object has IoU 1, and an adjusted one of 1 / (1 + IoU(M-, G)).
* The pointing game (Zhang et al. 2016, arXiv 1608.00507): whether a map's largest value lies in the object. Where it
  stands in several pixels, the share of them that do. Unlike there, no miss by some pixels is forgiven.
* Energy (the proportion of Wang et al. 2020, arXiv 1910.01279, section 4.3): the share of a map's sum in the object.

A map of zeros shows nothing, points nowhere and has no energy: 0 in everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

Floats = NDArray[np.float64]
STEPS = 20
THRESHOLDS = tuple(step / STEPS for step in range(1, STEPS))
"""At which a map, scaled to 0..1 photo by photo, is cut into what it shows and what not."""
SAME = 1e-6
"""Values of a scaled map that differ by less are the same, and so is all of a map whose values differ by less than this
share of the largest: maps come in single precision and are interpolated."""
CHUNK = 1 << 17
"""Pixels worked on at once: what of them is at hand together fits into a processor's cache."""
SPREAD = 0.25
"""Standard deviation of the blob in the middle, in shares of each edge."""


@dataclass(frozen=True, eq=False)
class Located:
    """What the maps of n photos say, in shares 0..1.

    Attributes:
        pointing: (n,) float64.
        energy: (n,) float64.
        iou, aiou: (n, T) float64, for each of THRESHOLDS.
    """

    pointing: Floats
    energy: Floats
    iou: Floats
    aiou: Floats


def locate(maps: NDArray[Any], confused: NDArray[Any], masks: NDArray[np.bool_], names: Sequence[str]) -> Located:
    """Measure the maps of n photos against their objects.

    Maps are brought to the masks' resolution bilinearly, as torch's `interpolate` does without `align_corners`, then
    scaled so that the smallest value of each is 0 and the largest 1; a map that is the same everywhere, but not zero,
    is 1 everywhere. A map shows the pixels where it reaches the threshold.

    Args:
        maps: (n, h, w) finite and 0 or more, of the true classes; all but `aiou` is about them.
        confused: (n, h, w) likewise, of the classes they are confused with.
        masks: (n, H, W), pixels that show the object.
        names: (n,) of the photos, for messages.

    Raises:
        ValueError: shapes that do not belong together, or maps with values that no map has.
        DataError: a mask that shows nothing.
    """
    if masks.ndim != 3 or masks.dtype != np.bool_ or len(names) != len(masks):
        raise ValueError(f"masks must be bool (n, H, W) for {len(names)} names, not {masks.dtype} {masks.shape}")
    for which, some in (("maps", maps), ("maps of confused classes", confused)):
        _check(which, some, masks, names)
    empty = np.flatnonzero(~masks.any(axis=(1, 2)))
    if len(empty):
        raise DataError(
            f"the masks of {len(empty)} of {len(masks)} photos show nothing, the first that of {names[empty[0]]!r}: "
            "draw the object, or leave the photo out"
        )
    size = (masks.shape[1], masks.shape[2])
    step = max(1, CHUNK // max(size[0] * size[1], 1))
    parts = [slice(start, start + step) for start in range(0, max(len(masks), 1), step)]
    own, others = ([_measured(some[part], masks[part]) for part in parts] for some in (maps, confused))
    pointing, energy, iou = (np.concatenate(column) for column in zip(*own, strict=True))
    rival = np.concatenate([other[2] for other in others])
    both = iou + rival
    return Located(pointing, energy, iou, np.divide(iou, both, out=np.zeros_like(iou), where=both > 0))


def uniform(masks: NDArray[np.bool_]) -> Located:
    """What maps get that are the same everywhere: the object's area in all but the adjusted IoU, which is 1/2."""
    flat = np.ones((len(masks), 1, 1))
    return locate(flat, flat, masks, _numbered(masks))


def centred(masks: NDArray[np.bool_]) -> Located:
    """What a map gets that is a blob in the middle, for either class: a Gaussian with deviation SPREAD of each edge."""
    down, across = (np.exp(-(((np.arange(n) + 0.5) / n - 0.5) ** 2) / (2 * SPREAD**2)) for n in masks.shape[1:])
    blobs = np.broadcast_to(down[:, None] * across, masks.shape)
    return locate(blobs, blobs, masks, _numbered(masks))


def areas(masks: NDArray[np.bool_]) -> Floats:
    """(n,) share of each view that shows the object."""
    return np.asarray(masks.mean(axis=(1, 2), dtype=np.float64))


def enlarged(maps: Floats, size: tuple[int, int]) -> Floats:
    """Maps (n, h, w) at (n, H, W), bilinearly: each pixel's middle between those of the nearest cells, edges held."""
    if maps.shape[1:] == size:
        return maps
    (n, high, wide), (height, width) = maps.shape, size
    # One product for all rows of all maps, then one for each map.
    rows = maps.reshape(n * high, wide) @ _weights(wide, width).T
    return np.asarray(_weights(high, height) @ rows.reshape(n, high, width))


def _weights(old: int, new: int) -> Floats:
    """(new, old) with rows that sum to 1."""
    at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.asarray(np.maximum(1 - np.abs(at[:, None] - np.arange(old)), 0))


def _measured(maps: NDArray[Any], masks: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Pointing (n,), energy (n,) and IoU (n, T) of maps (n, h, w)."""
    n, height, width = masks.shape
    inside = masks.reshape(n, height * width)
    maps = maps.astype(np.float64)
    strongest = maps.max(axis=(1, 2), keepdims=True)
    # Divided by the largest value, no sum runs over and no difference vanishes.
    maps = np.divide(maps, strongest, out=np.zeros_like(maps), where=strongest > 0)
    flat = enlarged(maps, (height, width)).reshape(n, height * width)
    energy = _ratio((flat * inside).sum(axis=1), flat.sum(axis=1))
    counts = _histogram(flat, inside)
    shown = np.cumsum(counts[..., ::-1], axis=2)[..., ::-1]
    # The last bin is the peak alone, which belongs to the last threshold, too.
    pointing = _ratio(shown[:, 1, STEPS], shown[:, :, STEPS].sum(axis=1))
    hit, missed = shown[:, 1, 1:STEPS], shown[:, 0, 1:STEPS]
    return pointing, energy, _ratio(hit, inside.sum(axis=1)[:, None] + missed)


def _histogram(flat: Floats, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 2, STEPS + 1) how many pixels outside and inside reach 0, 1, .. STEPS steps, and no more, photo by photo.

    Args:
        flat: (n, pixels) 0 or more, none of which is much larger than 1.
        inside: (n, pixels).
    """
    n, bins = len(flat), STEPS + 1
    low, high = flat.min(axis=1, initial=np.inf), flat.max(axis=1, initial=0)
    uneven = high - low > SAME * high
    gain = np.divide(STEPS, high - low, out=np.zeros(n), where=uneven)
    # Each photo has bins of its own, which are those of one histogram over all.
    start = np.where(uneven, SAME * STEPS - low * gain, np.where(high > 0, STEPS, 0)) + np.arange(n) * (2 * bins)
    level = (flat * gain[:, None] + start[:, None]).astype(np.intp)
    level += inside * bins
    return np.bincount(level.ravel(), minlength=n * 2 * bins).reshape(n, 2, bins)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Their quotient, 0 where there is nothing."""
    found: Floats = np.zeros(part.shape)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _check(which: str, maps: NDArray[Any], masks: NDArray[np.bool_], names: Sequence[str]) -> None:
    if maps.ndim != 3 or len(maps) != len(masks) or 0 in maps.shape[1:]:
        raise ValueError(f"{which} must be ({len(masks)}, h, w), not {maps.shape}")
    good = np.isfinite(maps).all(axis=(1, 2)) & (maps >= 0).all(axis=(1, 2))
    if not good.all():
        name = names[int(good.argmin())]
        raise ValueError(f"{which} must be finite and 0 or more; {int((~good).sum())} are not, the first of {name!r}")


def _numbered(masks: NDArray[np.bool_]) -> list[str]:
    return [f"photo {number}" for number in range(len(masks))]
