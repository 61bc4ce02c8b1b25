"""A discovery as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from markupsafe import Markup

from ..findings import words
from ..findings.report import DiscoveryReport
from ..findings.sheet import Picture
from . import pages, percent

MOST_CLASSES = 30
"""Classes in a finding's table; the report has all."""
QUALITY = 85
"""Of the pictures, as JPEG counts it."""


def to_html(report: DiscoveryReport, pictures: Sequence[Sequence[Picture]]) -> str:
    """The page.

    Args:
        pictures: of each finding's examples, as `findings.sheet.open_pictures` gives them.
    """
    jpeg = partial(pages.uri, quality=QUALITY)
    templates = pages.environment(percent=percent, fact=words.fact, share=_share, uri=jpeg)
    findings = [
        {
            "report": finding,
            "summary": pages.bound(words.summary(finding, Markup, _quoted)),
            "pull": pages.bound(words.pull(finding, Markup, _quoted)),
            "rows": [(row, words.telling(row, report.attributes)) for row in finding.by_gap[:MOST_CLASSES]],
            "examples": list(zip(finding.examples, shown, strict=True)),
        }
        for finding, shown in zip(report.findings, pictures, strict=True)
    ]
    template = templates.get_template("discovery.html.jinja")
    return template.render(report=report, findings=findings, words=words, explained=words.explained(report))


def _quoted(name: str) -> Markup:
    return Markup("“{}”").format(pages.name(name))


def _share(share: float | None) -> str:
    return pages.bound(words.percent(share))
