"""An explanation as one picture: the numbers on top, and one row for each photo with the maps of every method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ..contact_sheet import GAP, MARGIN, MAT, PAPER, SPACE, shortened
from ..errors import UsageError
from ..explained.report import ExplanationReport, PhotoRow
from ..findings.words import percent, shown
from . import explanation_words as words
from .explanation_pictures import SIDE, Shown, empty_maps
from .explanation_terms import terms
from .overlay import cuts, scale

INK, SOFT, BAD = "#1a1a1a", "#606060", "#c40d2e"
TITLE, TEXT, SMALL = 22, 15, 13
"""Sizes of letters."""
UPPER, LOWER = 21, 18
"""Heights of the line above a photo's maps, and of that below them."""
FRAME, INSET = 3, 6
"""Pixels of the line around a wrong prediction, and of the room that every block leaves for it."""
ROW = INSET + UPPER + SIDE + LOWER + INSET + GAP
"""Height of a photo and its maps."""
BLOCK = 2 * SIDE + GAP + 2 * INSET
"""Width of a method's two maps."""
COLUMNS = (0, 250, 350, 500, 650)
"""Where the columns of the table on top begin."""
NARROWEST = 800
"""Width that even a sheet of one method has, so that its table fits."""
SCALE = (100, 12)
"""Width and height of the colours of maps in the legend."""


@dataclass(frozen=True)
class Band:
    """Part of a sheet from edge to edge: its height, and how it is drawn below a given top."""

    height: int
    draw: Callable[[Image.Image, int], None]


def refuse_giants(methods: int, photos: int) -> None:
    """Raises UsageError if a sheet of so many methods and photos would have more pixels than image viewers open."""
    width, height = _width(methods), photos * ROW
    if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
        raise UsageError(
            f"a sheet of {photos:,} photos under {methods:,} methods would have {width:,} x {height:,} pixels, too "
            "large to open; ask for fewer photos (--per-group), groups or methods, or for numbers alone (--per-group 0)"
        )


def explanation_sheet(report: ExplanationReport, pictures: Sequence[Shown]) -> Image.Image:
    """The sheet. What Pillow's own font lacks is drawn as a box; lines that are too long are shortened.

    Args:
        pictures: of the report's photos, as `explanation_pictures.open_shown` gives them.
    """
    bands = _bands(report, pictures)
    size = (_width(len(report.methods)), 2 * MARGIN + sum(band.height for band in bands))
    sheet = Image.new("RGB", size, PAPER)
    top = MARGIN
    for band in bands:
        band.draw(sheet, top)
        top += band.height
    return sheet


def _width(methods: int) -> int:
    return max(2 * MARGIN + SIDE + methods * (BLOCK + SPACE), NARROWEST)


def _bands(report: ExplanationReport, pictures: Sequence[Shown]) -> list[Band]:
    width = _width(len(report.methods)) - 2 * MARGIN
    legend = [words.whose(report), words.COLOURS, words.RIVAL, words.WRONG]
    if report.objects:
        legend.append(words.OUTLINE)
    if any(cuts(photo.frame) for photo in report.photos):
        legend.append(words.VIEW)
    legend.append(empty_maps(report, pictures))
    bands = [
        _text(f"Where the models look: {shown(report.title)}, {shown(report.backbone)}", width, TITLE),
        *_lines(words.conclusion(report), width, TEXT),
        *_lines(words.measured_on(report), width, SMALL, SOFT),
        _space(),
        *_table(report),
        _space(),
        *(band for term in terms(report) for band in _lines(": ".join(term), width, SMALL, SOFT)),
        _space(),
        _scale(),
        *(band for line in legend for band in _lines(line, width, SMALL, SOFT)),
    ]
    for group in words.shown_groups(report):
        bands += [_space(3), _text(shown(report.groups[group]), width, TITLE - 2), _heads(report, group)]
        bands += [_row(photo, pictures, place) for place, photo in enumerate(report.photos) if photo.group == group]
    return bands


def _space(times: int = 1) -> Band:
    return Band(times * SPACE, lambda *_: None)


def _lines(text: str, width: int, size: int, colour: str = INK) -> list[Band]:
    """Text in lines as wide as fits, broken between words."""
    measure = ImageFont.load_default(size=size).getlength
    lines: list[str] = []
    for word in text.split():
        if lines and measure(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [_text(line, width, size, colour) for line in lines]


def _text(line: str, width: int, size: int, colour: str = INK) -> Band:
    return Band(_line(size), lambda sheet, top: _write(sheet, MARGIN, top, width, line, size, colour))


def _table(report: ExplanationReport) -> list[Band]:
    headings = ("method", "worst group", "energy", "pointing", "AIoU")[: 5 if report.objects else 2]
    bands = [_cells(headings, SOFT)]
    for name, wga, numbers, blind in words.lines(report):
        cells = [shown(name), "" if wga is None else percent(wga)]
        if report.objects:
            spans = (None,) * 3 if numbers is None else (numbers.energy, numbers.pointing, numbers.aiou)
            cells += [words.spanned(span) for span in spans]
        bands.append(_cells(cells, SOFT if blind else INK))
    return bands


def _cells(cells: Sequence[str], colour: str) -> Band:
    def draw(sheet: Image.Image, top: int) -> None:
        for left, right, cell in zip(COLUMNS, (*COLUMNS[1:], NARROWEST - MARGIN), cells, strict=False):
            _write(sheet, MARGIN + left, top, right - left - SPACE, cell, TEXT, colour)

    return Band(_line(TEXT), draw)


def _scale() -> Band:
    """The colours of maps."""

    def draw(sheet: Image.Image, top: int) -> None:
        for left, colour in enumerate(scale(SCALE[0]), MARGIN):
            sheet.paste(colour, (left, top, left + 1, top + SCALE[1]))

    return Band(SCALE[1] + GAP, draw)


def _heads(report: ExplanationReport, group: int) -> Band:
    """The methods' names, and what is known of each in the group."""

    def draw(sheet: Image.Image, top: int) -> None:
        for number, method in enumerate(report.methods):
            left = _left(number) + INSET
            _write(sheet, left, top, BLOCK - INSET, shown(method.name), TEXT, INK)
            below = top + _line(TEXT)
            _write(sheet, left, below, BLOCK - INSET, " · ".join(words.in_group(method, group)), SMALL, SOFT)

    return Band(_line(TEXT) + _line(SMALL) + GAP, draw)


def _row(photo: PhotoRow, pictures: Sequence[Shown], place: int) -> Band:
    """One photo and the maps of every method, what it is taken for above them and the maps' classes below."""

    def draw(sheet: Image.Image, top: int) -> None:
        down = top + INSET + UPPER
        _paste(sheet, MARGIN, down, pictures[place].photo)
        _write(sheet, MARGIN, down + SIDE, SIDE, shown(photo.label), SMALL, INK)
        for number, (verdict, maps) in enumerate(zip(photo.verdicts, pictures[place].maps, strict=True)):
            left = _left(number)
            wrong = verdict.predicted != photo.label
            if wrong:
                frame = (left, top, left + BLOCK - 1, down + SIDE + LOWER + INSET - 1)
                ImageDraw.Draw(sheet).rectangle(frame, outline=BAD, width=FRAME)
            (_cross if wrong else _tick)(sheet, left + INSET, top + INSET, UPPER - GAP)
            text = f"takes it for {shown(verdict.predicted)}" if wrong else shown(verdict.predicted)
            room = BLOCK - 2 * INSET - UPPER
            _write(sheet, left + INSET + UPPER, top + INSET, room, text, TEXT, BAD if wrong else INK)
            for side, (picture, name) in enumerate(zip(maps, (photo.label, verdict.rival), strict=True)):
                at = left + INSET + side * (SIDE + GAP)
                _paste(sheet, at, down, picture)
                told = f": {words.NOTHING}" if pictures[place].empty[number][side] else ""
                if not told and not side and verdict.energy is not None:
                    told = f", {percent(verdict.energy)} inside"
                _write(sheet, at, down + SIDE, SIDE, f"for {shown(name)}{told}", SMALL, SOFT if side else INK)

    return Band(ROW, draw)


def _line(size: int) -> int:
    """Height of a line of letters of a size."""
    return round(1.4 * size)


def _left(number: int) -> int:
    return MARGIN + SIDE + SPACE + number * (BLOCK + SPACE)


def _paste(sheet: Image.Image, left: int, top: int, picture: Image.Image) -> None:
    sheet.paste(MAT, (left, top, left + SIDE, top + SIDE))
    sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))


def _cross(sheet: Image.Image, left: int, top: int, size: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + size - 1, top + size - 1), fill=BAD)
    near, far = size // 4, size - 1 - size // 4
    for start, end in (((near, near), (far, far)), ((near, far), (far, near))):
        draw.line((left + start[0], top + start[1], left + end[0], top + end[1]), fill=PAPER, width=2)


def _tick(sheet: Image.Image, left: int, top: int, size: int) -> None:
    """Drawn, for Pillow's font has none."""
    corners = ((0.1, 0.55), (0.4, 0.85), (0.9, 0.2))
    points = [(left + round(x * (size - 1)), top + round(y * (size - 1))) for x, y in corners]
    ImageDraw.Draw(sheet).line(points, fill=INK, width=2)


def _write(sheet: Image.Image, left: int, top: int, width: int, text: str, size: int, colour: str) -> None:
    font = ImageFont.load_default(size=size)
    middle = top + _line(size) // 2
    ImageDraw.Draw(sheet).text((left, middle), shortened(text, width, font.getlength), colour, font, anchor="lm")
