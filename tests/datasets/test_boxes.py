from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spurbench.errors import DataError
from spurbench_datasets._boxes import mask_box, photo_size, shares, together

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
