"""Twelve species in six confusable pairs, drawn once in several poses; photos are taken of these drawings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import beasts, birds
from .anatomy import Pose
from .exact import Draws, Floats
from .shapes import Canvas

SIZE = 96
"""Edge of a drawing in pixels."""
POSES = 8
BLURS = (3.6, 2.6, 1.9)
"""Soft edges, in pixels of the drawing, of its three versions: for small, middling and large animals in a photo."""
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Species:
    """A species: where it lives, what colours it comes in, and how it is drawn.

    Attributes:
        name: as captions call it.
        kind: what else captions call it: a landbird, a waterbird or a mammal.
        habitat: the place that it is mostly photographed in.
        coats: colours of (coat, second, limb); each animal has one of them, varied, and half of them the first.
        draw: paints the animal, facing right.
    """

    name: str
    kind: str
    habitat: str
    coats: tuple[tuple[Colour, Colour, Colour], ...]
    draw: Callable[[Canvas, Pose], None]


_GREYS = ((150, 150, 155), (205, 203, 198), (80, 78, 78))
_BROWNS = ((134, 96, 62), (196, 162, 120), (96, 70, 52))
_CREAMS = ((222, 206, 176), (243, 236, 222), (150, 116, 84))
_BLACKS = ((62, 58, 58), (120, 112, 106), (52, 46, 44))
_RUSTS = ((168, 92, 48), (222, 178, 132), (92, 62, 44))
_WHITES = ((236, 234, 228), (200, 200, 202), (168, 150, 128))
_WATERFOWL = ((176, 164, 148), (44, 108, 84), (226, 168, 48))
_GAME = ((172, 96, 46), (206, 160, 96), (196, 54, 44))
_DUSK = ((116, 92, 76), (86, 66, 54), (214, 150, 60))
_SILVER = ((246, 246, 244), (150, 158, 168), (240, 186, 52))
_SLATE = ((122, 130, 144), (78, 92, 104), (214, 112, 88))
_CHALK = ((238, 236, 232), (178, 178, 180), (222, 120, 90))
_MIST = ((178, 188, 200), (112, 124, 142), (232, 186, 76))
_PLUME = ((66, 60, 60), (240, 238, 232), (214, 166, 140))
_DUN = ((140, 118, 98), (222, 212, 198), (206, 158, 128))
_FLEECE = ((238, 232, 216), (214, 204, 186), (66, 58, 54))
_SAND = ((206, 168, 116), (164, 122, 78), (120, 90, 62))

SPECIES: tuple[Species, ...] = (
    Species("duck", "waterbird", "lake", (_WATERFOWL, _DUSK, _GAME, _WHITES), birds.duck),
    Species("pheasant", "landbird", "forest", (_GAME, _WATERFOWL, _DUSK, _RUSTS), birds.pheasant),
    Species("gull", "waterbird", "sea", (_SILVER, _SLATE, _CHALK, _DUSK), birds.gull),
    Species("pigeon", "landbird", "street", (_SLATE, _SILVER, _CHALK, _DUSK), birds.pigeon),
    Species("heron", "waterbird", "lake", (_MIST, _CHALK, _PLUME, _DUN), birds.heron),
    Species("ostrich", "landbird", "desert", (_PLUME, _DUN, _MIST, _CHALK), birds.ostrich),
    Species("wolf", "mammal", "snow", (_GREYS, _WHITES, _BLACKS, _BROWNS, _RUSTS), beasts.wolf),
    Species("dog", "mammal", "street", (_BROWNS, _CREAMS, _BLACKS, _GREYS, _RUSTS), beasts.dog),
    Species("goat", "mammal", "mountain", (_WHITES, _GREYS, _BROWNS, _CREAMS, _BLACKS), beasts.goat),
    Species("sheep", "mammal", "meadow", (_FLEECE, _CREAMS, _GREYS, _BROWNS, _BLACKS), beasts.sheep),
    Species("camel", "mammal", "desert", (_SAND, _CREAMS, _BROWNS, _RUSTS), beasts.camel),
    Species("horse", "mammal", "meadow", (_RUSTS, _BROWNS, _BLACKS, _SAND, _GREYS), beasts.horse),
)
"""In confusable pairs: neighbours share build and colours, and live in different places."""
NAMES = tuple(species.name for species in SPECIES)


@cache
def drawings() -> NDArray[np.uint8]:
    """(species, poses, blurs, SIZE, SIZE, 8) uint8: share of each material, light, and 3 unused channels.

    Eight bytes a pixel, so that a photo looks up all that it needs of a pixel in one step. Light is scaled to 128.
    """
    atlas = np.zeros((len(SPECIES), POSES, len(BLURS), SIZE, SIZE, 8), dtype=np.uint8)
    for number, species in enumerate(SPECIES):
        draws = Draws(number, np.arange(POSES))
        numbers = [draws.uniform(f"pose {name}", -1, 1).tolist() for name in ("stride", "head", "tail", "build")]
        for index, pose in enumerate(Pose(*values) for values in zip(*numbers, strict=True)):
            for version, blur in enumerate(BLURS):
                canvas = Canvas(SIZE, SIZE, 4, blur)
                species.draw(canvas, pose)
                atlas[number, index, version, ..., :4] = _bytes(np.moveaxis(canvas.cover, 0, -1), 255)
                atlas[number, index, version, ..., 4] = _bytes(canvas.light, 128)
    return atlas


def _bytes(share: Floats, scale: int) -> NDArray[np.uint8]:
    limited = np.clip(share * np.float32(scale) + np.float32(0.5), np.float32(0), np.float32(255))
    return np.floor(limited).astype(np.uint8)
