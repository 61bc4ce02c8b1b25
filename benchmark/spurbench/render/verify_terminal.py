"""What was verified, in the terminal, at 80 columns: numbers that were compared, and what is known, off or missing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import plain
from ..verify import Check, Status

STYLES: dict[Status, str] = {"agrees": "green", "known": "yellow", "off": "bold red", "unchecked": "dim"}
WORDS: dict[Status, str] = {
    "agrees": "agree",
    "known": "are off as is known",
    "off": "are off",
    "unchecked": "could not be checked",
}


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Print every check, then the reasons, then a line that sums up."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("checked", overflow="fold")
    for heading in ("found", "printed", "diff."):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for part in dict.fromkeys(check.part for check in checks):
        table.add_row(Text(plain(part), "bold"))
        for check in (check for check in checks if check.part == part):
            numbers = (_number(check.found), _number(check.expected), _number(check.difference, signed=True))
            status = Text(check.status, STYLES[check.status])
            table.add_row(Text(f"  {plain(check.what)}"), *numbers, status)
    console.print(table)
    told = [check for check in checks if check.status != "agrees" and check.reason]
    for reason in dict.fromkeys(check.reason for check in told):
        about = ", ".join(check.what for check in told if check.reason == reason)
        console.print(f"{plain(about)}: {plain(reason)}", markup=False, highlight=False)
    counts = {status: sum(check.status == status for check in checks) for status in WORDS}
    summary = ", ".join(f"{counts[status]} {word}" for status, word in WORDS.items() if counts[status])
    console.print(summary, style="bold red" if counts["off"] else "bold", highlight=False)


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) >= 1:
        return f"{value:+,.0f}" if signed else f"{value:,.0f}"
    return f"{value:{'+' if signed else ''}.2f}"
