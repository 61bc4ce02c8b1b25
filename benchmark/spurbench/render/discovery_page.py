"""A discovery as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ..findings import words
from ..findings.report import DiscoveryReport
from ..findings.sheet import Picture
from . import percent

MOST_CLASSES = 30
"""Classes in a finding's table; the report has all."""
QUALITY = 85
"""Of the pictures, as JPEG counts it."""


def to_html(report: DiscoveryReport, pictures: Sequence[Sequence[Picture]]) -> str:
    """The page.

    Args:
        pictures: of each finding's examples, as `findings.sheet.open_pictures` gives them.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(name=_name, percent=percent, fact=words.fact, shown=words.shown, share=_share, uri=_uri)
    findings = [
        {
            "report": finding,
            "summary": _bound(words.summary(finding, Markup, _quoted)),
            "pull": _bound(words.pull(finding, Markup, _quoted)),
            "rows": [(row, words.telling(row, report.attributes)) for row in finding.by_gap[:MOST_CLASSES]],
            "examples": list(zip(finding.examples, shown, strict=True)),
        }
        for finding, shown in zip(report.findings, pictures, strict=True)
    ]
    template = templates.get_template("discovery.html.jinja")
    return template.render(report=report, findings=findings, words=words, explained=words.explained(report))


def _name(name: str) -> Markup:
    """A name from anywhere, so set that the direction it is written in ends with it."""
    return Markup("<bdi>{}</bdi>").format(words.shown(name))


def _quoted(name: str) -> Markup:
    return Markup("“{}”").format(_name(name))


def _share(share: float | None) -> str:
    return _bound(words.percent(share))


def _bound(text: str) -> str:
    """A number and its percent sign are not parted at the end of a line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
