"""Six birds, painted part by part from the back to the front."""

from __future__ import annotations

from .anatomy import COAT, DARK, GROUND, LIMB, SECOND, Pose, eye
from .shapes import Canvas, Point


def _bird_legs(canvas: Canvas, pose: Pose, hip: Point, thickness: float, spread: float) -> None:
    for side, light in ((1, 0.75), (-1, 1.0)):
        x, y = hip[0] + 0.06 * side, hip[1]
        swing = spread * side * (0.4 + 0.6 * pose.stride)
        knee, foot = (x - 0.05 + swing / 2, (y + GROUND) / 2), (x + swing, GROUND - 0.02)
        canvas.paint(canvas.limb((x, y), knee, thickness * 1.5, thickness), LIMB, light)
        canvas.paint(canvas.limb(knee, foot, thickness, thickness), LIMB, light)
        canvas.paint(canvas.limb(foot, (foot[0] + 0.11, foot[1]), thickness, thickness * 0.8), LIMB, light)


def duck(canvas: Canvas, pose: Pose) -> None:
    """Paint a duck, facing right."""
    y = 0.45
    _bird_legs(canvas, pose, (-0.02, y + 0.2), 0.03, 0.1)
    canvas.paint(
        canvas.polygon([(-0.55, y - 0.1), (-0.9, y - 0.3 - 0.08 * pose.tail), (-0.72, y + 0.1), (-0.5, y + 0.15)]), COAT
    )
    canvas.paint(canvas.ellipse((-0.1, y), (0.62, 0.3), -0.12), COAT, 1.0, 0.3)
    head = (0.52 + 0.05 * pose.head, -0.16 + 0.06 * pose.head)
    canvas.paint(canvas.curve([(0.35, y - 0.05), (0.52, 0.2), head], 0.2, 0.13), SECOND, 0.95, 0.18)
    canvas.paint(canvas.ellipse(head, (0.2, 0.17)), SECOND, 1.0, 0.2)
    bill = (head[0] + 0.15, head[1] + 0.05)
    canvas.paint(canvas.limb(bill, (bill[0] + 0.22, bill[1] + 0.03), 0.055, 0.075), LIMB, 1.05)
    canvas.paint(canvas.ellipse((-0.2, y - 0.04), (0.42, 0.17), -0.2), SECOND, 0.72, 0.2)
    canvas.paint(canvas.ellipse((-0.22, y - 0.08), (0.36, 0.11), -0.2), COAT, 0.86, 0.16)
    eye(canvas, (head[0] + 0.05, head[1] - 0.05))


def pheasant(canvas: Canvas, pose: Pose) -> None:
    """Paint a pheasant, facing right."""
    y = 0.32
    _bird_legs(canvas, pose, (0.1, y + 0.2), 0.03, 0.2)
    end = (-0.98, y + 0.28 - 0.25 * pose.tail)
    canvas.paint(canvas.curve([(-0.25, y), (-0.6, y + 0.05), end], 0.14, 0.03), SECOND, 0.8, 0.14)
    canvas.paint(canvas.curve([(-0.25, y - 0.05), (-0.6, y - 0.03), end], 0.07, 0.02), COAT, 0.75)
    canvas.paint(canvas.ellipse((0.08, y), (0.45, 0.28), -0.3), COAT, 1.0, 0.3)
    head = (0.55 + 0.05 * pose.head, -0.3 + 0.1 * pose.head)
    canvas.paint(canvas.curve([(0.38, y - 0.16), (0.5, 0.0), head], 0.18, 0.1), COAT, 0.8, 0.16)
    canvas.paint(canvas.limb((0.42, -0.02), (0.56, 0.02), 0.05, 0.05), SECOND, 1.25)
    canvas.paint(canvas.ellipse(head, (0.14, 0.13)), COAT, 0.7, 0.14)
    canvas.paint(canvas.ellipse((head[0] + 0.05, head[1] + 0.02), (0.07, 0.06)), LIMB, 1.0)
    beak = [(head[0] + 0.1, head[1] - 0.05), (head[0] + 0.26, head[1] + 0.05), (head[0] + 0.1, head[1] + 0.06)]
    canvas.paint(canvas.polygon(beak), LIMB, 0.9)
    canvas.paint(canvas.ellipse((0.0, y - 0.02), (0.32, 0.15), -0.3), SECOND, 0.85, 0.15)
    eye(canvas, (head[0] + 0.05, head[1] - 0.02), 0.03)


def gull(canvas: Canvas, pose: Pose) -> None:
    """Paint a gull, facing right."""
    y = 0.38
    _bird_legs(canvas, pose, (0.08, y + 0.18), 0.028, 0.16)
    canvas.paint(canvas.ellipse((0.0, y), (0.58, 0.24), -0.22), COAT, 1.0, 0.26)
    head = (0.52 + 0.04 * pose.head, -0.08 + 0.08 * pose.head)
    canvas.paint(canvas.curve([(0.3, y - 0.08), (0.45, 0.1), head], 0.2, 0.14), COAT, 1.0, 0.18)
    canvas.paint(canvas.ellipse(head, (0.18, 0.16)), COAT, 1.0, 0.18)
    tip = (-0.95, y + 0.02 - 0.12 * pose.tail)
    canvas.paint(canvas.polygon([(-0.3, y - 0.1), tip, (-0.4, y + 0.18)]), DARK, 1.3)
    canvas.paint(canvas.ellipse((-0.15, y - 0.02), (0.5, 0.16), -0.12), SECOND, 1.0, 0.2)
    beak = (head[0] + 0.14, head[1] + 0.03)
    canvas.paint(canvas.limb(beak, (beak[0] + 0.24, beak[1] + 0.02), 0.055, 0.035), LIMB, 1.05)
    canvas.paint(canvas.limb((beak[0] + 0.24, beak[1]), (beak[0] + 0.25, beak[1] + 0.07), 0.035, 0.015), LIMB, 0.8)
    eye(canvas, (head[0] + 0.05, head[1] - 0.03))


def pigeon(canvas: Canvas, pose: Pose) -> None:
    """Paint a pigeon, facing right."""
    y = 0.34
    _bird_legs(canvas, pose, (0.02, y + 0.26), 0.035, 0.18)
    fan = [(-0.4, y), (-0.85, y + 0.12 - 0.1 * pose.tail), (-0.8, y + 0.32 - 0.1 * pose.tail), (-0.3, y + 0.24)]
    canvas.paint(canvas.polygon(fan), SECOND, 0.75)
    canvas.paint(canvas.ellipse((0.02, y), (0.48, 0.34), -0.25), COAT, 1.0, 0.32)
    head = (0.42 + 0.1 * pose.head, -0.28)
    canvas.paint(canvas.curve([(0.28, y - 0.1), (0.42, 0.02), head], 0.24, 0.12), SECOND, 0.85, 0.2)
    canvas.paint(canvas.ellipse(head, (0.15, 0.14)), COAT, 0.85, 0.15)
    beak = (head[0] + 0.12, head[1] + 0.02)
    canvas.paint(canvas.limb(beak, (beak[0] + 0.11, beak[1] + 0.05), 0.035, 0.015), LIMB, 0.7)
    canvas.paint(canvas.ellipse((-0.12, y + 0.0), (0.4, 0.2), -0.2), COAT, 1.2, 0.2)
    for bar in (-0.32, -0.18):
        canvas.paint(canvas.limb((bar, y - 0.06), (bar - 0.08, y + 0.18), 0.035, 0.03), DARK, 1.6)
    eye(canvas, (head[0] + 0.04, head[1] - 0.02), 0.03)


def heron(canvas: Canvas, pose: Pose) -> None:
    """Paint a heron, facing right."""
    y = 0.12
    _bird_legs(canvas, pose, (-0.12, y + 0.12), 0.024, 0.14)
    canvas.paint(canvas.ellipse((-0.18, y), (0.42, 0.18), -0.4), COAT, 1.0, 0.2)
    canvas.paint(canvas.polygon([(-0.4, y + 0.06), (-0.75, y + 0.3), (-0.3, y + 0.22)]), SECOND, 0.8)
    head = (0.36 + 0.08 * pose.head, -0.78 + 0.08 * pose.head)
    canvas.paint(canvas.curve([(0.08, y - 0.1), (0.5, -0.12), (0.2, -0.42)], 0.11, 0.065), COAT, 1.0, 0.12)
    canvas.paint(canvas.curve([(0.2, -0.4), (0.08, -0.66), head], 0.07, 0.06), COAT, 1.0, 0.1)
    canvas.paint(canvas.limb((head[0] - 0.02, head[1]), (head[0] + 0.1, head[1] + 0.02), 0.085, 0.06), COAT, 1.0, 0.1)
    canvas.paint(canvas.limb((head[0] - 0.02, head[1] - 0.06), (head[0] - 0.3, head[1] + 0.06), 0.035, 0.01), DARK, 1.2)
    beak = [(head[0] + 0.12, head[1] - 0.05), (head[0] + 0.5, head[1] + 0.07), (head[0] + 0.12, head[1] + 0.06)]
    canvas.paint(canvas.polygon(beak), LIMB, 1.05)
    canvas.paint(canvas.ellipse((-0.25, y + 0.02), (0.34, 0.12), -0.42), SECOND, 0.95, 0.14)
    eye(canvas, (head[0] + 0.07, head[1] - 0.01), 0.028)


def ostrich(canvas: Canvas, pose: Pose) -> None:
    """Paint an ostrich, facing right."""
    y = 0.1
    _bird_legs(canvas, pose, (-0.1, y + 0.2), 0.045, 0.26)
    for lift in (-0.14, 0.0, 0.14):
        tail = (-0.82, y - 0.05 + lift - 0.1 * pose.tail)
        canvas.paint(canvas.curve([(-0.4, y), (-0.65, y - 0.2 + lift), tail], 0.1, 0.06), SECOND, 1.0, 0.1)
    canvas.paint(canvas.ellipse((-0.18, y), (0.46, 0.32), -0.1), COAT, 1.0, 0.32)
    head = (0.42 + 0.1 * pose.head, -0.8)
    canvas.paint(canvas.curve([(0.16, y - 0.05), (0.38, -0.1), head], 0.085, 0.055), LIMB, 0.95, 0.1)
    canvas.paint(canvas.ellipse((head[0] + 0.03, head[1]), (0.12, 0.085)), LIMB, 0.9, 0.1)
    beak = (head[0] + 0.12, head[1] + 0.02)
    canvas.paint(canvas.limb(beak, (beak[0] + 0.11, beak[1] + 0.02), 0.05, 0.03), LIMB, 1.2)
    for feather in (-0.1, 0.03, 0.16):
        canvas.paint(canvas.ellipse((-0.28, y + feather), (0.28, 0.06), -0.15), COAT, 0.8, 0.07)
    canvas.paint(canvas.ellipse((-0.5, y + 0.1), (0.18, 0.13), -0.2), SECOND, 1.0, 0.12)
    eye(canvas, (head[0] + 0.06, head[1] - 0.02), 0.032)
