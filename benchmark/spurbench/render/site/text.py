"""Words and numbers as the page shows them."""

from __future__ import annotations

import math
import shlex
import unicodedata

from ...errors import plain
from ...record import Record
from ...rules import named

_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
REPORT = "SUSPECTS.json"
"""Stands for the report of suspects that a record's words are from."""


def written(text: str) -> str:
    """Text of several lines from anywhere, e.g. a traceback: nothing in it controls a terminal or turns its way."""
    return "".join("�" if unicodedata.bidirectional(c) in _TURNING else c for c in plain(text))


def command(record: Record) -> str:
    """What computes a record again, into a folder of its own, quoted for a shell.

    In the folder that holds it, nothing would be computed: it is up to date there.

    What is other than the rules' own is part of the rules' name (see `Rules.variant`), and becomes options. Of a file
    that named the attribute the first digits of its sha256 are known, not its name: a remark says so.
    """
    said = named(record.rules)
    told = said.attributes
    options = {
        "datasets": record.dataset,
        "backbones": record.backbone,
        "methods": record.method,
        "rules": said.base,
        "configs": None if said.configurations is None else str(said.configurations),
        "prompts": said.prompts,
        "attributes": REPORT if told else None,
        "seeds": str(len(record.seeds)) if len(record.seeds) > record.budget.seeds else None,
        "results": "again",
    }
    call = (f"--{option} {shlex.quote(value)}" for option, value in options.items() if value is not None)
    remark = f"  # {REPORT}: the report whose sha256 begins with {told.partition('@')[2]}" if told else ""
    return " ".join(["spurbench run", *call]) + remark


def count(value: float | None) -> str:
    """A number of things in three digits, e.g. 1.49k, 86.2M; "-" for none known."""
    if value is None:
        return "-"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def seconds(value: float | None) -> str:
    """A time in the unit that suits it; "-" for none known."""
    if value is None:
        return "-"
    for size, unit in ((3600, "h"), (60, "min")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def memory(value: int | None) -> str:
    """Bytes as MiB or GiB; "-" for none known."""
    if value is None:
        return "-"
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def wilson(correct: float, total: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share. Source: Wilson 1927; Brown, Cai and DasGupta 2001, section 3.1.1.

    Args:
        correct: right ones of `total`, which is positive; need not be whole, such as a mean over seeds.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    share, weight = correct / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(centre - half, 0.0), min(centre + half, 1.0)
