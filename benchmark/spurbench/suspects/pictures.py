"""The photos of a report, opened and made small."""

from __future__ import annotations

from PIL import Image

from ..contact_sheet import fitted, open_each
from ..data import Photos
from .report import SuspectsReport

SIDE = 224
"""Pixels that a photo is wide and high at most."""


def open_pictures(photos: Photos, report: SuspectsReport) -> list[list[Image.Image]]:
    """The photos of each survivor, in the report's order. Raises DataError."""
    of_each = [suspect.photos for suspect in report.survivors]
    rows = [photo.row for some in of_each for photo in some]
    opened = iter(open_each(photos, rows, lambda _, image: fitted(image, SIDE)))
    return [[next(opened) for _ in some] for some in of_each]
