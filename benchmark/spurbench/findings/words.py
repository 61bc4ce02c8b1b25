"""What a finding says, in words that need no further reading: for the terminal, the sheet and the page alike."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import plain
from .report import ClassRow, Contrast, DiscoveryReport, FindingReport, Tally

HOW_TO_READ = (
    "With, without: right answers among a class's photos that show such a region, and among those that do not. "
    "Findings are suspicions: look before you believe."
)
SCORE = "Score: what findings are ranked by, larger is more suspicious (RaVL's G, how far with and without differ)."
INFLUENCE = "Influence: of a class's errors, the share that hangs on such a region more than on another (RaVL's H)."
P_VALUE = (
    "p: how often a score this large would come about if such regions made no difference, with the right answers of "
    "each class shuffled; adjusted for all the sets of regions that were looked at."
)
KNOWN = "Known: the share of its regions that show the known attribute; P@10: of the ten most typical of them."


_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Marks that set the direction of whatever follows them, quotation or not; no name needs one."""


def shown(name: str) -> str:
    """A name from anywhere as it can be shown anywhere: one line, no control characters."""
    return _TURNS.sub("\N{REPLACEMENT CHARACTER}", plain(" ".join(name.split())))


def fact(value: float) -> str:
    """A number that a discoverer tells: whole ones in full, others to three digits."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def quoted(name: str) -> str:
    """A name in a sentence."""
    return f"'{shown(name)}'"


def summary(finding: FindingReport, text: type[str] = str, named: Callable[[str], str] = quoted) -> str:
    """The finding in a sentence.

    Args:
        text: what the sentence is made of, such as `markupsafe.Markup`, which escapes what is put in.
        named: how a class's name is put in.
    """
    if finding.row is None or finding.label is None:
        sentence = "Photos that show this are right {} of the time, the others {}."
        return text(sentence).format(percent(finding.right.present.share), percent(finding.right.absent.share))
    right = finding.row.right
    if (right.gap or 0.0) > 0:
        sentence = "The model calls a photo {} more often when it shows this: {} right with it, {} without."
    else:
        sentence = "The model calls a photo {} no more often when it shows this: {} right with it, {} without."
    return text(sentence).format(named(finding.label), percent(right.present.share), percent(right.absent.share))


def pull(finding: FindingReport, text: type[str] = str, named: Callable[[str], str] = quoted) -> str:
    """How much the region draws other classes to the finding's, in a sentence; empty where it has none."""
    called = finding.called
    if called is None or finding.label is None or called.gap is None:
        return ""
    sentence = "Photos of other classes are called {} {} of the time with it, {} without."
    return text(sentence).format(named(finding.label), percent(called.present.share), percent(called.absent.share))


def percent(share: float | None) -> str:
    """A share in whole percent, as 97 %; what is neither none nor all is never rounded to it."""
    if share is None:
        return "unknown"
    whole = round(100 * share)
    if 0 < share < 1:
        whole = min(max(whole, 1), 99)
    return f"{whole} %"


def p_value(p: float | None) -> str:
    """As many digits as mean something."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def setting(report: DiscoveryReport) -> str:
    """What was looked at, by whom."""
    facts = "".join(f", {shown(name)} {fact(value)}" for name, value in report.facts.items())
    images = f"{report.right.total:,} {report.split} images, {percent(report.right.share)} right"
    return (
        f"{shown(report.backbone)}, {shown(report.model)}; {images}\n"
        f"{report.n_regions:,} regions ({shown(report.regions)}); {report.discoverer.name}{facts}"
    )


def telling(row: ClassRow, attributes: list[str]) -> tuple[str, Contrast] | None:
    """The value of the known attribute that tells a class's images with a region from those without, and its shares.

    None where it was not asked for.
    """
    if row.attributes_present is None or row.attributes_absent is None:
        return None
    present, absent = (
        [Tally(hits=count, total=sum(counts)) for count in counts]
        for counts in (row.attributes_present, row.attributes_absent)
    )
    contrasts = [Contrast(present=here, absent=there) for here, there in zip(present, absent, strict=True)]
    best = max(range(len(contrasts)), key=lambda k: (contrasts[k].gap or 0.0, contrasts[k].present.share or 0.0))
    return attributes[best], contrasts[best]


def explained(report: DiscoveryReport) -> list[str]:
    """What the numbers mean that the report has."""
    findings = report.findings
    there = (
        (SCORE, bool(findings)),
        (INFLUENCE, any(finding.influence is not None for finding in findings)),
        (KNOWN, any(finding.known_share is not None for finding in findings)),
        (P_VALUE, any(finding.p_value is not None for finding in findings)),
    )
    return [meaning for meaning, is_there in there if is_there]
