"""The photos of an explanation as pictures: each as it is, and under the maps of every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from ..contact_sheet import fitted, open_each
from ..errors import DataError
from ..explained.report import ExplanationReport
from ..findings.words import shown
from .overlay import heated, outlined, viewed

if TYPE_CHECKING:
    from ..explained import Explanation

SIDE = 192
"""Pixels of a picture's longer side."""


@dataclass(frozen=True)
class Shown:
    """One photo.

    Attributes:
        photo: as it is, at most SIDE pixels wide and high; what the tower does not see is dimmed.
        maps: for each method the map of the photo's own class and that of the rival, of the photo's size.
        empty: for each method, whether nothing speaks for the photo's own class, and whether nothing for the rival.
    """

    photo: Image.Image
    maps: tuple[tuple[Image.Image, Image.Image], ...]
    empty: tuple[tuple[bool, bool], ...]


def empty_maps(report: ExplanationReport, pictures: Sequence[Shown]) -> str:
    """For how many of the photos shown nothing speaks for their own class, in a sentence; empty if for none."""
    counts = [sum(one.empty[number][0] for one in pictures) for number in range(len(report.methods))]
    told = ", ".join(
        f"{shown(method.name)} {count} of {len(pictures)}"
        for method, count in zip(report.methods, counts, strict=True)
        if count
    )
    if not told:
        return ""
    return f"Empty maps of the own class: {told}" + ("; they count as 0 %." if report.objects else ".")


def open_shown(explanation: Explanation) -> list[Shown]:
    """The pictures of the photos shown, in their order, the objects outlined where they are known.

    Raises:
        DataError: a photo cannot be read; names it.
    """
    photos = explanation.examples.photos
    if photos is None:
        raise DataError(
            f"data set '{explanation.card.name}' has no photos to lay maps over: it brings its own features"
        )
    return open_each(photos, explanation.rows.tolist(), lambda place, photo: _shown(explanation, place, photo))


def _shown(explanation: Explanation, place: int, photo: Image.Image) -> Shown:
    left, top, right, bottom = explanation.frames[place].tolist()
    frame = left, top, right, bottom
    small = fitted(photo.convert("RGB"), SIDE)

    def marked(picture: Image.Image) -> Image.Image:
        return picture if explanation.objects is None else outlined(picture, explanation.objects[place], frame)

    pairs = [(panel.maps.true[place], panel.maps.confused[place]) for panel in explanation.panels]
    return Shown(
        marked(viewed(small, frame)),
        tuple((marked(heated(small, true, frame)), marked(heated(small, rival, frame))) for true, rival in pairs),
        tuple((not true.any(), not rival.any()) for true, rival in pairs),
    )
