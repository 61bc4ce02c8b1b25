"""Where what a tower sees lies in the photo: found out from its preprocessing, whatever that is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import WeightsError
from .geometry import Floats, areas

LEAST_VISIBLE = 0.25
"""Boxes of which a smaller share is left inside the view are not in it."""
TOLERANCE = 1.0
"""Pixels, of the view or of the photo, by which preprocessing may differ from a resize with crop or padding."""


@dataclass(frozen=True)
class Frame:
    """How positions in a photo become positions in the view: view = scale * picture + offset, in shares of each.

    Attributes:
        scale, offset: of x and of y. A scale above 1 crops, one below 1 pads.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_view(self, boxes: Floats) -> Floats:
        """Boxes (..., 4) of the picture, cut off at the view's edges; NaN where too little is left of them."""
        placed = boxes * self._scales() + self._offsets()
        cut = np.clip(placed, 0, 1)
        visible = (areas(cut) >= LEAST_VISIBLE * areas(placed)) & (areas(cut) > 0)
        return np.where(visible[..., None], cut, np.nan).astype(np.float32)

    def to_picture(self, boxes: Floats) -> Floats:
        """Boxes (..., 4) of the view, cut off at the picture's edges: nothing is left of one that shows padding."""
        return np.clip((boxes - self._offsets()) / self._scales(), 0, 1).astype(np.float32)

    def _scales(self) -> NDArray[np.float64]:
        return np.array(self.scale * 2)

    def _offsets(self) -> NDArray[np.float64]:
        return np.array(self.offset * 2)


class Frames:
    """The frames of photos by their size, each found once.

    Args:
        preprocess: RGB image -> (3, H, W), a tower's own; the same for photos of one size.
    """

    def __init__(self, preprocess: Callable[[Image.Image], Any]) -> None:
        self._preprocess = preprocess
        self._known: dict[tuple[int, int], Frame] = {}

    def of(self, width: int, height: int) -> Frame:
        """The frame of photos of a size in pixels. Raises WeightsError for preprocessing that moves things about."""
        if (width, height) not in self._known:
            self._known[width, height] = self._probed(width, height)
        return self._known[width, height]

    def _probed(self, width: int, height: int) -> Frame:
        """From three photos of that size: black, white, and one that grows brighter along x and along y.

        Where less than half of that is seen, a ramp over no more than what is seen tells its place more exactly.
        """
        size = (width, height)
        black, white = (self._view(np.full((height, width, 3), level, np.uint8)) for level in (0, 255))
        ranges = [(0.0, 1.0), (0.0, 1.0)]
        for _ in range(2):
            seen = self._view(_ramps(size, ranges))
            lines = [_line(_along(black, i), _along(white, i), _along(seen, i), ranges[i], size[i]) for i in range(2)]
            if None in lines:
                raise WeightsError(
                    f"regions cannot be placed: the backbone's preprocessing of a photo of {width} x {height} pixels "
                    "is not a resize with crop or padding"
                )
            (x, y) = found = [line for line in lines if line is not None]
            if max(x[0], y[0]) <= 2:
                break
            ranges = [(max((-0.1 - offset) / scale, 0.0), min((1.1 - offset) / scale, 1.0)) for scale, offset in found]
        return Frame(scale=(x[0], y[0]), offset=(x[1], y[1]))

    def _view(self, photo: NDArray[np.uint8]) -> NDArray[np.float64]:
        view = np.asarray(self._preprocess(Image.fromarray(photo)), dtype=np.float64)
        if view.ndim != 3 or len(view) != 3:
            raise WeightsError(f"the backbone's preprocessing gives shape {view.shape}, not (3, H, W)")
        return view


def _ramps(size: tuple[int, int], ranges: list[tuple[float, float]]) -> NDArray[np.uint8]:
    """(H, W, 3): red rises from 0 to 255 along x, green along y, each over a range in shares."""
    photo = np.zeros((size[1], size[0], 3), np.uint8)
    for axis, (low, high) in enumerate(ranges):
        middles = (np.arange(size[axis]) + 0.5) / size[axis]
        levels = np.round(255 * np.clip((middles - low) / (high - low), 0, 1)).astype(np.uint8)
        photo[..., axis] = levels[None, :] if axis == 0 else levels[:, None]
    return photo


def _along(view: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """(pixels,) of a view's red along x or of its green along y, through its middle, where there is no padding."""
    channel = view[0] if axis == 0 else view[1].T
    middle = len(channel) // 2
    return np.asarray(channel[max(middle - 1, 0) : middle + 1].mean(axis=0))


def _line(
    black: NDArray[np.float64],
    white: NDArray[np.float64],
    seen: NDArray[np.float64],
    ramp: tuple[float, float],
    size: int,
) -> tuple[float, float] | None:
    """Scale and offset along one axis of `size` pixels, from how bright a ramp is seen; None where that is no line."""
    pixels, contrast = len(seen), white - black
    at = (np.arange(pixels) + 0.5) / pixels
    # Padding is as bright whatever the photo.
    shown = contrast > 0.5 * contrast.max(initial=0)
    level = np.divide(seen - black, contrast, out=np.zeros(pixels), where=shown)
    # Resampling bends a ramp where it ends.
    inner = shown & (level > 0.2) & (level < 0.8)
    fitted = inner if inner.sum() >= 3 else shown
    if not fitted.any():
        return None
    if size == 1 or fitted.sum() == 1:
        # One pixel, of the photo or of the view, makes no line: all of it is where something is shown.
        return float(shown.sum() / pixels), float(shown.argmax() / pixels)
    if np.ptp(level[fitted]) == 0:
        return None
    slope, start = np.polyfit(level[fitted], at[fitted], 1)
    off = np.abs(slope * level[fitted] + start - at[fitted]).max() * pixels
    scale = slope / (ramp[1] - ramp[0])
    # Nothing is told apart that is less than a pixel of the photo, or one of the ramp's 256 levels.
    if slope <= 0 or off > TOLERANCE * max(1, scale * pixels / size) + slope * pixels / 255:
        return None
    return float(scale), float(start - scale * ramp[0])
