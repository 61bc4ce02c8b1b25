"""The regions of a discovery as pictures: each cut out, and outlined in its photo; and all of them on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw

from ..contact_sheet import contact_sheet, fitted, open_each, refuse_giants
from ..data import Photos
from .report import DiscoveryReport, Example, FindingReport
from .words import p_value, setting, shown, summary

R = TypeVar("R")
Row = tuple[str, Sequence[R]]

CROP, PHOTO = 128, 256
"""Pixels of the longer side of a region and of a photo."""
RIGHT, WRONG = "#56b4e9", "#ff7f0e"
"""Outlines in photos that the model gets right and wrong; told apart by everybody."""
LINE = 6
"""Pixels that an outline is wide, without the dark line on either side."""


@dataclass(frozen=True)
class Picture:
    """An example of a finding.

    Attributes:
        crop: the region, at most CROP pixels wide and high.
        photo: the whole photo, at most PHOTO pixels wide and high, the region outlined.
    """

    crop: Image.Image
    photo: Image.Image


def open_pictures(photos: Photos, report: DiscoveryReport) -> list[list[Picture]]:
    """The pictures of each finding's examples, in their order.

    Raises:
        UsageError: the sheet would have more pixels than image viewers open.
        DataError: a photo cannot be read; names it.
    """
    examples_of = [finding.examples for finding in report.findings]
    refuse_giants(_rows(report, examples_of, examples_of), CROP)
    examples = [example for finding in report.findings for example in finding.examples]
    rows = [example.row for example in examples]
    pictures = iter(open_each(photos, rows, lambda i, image: picture(image, examples[i])))
    return [[next(pictures) for _ in finding.examples] for finding in report.findings]


def picture(photo: Image.Image, example: Example) -> Picture:
    """A region and its photo. What lies beyond the photo's edge is left out, but one pixel always stays."""
    crop = fitted(photo.crop(_pixels(example, photo.size)), CROP)
    small = fitted(photo, PHOTO)
    if small is photo:
        small = photo.copy()
    left, top, right, bottom = _pixels(example, small.size)
    draw = ImageDraw.Draw(small)
    # Around the region rather than on it, as far as the photo goes.
    for colour, out, width in (("black", LINE + 2, LINE + 2), (RIGHT if example.right else WRONG, LINE + 1, LINE)):
        last = min(right + out, small.width) - 1, min(bottom + out, small.height) - 1
        draw.rectangle((max(left - out, 0), max(top - out, 0), *last), outline=colour, width=width)
    return Picture(crop, small)


def discovery_sheet(report: DiscoveryReport, pictures: Sequence[Sequence[Picture]]) -> Image.Image:
    """Two rows for each finding: its regions, under what is known of it, and their photos."""
    crops = [[one.crop for one in some] for some in pictures]
    photos = [[one.photo for one in some] for some in pictures]
    return contact_sheet(_rows(report, crops, photos), CROP)


def _rows(report: DiscoveryReport, crops: Sequence[Sequence[R]], photos: Sequence[Sequence[R]]) -> list[Row[R]]:
    """A heading, and for each finding a row of what stands for its regions and one of what stands for their photos."""
    legend = "outlined blue: the model is right; orange: wrong" if report.findings else report.why_none
    rows: list[Row[R]] = [(f"{shown(report.title)}\n{setting(report)}\n{legend}", [])]
    for finding, upper, lower in zip(report.findings, crops, photos, strict=True):
        rows += [(_label(finding), upper), ("", lower)]
    return rows


def _label(finding: FindingReport) -> str:
    p = "" if finding.p_value is None else f", p {p_value(finding.p_value)}"
    return f"{finding.rank}. {summary(finding)}\n{finding.n_regions:,} regions of {finding.n_images:,} images{p}"


def _pixels(example: Example, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Every pixel that the region touches, of a photo of such a width and height."""
    sides: list[tuple[int, int]] = []
    for low, high, pixels in ((example.box[0], example.box[2], size[0]), (example.box[1], example.box[3], size[1])):
        # A hair's breadth inwards: a share such as 1/3 is rarely exact, and no pixel is touched by a rounding error.
        start = min(max(math.floor(low * pixels + 1e-3), 0), pixels - 1)
        sides.append((start, max(start + 1, min(math.ceil(high * pixels - 1e-3), pixels))))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom
