"""Suspects as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from markupsafe import Markup
from PIL import Image

from ..findings.words import p_value, percent
from ..suspects import sentences
from ..suspects.report import Suspect, SuspectsReport
from . import pages
from . import percent as signed_percent

MOST_CLASSES = 30
"""Classes in a suspect's table, the most telling first; the report has all."""
QUALITY = 85
"""Of the pictures, as JPEG counts it."""


def to_html(report: SuspectsReport, pictures: Sequence[Sequence[Image.Image]]) -> str:
    """The page: the words that survive with their photos, and the others in a table.

    Args:
        pictures: of each of those words' photos, as `suspects.pictures.open_pictures` gives them.
    """
    jpeg = partial(pages.uri, quality=QUALITY)
    templates = pages.environment(percent=signed_percent, share=_share, uri=jpeg, p=p_value)
    template = templates.get_template("suspects.html.jinja")
    return template.render(
        report=report,
        suspects=[_suspect(suspect, shown) for suspect, shown in zip(report.survivors, pictures, strict=True)],
        others=[(suspect, sentences.telling(suspect)) for suspect in report.suspects if suspect.p_value > report.level],
        sentences=sentences,
    )


def _suspect(suspect: Suspect, pictures: Sequence[Image.Image]) -> dict[str, Any]:
    both = list(zip(suspect.photos, pictures, strict=True))
    return {
        "report": suspect,
        "summary": pages.bound(sentences.summary(suspect, Markup, pages.name, _quoted)),
        "rows": suspect.by_information[:MOST_CLASSES],
        "sides": [
            ("with", [pair for pair in both if pair[0].present]),
            ("without", [pair for pair in both if not pair[0].present]),
        ],
    }


def _quoted(name: str) -> Markup:
    return Markup("“{}”").format(pages.name(name))


def _share(share: float | None) -> str:
    return pages.bound(percent(share))
