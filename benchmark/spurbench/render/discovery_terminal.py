"""A discovery in the terminal, at 80 columns: the findings, and the classes of the first one."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..findings import words
from ..findings.report import Contrast, DiscoveryReport, FindingReport, Tally
from . import percent

MOST_CLASSES = 12
"""Classes of the first finding; the report has all."""


def print_discovery(report: DiscoveryReport, console: Console) -> None:
    """Print what was looked at, what was found, and how to read it."""
    console.print(Text(f"{words.shown(report.title)} ({words.shown(report.dataset)})", "bold"))
    _say(console, words.setting(report))
    if not report.findings:
        _say(console, f"\nNothing is suspected. {report.why_none}")
        return
    console.print(_findings(report))
    if report.why_no_truth:
        _say(console, f"what regions show is not known: {words.shown(report.why_no_truth)}")
    first = report.findings[0]
    _say(console, f"1. {words.summary(first)} {words.pull(first)}")
    console.print(_classes(report, first))
    _say(console, words.HOW_TO_READ)
    if first.known_share is not None:
        _say(console, words.KNOWN)


def _findings(report: DiscoveryReport) -> Table:
    known = any(finding.known_share is not None for finding in report.findings)
    table = _table()
    table.add_column("#", justify="right")
    table.add_column("taken for", overflow="fold", min_width=9)
    for heading in (
        "with",
        "without",
        "score",
        "influence",
        "p (adj.)",
        "images",
        *(("known", "P@10") if known else ()),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for finding in report.findings:
        right = finding.right if finding.row is None else finding.row.right
        cells = [
            str(finding.rank),
            "-" if finding.label is None else words.shown(finding.label),
            words.percent(right.present.share),
            words.percent(right.absent.share),
            f"{finding.score:.3f}",
            _number(finding.influence, 2),
            words.p_value(finding.p_value),
            f"{finding.n_images:,}",
        ]
        if known:
            cells += [words.percent(finding.known_share), _number(finding.precision_at_10, 1)]
        table.add_row(*map(Text, cells))
    if report.n_findings > len(report.findings):
        table.caption = Text(f"the first {len(report.findings)} of {report.n_findings:,} findings")
    return table


def _classes(report: DiscoveryReport, finding: FindingReport) -> Table:
    table = _table()
    table.add_column("class", overflow="fold")
    for heading in ("right with", "n", "without", "n", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    if report.against:
        table.add_column("known attribute", overflow="fold")
    for row in finding.by_gap[:MOST_CLASSES]:
        cells = [words.shown(row.label), *_two(row.right.present), *_two(row.right.absent)]
        cells.append(percent(row.right.gap, signed=True))
        telling = words.telling(row, report.attributes)
        if telling is not None:
            cells.append(f"{words.shown(telling[0])}: {_both(telling[1])}")
        table.add_row(*map(Text, cells))
    more = len(finding.classes) - MOST_CLASSES
    if more > 0:
        table.caption = Text(f"and {more:,} more classes")
    return table


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_justify="left")


def _two(tally: Tally) -> tuple[str, str]:
    return percent(tally.share), f"{tally.total:,}"


def _both(contrast: Contrast) -> str:
    return f"{words.percent(contrast.present.share)} / {words.percent(contrast.absent.share)}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
