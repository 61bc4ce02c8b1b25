"""What all drawings of animals share: materials, poses, where the feet stand."""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import Canvas, Point

COAT, SECOND, LIMB, DARK = range(4)
"""Materials: what most of the animal is covered with; wing, belly or mane; beak, legs or horns; eye and nose."""
GROUND = 0.92
"""Where the feet stand, in canvas units (y runs from -1 at the top to 1)."""


@dataclass(frozen=True)
class Pose:
    """How an animal holds itself; each number lies in -1..1."""

    stride: float
    head: float
    tail: float
    build: float


def eye(canvas: Canvas, at: Point, radius: float = 0.035) -> None:
    """A dark dot."""
    canvas.paint(canvas.ellipse(at, (radius, radius)), DARK)
