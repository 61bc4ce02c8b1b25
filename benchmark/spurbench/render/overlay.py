"""Activation maps laid over photos, the outline of the object, and what of a photo a tower sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Frame = tuple[float, float, float, float]
"""Left, top, right, bottom of what a tower sees of a photo, in shares of the photo's width and height."""

STOPS = ((255, 236, 120), (254, 178, 60), (240, 96, 50), (196, 20, 92), (120, 0, 116))
"""Colours of a map from little to most, evenly spaced: ever darker, so that they are in order for everybody."""
FAINT = 0.04
"""Share of a map's maximum below which nothing is drawn."""
STRONGEST = 0.88
"""Of the colour where the map is at its maximum, the rest being the photo."""
WEIGHTS = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue in grey (ITU-R BT.601)."""
SLACK = 0.01
"""Share of a photo by which a view may miss its edge and still end there: frames are found by probing."""
LIGHT, DARK = 255.0, 20.0
"""The two lines of an outline: one of them is seen anywhere."""


def cuts(frame: Frame) -> bool:
    """Whether there is something of the photo that the tower does not see."""
    left, top, right, bottom = _snapped(frame)
    return left > 0 or top > 0 or right < 1 or bottom < 1


def stretched(grid: NDArray[np.generic], frame: Frame, size: tuple[int, int]) -> tuple[Floats, NDArray[np.bool_]]:
    """A grid over a tower's view as the photo's pixels have it, bilinear between the middles of its cells.

    Args:
        grid: (h, w) numbers.
        size: width and height of the photo in pixels.

    Returns:
        (height, width) float64, 0 where the tower sees nothing; and (height, width) bool, where it sees something.
    """
    left, top, right, bottom = _snapped(frame)
    down, seen_down = _weights(grid.shape[0], top, bottom, size[1])
    across, seen_across = _weights(grid.shape[1], left, right, size[0])
    return down @ grid.astype(np.float64) @ across.T, np.outer(seen_down, seen_across)


def heated(photo: Image.Image, grid: NDArray[np.floating], frame: Frame) -> Image.Image:
    """A map over its photo, which turns pale grey, so that colour is the map's alone.

    The map is scaled by its own maximum; one that is 0 everywhere leaves the photo without colour.

    Args:
        grid: (h, w), 0 or more.
    """
    values, seen = stretched(grid, frame, photo.size)
    most = float(values.max())
    shares = values / most if most > 0 else values
    return _image(_dimmed(_laid(shares, _pixels(photo) @ WEIGHTS), seen))


def scale(steps: int) -> list[tuple[int, int, int]]:
    """The colours of a map from none to its maximum, as they come out over a photo of middling brightness."""
    colours = np.rint(_laid(np.linspace(0, 1, steps), np.full(steps, 127.5))).astype(int)
    return [(red, green, blue) for red, green, blue in colours.tolist()]


def coloured(shares: Floats) -> Floats:
    """The colours of shares of a maximum: (..., 3) for (...), 0 to 255."""
    at = np.linspace(0, 1, len(STOPS))
    return np.stack([np.interp(shares, at, channel) for channel in zip(*STOPS, strict=True)], axis=-1)


def viewed(photo: Image.Image, frame: Frame) -> Image.Image:
    """The photo, what the tower does not see of it dimmed."""
    _, seen = stretched(np.zeros((1, 1)), frame, photo.size)
    return _image(_dimmed(_pixels(photo), seen))


def outlined(photo: Image.Image, mask: NDArray[np.bool_], frame: Frame) -> Image.Image:
    """The photo with a thin line along the object's edge: light within, dark without.

    Args:
        mask: (H, W), in the tower's view.
    """
    covered, seen = stretched(mask, frame, photo.size)
    inside = (covered >= 0.5) & seen
    pixels = _pixels(photo)
    pixels[_beside(inside) & ~inside] = DARK
    pixels[_beside(~inside) & inside] = LIGHT
    return _image(pixels)


def _laid(shares: Floats, brightness: Floats) -> Floats:
    """(..., 3) colours of shares (...) of a maximum over the pale grey of a photo's brightness (...)."""
    grey = 96 + 0.6 * brightness[..., None]
    alpha = STRONGEST * np.clip((shares - FAINT) / (1 - FAINT), 0, 1)[..., None] ** 0.75
    laid: Floats = (1 - alpha) * grey + alpha * coloured(shares)
    return laid


def _snapped(frame: Frame) -> Frame:
    """Edges that are nearly the photo's are the photo's."""
    left, top, right, bottom = (
        edge if abs(edge - end) > SLACK else end for edge, end in zip(frame, (0.0, 0.0, 1.0, 1.0), strict=True)
    )
    return left, top, right, bottom


def _weights(cells: int, start: float, end: float, pixels: int) -> tuple[Floats, NDArray[np.bool_]]:
    """(pixels, cells) how much of each cell each pixel gets; and which pixels lie between start and end."""
    at = ((np.arange(pixels) + 0.5) / pixels - start) / (end - start)
    seen = (at >= 0) & (at <= 1)
    place = np.clip(at * cells - 0.5, 0, cells - 1)
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, 1)
    return np.where(seen[:, None], weights, 0.0), seen


def _beside(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that have one of the region above, below, left or right of them."""
    padded = np.pad(region, 1)
    found: NDArray[np.bool_] = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return found


def _dimmed(pixels: Floats, seen: NDArray[np.bool_]) -> Floats:
    return np.where(seen[..., None], pixels, 0.3 * pixels + 0.7 * 128)


def _pixels(photo: Image.Image) -> Floats:
    return np.asarray(photo.convert("RGB"), dtype=np.float64)


def _image(pixels: Floats) -> Image.Image:
    return Image.fromarray(np.rint(pixels).astype(np.uint8))
