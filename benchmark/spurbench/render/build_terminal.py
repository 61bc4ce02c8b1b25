"""What the builder found, in a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..builder import cleaning
from ..builder.output import words
from ..builder.output.built import Built
from ..builder.table import ClassResult, Rule
from ..errors import plain

SHOWN, FEW = 30, 5
"""Classes in the table, and those that are not kept, beside ones that are; the report has all."""


def print_build(built: Built, console: Console) -> None:
    """What was left out, the kept classes by drop, and how many were not kept."""
    found, photos = built.found, built.photos
    left = ", ".join(f"{part.count:,} {words.STATUS[part.status]}" for part in cleaning.account(photos))
    kept = int((photos["status"] == "").sum())
    _say(console, f"{len(photos):,} photos, {kept:,} kept" + (f"; left out: {left}" if left else ""))
    if found.kept:
        console.print(_table(found.kept, found.rule))
    total = len(found.classes)
    _say(console, f"{len(found.kept)} of {total} classes kept" + _headline(built))
    unconfirmed = int(((photos["background_by"] == "draft") & (photos["split"] != "")).sum())
    if unconfirmed:
        _say(console, f"{unconfirmed:,} backgrounds are drafts that nobody confirmed; the card says so")
    left_out = [result for result in found.classes if not result.kept]
    shown = left_out[: FEW if found.kept else SHOWN]
    for result in shown:
        _say(console, f"not kept: {result.label}: {result.reason}")
    if len(left_out) > len(shown):
        _say(console, f"and {len(left_out) - len(shown)} more" + ("; the report says why" if found.kept else ""))


def _headline(built: Built) -> str:
    found = built.found
    if found.easy and found.hard and found.drop:
        return (
            f": easy {words.percent(found.easy.estimate)}, hard {words.percent(found.hard.estimate)}, drop "
            f"{words.bounded(found.drop)} points, on photos that had no part in choosing"
        )
    if found.drop_found is not None:
        return f": drop {words.points(found.drop_found)} points, on the very photos that chose the pairs"
    return ""


def _table(kept: tuple[ClassResult, ...], rule: Rule) -> Table:
    caption = "drop: points, " + ("on the photos that chose the pair" if rule.published else "with 95 % interval")
    table = Table(caption=Text(caption.replace("95", f"{rule.confidence:.0%}".rstrip("%"))), caption_justify="left")
    for heading in ("class", "easy", "hard"):
        table.add_column(heading, overflow="fold")
    for heading in ("drop",) if rule.published else ("drop", "in-sample", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    drops = sorted(kept, key=lambda result: (-_drop(result), result.label))
    for result in drops[:SHOWN]:
        cells = [result.label, result.easy, result.hard]
        chosen = words.points(result.drop_found)
        if rule.published:
            cells.append(chosen)
        else:
            cells += [words.bounded(result.drop), chosen, words.p_value(result.p_adjusted)]
        table.add_row(*(Text(plain(cell)) for cell in cells))
    if len(drops) > SHOWN:
        table.add_row(*(Text(text) for text in (f"and {len(drops) - SHOWN} more",)))
    return table


def _drop(result: ClassResult) -> float:
    return result.drop.estimate if result.drop else result.drop_found or 0.0


def _say(console: Console, text: str) -> None:
    console.print(plain(text), markup=False, highlight=False, soft_wrap=not console.is_terminal)
