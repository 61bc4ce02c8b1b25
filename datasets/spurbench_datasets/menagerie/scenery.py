"""What stands behind and before the animals of each place, painted on strips of which a photo shows a part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .exact import Draws
from .shapes import Canvas

FIRST, SECOND = 0, 1
"""Materials of scenery."""
STRIP_HEIGHT, STRIP_WIDTH = 48, 192
"""Pixels of a strip of scenery; a photo shows some part of its width."""
STRIPS = 4
"""Strips of each kind per place."""

Range = tuple[float, float]


class Dice:
    """One strip's random numbers, one after the other."""

    def __init__(self, name: str, number: int) -> None:
        self._draws, self._name, self._count = Draws(number, np.zeros(1, dtype=np.int64)), name, 0

    def __call__(self, low: float, high: float) -> float:
        """The next number in [low, high)."""
        self._count += 1
        return float(self._draws.uniform(f"{self._name} {self._count}", low, high)[0])


Painter = Callable[[Canvas, Dice], None]
EDGE = STRIP_WIDTH / STRIP_HEIGHT
"""Half the width of a strip in canvas units; its half height is 1."""


def _spread(dice: Dice, count: int) -> list[float]:
    """Places along a strip, roughly even."""
    return [-EDGE + 2 * EDGE * (step + dice(0.1, 0.9)) / count for step in range(count)]


def far_bank(canvas: Canvas, dice: Dice) -> None:
    """Trees on the other side of a lake."""
    for x in _spread(dice, 18):
        canvas.paint(canvas.ellipse((x, 1.0), (dice(0.3, 0.6), dice(0.35, 0.8))), FIRST, dice(0.75, 1.1), 0.4)
    for x in _spread(dice, 5):
        canvas.paint(canvas.limb((x, 1.0), (x, dice(0.0, 0.3)), 0.05, 0.03), SECOND, 0.6)
        canvas.paint(canvas.ellipse((x, 0.05), (0.25, 0.35)), FIRST, dice(0.8, 1.2), 0.3)


def sails(canvas: Canvas, dice: Dice) -> None:
    """Boats and islands on the horizon."""
    for x in _spread(dice, 2):
        canvas.paint(canvas.ellipse((x, 1.05), (dice(0.5, 1.0), dice(0.25, 0.55))), FIRST, dice(0.7, 1.0), 0.3)
    for x in _spread(dice, 5):
        top, hull = dice(-0.2, 0.4), 0.92
        canvas.paint(canvas.polygon([(x, top), (x + 0.34, hull - 0.12), (x, hull - 0.12)]), SECOND, 1.15)
        canvas.paint(
            canvas.polygon([(x - 0.04, top + 0.15), (x - 0.04, hull - 0.12), (x - 0.26, hull - 0.12)]), SECOND, 0.95
        )
        canvas.paint(
            canvas.polygon([(x - 0.3, hull - 0.1), (x + 0.42, hull - 0.1), (x + 0.3, 1.0), (x - 0.2, 1.0)]), FIRST, 0.6
        )


def trunks(canvas: Canvas, dice: Dice) -> None:
    """A wood."""
    for x in _spread(dice, 26):
        canvas.paint(canvas.ellipse((x, dice(0.3, 1.0)), (0.4, 0.4)), FIRST, dice(0.35, 0.6), 0.3)
    for x in _spread(dice, 16):
        lean, thick = dice(-0.1, 0.1), dice(0.05, 0.14)
        canvas.paint(canvas.limb((x, 1.1), (x + lean, -1.1), thick * 1.2, thick), SECOND, dice(0.6, 1.15), thick)
    for x in _spread(dice, 30):
        y = dice(-1.1, -0.45)
        canvas.paint(canvas.ellipse((x, y), (dice(0.25, 0.5), dice(0.2, 0.4))), FIRST, dice(0.7, 1.25), 0.3)


def hedges(canvas: Canvas, dice: Dice) -> None:
    """Hills, bushes and a fence."""
    for x in _spread(dice, 4):
        canvas.paint(canvas.ellipse((x, 1.4), (dice(1.2, 2.4), dice(0.6, 1.0))), FIRST, dice(0.9, 1.15), 0.8)
    for x in _spread(dice, 9):
        canvas.paint(canvas.ellipse((x, 0.95), (dice(0.15, 0.35), dice(0.15, 0.4))), FIRST, dice(0.6, 0.8), 0.3)
    posts = _spread(dice, 22)
    for x in posts:
        canvas.paint(canvas.limb((x, 0.6), (x, 1.05), 0.03, 0.03), SECOND, 0.9)
    for y in (0.68, 0.85):
        canvas.paint(canvas.limb((-EDGE, y), (EDGE, y), 0.02, 0.02), SECOND, 1.0)


def dunes(canvas: Canvas, dice: Dice) -> None:
    """Dunes and cacti."""
    for light in (0.82, 0.92, 1.02):
        for x in _spread(dice, 3):
            width, height = dice(1.0, 2.0), dice(0.3, 1.1)
            canvas.paint(canvas.ellipse((x, 1.15), (width, height)), FIRST, light * 1.06)
            canvas.paint(canvas.ellipse((x + 0.22 * width, 1.25), (width * 0.9, height * 0.92)), FIRST, light * 0.86)
    for x in _spread(dice, 3):
        tall = dice(0.1, 0.4)
        canvas.paint(canvas.limb((x, 1.0), (x, tall), 0.08, 0.07), SECOND, 1.0, 0.08)
        for side in (-1, 1):
            arm, lift = (x + 0.22 * side, dice(0.5, 0.75)), dice(0.2, 0.4)
            canvas.paint(canvas.limb((x, arm[1]), arm, 0.05, 0.05), SECOND, 0.9, 0.06)
            canvas.paint(canvas.limb(arm, (arm[0], arm[1] - lift), 0.05, 0.045), SECOND, 1.0, 0.06)


def firs(canvas: Canvas, dice: Dice) -> None:
    """Firs under snow."""
    for x in _spread(dice, 4):
        canvas.paint(canvas.ellipse((x, 1.5), (dice(1.2, 2.2), dice(0.6, 1.1))), SECOND, dice(0.85, 1.0), 0.7)
    for x in _spread(dice, 10):
        top, width = dice(-0.7, 0.3), dice(0.16, 0.3)
        for level in range(4):
            y = top + (1.0 - top) * level / 4
            bottom, half = y + (1.0 - top) / 2.6, width * (0.5 + level * 0.25)
            canvas.paint(canvas.polygon([(x, y), (x + half, bottom), (x - half, bottom)]), FIRST, 0.8 + 0.08 * level)
            canvas.paint(
                canvas.polygon([(x, y), (x + half * 0.7, bottom - 0.13), (x - half * 0.2, bottom - 0.2)]), SECOND, 1.0
            )


def houses(canvas: Canvas, dice: Dice) -> None:
    """A row of houses and street lamps."""
    left = -EDGE
    while left < EDGE:
        width, top, light = dice(0.5, 1.0), dice(-1.1, 0.2), dice(0.7, 1.2)
        right = left + width
        canvas.paint(canvas.polygon([(left, top), (right, top), (right, 1.1), (left, 1.1)]), FIRST, light)
        canvas.paint(
            canvas.polygon([(left, top), (right, top), (right, top + 0.07), (left, top + 0.07)]), FIRST, light * 0.7
        )
        columns = max(2, int(width / 0.24))
        glass = dice(0.5, 1.2)
        for column in range(columns):
            x = left + width * (column + 0.5) / columns
            y = top + 0.25
            while y < 0.85:
                canvas.paint(
                    canvas.polygon(
                        [(x - 0.06, y - 0.09), (x + 0.06, y - 0.09), (x + 0.06, y + 0.09), (x - 0.06, y + 0.09)]
                    ),
                    SECOND,
                    glass,
                )
                y += 0.34
        left = right + 0.02
    for x in _spread(dice, 3):
        canvas.paint(canvas.limb((x, 1.1), (x, -0.1), 0.025, 0.02), FIRST, 0.3)
        canvas.paint(canvas.ellipse((x + 0.06, -0.12), (0.09, 0.06)), SECOND, 1.6)


def peaks(canvas: Canvas, dice: Dice) -> None:
    """Mountains with snow on top."""
    for light in (0.7, 0.85, 1.0):
        for x in _spread(dice, 4):
            top, half = dice(-1.0, 0.2) + 0.4 * (light - 0.7), dice(0.7, 1.3)
            lean = dice(-0.2, 0.2)
            canvas.paint(canvas.polygon([(x, top), (x + half, 1.1), (x - half, 1.1)]), FIRST, light)
            canvas.paint(canvas.polygon([(x, top), (x + half, 1.1), (x + lean, 1.1)]), FIRST, light * 0.72)
            share = 0.3
            cap = [
                (x, top),
                (x + half * share, top + (1.1 - top) * share),
                (x, top + 0.2),
                (x - half * share, top + (1.1 - top) * share),
            ]
            canvas.paint(canvas.polygon([cap[0], cap[1], cap[2]]), SECOND, 0.95)
            canvas.paint(canvas.polygon([cap[0], cap[2], cap[3]]), SECOND, 1.1)


def _blades(canvas: Canvas, dice: Dice, count: int, tall: Range, bend: float, heads: float) -> None:
    for x in _spread(dice, count):
        top, lean = 1.0 - dice(*tall), dice(-bend, bend)
        canvas.paint(canvas.limb((x, 1.1), (x + lean, top), 0.035, 0.012), FIRST, dice(0.6, 1.2))
        if dice(0, 1) < heads:
            canvas.paint(canvas.ellipse((x + lean, top), (0.05, 0.09)), SECOND, dice(0.8, 1.2))


def reeds(canvas: Canvas, dice: Dice) -> None:
    """Reeds."""
    _blades(canvas, dice, 70, (0.3, 1.5), 0.15, 0.3)


def foam(canvas: Canvas, dice: Dice) -> None:
    """Foam and stones."""
    for y, light in ((0.35, 0.9), (0.7, 1.0)):
        for x in _spread(dice, 9):
            canvas.paint(
                canvas.ellipse((x, y + dice(-0.1, 0.1)), (dice(0.4, 0.9), dice(0.06, 0.14))), SECOND, light, 0.04
            )
    for x in _spread(dice, 7):
        canvas.paint(canvas.ellipse((x, 1.0), (dice(0.1, 0.25), dice(0.06, 0.16))), FIRST, dice(0.6, 1.0), 0.12)


def ferns(canvas: Canvas, dice: Dice) -> None:
    """Ferns and fallen leaves."""
    for x in _spread(dice, 16):
        for lean in (-0.5, -0.25, 0.0, 0.25, 0.5):
            tip = (x + lean * dice(0.8, 1.2), dice(0.1, 0.6))
            canvas.paint(
                canvas.curve([(x, 1.1), (x + lean * 0.3, tip[1] + 0.1), tip], 0.03, 0.05), FIRST, dice(0.5, 1.1)
            )
    for x in _spread(dice, 12):
        canvas.paint(canvas.ellipse((x, dice(0.8, 1.0)), (0.14, 0.06)), SECOND, dice(0.7, 1.1))


def grass(canvas: Canvas, dice: Dice) -> None:
    """Grass and flowers."""
    _blades(canvas, dice, 110, (0.2, 0.9), 0.2, 0.22)


def stones(canvas: Canvas, dice: Dice) -> None:
    """Stones and dry grass."""
    for x in _spread(dice, 12):
        canvas.paint(canvas.ellipse((x, 1.0), (dice(0.1, 0.3), dice(0.08, 0.25))), FIRST, dice(0.6, 0.95), 0.2)
    for x in _spread(dice, 9):
        for lean in (-0.16, -0.05, 0.06, 0.17):
            canvas.paint(canvas.limb((x, 1.1), (x + lean, dice(0.4, 0.8)), 0.02, 0.01), SECOND, dice(0.8, 1.2))


def drifts(canvas: Canvas, dice: Dice) -> None:
    """Drifts of snow and twigs."""
    for x in _spread(dice, 8):
        canvas.paint(canvas.ellipse((x, 1.2), (dice(0.6, 1.2), dice(0.3, 0.75))), FIRST, dice(0.98, 1.08), 0.12)
    for x in _spread(dice, 6):
        canvas.paint(canvas.limb((x, 1.1), (x + dice(-0.1, 0.1), dice(0.2, 0.6)), 0.02, 0.012), SECOND, 0.9)


def kerb(canvas: Canvas, dice: Dice) -> None:
    """A kerb and bollards."""
    canvas.paint(canvas.polygon([(-EDGE, 0.72), (EDGE, 0.72), (EDGE, 1.2), (-EDGE, 1.2)]), FIRST, 0.8)
    canvas.paint(canvas.polygon([(-EDGE, 0.66), (EDGE, 0.66), (EDGE, 0.76), (-EDGE, 0.76)]), FIRST, 1.15)
    for x in _spread(dice, 6):
        canvas.paint(canvas.limb((x, 1.1), (x, dice(0.1, 0.3)), 0.07, 0.07), SECOND, 0.9, 0.07)


def boulders(canvas: Canvas, dice: Dice) -> None:
    """Boulders."""
    for x in _spread(dice, 10):
        width, top = dice(0.25, 0.6), dice(0.2, 0.75)
        canvas.paint(
            canvas.polygon([(x - width * 0.3, top), (x + width * 0.4, top + 0.1), (x + width, 1.2), (x - width, 1.2)]),
            FIRST,
            dice(0.75, 1.1),
        )
        canvas.paint(
            canvas.polygon([(x + width * 0.4, top + 0.1), (x + width, 1.2), (x + width * 0.2, 1.2)]), FIRST, 0.6
        )
    _blades(canvas, dice, 14, (0.15, 0.5), 0.15, 0.0)


def nothing(canvas: Canvas, dice: Dice) -> None:
    """A backdrop."""
