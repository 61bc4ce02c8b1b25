"""How the adjusted IoU of each method goes with the threshold, as a drawing within a page (SVG)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from ..contact_sheet import shortened
from ..explained.report import ExplanationReport
from ..findings.words import shown

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 150, 12, 40
"""Room around the curves, in the drawing's units; on the right for their names."""
LINE = 15
"""Height of a name."""
LONGEST = 16
"""Letters of a name."""
KINDS = 6
"""Curves that are told apart by colour and dashes; later ones begin again, their names stand beside all of them."""


def curves(report: ExplanationReport) -> Markup:
    """One line per method, its name at its end; empty where nothing was measured."""
    known = [method for method in report.methods if method.curve]
    if not known:
        return Markup("")
    low, high = _bounds([share for method in known for share in method.curve])

    def y(share: float) -> float:
        return TOP + (high - share) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_grid(low, high, y), Markup('<g fill="none" stroke-width="2.2" stroke-linejoin="round">')]
    for number, method in enumerate(known):
        points = " ".join(f"{_x(t):.1f},{y(v):.1f}" for t, v in zip(report.thresholds, method.curve, strict=True))
        parts.append(Markup('<polyline class="k{}" points="{}"/>').format(number % KINDS, points))
    parts.append(Markup("</g>"))
    places = apart([y(method.curve[-1]) for method in known], LINE, TOP + LINE / 2, HEIGHT - BOTTOM)
    for number, (method, at) in enumerate(zip(known, places, strict=True)):
        end = f"M{_x(report.thresholds[-1]):.1f} {y(method.curve[-1]):.1f}L{WIDTH - RIGHT + 6} {at:.1f}"
        name = shortened(shown(method.name), LONGEST, len)
        parts.append(
            Markup(
                '<path class="k{0} lead" d="{1}"/><text class="k{0}" x="{2}" y="{3:.1f}" dy=".35em">{4}</text>'
            ).format(number % KINDS, end, WIDTH - RIGHT + 9, at, name)
        )
    label = f"Adjusted IoU over the threshold, from {report.thresholds[0]:g} to {report.thresholds[-1]:g}"
    return Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(parts)
    )


def apart(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Places moved as little as it takes one after the other to be `least` apart, within low and high if they fit."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    moved = list(places)
    last = low - least
    for k in order:
        moved[k] = last = max(places[k], last + least)
    last = max(high, low + least * (len(places) - 1)) + least
    for k in reversed(order):
        moved[k] = last = min(moved[k], last - least)
    return moved


def _bounds(shares: Sequence[float]) -> tuple[float, float]:
    """Quarters around all of them and around a half."""
    return min(math.floor(4 * min(shares)) / 4, 0.25), max(math.ceil(4 * max(shares)) / 4, 0.75)


def _grid(low: float, high: float, y: Callable[[float], float]) -> Markup:
    parts = []
    steps = round((high - low) * 4) + 1
    for share in (low + step / 4 for step in range(steps)):
        kind = " half" if share == 0.5 else ""
        line = Markup('<path class="grid{}" d="M{} {:.1f}H{}"/>').format(kind, LEFT, y(share), WIDTH - RIGHT)
        label = Markup('<text class="tick" x="{}" y="{:.1f}" dy=".35em" text-anchor="end">{:.0f}&nbsp;%</text>')
        parts += [line, label.format(LEFT - 6, y(share), 100 * share)]
    below = Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>')
    ticks = (below.format(_x(share), HEIGHT - BOTTOM + 16, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    return Markup("").join((*parts, *ticks, below.format(_x(0.5), HEIGHT - 6, "threshold")))


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)
