from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spurbench.errors import DataError
from spurbench_datasets._boxes import mask_box, mask_pixels, photo_size, shares, together

EDGES = st.tuples(*[st.integers(-20, 60)] * 4)


@given(st.lists(EDGES, min_size=1, max_size=5), st.integers(1, 50), st.integers(1, 50))
def test_shares_are_what_of_a_box_is_in_the_photo(boxes: list[tuple[int, int, int, int]], wide: int, high: int) -> None:
    found = shares(np.array(boxes), (wide, high))
    assert found.dtype == np.float32
    for (left, top, right, bottom), box in zip(boxes, found, strict=True):
        covered = [(x, y) for x in range(max(left, 0), min(right, wide)) for y in range(max(top, 0), min(bottom, high))]
        if not covered:
            assert np.isnan(box).all()
            continue
        across, down = zip(*covered, strict=True)
        expected = [min(across) / wide, min(down) / high, (max(across) + 1) / wide, (max(down) + 1) / high]
        assert box == pytest.approx(expected, abs=1e-6)


def test_every_photo_may_have_a_size_of_its_own() -> None:
    found = shares(np.array([[1, 1, 2, 2], [1, 1, 2, 2]]), np.array([[2, 4], [4, 2]]))
    assert found.tolist() == [[0.5, 0.25, 1, 0.5], [0.25, 0.5, 0.5, 1]]
    assert np.isnan(shares(np.array([[np.nan] * 4]), (5, 5))).all()


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=0, max_size=6))
def test_boxes_that_are_there_come_first(there: list[tuple[bool, bool, bool]]) -> None:
    kinds = [np.full((len(there), 4), number / 10, dtype=np.float32) for number in range(3)]
    for kind, column in zip(kinds, range(3), strict=True):
        kind[[not row[column] for row in there]] = np.nan
    found = together(*kinds)
    assert found.shape == (len(there), 3, 4)
    for boxes, row in zip(found, there, strict=True):
        present = [number for number in range(3) if row[number]]
        assert [round(float(box[0]) * 10) for box in boxes[: len(present)]] == present
        assert np.isnan(boxes[len(present) :]).all()


def save(path: Path, values: object, mode: str = "L") -> Path:
    image = Image.fromarray(np.array(values, dtype=np.uint8))
    (image if mode == "L" else image.convert(mode)).save(path)
    return path


@pytest.mark.parametrize("bright", [1, 2, 38, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_masks_show_their_bright_pixels(tmp_path: Path, bright: int, mode: str) -> None:
    values = np.zeros((6, 10))
    values[2:4, 3:9] = bright
    values[0, 0] = (bright - 1) // 2
    mask = save(tmp_path / "mask.png", values, mode)
    photo = save(tmp_path / "photo.png", np.zeros((60, 100)))
    assert mask_box(mask, photo) == pytest.approx([0.3, 2 / 6, 0.9, 4 / 6])


def test_half_as_bright_as_the_brightest_is_bright(tmp_path: Path) -> None:
    mask = save(tmp_path / "mask.png", [[99, 100, 0, 200]])
    assert mask_box(mask, mask).tolist() == [0.25, 0, 1, 1]


def test_a_black_mask_shows_nothing(tmp_path: Path) -> None:
    mask = save(tmp_path / "mask.png", np.zeros((3, 4)))
    assert np.isnan(mask_box(mask, mask)).all()


def turned(path: Path, orientation: int) -> Path:
    image = Image.new("RGB", (40, 30))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_upright_photos(tmp_path: Path, orientation: int) -> None:
    from spurbench.images import open_rgb

    path = turned(tmp_path / "a.jpg", orientation)
    assert photo_size(path) == open_rgb(path).size


OBJECT = np.zeros((6, 10), bool)
OBJECT[2:4, 3:9] = True


def with_alpha(inside: int, outside: int, alpha: object) -> Image.Image:
    """A grey image with some levels and opacity in the object and around it."""
    levels = [np.where(OBJECT, inside, outside), np.broadcast_to(np.asarray(alpha), OBJECT.shape)]
    return Image.fromarray(np.stack(levels, axis=-1).astype(np.uint8), "LA")


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.where(OBJECT, 60000, 25000).astype(np.uint16))


def palette(clear: int | None) -> Image.Image:
    """Black and white at numbers that say nothing of how bright they are."""
    image = Image.fromarray(np.where(OBJECT, 3, 200).astype(np.uint8)).convert("P")
    image.putpalette([255, 255, 255] * 4 + [0] * 3 * 252)
    image.paste(Image.fromarray(np.where(OBJECT, 3, 200).astype(np.uint8)))
    if clear is not None:
        image.info["transparency"] = clear
    return image


SOFT = np.where(OBJECT, 200, 90)
SHOWN = {
    "16 bits": sixteen_bits(),
    "palette": palette(None),
    "palette, black is clear": palette(200),
    "opaque": with_alpha(255, 0, 255),
    "all as clear as can be": with_alpha(255, 0, 0),
    "half clear": with_alpha(200, 40, 128),
    "white on clear": with_alpha(255, 255, OBJECT * 255),
    "black on clear": with_alpha(0, 0, OBJECT * 255),
    "black cut out of white": with_alpha(0, 255, OBJECT * 255),
    "soft edges": with_alpha(10, 10, SOFT),
    "colour on clear": with_alpha(0, 0, OBJECT * 255).convert("RGBA"),
    "black is clear": with_alpha(255, 0, 255).convert("RGB"),
}
SHOWN["black is clear"].info["transparency"] = (0, 0, 0)


@pytest.mark.parametrize("kind", SHOWN)
def test_a_mask_shows_the_same_however_it_is_kept(tmp_path: Path, kind: str) -> None:
    SHOWN[kind].save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as kept:
        assert (kept.mode == "I;16") == (kind == "16 bits")
        assert kept.has_transparency_data == (kind not in ("16 bits", "palette"))
    assert (mask_pixels(tmp_path / "mask.png", tmp_path / "mask.png") == OBJECT).all()


def test_a_clear_mask_is_turned_as_its_photo(tmp_path: Path) -> None:
    image = with_alpha(0, 0, OBJECT * 255)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "mask.png", exif=exif)
    assert (mask_pixels(tmp_path / "mask.png", tmp_path / "mask.png") == np.rot90(OBJECT, -1)).all()


@pytest.mark.parametrize("alpha", [SOFT, np.where(OBJECT, 255, 254)])
def test_a_mask_that_is_both_coloured_and_clear_is_refused(tmp_path: Path, alpha: object) -> None:
    with_alpha(255, 0, alpha).save(tmp_path / "mask.png")
    with pytest.raises(
        DataError, match="mask.png: the mask has both colours and transparency, .*; save it without tran"
    ):
        mask_pixels(tmp_path / "mask.png", tmp_path / "mask.png")


def huge() -> bytes:
    """A PNG that says of itself that it is 40000 pixels a side."""
    small = io.BytesIO()
    Image.new("1", (1, 1)).save(small, "PNG")
    head = b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 1, 0, 0, 0, 0)
    return small.getvalue()[:12] + head + struct.pack(">I", zlib.crc32(head)) + small.getvalue()[33:]


def cut() -> bytes:
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(noise, "PNG")
    return noise.getvalue()[:2000]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is an empty file; save it again, or remove it"),
        (b"hello", "is no image that can be read; save it as PNG, or remove it"),
        (huge(), "has more pixels than any photo; save it in its photo's size"),
        (cut(), "cannot be read .*; save it again, in its photo's size, or remove it"),
    ],
)
def test_masks_that_are_broken_are_named_once(tmp_path: Path, content: bytes, says: str) -> None:
    photo = save(tmp_path / "photo.png", np.zeros((6, 10)))
    mask = tmp_path / "mask.png"
    mask.write_bytes(content)
    with pytest.raises(DataError, match=f"^{mask}: the mask {says}$") as caught:
        mask_pixels(mask, photo)
    assert str(caught.value).count("mask.png") == 1


def test_a_mask_that_is_a_little_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = save(tmp_path / "mask.png", np.ones((6, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 59)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(DataError, match="10 x 6 pixels are too many for a photo.*; save it again, in its photo's size"),
    ):
        mask_pixels(mask, mask)


def test_a_mask_of_another_shape_is_named(tmp_path: Path) -> None:
    photo = turned(tmp_path / "photo.jpg", 6)
    upright, lying = save(tmp_path / "up.png", np.ones((400, 300))), save(tmp_path / "lying.png", np.ones((300, 400)))
    assert mask_box(upright, photo).tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match="lying.png: the mask is 400 x 300 pixels, its photo photo.jpg is 30 x 40"):
        mask_box(lying, photo)


@pytest.mark.parametrize("size", [(31, 41), (16, 21), (299, 400), (1201, 1600)])
def test_sizes_may_be_rounded(tmp_path: Path, size: tuple[int, int]) -> None:
    photo = turned(tmp_path / "photo.jpg", 6)
    mask = save(tmp_path / "mask.png", np.ones((size[1], size[0])))
    assert mask_box(mask, photo).tolist() == [0, 0, 1, 1]


def test_what_is_no_photo_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    for path in (tmp_path / "a.jpg", tmp_path / "absent.jpg"):
        with pytest.raises(DataError, match=path.name):
            photo_size(path)
