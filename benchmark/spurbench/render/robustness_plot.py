"""The picture of effective robustness: easy against hard accuracy, models as circles, a line for each way of training.

Drawn by matplotlib without a display; the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import plain
from ..robustness import Family, Fit, Point, Robustness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Form = Literal["svg", "png"]
SUPERVISED = "#D55E00"
SHADES = {0.4: "#7FB8DE", 1.0: "#3E93CC", 2.0: "#0F6BA8", 5.0: "#08395C"}
"""Of CLIP models, by billions of training photos; blue and orange are told apart in all common colour blindness."""
UNKNOWN, GREY, INK = "#4C8FB5", "#8A8A8A", "#222222"
LETTERING: dict[Family, str] = {"clip": "#0B4A75", "supervised": "#A03F00"}
TITLES: dict[Family, str] = {"clip": "CLIP, zero-shot", "supervised": "ImageNet, supervised"}
FONT: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.hashsalt": "spurbench",
}
# Where a label may stand around its circle, the best place first: supervised models are mostly above the lines and have
# room on the left, CLIP models below and on the right.
AROUND: dict[Family, tuple[tuple[int, int], ...]] = {
    "clip": ((1, 0), (1, -1), (0, -1), (-1, 0), (0, 1), (-1, 1), (1, 1), (-1, -1)),
    "supervised": ((-1, 0), (-1, 1), (0, 1), (1, 0), (0, -1), (1, -1), (1, 1), (-1, -1)),
}


def draw(found: Robustness, title: str, form: Form) -> bytes:
    """The picture as a file's content."""
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context(FONT):
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure_of(found, title).savefig(stream, format=form, metadata=metadata)
    return stream.getvalue()


def figure_of(found: Robustness, title: str) -> Figure:
    """The picture. Published models are hollow, doubtful ones dashed, own ones filled."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(FONT):
        figure = Figure(figsize=(9.0, 7.2), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _frame(axes, found.points, title)
        for fit in _drawn(found.fits):
            _line(axes, fit)
        for point in sorted(found.points, key=lambda point: (point.own, -(point.size or 0.0))):
            axes.scatter(point.easy, point.hard, s=_area(point), zorder=3, **_look(point))
        _legends(axes, found)
        figure.draw_without_rendering()
        # What moves when labels come would no longer be what they were placed by.
        figure.set_layout_engine("none")
        _labels(axes, found.points)
    return figure


def _colour(point: Point) -> str:
    return SUPERVISED if point.family == "supervised" else SHADES.get(point.images or 0.0, UNKNOWN)


def _look(point: Point) -> dict[str, Any]:
    colour = _colour(point)
    face = colour if point.own else "white"
    dashed = (0, (2, 1.2)) if point.note else "solid"
    return {"facecolors": face, "edgecolors": colour, "linewidths": 1.8, "linestyles": [dashed]}


def _area(point: Point) -> float:
    """Of the circle, in square points: grows with the root of the number of parameters, so that all remain visible."""
    return 14.0 + 5.5 * math.sqrt(88.0 if point.size is None else point.size)


def _frame(axes: Axes, points: Sequence[Point], title: str) -> None:
    easy, hard = [point.easy for point in points], [point.hard for point in points]
    axes.set_xlim(max(0.0, min(easy) - 5), min(100.0, max(easy) + 6))
    axes.set_ylim(max(0.0, min(hard) - 8), min(100.0, max(hard) + 8))
    axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.grid(color="#E8E8E8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("accuracy before easy backgrounds, averaged over classes (%)", color=INK)
    axes.set_ylabel("accuracy before hard backgrounds, averaged over classes (%)", color=INK)
    axes.set_title(_safe(title), loc="left", color=INK, fontsize=13, pad=12)


def _drawn(fits: Sequence[Fit]) -> list[Fit]:
    """The published line of each family, its own one where there is none."""
    first: dict[Family, Fit] = {}
    for fit in fits:
        first.setdefault(fit.family, fit)
    return list(first.values())


def _line(axes: Axes, fit: Fit) -> None:
    low, high = fit.low - 1.5, fit.high + 1.5
    colour = SHADES[2.0] if fit.family == "clip" else SUPERVISED
    label = f"{TITLES[fit.family]}: slope {fit.slope:.2f} ({fit.slope_low:.2f} to {fit.slope_high:.2f})"
    axes.plot([low, high], [fit.at(low), fit.at(high)], color=colour, linewidth=1.6, alpha=0.75, zorder=2, label=label)


def _legends(axes: Axes, found: Robustness) -> None:
    from matplotlib.lines import Line2D

    def circle(label: str, colour: str, millions: float = 88.0, *, filled: bool = False, dashed: bool = False) -> Any:
        point = Point("", "", "clip", 0, 0, filled, "", millions, None)
        return axes.scatter(
            [], [], s=_area(point), label=label, facecolors=colour if filled else "white", edgecolors=colour,
            linewidths=1.8, linestyles=[(0, (2, 1.2)) if dashed else "solid"],
        )  # fmt: skip

    lines: list[Any] = [handle for handle in axes.get_lines() if not str(handle.get_label()).startswith("_")]
    lines.append(Line2D([], [], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="as accurate before both"))
    lines.append(circle("published", GREY))
    if any(point.note for point in found.points):
        lines.append(circle("published, doubtful", GREY, dashed=True))
    if any(point.own for point in found.points):
        lines.append(circle("own record", GREY, filled=True))
    first = axes.legend(handles=lines, loc="upper left", frameon=False, labelcolor=INK, fontsize=9)
    axes.add_artist(first)
    scales = sorted({point.images for point in found.points if point.images in SHADES})
    parts: list[Any] = [circle(f"{scale:g} billion photos", SHADES[scale], filled=True) for scale in scales if scale]
    if any(point.family == "supervised" for point in found.points):
        parts.append(circle("ImageNet, 1.3 million", SUPERVISED, filled=True))
    parts += [circle(f"{millions} million parameters", GREY, millions) for millions in (25, 300, 1800)]
    axes.legend(handles=parts, loc="lower right", frameon=False, labelcolor=INK, fontsize=9, labelspacing=0.7)


def _labels(axes: Axes, points: Sequence[Point]) -> None:
    """Names where there is room for them, own models first; what would cover anything is left out."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    halo = [withStroke(linewidth=2.2, foreground="white", alpha=0.85)]
    figure: Any = axes.figure
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    places = {id(point): axes.transData.transform((point.easy, point.hard)) for point in points}
    radii = {id(point): math.sqrt(_area(point) / math.pi) * scale + 1.5 for point in points}
    taken = []
    for point in points:
        (x, y), r = places[id(point)], radii[id(point)]
        taken.append(Bbox.from_extents(x - r, y - r, x + r, y + r))
    legends = [item.get_window_extent(renderer) for item in axes.get_children() if type(item).__name__ == "Legend"]
    taken += legends
    room = axes.get_window_extent(renderer)
    named: set[tuple[Family, str]] = set()
    for place, point in sorted(enumerate(points), key=lambda item: (not item[1].own, not item[1].discovery, item[0])):
        # Where a model's own and published circles lie close together, one name will do.
        if (point.family, point.name) in named:
            continue
        label = f"{point.label} (chose the photos)" if point.discovery else point.label
        text = axes.text(
            0, 0, _safe(label), fontsize=7.5, color=LETTERING[point.family], zorder=4, ha="left", va="bottom",
            path_effects=halo,
        )  # fmt: skip
        box = text.get_window_extent(renderer)
        (x, y), r = places[id(point)], radii[id(point)] + 2.0
        for right, up in AROUND[point.family]:
            left = x + right * r * (0.75 if up else 1) - (box.width if right < 0 else box.width / 2 if not right else 0)
            bottom = y + up * r * (0.75 if right else 1) - (box.height if up < 0 else box.height / 2 if not up else 0)
            spot = Bbox.from_bounds(left, bottom, box.width, box.height)
            free = not any(spot.overlaps(other) for at, other in enumerate(taken) if at != place)
            if free and room.containsx(spot.x0) and room.containsx(spot.x1) and room.containsy(spot.y1):
                across, along = axes.transData.inverted().transform((left, bottom))
                text.set_position((float(across), float(along)))
                taken.append(spot)
                named.add((point.family, point.name))
                break
        else:
            text.remove()


def _safe(text: str) -> str:
    """As it is written: a dollar sign is no formula."""
    return plain(text).replace("$", r"\$")
