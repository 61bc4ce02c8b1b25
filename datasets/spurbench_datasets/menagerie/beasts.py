"""Six four-legged animals, painted part by part from the back to the front."""

from __future__ import annotations

from dataclasses import dataclass

from .anatomy import COAT, DARK, GROUND, LIMB, SECOND, Pose, eye
from .shapes import Canvas, Point


@dataclass(frozen=True)
class Beast:
    """Proportions of a four-legged animal, in canvas units."""

    half_length: float
    depth: float
    leg: float
    leg_thickness: float
    neck: float
    """Length."""
    rise: float
    """How steeply the neck goes up: 0 forwards, 1 straight up."""
    neck_thickness: float
    head: float
    snout: float


def _legs(canvas: Canvas, pose: Pose, beast: Beast, material: int) -> None:
    y = GROUND - beast.leg
    for side, light in ((1.0, 0.66), (-1.0, 0.95)):
        for end in (-1.0, 1.0):
            x = end * (beast.half_length - beast.leg_thickness * 1.2) + 0.05 * side
            swing = 0.3 * beast.leg * side * end * pose.stride
            knee = (x + swing * 0.7 - 0.04 * end, y + beast.leg * 0.5)
            foot = (x + swing, GROUND - beast.leg_thickness * 0.5)
            canvas.paint(
                canvas.limb((x, y - 0.02), knee, beast.leg_thickness * 1.7, beast.leg_thickness), material, light, 0.1
            )
            canvas.paint(
                canvas.limb(knee, foot, beast.leg_thickness, beast.leg_thickness * 0.8), material, light * 0.92
            )
            hoof = (foot[0] + 0.05, foot[1])
            canvas.paint(canvas.limb(foot, hoof, beast.leg_thickness * 0.8, beast.leg_thickness * 0.7), DARK, 2.2)


def _body(canvas: Canvas, beast: Beast, belly: bool) -> float:
    """Paint the trunk; return the height of its middle."""
    y = GROUND - beast.leg - beast.depth * 0.75
    back, front = (-beast.half_length + beast.depth, y + 0.02), (beast.half_length - beast.depth, y)
    canvas.paint(canvas.limb(back, front, beast.depth * 0.95, beast.depth * 1.05), COAT, 1.0, beast.depth)
    if belly:
        low = y + beast.depth * 0.62
        canvas.paint(canvas.ellipse((0.0, low), (beast.half_length * 0.62, beast.depth * 0.32)), SECOND, 0.95, 0.1)
    return y


def _neck(canvas: Canvas, pose: Pose, beast: Beast, y: float) -> tuple[Point, Point]:
    """Paint neck and head; return the middle of the skull and the end of the snout."""
    root = (beast.half_length - beast.depth * 0.8, y - beast.depth * 0.3)
    rise = beast.rise + 0.16 * pose.head
    skull = (root[0] + beast.neck * (1.05 - rise), root[1] - beast.neck * rise)
    canvas.paint(canvas.limb(root, skull, beast.neck_thickness * 1.35, beast.neck_thickness), COAT, 1.0, 0.2)
    nose = (skull[0] + beast.snout, skull[1] + beast.snout * (0.38 - 0.15 * pose.head))
    canvas.paint(canvas.limb(skull, nose, beast.head, beast.head * 0.58), COAT, 1.0, beast.head)
    return skull, nose


def _face(canvas: Canvas, skull: Point, nose: Point, head: float) -> None:
    canvas.paint(canvas.ellipse((nose[0] + head * 0.4, nose[1] - head * 0.1), (head * 0.3, head * 0.25)), DARK)
    eye(canvas, (skull[0] + head * 0.5, skull[1] - head * 0.28), 0.034)


def wolf(canvas: Canvas, pose: Pose) -> None:
    """Paint a wolf, facing right."""
    beast = Beast(0.55, 0.2, 0.5, 0.055, 0.34, 0.5, 0.17, 0.14, 0.26)
    y = GROUND - beast.leg - beast.depth * 0.75
    tail = [(-0.48, y - 0.05), (-0.72, y + 0.05), (-0.84, y + 0.42 - 0.22 * pose.tail)]
    canvas.paint(canvas.curve(tail, 0.09, 0.1), COAT, 0.85, 0.12)
    canvas.paint(canvas.curve([tail[1], tail[1], tail[2]], 0.03, 0.05), SECOND, 0.8)
    _legs(canvas, pose, beast, COAT)
    _body(canvas, beast, belly=True)
    canvas.paint(canvas.ellipse((-0.05, y - 0.13), (0.44, 0.08)), COAT, 0.72, 0.1)
    skull, nose = _neck(canvas, pose, beast, y)
    canvas.paint(canvas.ellipse((skull[0] - 0.12, skull[1] + 0.2), (0.13, 0.2), 0.3), SECOND, 0.9, 0.14)
    for x, light in ((0.06, 0.7), (-0.08, 0.9)):
        ear = [
            (skull[0] + x - 0.07, skull[1] - 0.08),
            (skull[0] + x, skull[1] - 0.32),
            (skull[0] + x + 0.09, skull[1] - 0.06),
        ]
        canvas.paint(canvas.polygon(ear), COAT, light)
    canvas.paint(canvas.limb((skull[0] + 0.12, skull[1] + 0.1), nose, 0.05, 0.05), SECOND, 0.95)
    _face(canvas, skull, nose, beast.head)


def dog(canvas: Canvas, pose: Pose) -> None:
    """Paint a dog, facing right."""
    beast = Beast(0.52, 0.2, 0.46, 0.065, 0.32, 0.66, 0.15, 0.16, 0.18)
    y = GROUND - beast.leg - beast.depth * 0.75
    tail = [(-0.46, y - 0.1), (-0.72, y - 0.16), (-0.66 - 0.12 * pose.tail, y - 0.56)]
    canvas.paint(canvas.curve(tail, 0.055, 0.03), COAT, 0.9, 0.06)
    _legs(canvas, pose, beast, COAT)
    _body(canvas, beast, belly=False)
    canvas.paint(canvas.ellipse((-0.15, y - 0.04), (0.2, 0.15), 0.2), SECOND, 1.0, 0.15)
    skull, nose = _neck(canvas, pose, beast, y)
    canvas.paint(canvas.limb(nose, (nose[0] + 0.03, nose[1] + 0.02), 0.09, 0.09), SECOND, 1.0, 0.09)
    ear = [(skull[0] - 0.06, skull[1] - 0.1), (skull[0] - 0.18, skull[1] + 0.02), (skull[0] - 0.12, skull[1] + 0.26)]
    canvas.paint(canvas.curve(ear, 0.07, 0.075), SECOND, 0.78, 0.08)
    canvas.paint(
        canvas.limb((skull[0] - 0.2, skull[1] + 0.24), (skull[0] - 0.02, skull[1] + 0.3), 0.03, 0.03), LIMB, 1.1
    )
    _face(canvas, skull, nose, beast.head)


def goat(canvas: Canvas, pose: Pose) -> None:
    """Paint a goat, facing right."""
    beast = Beast(0.52, 0.21, 0.5, 0.042, 0.34, 0.74, 0.12, 0.12, 0.24)
    y = GROUND - beast.leg - beast.depth * 0.75
    canvas.paint(canvas.limb((-0.48, y - 0.12), (-0.62, y - 0.3 - 0.06 * pose.tail), 0.05, 0.03), COAT, 0.9)
    _legs(canvas, pose, beast, COAT)
    _body(canvas, beast, belly=True)
    skull, nose = _neck(canvas, pose, beast, y)
    for shift, light in ((0.06, 0.75), (0.0, 1.0)):
        horn = [
            (skull[0] + shift, skull[1] - 0.08),
            (skull[0] + shift, skull[1] - 0.42),
            (skull[0] + shift - 0.36, skull[1] - 0.4),
        ]
        canvas.paint(canvas.curve(horn, 0.05, 0.018), LIMB, light)
    canvas.paint(
        canvas.polygon(
            [(nose[0] - 0.09, nose[1] + 0.04), (nose[0] + 0.03, nose[1] + 0.05), (nose[0] - 0.06, nose[1] + 0.28)]
        ),
        SECOND,
        0.9,
    )
    canvas.paint(canvas.limb((skull[0] - 0.06, skull[1]), (skull[0] - 0.22, skull[1] + 0.06), 0.045, 0.025), COAT, 0.8)
    _face(canvas, skull, nose, beast.head)


def sheep(canvas: Canvas, pose: Pose) -> None:
    """Paint a sheep, facing right."""
    beast = Beast(0.55, 0.27, 0.38, 0.05, 0.2, 0.55, 0.16, 0.13, 0.18)
    y = GROUND - beast.leg - beast.depth * 0.75
    _legs(canvas, pose, beast, LIMB)
    canvas.paint(canvas.limb((-0.52, y), (-0.6, y + 0.2), 0.07, 0.06), COAT, 0.85, 0.08)
    _body(canvas, beast, belly=False)
    for step in range(9):
        turn = step / 9
        x = -0.46 + 0.92 * turn
        lift = 0.26 * (1 - (2 * turn - 1) * (2 * turn - 1))
        canvas.paint(canvas.ellipse((x, y - 0.06 - lift * 0.7), (0.13, 0.12)), COAT, 1.0, 0.13)
        canvas.paint(canvas.ellipse((x, y + 0.14 + lift * 0.3), (0.11, 0.1)), COAT, 0.84, 0.1)
    root = (0.38, y - 0.14)
    skull = (root[0] + 0.2, root[1] - 0.14 - 0.1 * pose.head)
    canvas.paint(canvas.limb(root, skull, 0.17, 0.13), COAT, 0.95, 0.15)
    nose = (skull[0] + 0.2, skull[1] + 0.14)
    canvas.paint(canvas.limb(skull, nose, 0.12, 0.075), LIMB, 1.0, 0.12)
    canvas.paint(
        canvas.limb((skull[0] - 0.04, skull[1] - 0.04), (skull[0] - 0.2, skull[1] + 0.06), 0.05, 0.035), LIMB, 0.85
    )
    canvas.paint(canvas.ellipse((skull[0] - 0.03, skull[1] - 0.13), (0.12, 0.08)), COAT, 1.0, 0.1)
    eye(canvas, (skull[0] + 0.07, skull[1] - 0.02), 0.03)


def camel(canvas: Canvas, pose: Pose) -> None:
    """Paint a camel, facing right."""
    beast = Beast(0.52, 0.18, 0.62, 0.05, 0.4, 0.72, 0.1, 0.1, 0.2)
    y = GROUND - beast.leg - beast.depth * 0.75
    canvas.paint(
        canvas.curve([(-0.48, y - 0.04), (-0.62, y + 0.06), (-0.6 - 0.08 * pose.tail, y + 0.36)], 0.03, 0.025),
        COAT,
        0.8,
    )
    _legs(canvas, pose, beast, COAT)
    for x in (-0.22, 0.14):
        canvas.paint(
            canvas.curve([(x - 0.2, y - 0.02), (x, y - 0.62 - 0.06 * pose.build), (x + 0.2, y - 0.02)], 0.1, 0.1),
            SECOND,
            1.0,
            0.14,
        )
        canvas.paint(canvas.ellipse((x, y - 0.12), (0.14, 0.16)), COAT, 1.0, 0.16)
    _body(canvas, beast, belly=False)
    root, skull = (0.4, y - 0.02), (0.72 + 0.04 * pose.head, y - 0.5 - 0.08 * pose.head)
    canvas.paint(canvas.curve([root, (0.72, y + 0.16), skull], 0.13, 0.09), COAT, 1.0, 0.14)
    nose = (skull[0] + 0.18, skull[1] + 0.06)
    canvas.paint(canvas.limb(skull, nose, 0.1, 0.075), COAT, 1.0, 0.1)
    canvas.paint(
        canvas.limb((skull[0] - 0.05, skull[1] - 0.06), (skull[0] - 0.1, skull[1] - 0.14), 0.035, 0.02), COAT, 0.8
    )
    _face(canvas, skull, nose, 0.1)


def horse(canvas: Canvas, pose: Pose) -> None:
    """Paint a horse, facing right."""
    beast = Beast(0.52, 0.2, 0.58, 0.05, 0.44, 0.76, 0.14, 0.11, 0.28)
    y = GROUND - beast.leg - beast.depth * 0.75
    canvas.paint(
        canvas.curve([(-0.48, y - 0.12), (-0.78, y - 0.1), (-0.72 - 0.1 * pose.tail, y + 0.5)], 0.06, 0.07),
        SECOND,
        0.9,
        0.08,
    )
    _legs(canvas, pose, beast, COAT)
    _body(canvas, beast, belly=False)
    skull, nose = _neck(canvas, pose, beast, y)
    canvas.paint(canvas.limb((skull[0] - 0.1, skull[1] - 0.1), (0.26, y - 0.24), 0.07, 0.06), SECOND, 0.95, 0.08)
    canvas.paint(
        canvas.limb((skull[0] + 0.03, skull[1] - 0.1), (skull[0] + 0.1, skull[1] - 0.02), 0.045, 0.03), SECOND, 0.9
    )
    canvas.paint(
        canvas.polygon(
            [(skull[0] - 0.07, skull[1] - 0.07), (skull[0] - 0.03, skull[1] - 0.24), (skull[0] + 0.04, skull[1] - 0.07)]
        ),
        COAT,
        0.85,
    )
    _face(canvas, skull, nose, beast.head)
