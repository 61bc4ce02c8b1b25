"""Eight places and a studio: the colours of sky and ground, what the ground is like, and what grows there."""

from __future__ import annotations

from dataclasses import dataclass

from . import scenery
from .scenery import Painter, Range

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """A place, as data: every photo is composed by the same steps from these numbers.

    Attributes:
        name: as captions call it.
        phrase: where an animal is, there.
        water: whether the ground is water.
        sky: colours at the top and above the horizon.
        clouds: how much of the sky they cover, 0..1.
        horizon: where it lies, as shares of the height from the top.
        uneven: how far the horizon goes up and down, share of the height.
        ground: colours between which the texture goes, and the colour far away.
        texture: index into `plates.textures`.
        depth: how strongly the texture shrinks with distance, 0 flat.
        back, front: painters of the scenery behind and before the animal.
        back_colours, front_colours: of their two materials.
        back_zoom: how large the back scenery is.
    """

    name: str
    phrase: str
    sky: tuple[Colour, Colour]
    clouds: float
    horizon: Range
    uneven: float
    ground: tuple[Colour, Colour, Colour]
    texture: int
    depth: float
    back: Painter
    back_colours: tuple[Colour, Colour]
    back_zoom: Range
    front: Painter
    front_colours: tuple[Colour, Colour]
    water: bool = False


_BLUE, _PALE, _GREY = (
    ((96, 160, 222), (190, 216, 236)),
    ((150, 188, 222), (222, 230, 236)),
    ((150, 160, 172), (208, 212, 216)),
)

PLACES: tuple[Place, ...] = (
    Place(
        "lake",
        "on a lake",
        _BLUE,
        0.5,
        (0.3, 0.5),
        0.02,
        ((46, 104, 120), (116, 168, 176), (96, 140, 130)),
        0,
        0.9,
        scenery.far_bank,
        ((62, 104, 62), (92, 74, 56)),
        (0.4, 0.7),
        scenery.reeds,
        ((104, 128, 56), (116, 74, 42)),
        water=True,
    ),
    Place(
        "sea",
        "by the sea",
        _PALE,
        0.7,
        (0.25, 0.5),
        0.0,
        ((24, 78, 142), (92, 158, 206), (64, 124, 178)),
        1,
        1.0,
        scenery.sails,
        ((74, 80, 84), (240, 240, 236)),
        (0.3, 0.6),
        scenery.foam,
        ((150, 136, 116), (236, 244, 246)),
        water=True,
    ),
    Place(
        "forest",
        "in a forest",
        ((70, 104, 62), (140, 166, 104)),
        0.3,
        (0.5, 0.72),
        0.06,
        ((74, 58, 38), (128, 102, 60), (70, 82, 44)),
        5,
        0.5,
        scenery.trunks,
        ((44, 98, 44), (84, 62, 44)),
        (1.0, 1.5),
        scenery.ferns,
        ((52, 110, 46), (150, 90, 40)),
    ),
    Place(
        "meadow",
        "in a meadow",
        _BLUE,
        0.5,
        (0.25, 0.5),
        0.08,
        ((78, 138, 44), (146, 188, 76), (128, 172, 84)),
        2,
        0.7,
        scenery.hedges,
        ((96, 150, 66), (146, 116, 84)),
        (0.4, 0.8),
        scenery.grass,
        ((92, 158, 52), (232, 208, 72)),
    ),
    Place(
        "desert",
        "in the desert",
        ((120, 172, 214), (238, 220, 180)),
        0.1,
        (0.25, 0.5),
        0.06,
        ((212, 164, 98), (240, 204, 142), (232, 192, 132)),
        4,
        0.7,
        scenery.dunes,
        ((222, 172, 104), (92, 124, 70)),
        (0.5, 1.0),
        scenery.stones,
        ((166, 120, 80), (150, 136, 72)),
    ),
    Place(
        "snow",
        "in the snow",
        _GREY,
        0.6,
        (0.25, 0.5),
        0.08,
        ((206, 214, 228), (246, 248, 252), (228, 234, 242)),
        3,
        0.5,
        scenery.firs,
        ((44, 78, 66), (236, 242, 250)),
        (0.5, 1.0),
        scenery.drifts,
        ((240, 244, 252), (96, 80, 66)),
    ),
    Place(
        "street",
        "on a street",
        _GREY,
        0.4,
        (0.45, 0.65),
        0.0,
        ((86, 86, 90), (122, 122, 124), (140, 138, 134)),
        6,
        0.8,
        scenery.houses,
        ((168, 120, 98), (128, 156, 178)),
        (0.7, 1.2),
        scenery.kerb,
        ((164, 162, 158), (92, 66, 60)),
    ),
    Place(
        "mountain",
        "on a mountain",
        _PALE,
        0.6,
        (0.35, 0.6),
        0.1,
        ((104, 100, 96), (158, 152, 142), (130, 134, 130)),
        7,
        0.4,
        scenery.peaks,
        ((120, 118, 128), (240, 244, 250)),
        (0.6, 1.1),
        scenery.boulders,
        ((126, 120, 114), (104, 118, 66)),
    ),
    Place(
        "studio",
        "in a studio",
        ((222, 222, 224), (206, 206, 208)),
        0.0,
        (0.55, 0.75),
        0.0,
        ((196, 196, 198), (200, 200, 202), (204, 204, 206)),
        3,
        0.5,
        scenery.nothing,
        ((200, 200, 200), (200, 200, 200)),
        (0.5, 1.0),
        scenery.nothing,
        ((200, 200, 200), (200, 200, 200)),
    ),
)
"""The last is a photographer's studio, which is nobody's habitat."""
OUTDOORS = len(PLACES) - 1
STUDIO = OUTDOORS
NAMES = tuple(place.name for place in PLACES[:OUTDOORS])
