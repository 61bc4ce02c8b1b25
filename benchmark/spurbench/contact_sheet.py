"""Contact sheets: which photos of a data set to show, and labelled rows of small pictures on one large one."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

from .cards import SPLITS, DatasetCard
from .data import Examples, Photos
from .errors import DataError, UsageError, plain
from .seeds import Seed

T = TypeVar("T")
Rows = Sequence[tuple[str, Sequence[int]]]
"""What a sheet will show: each row's label, and rows of the data set. A label may have several lines."""
Tiles = Sequence[tuple[str, Sequence[Image.Image]]]
"""What a sheet shows: each row's label and pictures. Without a label pictures only, without pictures a heading only."""

COLUMNS = 8
"""Photos side by side where no group decides it."""
MARGIN, GAP, SPACE = 12, 4, 10
"""Pixels around the sheet, between pictures, and above a label that follows something."""
NARROWEST = 320
"""Width that even a sheet of few pictures has, so that its labels can be read."""
FIRST_LINE, OTHER_LINES = (15, 20, "#1a1a1a"), (12, 17, "#707070")
"""Of a label: size of the letters, height of the line, colour."""
PAPER, MAT = "white", "#f0f0f0"
"""Colour of the sheet, and of the squares around pictures that do not fill theirs."""


def nearest_split(examples: Examples, wanted: str) -> str:
    """The split asked for or, if that is empty, the next of test, val and train that is not. Raises DataError."""
    for split in (wanted, *reversed(SPLITS)):
        if len(examples.rows(split)):
            return split
    raise DataError("the data set has no photos")


def any_rows(examples: Examples, card: DatasetCard, split: str, n: int, seed: int) -> Rows:
    """Up to `n` photos of a split, drawn at random from all of them, in rows of COLUMNS under one heading.

    With the same seed, fewer photos are the first of more.
    """
    pool = examples.rows(split)
    shown = Seed(("contact sheet", seed)).numpy().permutation(pool)[:n].tolist()
    heading = f"{_one_line(card.title)}\n{len(shown):,} of {len(pool):,} {split} photos"
    return [(heading if start == 0 else "", shown[start : start + COLUMNS]) for start in range(0, len(shown), COLUMNS)]


def group_rows(examples: Examples, card: DatasetCard, split: str, per_group: int, seed: int) -> Rows:
    """A heading, and for each group in the card's order its name, its counts and up to `per_group` photos of a split.

    Groups without any photo are left out; one with photos in other splits only is a label without photos. A group's
    photos depend on no other group and, with the same seed, fewer are the first of more.

    Raises:
        DataError: the card names other groups than the examples have.
    """
    if (len(card.classes), len(card.attributes)) != (examples.n_classes, examples.n_attributes):
        raise DataError(f"the card of {card.name} and its examples disagree on the number of classes or attributes")
    pool = examples.rows(split)
    groups = examples.groups[pool]
    totals = zip(*(examples.group_totals(name) for name in SPLITS), strict=True)
    rows: list[tuple[str, Sequence[int]]] = [(f"{_one_line(card.title)}\n{split} photos of each group", [])]
    for group, (name, counts) in enumerate(zip(card.groups, totals, strict=True)):
        if any(counts):
            drawn = Seed(("contact sheet", seed, group)).numpy().permutation(pool[groups == group])[:per_group]
            spelled = ", ".join(f"{count:,} {part}" for count, part in zip(counts, SPLITS, strict=True))
            rows.append((f"{_one_line(name)}\n{spelled}", drawn.tolist()))
    return rows


def open_rows(photos: Photos, rows: Rows, size: int) -> Tiles:
    """Open the rows' photos, each at most `size` pixels wide and high.

    Raises:
        UsageError: the sheet would have more pixels than image viewers open.
        DataError: a photo cannot be read; names it.
    """
    refuse_giants(rows, size)
    wanted = [row for _, shown in rows for row in shown]
    images = iter(open_each(photos, wanted, lambda _, image: fitted(image, size)))
    return [(label, [next(images) for _ in shown]) for label, shown in rows]


def refuse_giants(rows: Sequence[tuple[str, Sized]], size: int) -> None:
    """Raises UsageError if a sheet of such rows would have more pixels than image viewers open."""
    width, height = layout(rows, size).size
    if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
        raise UsageError(f"a sheet of {width:,} x {height:,} pixels is too large; ask for fewer or smaller photos")


def open_each(photos: Photos, rows: Sequence[int], made: Callable[[int, Image.Image], T]) -> list[T]:
    """What `made(i, photo)` makes of the photo of each `rows[i]`; of the photos themselves only a few are held at once.

    Raises:
        DataError: a photo cannot be read; names it.
    """

    def opened(start: int) -> list[T]:
        part = rows[start : start + photos.at_once]
        return [made(i, image) for i, image in enumerate(_open(photos, part), start)]

    with ThreadPoolExecutor() as pool:
        return [item for part in pool.map(opened, range(0, len(rows), photos.at_once)) for item in part]


def _open(photos: Photos, rows: Sequence[int]) -> list[Image.Image]:
    try:
        images = photos.open(rows)
    except DataError as error:
        if len(rows) == 1:
            raise DataError(f"a photo cannot be read; mend it or remove it: {error}") from error
        # One by one: only then does the message name the photo.
        return [image for row in rows for image in _open(photos, [row])]
    if len(images) != len(rows):
        raise DataError(f"{type(photos).__name__}.open gave {len(images)} images for {len(rows)} rows")
    return images


def fitted(image: Image.Image, size: int, step: int = 1) -> Image.Image:
    """The whole image, as large as fits into `size` x `size` pixels; its height rounded to a multiple of `step`."""
    scale = size / max(image.size)
    width = max(1, round(image.width * scale))
    height = max(1, round(image.height * scale / step)) * step
    if (width, height) == image.size:
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


@dataclass(frozen=True)
class Layout:
    """Where everything stands on a sheet, in pixels.

    Attributes:
        size: width and height of the sheet.
        headings: top of each row's label.
        tiles: top of each row's pictures.
        tile: width and height of the square that a picture is centred in.
    """

    size: tuple[int, int]
    headings: Sequence[int]
    tiles: Sequence[int]
    tile: int

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of one picture's square."""
        return MARGIN + column * (self.tile + GAP), self.tiles[row]


def layout(rows: Sequence[tuple[str, Sized]], size: int) -> Layout:
    """Where the labels and pictures of such rows stand."""
    headings, tiles = [], []
    top = MARGIN
    for label, items in rows:
        top += SPACE if label and top > MARGIN else 0
        headings.append(top)
        top += sum(height for _, (_, height, _) in _lines(label)) + (GAP if label else 0)
        tiles.append(top)
        top += size + GAP if len(items) else 0
    columns = max((len(items) for _, items in rows), default=0)
    width = max(columns * (size + GAP) - GAP, NARROWEST)
    return Layout((width + 2 * MARGIN, top + MARGIN), headings, tiles, size)


def contact_sheet(rows: Tiles, size: int) -> Image.Image:
    """Labelled rows of pictures on one sheet, each picture whole and centred in a square of `size` pixels.

    Lines that are too long for the sheet are shortened. What Pillow's own font lacks is drawn as a box.
    """
    places = layout(rows, size)
    sheet = Image.new("RGB", places.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (label, images) in enumerate(rows):
        top = places.headings[row]
        for text, (letters, height, colour) in _lines(label):
            font = ImageFont.load_default(size=letters)
            line = shortened(text, sheet.width - 2 * MARGIN, font.getlength)
            draw.text((MARGIN, top + height // 2), line, fill=colour, font=font, anchor="lm")
            top += height
        for column, image in enumerate(images):
            small = fitted(image, size)
            left, top = places.corner(row, column)
            sheet.paste(MAT, (left, top, left + size, top + size))
            sheet.paste(small, (left + (size - small.width) // 2, top + (size - small.height) // 2))
    return sheet


def strip(images: Sequence[Image.Image], size: int) -> Image.Image:
    """A row of pictures of about `size` pixels for a terminal, a transparent pixel between any two.

    Heights are even: a character holds two pixels, one above the other.
    """
    small = [fitted(image, size, step=2) for image in images]
    row = Image.new("RGBA", (len(small) * (size + 1), max((image.height for image in small), default=0)))
    for column, image in enumerate(small):
        row.paste(image, (column * (size + 1) + (size - image.width) // 2, 0))
    return row.crop((0, 0, max(0, row.width - 1), row.height))


def _lines(label: str) -> list[tuple[str, tuple[int, int, str]]]:
    """The lines of a label with how they are set; none for an empty label."""
    lines = plain(label).split("\n") if label else []
    return [(line, OTHER_LINES if number else FIRST_LINE) for number, line in enumerate(lines)]


def _one_line(name: str) -> str:
    """A name as one line, whatever white space is in it."""
    return " ".join(name.split())


def shortened(text: str, width: int, measure: Callable[[str], float]) -> str:
    """The text, or as much of its two ends as an ellipsis leaves room for: names of groups often differ in the last
    letters only.

    Args:
        width: what the result may measure at most.
    """
    # Few letters are narrower than one unit, and names may be of any length: what is beyond is cut unmeasured.
    if len(text) <= width and measure(text) <= width:
        return text

    def cut(kept: int) -> str:
        return f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"

    return cut(bisect_right(range(1, min(len(text), width)), width, key=lambda kept: math.ceil(measure(cut(kept)))))
