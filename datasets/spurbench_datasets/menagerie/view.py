"""What is fixed about each photo before anything is drawn, and how looked-up pixels are laid on it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .exact import Draws, Floats, Ints
from .places import PLACES
from .plates import FIELD, textures
from .scenes import Scenes

EDGE = 64
"""Height and width of a photo in pixels."""
F = np.float32
Colours = NDArray[np.float32]
Pixels = NDArray[np.int32]
"""Positions in a picture."""


class Tables(NamedTuple):
    """The places as columns, row i for place i."""

    sky: Colours
    clouds: Floats
    horizon: Floats
    uneven: Floats
    ground: Colours
    texture: Ints
    depth: Floats
    back: Colours
    back_zoom: Floats
    front: Colours


@cache
def tables() -> Tables:
    """The table, made once."""

    def column(name: str) -> Floats:
        return np.array([getattr(place, name) for place in PLACES], dtype=F)

    return Tables(
        sky=column("sky"),
        clouds=column("clouds"),
        horizon=column("horizon"),
        uneven=column("uneven"),
        ground=column("ground"),
        texture=np.array([place.texture for place in PLACES], dtype=np.int64),
        depth=column("depth"),
        back=column("back_colours"),
        back_zoom=column("back_zoom"),
        front=column("front_colours"),
    )


class View:
    """What is fixed per photo before anything is drawn: the camera, the colours, the light."""

    def __init__(self, scenes: Scenes, draws: Draws) -> None:
        self.draws, self.difficulty, self.place, self.apart = draws, scenes.difficulty, scenes.place, scenes.apart
        self.tables = tables()
        low, high = self.tables.horizon[self.place].T
        self.horizon = (low + (high - low) * draws.uniform("horizon")) * F(EDGE)
        self.y = np.arange(EDGE, dtype=F)[None, :, None] + F(0.5)
        self.x = np.arange(EDGE, dtype=F)[None, None, :] + F(0.5)
        self.haze = draws.uniform("haze") * draws.uniform("haze again") * F(scenes.difficulty.haze)

    def colours(self, name: str, table: Colours) -> Colours:
        """(n, colours, 3): the place's colours, each varied."""
        return self.vary(name, table[self.place])

    def vary(self, name: str, colours: Colours) -> Colours:
        """(n, colours, 3) colours, varied."""
        spread = self.difficulty.colour
        varied = colours.copy()
        for index in range(colours.shape[1]):
            level = self.draws.uniform(f"{name} {index}", 1 - spread, 1 + spread)
            for channel in range(3):
                tint = self.draws.uniform(f"{name} {index} {channel}", 1 - spread / 2, 1 + spread / 2)
                varied[:, index, channel] *= level * tint
        return varied

    def texture(self, number: Ints | int, rows: Pixels, columns: Pixels) -> Floats:
        """Look up textures, which tile; `rows` and `columns` are int pixel positions that broadcast to (n, y, x)."""
        field_ = np.asarray(number, dtype=np.int32).reshape(-1, 1, 1) * np.int32(FIELD * FIELD)
        flat = (rows & np.int32(FIELD - 1)) * np.int32(FIELD) + field_
        return np.take(textures().reshape(-1), flat + (columns & np.int32(FIELD - 1))).astype(F) * F(1 / 255)

    def whole(self, name: str, bound: int) -> Pixels:
        """(n, 1, 1) int32 in 0..bound-1."""
        return self.draws.below(name, bound).astype(np.int32)[:, None, None]


def col(values: Floats) -> Floats:
    """(n,) as (n, 1, 1)."""
    return values[:, None, None]


def lay_on(
    picture: Floats, found: NDArray[np.unsignedinteger], materials: int, colours: Colours, *, shown: bool
) -> Floats:
    """Paint looked-up pixels of a drawing over the picture; return how much of each pixel they cover."""
    channels = found.view(np.uint8).reshape(*found.shape, -1)
    shares = [channels[..., m].astype(F) * F(1 / 255) for m in range(materials)]
    cover = shares[0].copy()
    for share in shares[1:]:
        cover += share
    np.minimum(cover, F(1), out=cover)
    if shown:
        light = channels[..., materials].astype(F) * F(1 / 128)
        for channel in range(3):
            paint = shares[0] * col(colours[:, 0, channel])
            for m in range(1, materials):
                paint += shares[m] * col(colours[:, m, channel])
            paint *= light
            picture[channel] *= F(1) - cover
            picture[channel] += paint
    return cover
