"""Contact sheets: the right photos in the right rows, every pixel where it belongs, any label, broken photos named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageOps

from spurbench.cards import SPLITS, DatasetCard
from spurbench.contact_sheet import (
    COLUMNS,
    GAP,
    MARGIN,
    MAT,
    NARROWEST,
    any_rows,
    contact_sheet,
    fitted,
    group_rows,
    layout,
    nearest_split,
    open_rows,
    shortened,
    strip,
)
from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench.files import HashCache

WHITE = (255, 255, 255)


@dataclass
class Plain:
    """Photos of one colour each, which spells out the row; some cannot be read."""

    n: int
    at_once: int = 1
    broken: tuple[int, ...] = ()
    opened: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.n

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        self.opened += rows
        for row in rows:
            if row in self.broken:
                raise DataError(f"photo-{row}.jpg: torn" if len(rows) == 1 else "something is torn")
        return [Image.new("RGB", (4, 4), (row // 256, row % 256, 7)) for row in rows]

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        raise AssertionError("nobody needs a hash over all photos for a few pictures")


def card(classes: int, attributes: int) -> DatasetCard:
    names = tuple(f"c{k}" for k in range(classes)), tuple(f"a{k}" for k in range(attributes))
    return DatasetCard("plain", "Plain colours", *names, "none")


def examples(y: Sequence[int], a: Sequence[int], split: Sequence[int], classes: int, attributes: int) -> Examples:
    ids, columns = [str(i) for i in range(len(y))], [np.array(column, np.int64) for column in (y, a, split)]
    return Examples(ids, *columns, classes, attributes, photos=Plain(len(y)))


def many(n: int = 306) -> Examples:
    row = np.arange(n)
    return examples(row % 2, row // 2 % 3, row // 6 % 3, 2, 3)  # type: ignore[arg-type]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def block(sheet: Image.Image, corner: tuple[int, int], size: int) -> npt.NDArray[np.uint8]:
    left, top = corner
    return np.asarray(sheet)[top : top + size, left : left + size]


EXAMPLE = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2))


@given(st.lists(EXAMPLE, min_size=1, max_size=80), st.sampled_from(SPLITS), st.integers(1, 9), st.integers(0, 3))
def test_every_group_has_a_row_in_the_cards_order_and_the_photos_are_its_own(
    rows: list[tuple[int, int, int]], split: str, per_group: int, seed: int
) -> None:
    y, a, parts = zip(*rows, strict=True)
    data, described = examples(y, a, parts, 3, 2), card(3, 2)
    heading, *shown = group_rows(data, described, split, per_group, seed)
    assert heading == (f"Plain colours\n{split} photos of each group", [])
    present = [name for group, name in enumerate(described.groups) if group in data.groups]
    assert [label.split("\n")[0] for label, _ in shown] == present
    for label, photos in shown:
        name, counts = label.split("\n")
        members = [i for i, (k, v, _) in enumerate(rows) if f"c{k}/a{v}" == name]
        per_split = [sum(parts[i] == code for i in members) for code in range(3)]
        assert counts == "{} train, {} val, {} test".format(*per_split)
        inside = {i for i in members if SPLITS[parts[i]] == split}
        assert len(set(photos)) == len(photos) == min(per_group, len(inside))
        assert set(photos) <= inside


def test_a_selection_from_all_groups_is_of_its_split_and_in_rows() -> None:
    data = many()
    rows = any_rows(data, card(2, 3), "val", 20, seed=0)
    assert [len(photos) for _, photos in rows] == [COLUMNS, COLUMNS, 20 - 2 * COLUMNS]
    assert [label for label, _ in rows] == ["Plain colours\n20 of 102 val photos", "", ""]
    shown = [row for _, photos in rows for row in photos]
    assert len(set(shown)) == 20
    assert set(shown) <= set(data.rows("val").tolist())
    assert sum(len(photos) for _, photos in any_rows(data, card(2, 3), "val", 1000, seed=0)) == 102


def test_the_same_seed_shows_the_same_photos_and_fewer_are_the_first_of_more() -> None:
    data, described = many(), card(2, 3)
    for few, more in ((4, 9), (1, 2)):
        shorter, longer = (group_rows(data, described, "test", n, seed=5) for n in (few, more))
        assert [photos for _, photos in shorter] == [photos[:few] for _, photos in longer]
    sheets = []
    for seed in (0, 0, 1):
        for rows in (group_rows(data, described, "test", 4, seed), any_rows(data, described, "test", 12, seed)):
            sheets.append(contact_sheet(open_rows(Plain(len(data)), rows, 8), 8).tobytes())
    assert sheets[:2] == sheets[2:4]
    assert sheets[0] != sheets[4]
    assert sheets[1] != sheets[5]


def test_an_empty_split_gives_way_to_one_with_photos() -> None:
    without_test = examples([0, 1], [0, 0], [0, 1], 2, 1)
    assert [nearest_split(without_test, split) for split in SPLITS] == ["train", "val", "val"]
    assert nearest_split(many(), "train") == "train"
    with pytest.raises(DataError, match="no photos"):
        nearest_split(examples([], [], [], 2, 1), "test")


def test_a_card_of_other_groups_is_refused() -> None:
    for described in (card(3, 2), card(2, 2)):
        with pytest.raises(DataError, match="card of plain and its examples disagree"):
            group_rows(many(), described, "test", 4, seed=0)


@pytest.mark.parametrize("size", [8, 33])
def test_every_picture_stands_alone_in_its_own_square(size: int) -> None:
    pictures = [[noise(size, size, 10 * row + column) for column in range(n)] for row, n in enumerate((3, 0, 12, 1))]
    rows = list(zip(("a", "group without photos", "", "b\n12 photos"), pictures, strict=True))
    sheet, places = contact_sheet(rows, size), layout(rows, size)
    assert sheet.size == places.size
    covered = np.zeros((sheet.height, sheet.width), int)
    for row, (_, images) in enumerate(rows):
        for column, image in enumerate(images):
            left, top = places.corner(row, column)
            assert np.array_equal(block(sheet, (left, top), size), np.asarray(image))
            covered[top : top + size, left : left + size] += 1
            margins = np.pad(np.full((size, size), False), GAP, constant_values=True)
            around = np.asarray(sheet)[top - GAP : top + size + GAP, left - GAP : left + size + GAP]
            assert (around[margins] == WHITE).all()
    assert covered.sum() == 16 * size**2
    assert covered.max() == 1
    # Without labels there is nothing but the pictures.
    bare = contact_sheet([("", images) for images in pictures], size)
    assert (np.asarray(bare) != WHITE).any(axis=2).sum() == pytest.approx(16 * size**2, rel=0.001)


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (20, 20), (8, 4), (16, 16)])
def test_a_picture_is_shown_whole_and_centred(width: int, height: int) -> None:
    image = noise(width, height)
    sheet = contact_sheet([("", [image])], 16)
    expected = ImageOps.pad(image, (16, 16), Image.Resampling.LANCZOS, color=MAT)
    assert np.array_equal(block(sheet, (MARGIN, MARGIN), 16), np.asarray(expected))


@pytest.mark.parametrize("shape", [(2000, 1), (1, 2000), (1, 1), (3000, 2000)])
def test_odd_shapes_fit_and_large_photos_keep_their_colours(shape: tuple[int, int]) -> None:
    small = fitted(Image.new("RGB", shape, "orange"), 16)
    assert max(small.size) == 16
    assert small.getcolors() == [(small.width * small.height, (255, 165, 0))]


@given(st.lists(st.text(st.characters(), max_size=60), min_size=1, max_size=3))
@example(["\ud800 half a letter", "猫/狗 🐈‍⬛ שלום \u202e\x1b[31m\r\x00", "ffi" * 10_000])
def test_any_label_can_be_drawn_and_stays_inside(lines: list[str]) -> None:
    label = "\n".join(lines)
    sheet = contact_sheet([(label, [noise(8, 8)])], 8)
    # Marks that stand on other letters may reach over the edge by a few pixels, but nothing is lost there.
    right = sheet.crop((sheet.width - MARGIN // 2, 0, *sheet.size))
    assert ImageChops.invert(right).getbbox() is None
    assert sheet.width == NARROWEST + 2 * MARGIN


@given(st.text(max_size=40), st.integers(1, 50))
def test_what_is_too_long_keeps_its_two_ends(text: str, width: int) -> None:
    short = shortened(text, width, len)
    assert len(short) <= width
    if len(text) <= width:
        assert short == text
    else:
        head, tail = short[: width // 2], short[width // 2 + 1 :]
        assert "…" in short
        assert text.startswith(head.partition("…")[0])
        assert text.endswith(tail.rpartition("…")[2])


def test_a_name_of_a_million_letters_is_shortened_at_once() -> None:
    measured = []

    def measure(text: str) -> float:
        measured.append(len(text))
        return 2.5 * len(text)

    assert shortened("a" * 500_000 + "b" * 500_000, 100, measure) == "a" * 20 + "…" + "b" * 19
    assert max(measured) <= 100


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_the_photos_of_the_rows_are_opened_and_no_others(at_once: int) -> None:
    photos = Plain(500, at_once)
    rows = [("first", [3, 499, 256]), ("none", []), ("", [7])]
    tiles = open_rows(photos, rows, 8)
    assert sorted(photos.opened) == [3, 7, 256, 499]
    assert [label for label, _ in tiles] == ["first", "none", ""]
    shown = [[image.getpixel((0, 0)) for image in images] for _, images in tiles]
    assert shown == [[(row // 256, row % 256, 7) for row in some] for _, some in rows]


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_broken_photo_is_named(at_once: int) -> None:
    with pytest.raises(DataError, match=r"a photo cannot be read.*photo-5\.jpg: torn"):
        open_rows(Plain(10, at_once, broken=(5, 6)), [("", [1, 2, 3, 5]), ("", [6])], 8)


def test_photos_that_do_not_come_are_missed() -> None:
    class Fewer(Plain):
        def open(self, rows: Sequence[int]) -> list[Image.Image]:
            return super().open(rows)[1:]

    with pytest.raises(DataError, match=r"Fewer\.open gave 1 images for 2 rows"):
        open_rows(Fewer(10, at_once=2), [("", [1, 2])], 8)


def test_a_sheet_that_nothing_opens_is_refused_before_any_photo_is_read() -> None:
    photos = Plain(1000)
    with pytest.raises(UsageError, match="too large"):
        open_rows(photos, [("", range(1000))], 1024)
    assert not photos.opened


def test_a_strip_has_even_heights_and_gaps_one_can_see_through() -> None:
    row = strip([noise(30, 20), noise(20, 30), noise(19, 19)], 19)
    assert row.mode == "RGBA"
    assert row.width == 3 * 20 - 1
    assert row.height % 2 == 0
    alpha = np.asarray(row)[..., 3]
    assert not alpha[:, [19, 39]].any()
    heights = alpha.astype(bool).sum(axis=0)
    assert set(heights.tolist()) <= set(range(0, 21, 2))
    assert strip([], 19).size[0] == 0


def test_no_torch_is_needed() -> None:
    code = "import sys, spurbench.contact_sheet; print({'torch', 'pandas', 'rich', 'rich_pixels'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
