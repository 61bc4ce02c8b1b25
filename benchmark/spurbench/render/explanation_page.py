"""An explanation as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..explained.report import ExplanationReport, Span
from ..findings.words import percent
from . import explanation_words as words
from . import pages
from .explanation_curve import curves
from .explanation_pictures import Shown, empty_maps
from .explanation_terms import terms
from .overlay import cuts, scale

QUALITY = 80
"""Of the pictures, as JPEG counts it."""
STEPS = 12
"""Colours that the legend's bar runs through."""
_TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"


def to_html(report: ExplanationReport, shown: Sequence[Shown]) -> str:
    """The page.

    Args:
        shown: the pictures of the report's photos, as `explanation_pictures.open_shown` gives them.
    """
    templates = pages.environment(share=_share, span=_span, uri=partial(pages.uri, quality=QUALITY))
    pairs = list(zip(report.photos, shown, strict=True))
    groups = [
        {
            "label": report.classes[number // len(report.attributes)],
            "attribute": report.attributes[number % len(report.attributes)],
            "number": number,
            "area": report.area[number] if report.area else None,
            "photos": [(photo, pictures) for photo, pictures in pairs if photo.group == number],
        }
        for number in words.shown_groups(report)
    ]
    return templates.get_template("explanation.html.jinja").render(
        report=report,
        groups=groups,
        words=words,
        cropped=any(cuts(photo.frame) for photo in report.photos),
        curves=curves(report),
        terms=terms(report),
        empty=empty_maps(report, shown),
        scale=", ".join("rgb({}, {}, {})".format(*colour) for colour in scale(STEPS)),
    )


def _share(share: float | None) -> str:
    return pages.bound(percent(share))


def _span(span: Span) -> str:
    """A mean and its interval, which may part at the end of a line, but neither of them within."""
    return pages.bound(f"{words.spanned(span, _TO)} %")
