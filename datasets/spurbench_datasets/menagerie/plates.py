"""Pictures that photos are composed of, made once per process: textures, and strips of scenery."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .exact import noise
from .places import PLACES
from .scenery import STRIP_HEIGHT, STRIP_WIDTH, STRIPS, Dice
from .shapes import Canvas

FIELD = 256
"""Edge of a texture in pixels."""

CLOUDS, GRAIN = 8, 9
"""Indices of two textures that every place uses."""


@cache
def textures() -> NDArray[np.uint8]:
    """(10, FIELD, FIELD) uint8: ripples, waves, grass, drifts, dunes, litter, asphalt, rock; clouds; film grain."""
    made = [
        noise("ripples", FIELD, 32, 6, 3),
        noise("waves", FIELD, 20, 3, 4, ridged=True),
        noise("grass", FIELD, 10, 64, 3),
        noise("drifts", FIELD, 12, 8, 3),
        noise("dunes", FIELD, 24, 4, 2, ridged=True),
        noise("litter", FIELD, 32, 32, 3),
        noise("asphalt", FIELD, 64, 32, 2),
        noise("rock", FIELD, 12, 12, 4, ridged=True),
        noise("clouds", FIELD, 8, 4, 4),
        noise("grain", FIELD, 128, 128, 2),
    ]
    return np.floor(np.stack(made) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


@cache
def strips() -> NDArray[np.uint8]:
    """(2, places, STRIPS, STRIP_HEIGHT, STRIP_WIDTH, 4) uint8: back and front; two materials, light, unused."""
    atlas = np.zeros((2, len(PLACES), STRIPS, STRIP_HEIGHT, STRIP_WIDTH, 4), dtype=np.uint8)
    for number, place in enumerate(PLACES):
        for side, paint in enumerate((place.back, place.front)):
            for strip in range(STRIPS):
                canvas = Canvas(STRIP_HEIGHT, STRIP_WIDTH, 2, 1.6)
                paint(canvas, Dice(f"{place.name} {side}", strip))
                values = np.stack([canvas.cover[0] * 255, canvas.cover[1] * 255, canvas.light * 128])
                limited = np.clip(values + np.float32(0.5), np.float32(0), np.float32(255))
                atlas[side, number, strip, ..., :3] = np.moveaxis(np.floor(limited), 0, -1).astype(np.uint8)
    return atlas
