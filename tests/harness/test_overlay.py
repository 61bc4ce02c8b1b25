"""Maps over photos: where they lie, what their colours are, outlines, and what a tower does not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch.nn.functional import interpolate

from spurbench.render.overlay import (
    DARK,
    LIGHT,
    STOPS,
    STRONGEST,
    coloured,
    cuts,
    heated,
    outlined,
    scale,
    stretched,
    viewed,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def enlarged(grid: Array, width: int, height: int) -> Array:
    found: Array = interpolate(torch.from_numpy(grid)[None, None], (height, width), mode="bilinear")[0, 0].numpy()
    return found


def a_photo(seed: int = 0, size: tuple[int, int] = (30, 20)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(9, 40), st.integers(9, 40), st.integers(0, 99))
def test_a_map_of_the_whole_photo_is_stretched_as_torch_does(
    h: int, w: int, width: int, height: int, seed: int
) -> None:
    grid = np.random.default_rng(seed).random((h, w))
    values, seen = stretched(grid, WHOLE, (width, height))
    assert seen.all()
    np.testing.assert_allclose(values, enlarged(grid, width, height), atol=1e-12)


def test_a_map_of_a_part_lies_in_that_part() -> None:
    grid = np.random.default_rng(0).random((4, 3))
    values, seen = stretched(grid, (0.25, 0.1, 0.75, 0.6), (40, 20))
    expected, inside = np.zeros((20, 40)), np.zeros((20, 40), bool)
    expected[2:12, 10:30], inside[2:12, 10:30] = enlarged(grid, 20, 10), True
    np.testing.assert_allclose(values, expected, atol=1e-12)
    np.testing.assert_array_equal(seen, inside)


def test_of_a_view_with_margins_the_photo_has_the_middle() -> None:
    grid = np.random.default_rng(1).random((5, 5))
    values, seen = stretched(grid, (0.0, -0.5, 1.0, 1.5), (20, 10))
    assert seen.all()
    np.testing.assert_allclose(values, enlarged(grid, 20, 20)[5:15], atol=1e-12)


def test_a_map_that_is_the_same_everywhere_has_the_last_colour_everywhere() -> None:
    photo = Image.new("RGB", (6, 4), (100, 100, 100))
    grey = 96 + 0.6 * 100
    expected = [round((1 - STRONGEST) * grey + STRONGEST * channel) for channel in STOPS[-1]]
    assert heated(photo, np.full((2, 2), 0.3), WHOLE).getcolors() == [(24, tuple(expected))]


def test_the_legend_has_the_colours_that_maps_have() -> None:
    ramp = np.tile(np.linspace(0, 1, 40), (3, 1))
    over = np.asarray(heated(Image.new("RGB", (40, 3), (128, 128, 128)), ramp, WHOLE)).astype(int)
    np.testing.assert_allclose(over[1], np.array(scale(40)), atol=1)
    assert len(set(scale(2)[0])) == 1, "where there is nothing, there is no colour"


def test_a_map_of_nothing_leaves_the_photo_without_colour_and_scale_does_not_matter() -> None:
    photo, grid = a_photo(), np.random.default_rng(2).random((3, 3)).astype(np.float32)
    nothing = np.asarray(heated(photo, np.zeros((3, 3)), WHOLE)).astype(int)
    assert (nothing.max(axis=2) == nothing.min(axis=2)).all()
    assert heated(photo, grid, WHOLE).tobytes() == heated(photo, grid * np.float32(8), WHOLE).tobytes()
    assert heated(photo, grid, WHOLE).tobytes() != heated(photo, grid.T, WHOLE).tobytes()


def test_the_strongest_place_has_the_most_colour() -> None:
    grid = np.zeros((4, 6))
    grid[1, 4] = 1.0
    pixels = np.asarray(heated(a_photo(3, (60, 40)), grid, WHOLE)).astype(int)
    strength = pixels.max(axis=2) - pixels.min(axis=2)
    # Far from the one cell there is none.
    assert strength[:, :25].max() == 0
    top, left = np.unravel_index(strength.argmax(), strength.shape)
    assert 10 <= top < 20
    assert 40 <= left < 50


def test_colours_grow_darker_throughout() -> None:
    linear = (coloured(np.linspace(0, 1, 101)) / 255) ** 2.2
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.cbrt(luminance) - 16
    steps = -np.diff(lightness)
    assert (steps > 0).all(), "CIE L* falls from each to the next, so that the order needs no hue"
    assert lightness[0] - lightness[-1] > 60
    assert steps.max() < 3 * steps.mean()


@pytest.mark.parametrize("mirror", [ImageOps.mirror, ImageOps.flip], ids=["left and right", "top and bottom"])
def test_maps_and_outlines_follow_a_photo_that_is_flipped(mirror: object) -> None:
    assert callable(mirror)
    axis = 1 if mirror is ImageOps.mirror else 0
    rng = np.random.default_rng(4)
    photo, grid, mask = a_photo(4), rng.random((5, 4)), rng.random((10, 10)) < 0.5
    left, top, right, bottom = frame = (0.1, 0.3, 0.8, 0.9)
    flipped = (1 - right, top, 1 - left, bottom) if axis == 1 else (left, 1 - bottom, right, 1 - top)
    there = np.asarray(heated(mirror(photo), np.flip(grid, axis), flipped)).astype(int)
    back = np.asarray(mirror(heated(photo, grid, frame))).astype(int)
    assert np.abs(there - back).max() <= 1
    assert (
        outlined(mirror(photo), np.flip(mask, axis), flipped).tobytes()
        == mirror(outlined(photo, mask, frame)).tobytes()
    )


def test_what_the_tower_does_not_see_is_dimmed() -> None:
    photo = a_photo(5, (40, 20))
    before, after = np.asarray(photo).astype(float), np.asarray(viewed(photo, (0.25, 0.1, 0.75, 0.6))).astype(float)
    inside = np.zeros((20, 40), bool)
    inside[2:12, 10:30] = True
    np.testing.assert_array_equal(after[inside], before[inside])
    np.testing.assert_allclose(after[~inside], 0.3 * before[~inside] + 0.7 * 128, atol=0.51)
    assert viewed(photo, WHOLE).tobytes() == photo.tobytes()


def test_a_view_that_ends_at_the_edge_but_for_rounding_cuts_nothing_off() -> None:
    photo, grid = a_photo(7), np.random.default_rng(7).random((3, 3))
    near = (0.003, -0.003, 0.997, 1.003)
    assert not cuts(near)
    assert viewed(photo, near).tobytes() == photo.tobytes()
    assert heated(photo, grid, near).tobytes() == heated(photo, grid, WHOLE).tobytes()
    assert not cuts((0.0, -0.5, 1.0, 1.5))
    assert [cuts(frame) for frame in ((0.1, 0, 1, 1), (0, 0.1, 1, 1), (0, 0, 0.9, 1), (0, 0, 1, 0.9))] == [True] * 4


def test_an_outline_is_light_within_and_dark_without() -> None:
    rng = np.random.default_rng(6)
    photo, mask = a_photo(6, (12, 9)), rng.random((9, 12)) < 0.4
    expected = np.asarray(photo).copy()
    for y in range(9):
        for x in range(12):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            others = [mask[v, u] for v, u in around if 0 <= v < 9 and 0 <= u < 12]
            if any(other != mask[y, x] for other in others):
                expected[y, x] = LIGHT if mask[y, x] else DARK
    np.testing.assert_array_equal(np.asarray(outlined(photo, mask, WHOLE)), expected)
