"""An explanation in the terminal, at 80 columns: what each method looks at, in all and in each group."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..explained.report import ExplanationReport, Numbers
from ..findings.words import percent, shown
from . import explanation_words as words
from .explanation_terms import terms

MOST_GROUPS = 8
"""Groups of each method; the report has all."""
MEANS = (
    "In percent; a method's own line has the accuracy of its worst group, and means over groups with their intervals; "
    "object: how much of what the models see the object covers."
)


def print_explanation(report: ExplanationReport, console: Console) -> None:
    """Print what was looked at, by whom, and how to read it."""
    console.print(Text(f"{shown(report.title)} ({shown(report.dataset)}), {shown(report.backbone)}", "bold"))
    _say(console, words.conclusion(report))
    known = [
        group
        for group in range(len(report.groups))
        if any(method.groups[group].accuracy is not None for method in report.methods)
    ]
    console.print(_table(report, known[:MOST_GROUPS]))
    if len(known) > MOST_GROUPS:
        _say(console, f"and {len(known) - MOST_GROUPS:,} more groups in report.json")
    _say(console, MEANS if report.objects else "In percent; a method's own line has the accuracy of its worst group.")
    _say(console, words.measured_on(report))
    for term, meaning in terms(report):
        _say(console, f"{term}: {meaning}")
    for line in (*words.left_out(report), *map(shown, report.notes)):
        _say(console, line)


def _table(report: ExplanationReport, groups: list[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("method, group", overflow="fold")
    for heading in ("accuracy", "object", "energy", "pointing", "AIoU") if report.objects else ("accuracy",):
        table.add_column(heading, justify="right", no_wrap=True)
    for method in report.methods:
        numbers = _numbers(report, method.balanced, spans=True)
        table.add_row(Text(shown(method.name)), Text(f"worst {_whole(method.wga)}"), *numbers, style="bold")
        for group in groups:
            row = method.groups[group]
            table.add_row(
                Text(f"  {shown(report.groups[group])}"),
                Text("-" if row.accuracy is None else _whole(row.accuracy)),
                *_numbers(report, row.numbers, spans=False, area=report.area[group] if row.numbers else None),
                end_section=group == groups[-1],
            )
    for baseline in report.baselines:
        numbers = _numbers(report, baseline.balanced, spans=True)
        table.add_row(Text(shown(baseline.name)), Text(""), *numbers, style="dim")
    return table


def _numbers(
    report: ExplanationReport, numbers: Numbers | None, *, spans: bool, area: float | None = None
) -> list[Text]:
    """The last cells of a line, with intervals or without; none where it is not known where the objects are."""
    if not report.objects:
        return []
    found = (None,) * 3 if numbers is None else (numbers.energy, numbers.pointing, numbers.aiou)
    # 80 columns have no room for words between the bounds.
    cells = [words.spanned(span, "-") if spans or span is None else _whole(span.mean) for span in found]
    return [Text("" if area is None else _whole(area)), *map(Text, cells)]


def _whole(share: float) -> str:
    return percent(share).removesuffix(" %")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
