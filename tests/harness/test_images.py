"""Photos of every awkward kind become upright 8-bit RGB, or an error that names the file."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from spurbench.errors import DataError
from spurbench.images import SUFFIXES, PhotoFiles, cut_short, open_rgb, open_tolerant

RED, WHITE = (255, 0, 0), (255, 255, 255)
ORIENTATION = 0x0112


def quadrants() -> Image.Image:
    """Red, green over blue, white: no rotation or flip looks like another."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:], pixels[16:, :24], pixels[16:, 24:] = RED, (0, 255, 0), (0, 0, 255), WHITE
    return Image.fromarray(pixels)


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".gif"}))
def test_every_format_opens_as_rgb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    quadrants().save(path)
    opened = open_rgb(path)
    assert (opened.mode, opened.size) == ("RGB", (48, 32))
    assert difference(opened, quadrants()) < 8


def test_a_lossless_photo_keeps_every_bit_and_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    opened = open_rgb(path)
    path.unlink()
    assert np.array_equal(np.asarray(opened), noise)


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    quadrants().convert("CMYK").save(path, quality=95)
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
    assert difference(open_rgb(path), quadrants()) < 8


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_has_three_equal_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.png"
    quadrants().convert(mode).save(path)
    pixels = np.asarray(open_rgb(path))
    assert np.array_equal(pixels, np.repeat(np.asarray(quadrants().convert(mode).convert("L"))[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright_as_exif_says(tmp_path: Path, orientation: int) -> None:
    stored_as = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored, exif = quadrants(), Image.Exif()
    for step in stored_as.get(orientation, []):
        stored = stored.transpose(step)
    exif[ORIENTATION] = orientation
    path = tmp_path / "photo.jpg"
    stored.save(path, exif=exif, quality=95, subsampling=0)
    assert open_rgb(path).size == (48, 32)
    assert difference(open_rgb(path), quadrants()) < 8


def half_transparent() -> np.ndarray:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[:, 2:, 3] = 255, 255
    return pixels


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(half_transparent()).convert(mode).save(path)
    opened = open_rgb(path)
    assert opened.getpixel((0, 0)) == WHITE
    assert opened.getpixel((3, 0)) == (RED if mode == "RGBA" else (76, 76, 76))


def test_half_transparency_is_mixed_with_white(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGBA", (2, 2), (255, 0, 0, 128)).save(path)
    assert np.abs(np.asarray(open_rgb(path), int)[0, 0] - (255, 127, 127)).max() <= 1


def palette_image() -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 255, *RED])
    image.paste(1, (2, 0, 4, 4))
    return image


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_transparent_palette_entry_becomes_white(tmp_path: Path, suffix: str, transparency: int | bytes) -> None:
    if suffix == ".gif" and isinstance(transparency, bytes):
        transparency = 0
    path = tmp_path / f"photo{suffix}"
    palette_image().save(path, transparency=transparency)
    opened = open_rgb(path)
    assert (opened.getpixel((0, 0)), opened.getpixel((3, 0))) == (WHITE, RED)


def test_a_palette_without_transparency_keeps_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    palette_image().save(path)
    assert (open_rgb(path).getpixel((0, 0)), open_rgb(path).getpixel((3, 0))) == ((0, 0, 255), RED)


def test_a_transparent_grey_becomes_white(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("L", (2, 2), 7).save(path, transparency=7)
    assert open_rgb(path).getpixel((0, 0)) == WHITE


def test_a_transparent_colour_becomes_white(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (2, 2), RED).save(path, transparency=RED)
    assert open_rgb(path).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_scaled_to_8_not_clipped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    Image.fromarray(np.tile(ramp, (4, 1))).save(path)
    assert np.asarray(open_rgb(path))[0, :, 0].tolist() == list(range(256))


def test_a_nearly_black_16_bit_photo_stays_nearly_black(tmp_path: Path) -> None:
    path = tmp_path / "night.png"
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(path)
    assert np.asarray(open_rgb(path)).max() <= 1


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "photo.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with Image.open(path) as stored:
        assert getattr(stored, "n_frames", 1) == 3
    assert open_rgb(path).getpixel((0, 0)) == RED


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"these are words, not a photo\n", "UnidentifiedImageError"),
        (jpeg()[: len(jpeg()) // 2], "truncated"),
        (jpeg()[:20], "Error"),
        (b"\xff\xd8\xff", "UnidentifiedImageError"),
        (b"\0" * 100, "UnidentifiedImageError"),
    ],
    ids=["empty", "text", "half", "header", "magic", "zeros"],
)
def test_what_is_not_a_whole_photo_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        open_rgb(path)
    assert str(path) in str(caught.value)


def test_an_absent_photo_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(DataError, match=path.name):
            open_rgb(path)


def test_a_png_with_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    quadrants().save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"photo\.png"):
        open_rgb(path)


@pytest.fixture
def bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A photo larger than allowed, the limit being lowered so that the test stays small."""
    path = tmp_path / "bomb.png"
    Image.new("L", (40, 40)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused(bomb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (1000, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=r"bomb\.png: (ValueError: 40 x 40 pixels are too|DecompressionBombError)"):
            open_rgb(bomb)


def test_a_bomb_is_refused_even_when_warnings_are_ignored(bomb: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match="too many for a photo"):
            open_rgb(bomb)


def test_opening_photos_in_threads_leaves_the_warning_filters_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, original = tmp_path / "photo.png", Image.open
    quadrants().save(path)
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def overlapping(file: Path) -> Image.Image:
        if threading.current_thread().name == "first":
            first_is_in.set()
            second_is_in.wait(5)
        else:
            second_is_in.set()
            first_is_out.wait(5)
        return original(file)

    def first() -> None:
        open_rgb(path)
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(5)
        open_rgb(path)

    with warnings.catch_warnings():
        before = list(warnings.filters)
        monkeypatch.setattr(Image, "open", overlapping)
        threads = [threading.Thread(target=target, name=target.__name__) for target in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before


def smooth(side: int = 64, **options: Any) -> bytes:
    """A JPEG whose brightness rises from the left to the right."""
    buffer = io.BytesIO()
    ramp = np.tile(np.linspace(40, 220, side).astype(np.uint8), (side, 1))
    Image.fromarray(ramp).convert("RGB").save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def test_a_photo_that_was_cut_short_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    content = smooth(256)
    whole, half = tmp_path / "whole.jpg", tmp_path / "half.jpg"
    whole.write_bytes(content)
    start = content.index(b"\xff\xda")
    half.write_bytes(content[: start + (len(content) - start) // 2])
    complete, truncated = open_tolerant(whole)
    assert not truncated
    assert np.array_equal(np.asarray(complete), np.asarray(open_rgb(whole)))
    shown, truncated = open_tolerant(half)
    assert truncated
    assert shown.size == complete.size
    same = (np.asarray(shown) == np.asarray(complete)).all(axis=(1, 2))
    # The first quarter at least is there, row by row; the last is not.
    assert same[:64].all()
    assert not same[192:].any()


def test_a_cut_photo_looks_as_under_pillows_own_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = smooth(64)
    path = tmp_path / "photo.jpg"
    for kept in range(content.index(b"\xff\xda") + 14, len(content) - 2, 5):
        path.write_bytes(content[:kept])
        shown, truncated = open_tolerant(path)
        with monkeypatch.context() as patch, Image.open(path) as image:
            patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
            assert truncated
            assert np.array_equal(np.asarray(shown), np.asarray(image.convert("RGB")))


def test_a_progressive_photo_is_shown_by_its_whole_scans_wherever_it_is_cut(tmp_path: Path) -> None:
    content = smooth(64, progressive=True)
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    complete = open_rgb(path)
    second_scan = content.index(b"\xff\xda", content.index(b"\xff\xda") + 1)
    for kept in range(second_scan, len(content) - 2):
        path.write_bytes(content[:kept])
        # The first scan has every block's mean.
        assert difference(open_tolerant(path)[0], complete) < 6


def test_a_cut_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "photo.jpg"
    quadrants().save(path, exif=exif, quality=95)
    path.write_bytes(path.read_bytes()[:-40])
    shown, truncated = open_tolerant(path)
    assert (truncated, shown.size) == (True, (32, 48))


@pytest.mark.parametrize(
    "content",
    [b"", b"these are words\n", jpeg()[:20], b"\xff\xd8\xff", b"\0" * 100],
    ids=["empty", "text", "header", "magic", "zeros"],
)
def test_what_shows_nothing_is_refused_by_the_tolerant_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as strict:
        open_rgb(path)
    with pytest.raises(DataError) as tolerant:
        open_tolerant(path)
    assert str(tolerant.value) == str(strict.value)


def test_a_bomb_that_was_cut_short_is_still_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg()[:-200])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)
    with pytest.raises(DataError, match="too many for a photo"):
        open_tolerant(path)


def test_tolerant_photos_show_cut_files_and_others_refuse_them(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jpg" for name in ("one", "cut", "two")]
    for path in paths:
        path.write_bytes(jpeg())
    paths[1].write_bytes(jpeg()[:-200])
    assert [image.size for image in PhotoFiles(paths, tolerant=True).open([0, 1, 2])] == [(64, 64)] * 3
    with pytest.raises(DataError, match=r"cut\.jpg.*truncated"):
        PhotoFiles(paths).open([1])


def test_cut_files_are_found_among_all_others(tmp_path: Path) -> None:
    contents = {
        "whole.jpg": jpeg(),
        "cut.jpg": jpeg()[:-200],
        "cut.PNG": jpeg()[: len(jpeg()) // 2],
        "notes.jpg": jpeg() + b"written by the camera" * 20,
        "without-mark.jpg": jpeg()[:-1],
        "header.jpg": jpeg()[:20],
        "words.jpg": b"words",
        "empty.jpg": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    whole = tmp_path / "whole.png"
    quadrants().save(whole)
    short = tmp_path / "short.png"
    short.write_bytes(whole.read_bytes()[:-30])
    paths = [*(tmp_path / name for name in contents), whole, short, tmp_path / "absent.jpg", tmp_path]
    assert [path.name for path in cut_short(paths)] == ["cut.jpg", "cut.PNG", "without-mark.jpg"]
