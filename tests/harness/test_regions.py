"""Specs, boxes and frames of regions, against pixels moved by the towers' own preprocessing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from open_clip.transform import image_transform
from PIL import Image

from spurbench.data import Places
from spurbench.errors import UsageError, WeightsError
from spurbench.regions import Frame, Frames, RegionSpec, cells, overlap_share, parse, truth
from spurbench.regions.placing import in_view, photo_sizes

NAN = float("nan")


@pytest.mark.parametrize(
    ("spec", "expected", "canonical"),
    [
        ("quadrants", RegionSpec("grid", 2), "grid2"),
        ("grid1", RegionSpec("grid", 1), "grid1"),
        ("grid16", RegionSpec("grid", 16), "grid16"),
        ("boxes", RegionSpec("boxes"), "boxes"),
        ("boxes:some/where.csv", RegionSpec("file", file=Path("some/where.csv")), "boxes:where.csv"),
        ("proposals", RegionSpec("proposals", 20), "proposals20"),
        ("proposals300", RegionSpec("proposals", 300), "proposals300"),
    ],
)
def test_every_form_is_understood(spec: str, expected: RegionSpec, canonical: str) -> None:
    assert parse(spec) == expected
    assert str(parse(spec)) == canonical


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "unknown regions ''; known: quadrants, gridR"),
        ("gird3", "did you mean grid?"),
        ("Quadrant", "did you mean quadrants?"),
        ("propsals20", "did you mean proposals?"),
        ("grid", "'grid' are out of range"),
        ("grid0", "'grid0' are out of range"),
        ("grid17", "R from 1 to 16"),
        ("grid99999", "unknown regions"),
        ("grid³", "unknown regions"),
        ("quadrants2", "out of range"),
        ("proposals0", "out of range"),
        ("proposals301", "N from 1 to 300"),
        ("boxes:", "unknown regions"),
        ("boxes:a\0b", "unknown regions"),
    ],
)
def test_anything_else_is_a_wrong_call_that_names_the_forms(spec: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(spec)
    assert said in str(caught.value)
    assert "boxes:FILE (.csv, .json or .jsonl)" in str(caught.value)


def test_specs_frames_and_overlaps_need_no_torch() -> None:
    code = "import sys, spurbench.keys, spurbench.regions as r; r.parse('grid3'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"


def test_cells_tile_the_view_row_by_row() -> None:
    assert cells(2).tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    for side in (1, 3, 16):
        found = cells(side)
        assert (found.shape, found.dtype) == ((side * side, 4), np.float32)
        for number, box in enumerate(found):
            row, column = divmod(number, side)
            np.testing.assert_allclose(box, np.array([column, row, column + 1, row + 1]) / side, rtol=1e-6)


BOX = st.tuples(*[st.integers(0, 12)] * 4)


def drawn(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """The box on a grid of 12 x 12."""
    canvas = np.zeros((12, 12), bool)
    canvas[box[1] : box[3], box[0] : box[2]] = True
    return canvas


@given(st.lists(BOX, min_size=1, max_size=4), BOX)
def test_overlap_is_counted_in_pixels(many: list[tuple[int, int, int, int]], one: tuple[int, int, int, int]) -> None:
    found = overlap_share(np.array(many, np.float32) / 12, np.array(one, np.float32) / 12)
    expected = []
    for box in many:
        smaller = min(drawn(box).sum(), drawn(one).sum())
        expected.append((drawn(box) & drawn(one)).sum() / smaller if smaller else 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_overlap_with_nothing_is_nothing() -> None:
    box = np.array([0, 0, 0.5, 0.5], np.float32)
    gone = np.full(4, NAN, np.float32)
    assert overlap_share(np.stack([box, gone]), gone).tolist() == [0, 0]
    assert overlap_share(np.stack([box, gone]), box).tolist() == [1, 0]


def places(objects: Any, spurious: Any = None) -> Places:
    objects = np.array(objects, np.float32)
    return Places(objects[:, None], objects, None if spurious is None else np.array(spurious, np.float32))


def test_regions_show_the_spurious_thing_where_half_of_the_smaller_is_common() -> None:
    boxes = np.stack([cells(2), cells(2)])
    boxes[1, 3] = NAN
    # In the first photo the thing lies over two cells, three quarters of it to the left; the second has none.
    found = truth(boxes, places([[0, 0, 1, 1]] * 2, [[0.35, 0.1, 0.55, 0.3], [NAN] * 4]))
    assert found.tolist() == [[True, False, False, False], [False] * 4]
    # Exactly half is enough.
    assert truth(boxes[:1], places([[0, 0, 1, 1]], [[0.375, 0, 0.625, 0.5]])).tolist() == [[True, True, False, False]]


def test_where_the_background_is_spurious_regions_show_it_whose_middle_is_no_object() -> None:
    boxes = np.stack([cells(2)] * 3)
    boxes[1, 0] = NAN
    found = truth(boxes, places([[0, 0, 0.6, 0.6], [0, 0, 0.6, 0.6], [NAN] * 4]))
    assert found.tolist() == [[False, True, True, True], [False, True, True, True], [True] * 4]


def test_a_box_of_which_a_fourth_is_left_is_in_view_and_one_of_less_is_not() -> None:
    # The middle half of the width is seen.
    frame = Frame(scale=(2.0, 1.0), offset=(-0.5, 0.0))
    boxes = np.array(
        [[0.3, 0, 0.5, 1], [0.1, 0.2, 0.3, 0.4], [0, 0, 0.32, 1], [0.9, 0, 1, 1], [0.5, 0, 0.5, 1], [NAN] * 4],
        np.float32,
    )
    found = frame.to_view(boxes)
    np.testing.assert_allclose(found[:2], [[0.1, 0, 0.5, 1], [0, 0.2, 0.1, 0.4]], atol=1e-6)
    assert np.isnan(found[2:]).all()
    np.testing.assert_allclose(frame.to_picture(found[:1]), boxes[:1], atol=1e-6)
    padded = Frame(scale=(0.5, 1.0), offset=(0.25, 0.0))
    beside = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.2, 1]], np.float32)
    np.testing.assert_allclose(padded.to_picture(beside), [[0, 0, 0.5, 0.5], [0, 0, 0, 1]], atol=1e-6)


def transforms() -> dict[str, Any]:
    """Preprocessing by name."""
    made = {f"{mode}-{side}": image_transform(side, False, resize_mode=mode) for side in (64, 224)
            for mode in ("shortest", "longest", "squash")}  # fmt: skip
    made["shortest-96x64"] = image_transform((96, 64), False, resize_mode="shortest")
    made["white-padding"] = image_transform(64, False, resize_mode="longest", fill_color=255)
    data: Any = timm.data
    made["timm"] = data.create_transform((3, 96, 96), is_training=False, crop_pct=0.875)
    made["timm-border"] = data.create_transform((3, 96, 96), is_training=False, crop_pct=0.9, crop_mode="border")
    made["timm-squash"] = data.create_transform((3, 64, 64), is_training=False, crop_mode="squash", crop_pct=1.0)
    return made


TRANSFORMS = transforms()


def marked(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """A black photo with a white box, in pixels."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(64, 64), (301, 200), (199, 333), (97, 31), (640, 64), (41, 300)])
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_a_box_is_where_its_pixels_are(name: str, size: tuple[int, int]) -> None:
    transform = TRANSFORMS[name]
    width, height = size
    frame = Frames(transform).of(width, height)
    # A box in the middle, which every view shows some of.
    box = (width // 2 - 7, height // 2 - 9, width // 2 + 8, height // 2 + 6)
    dark, light = (transform(Image.new("RGB", size, colour)) for colour in ("black", "white"))
    shown = ((transform(marked(size, box)) - dark) / (light - dark)).nan_to_num(0)[0].numpy() > 0.5
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    tall, wide = shown.shape
    share = np.array(box, np.float32) / np.array([width, height, width, height], np.float32)
    found = frame.to_view(share) * np.array([wide, tall, wide, tall])
    np.testing.assert_allclose(found, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], atol=1)


@pytest.mark.parametrize("size", [(1280, 64), (2000, 100), (100, 2000)])
def test_the_middle_of_a_panorama_is_placed_to_a_pixel(size: tuple[int, int]) -> None:
    frame = Frames(TRANSFORMS["shortest-224"]).of(*size)
    longest = int(224 * max(size) / min(size))
    first = round((longest - 224) / 2) / longest
    # What is seen of the longer side lies between these shares of it; of the other side all is seen.
    seen = {"long": (first, first + 224 / longest), "short": (0, 1)}
    for axis, side in enumerate(("long", "short") if size[0] > size[1] else ("short", "long")):
        placed = [share * frame.scale[axis] + frame.offset[axis] for share in seen[side]]
        np.testing.assert_allclose(placed, [0, 1], atol=1 / 224)


@given(
    st.sampled_from(sorted(TRANSFORMS)),
    st.integers(20, 400),
    st.integers(20, 400),
    st.tuples(*[st.floats(0, 1, width=32)] * 4),
)
def test_what_is_seen_of_a_box_is_found_again_in_the_picture(
    name: str, width: int, height: int, corners: tuple[float, float, float, float]
) -> None:
    frame = FRAMES[name].of(width, height)
    a, b, c, d = corners
    box = np.array([min(a, c), min(b, d), max(a, c), max(b, d)], np.float32)
    seen = frame.to_view(box)
    back = frame.to_picture(seen)
    if np.isfinite(seen).all():
        assert (seen >= 0).all()
        assert (seen <= 1).all()
        assert (back[:2] >= box[:2] - 1e-4).all()
        assert (back[2:] <= box[2:] + 1e-4).all()
        # Where the picture ends is known to a part of a pixel.
        np.testing.assert_allclose(frame.to_view(back), seen, atol=0.01)


FRAMES = {name: Frames(transform) for name, transform in TRANSFORMS.items()}


def test_a_size_is_probed_once() -> None:
    calls: list[tuple[int, int]] = []

    def transform(image: Image.Image) -> torch.Tensor:
        calls.append(image.size)
        return TRANSFORMS["squash-64"](image)

    frames = Frames(transform)
    assert frames.of(50, 40) is frames.of(50, 40)
    assert calls == [(50, 40)] * 3
    np.testing.assert_allclose(frames.of(50, 40).scale + frames.of(50, 40).offset, (1, 1, 0, 0), atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (3000, 50)])
def test_photos_that_are_hardly_any_are_placed_roughly(size: tuple[int, int]) -> None:
    frame = Frames(TRANSFORMS["squash-64"]).of(*size)
    np.testing.assert_allclose(frame.scale, (1, 1), atol=0.15)
    np.testing.assert_allclose(frame.offset, (0, 0), atol=0.1)
    assert Frames(TRANSFORMS["longest-64"]).of(*size).scale[0] > 0


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: TRANSFORMS["squash-64"](image).flip(-1),
        lambda image: TRANSFORMS["squash-64"](image).transpose(1, 2),
        lambda image: torch.roll(TRANSFORMS["squash-64"](image), 20, dims=1),
        lambda image: torch.zeros(3, 64, 64),
        lambda image: torch.zeros(1, 64, 64),
    ],
)
def test_preprocessing_that_moves_things_about_is_refused(transform: Any) -> None:
    with pytest.raises(WeightsError, match="preprocessing"):
        Frames(transform).of(80, 60)


class TwoPhotos:
    at_once = 1

    def __len__(self) -> int:
        return 2

    def open(self, rows: Any) -> list[Image.Image]:
        return [Image.new("RGB", ((90, 30), (40, 40))[row]) for row in rows]

    def fingerprint(self, ids: Any, hashes: Any) -> str:
        return "two"


def test_places_move_into_the_view_each_by_its_photos_size() -> None:
    sizes = photo_sizes(TwoPhotos(), [1, 0])
    assert sizes.tolist() == [[40, 40], [90, 30]]
    given_places = places([[0.4, 0, 0.6, 1]] * 2, [[0.5, 0.5, 1, 1], [0, 0, 0.1, 0.1]])
    found = in_view(given_places, sizes, Frames(TRANSFORMS["shortest-64"]))
    np.testing.assert_allclose(found.objects, [[0.4, 0, 0.6, 1], [0.2, 0, 0.8, 1]], atol=0.01)
    assert found.spurious is not None
    np.testing.assert_allclose(found.spurious, [[0.5, 0.5, 1, 1], [NAN] * 4], atol=0.01)
    np.testing.assert_allclose(found.boxes[:, 0], found.objects)
    assert in_view(places([[0.4, 0, 0.6, 1]]), sizes[:1], FRAMES["squash-64"]).spurious is None
