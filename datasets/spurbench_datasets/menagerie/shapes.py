"""Drawing with signed distances: a few shapes, and a canvas that paints materials on which light falls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .exact import Floats, smooth

Point = tuple[float, float]


class Canvas:
    """A picture in the making, in units where x and y run over -1..1 (y downwards) on the shorter side.

    Each pixel holds how much of it every material covers and how much light it gets. Shapes are painted back to front.

    Args:
        height, width: pixels.
        materials: number of materials.
        blur: width of a soft edge, in pixels of the canvas.
    """

    def __init__(self, height: int, width: int, materials: int, blur: float) -> None:
        unit = min(height, width) / 2
        self.x = ((np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2)) / np.float32(unit))[None, :]
        self.y = ((np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2)) / np.float32(unit))[:, None]
        self.blur = np.float32(blur / unit)
        self.cover = np.zeros((materials, height, width), dtype=np.float32)
        self.light = np.zeros((height, width), dtype=np.float32)

    def paint(self, distance: Floats, material: int, light: float = 1.0, depth: float = 0.0) -> None:
        """Cover where `distance` is negative.

        Args:
            distance: signed distance to the edge, negative inside.
            material: which.
            light: brightness of its upper side.
            depth: thickness of the body; the last `depth` before the edge and its lower side get darker, as on
                something round. 0 is flat.
        """
        share = smooth(np.float32(0.5) - distance / self.blur)
        shade: Floats | np.float32 = np.float32(light)
        if depth > 0:
            inside = np.clip(-distance / np.float32(depth), np.float32(0.0), np.float32(1.0))
            round_ = np.float32(0.72) + np.float32(0.28) * inside
            shade = np.float32(light) * round_ * (np.float32(1.0) - np.float32(0.16) * self.y)
        self.cover *= np.float32(1.0) - share
        self.cover[material] += share
        self.light += (shade - self.light) * share

    def ellipse(self, centre: Point, radii: Point, lean: float = 0.0) -> Floats:
        """Distance to an ellipse; `lean` shears it: y shifts by lean per x. Exact near the edge, rough far from it."""
        dx = self.x - np.float32(centre[0])
        dy = self.y - np.float32(centre[1]) - np.float32(lean) * dx
        u, v = dx / np.float32(radii[0]), dy / np.float32(radii[1])
        length = np.sqrt(u * u + v * v)
        return (length - np.float32(1.0)) * np.float32(min(radii))

    def limb(self, start: Point, end: Point, start_radius: float, end_radius: float) -> Floats:
        """Distance to a tapering limb with round ends."""
        ax, ay = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
        dx, dy = self.x - np.float32(start[0]), self.y - np.float32(start[1])
        along = np.clip((dx * ax + dy * ay) / (ax * ax + ay * ay + np.float32(1e-9)), np.float32(0), np.float32(1))
        ox, oy = dx - ax * along, dy - ay * along
        return np.sqrt(ox * ox + oy * oy) - (np.float32(start_radius) + np.float32(end_radius - start_radius) * along)

    def curve(self, points: Sequence[Point], start_radius: float, end_radius: float) -> Floats:
        """Distance to a tapering tube along the quadratic Bezier curve through three control points."""
        (x0, y0), (x1, y1), (x2, y2) = points
        pieces = 6
        places = []
        for step in range(pieces + 1):
            t = step / pieces
            a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
            places.append((a * x0 + b * x1 + c * x2, a * y0 + b * y1 + c * y2))
        radii = [start_radius + (end_radius - start_radius) * step / pieces for step in range(pieces + 1)]
        distance = self.limb(places[0], places[1], radii[0], radii[1])
        for step in range(1, pieces):
            distance = np.minimum(distance, self.limb(places[step], places[step + 1], radii[step], radii[step + 1]))
        return distance

    def polygon(self, corners: Sequence[Point]) -> Floats:
        """Distance to a convex polygon, corners clockwise as seen; rough near corners."""
        distance = np.full(self.light.shape, np.float32(-10.0))
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            nx, ny = np.float32(y1 - y0), np.float32(x0 - x1)
            norm = np.sqrt(nx * nx + ny * ny)
            edge = ((self.x - np.float32(x0)) * nx + (self.y - np.float32(y0)) * ny) / norm
            distance = np.maximum(distance, edge)
        return distance
