"""Effective robustness in the terminal, at 80 columns: the lines, and how far each model is from the reference."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import plain
from ..robustness import Point, Robustness

LONG = 26
"""Characters beyond which a name is broken before its tag."""
HOW = (
    "Lines are least squares, hard = intercept + slope x easy, with 95 % Student t intervals; the model that chose the "
    "photos is part of none. Effective robustness: points of hard accuracy above the line of supervised models. Why "
    "published rows are doubtful stands in leaderboard.md."
)


def print_robustness(found: Robustness, console: Console) -> None:
    """Print lines and models, the most robust first."""
    fits = _table(
        ("line", False), ("models", True), ("slope", True), ("interval", True), ("intercept", True), ("R²", True)
    )
    for fit in found.fits:
        bounds = f"{fit.slope_low:.2f} to {fit.slope_high:.2f}"
        cells = (fit.name, f"{fit.n}", f"{fit.slope:.2f}", bounds, f"{fit.intercept:.1f}", f"{fit.r_squared:.3f}")
        fits.add_row(*(Text(cell) for cell in cells))
    if found.fits:
        console.print(fits)
    models = _table(
        ("model", False), ("from", False), ("easy", True), ("hard", True), ("drop", True), ("robustness", True)
    )
    for point in sorted(found.points, key=lambda point: (-(found.effective(point) or 0.0), point.name, point.own)):
        value = found.effective(point)
        numbers = (f"{number:.2f}" for number in (point.easy, point.hard, point.easy - point.hard))
        name = plain(point.name)
        texts = (name.replace(":", "\n:") if len(name) > LONG else name, _origin(point), *numbers)
        models.add_row(
            *map(Text, (*texts, "-" if value is None else f"{value:+.2f}")),
            style="bold" if point.own else "dim" if point.note else "",
        )
    console.print(models)
    console.print(HOW, markup=False, highlight=False)


def _origin(point: Point) -> str:
    if point.own:
        return "own record"
    return "chose photos" if point.discovery else "doubtful" if point.note else "published"


def _table(*columns: tuple[str, bool]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading, numeric in columns:
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table
