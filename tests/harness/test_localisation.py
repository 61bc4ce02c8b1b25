"""Adjusted IoU, pointing and energy, against exact fractions worked out pixel by pixel."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from spurbench import localisation
from spurbench.errors import DataError
from spurbench.localisation import STEPS, THRESHOLDS, Located, areas, centred, enlarged, locate, uniform

FIELDS = ("pointing", "energy", "iou", "aiou")
EDGE = st.integers(1, 5)


def between(values: list[list[int]], row: int, column: int, size: tuple[int, int]) -> Fraction:
    """The value at a pixel of an image of some size that a map of cells is stretched over."""
    weights: list[dict[int, Fraction]] = []
    for place, old, new in ((row, len(values), size[0]), (column, len(values[0]), size[1])):
        at = min(max(Fraction(2 * place + 1, 2) * old / new - Fraction(1, 2), Fraction(0)), Fraction(old - 1))
        low = int(at)
        weights.append({low: 1 - (at - low)} | ({low + 1: at - low} if at > low else {}))
    return sum((p * q * values[i][j] for i, p in weights[0].items() for j, q in weights[1].items()), Fraction(0))


def literally(values: list[list[int]], mask: NDArray[np.bool_]) -> tuple[Fraction, Fraction, list[Fraction]]:
    """Pointing, energy and IoU of one map, by the equations."""
    size = (mask.shape[0], mask.shape[1])
    pixels = {(i, j): between(values, i, j, size) for i in range(size[0]) for j in range(size[1])}
    thing = {place for place in pixels if mask[place]}
    low, high = min(pixels.values()), max(pixels.values())
    if high == 0:
        return Fraction(0), Fraction(0), [Fraction(0)] * (STEPS - 1)
    peak = {place for place, value in pixels.items() if value == high}
    energy = sum((pixels[place] for place in thing), Fraction(0)) / sum(pixels.values())
    scaled = {place: (value - low) / (high - low) if high > low else Fraction(1) for place, value in pixels.items()}
    ious = []
    for step in range(1, STEPS):
        shown = {place for place, value in scaled.items() if value >= Fraction(step, STEPS)}
        ious.append(Fraction(len(shown & thing), len(shown | thing)))
    return Fraction(len(peak & thing), len(peak)), energy, ious


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Maps of whole numbers for one to three photos, and their objects."""
    n = draw(st.integers(1, 3))
    whole = st.integers(0, draw(st.sampled_from([1, 2, 20])))
    shape = (n, draw(EDGE), draw(EDGE))
    own, rival = (draw(arrays(np.float32, shape, elements=whole)) for _ in range(2))
    masks = draw(arrays(np.bool_, (n, draw(st.integers(1, 8)), draw(st.integers(1, 8)))))
    masks[np.arange(n), draw(st.integers(0, masks.shape[1] - 1)), 0] = True
    return own, rival, masks


def named(n: int) -> list[str]:
    return [f"{number}.jpg" for number in range(n)]


def measured(maps: Any, confused: Any, masks: Any) -> Located:
    maps, confused, masks = np.array(maps, np.float32), np.array(confused, np.float32), np.array(masks, np.bool_)
    return locate(maps, confused, masks, named(len(masks)))


def same(one: Located, two: Located, tolerance: float = 0) -> None:
    for field in FIELDS:
        np.testing.assert_allclose(getattr(one, field), getattr(two, field), rtol=0, atol=tolerance)


@given(cases())
def test_everything_is_what_the_equations_say(
    case: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    maps, confused, masks = case
    found = measured(maps, confused, masks)
    assert [getattr(found, field).shape for field in FIELDS] == [(len(masks),)] * 2 + [
        (len(masks), len(THRESHOLDS))
    ] * 2
    for row, mask in enumerate(masks):
        pointing, energy, ious = literally(maps[row].astype(int).tolist(), mask)
        _, _, rivals = literally(confused[row].astype(int).tolist(), mask)
        adjusted = [own / (own + rival) if own + rival else 0 for own, rival in zip(ious, rivals, strict=True)]
        assert found.pointing[row] == pytest.approx(float(pointing), abs=1e-12)
        assert found.energy[row] == pytest.approx(float(energy), abs=1e-12)
        assert found.iou[row] == pytest.approx([float(iou) for iou in ious], abs=1e-12)
        assert found.aiou[row] == pytest.approx([float(iou) for iou in adjusted], abs=1e-12)


@given(cases(), st.sampled_from([1e-30, 0.1, 3.0, 1e30]), st.sampled_from([1e-30, 7.0, 1e30]))
def test_how_strong_a_map_is_changes_nothing(
    case: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]], own: float, rival: float
) -> None:
    maps, confused, masks = case
    same(measured(maps * np.float32(own), confused * np.float32(rival), masks), measured(maps, confused, masks), 1e-6)


@given(cases(), st.sampled_from([(1,), (2,), (1, 2)]))
def test_a_mirror_changes_nothing(
    case: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]], axes: tuple[int, ...]
) -> None:
    same(measured(*(np.flip(part, axes) for part in case)), measured(*case), 1e-12)


@given(
    st.integers(1, 3).flatmap(
        lambda n: st.tuples(
            *[arrays(np.float32, (n, 3, 2), elements=st.floats(0, 2.0**127, width=32))] * 2,
            arrays(np.bool_, (n, 6, 7), elements=st.booleans(), fill=st.just(True)),
        )
    )
)
def test_all_numbers_are_shares(case: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]) -> None:
    maps, confused, masks = case
    masks[:, 0, 0] = True
    found = measured(maps, confused, masks)
    for field in FIELDS:
        assert ((getattr(found, field) >= 0) & (getattr(found, field) <= 1)).all()


LEFT = np.array([[[1, 1, 0, 0], [1, 1, 0, 0]]])
"""The object fills the left half."""


def test_a_map_equal_to_the_object_has_all_of_it() -> None:
    found = measured(LEFT, 1 - LEFT, LEFT)
    assert (found.pointing[0], found.energy[0]) == (1, 1)
    assert (found.iou == 1).all()
    assert (found.aiou == 1).all(), "its rival's map is off the object"
    assert (measured(LEFT, LEFT, LEFT).aiou == 0.5).all(), "its rival's is the same"
    everywhere = measured(LEFT, np.ones((1, 2, 4)), LEFT)
    assert everywhere.aiou == pytest.approx(np.full((1, 19), 1 / 1.5)), "its rival's is everywhere"


def test_a_map_on_the_background_has_nothing_of_it() -> None:
    for rival in (LEFT, 1 - LEFT, 0 * LEFT):
        found = measured(1 - LEFT, rival, LEFT)
        for field in FIELDS:
            assert (getattr(found, field) == 0).all(), field


def test_a_map_of_zeros_shows_and_is_nothing() -> None:
    found = measured(0 * LEFT, LEFT, LEFT)
    for field in FIELDS:
        assert (getattr(found, field) == 0).all(), field
    assert (measured(LEFT, 0 * LEFT, LEFT).aiou == 1).all()


def test_the_largest_value_may_stand_in_several_pixels() -> None:
    maps = [[[9, 0, 9, 9], [0, 0, 0, 9]], [[9, 8, 0, 0], [0, 0, 0, 0]]]
    assert measured(maps, maps, np.repeat(LEFT, 2, axis=0)).pointing.tolist() == [0.25, 1]


def test_what_a_map_shows_at_a_threshold_reaches_it() -> None:
    """Values of 1, 0.6, 0.3 and 0, the first two of which are the object's."""
    found = measured([[[10, 6, 3, 0]]], [[[0, 0, 10, 4]]], [[[1, 1, 0, 0]]])
    iou = dict(zip(THRESHOLDS, found.iou[0].tolist(), strict=True))
    assert iou[0.05] == iou[0.3] == pytest.approx(2 / 3), "three pixels reach 0.3"
    assert iou[0.35] == iou[0.6] == 1
    assert iou[0.65] == iou[0.95] == 0.5
    assert (found.aiou == 1).all()
    assert found.energy[0] == pytest.approx(16 / 19)


def test_maps_are_scaled_from_their_smallest_value() -> None:
    offset, plain = (measured([[[a, a + 4, a + 8, a + 2]]], LEFT[:, :1], [[[0, 0, 1, 1]]]) for a in (90, 0))
    assert np.array_equal(offset.iou, plain.iou)
    assert offset.energy[0] == pytest.approx(190 / 374)
    assert plain.energy[0] == pytest.approx(10 / 14)


def test_a_map_that_is_the_same_but_for_rounding_is_the_same_everywhere() -> None:
    noise = np.random.default_rng(0).random((1, 2, 4)).astype(np.float32)
    found = measured(3 + 1e-7 * noise, 3 + 1e-7 * noise, LEFT)
    assert (found.iou == 0.5).all()
    assert found.pointing[0] == 0.5


@pytest.mark.parametrize("height", [5e-324, 1e-300, 1.0, 1.7e308])
def test_a_map_may_be_as_high_or_low_as_numbers_go(height: float) -> None:
    map_ = np.array([[[0, 1, 0, 0], [1, 0, 1, 0]]]) * height
    same(locate(map_, map_, LEFT == 1, ["a"]), measured(map_ > 0, map_ > 0, LEFT), 1e-12)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (7, 5), (16, 9), (64, 64), (3, 2)])
@pytest.mark.parametrize("cells", [(1, 1), (5, 7), (4, 1), (7, 7)])
def test_maps_are_enlarged_as_torch_does(cells: tuple[int, int], size: tuple[int, int]) -> None:
    maps = torch.rand((3, *cells), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.nn.functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(enlarged(maps.numpy(), size), expected.numpy(), rtol=0, atol=1e-14)


def some(n: int, cells: int, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
    rng = np.random.default_rng(n)
    masks = rng.random((n, *size)) < rng.random((n, 1, 1))
    masks[:, 0, 0] = True
    return rng.random((n, cells, cells), np.float32), rng.random((n, cells, cells), np.float32), masks


@pytest.mark.parametrize("pixels", [1, 100, 1000])
def test_photos_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    case = some(13, 4, (9, 8))
    whole = measured(*case)
    monkeypatch.setattr(localisation, "CHUNK", pixels)
    same(measured(*case), whole)
    backwards = measured(*(part[::-1] for part in case))
    for field in FIELDS:
        assert np.array_equal(getattr(backwards, field)[::-1], getattr(whole, field))


def test_no_photos_have_no_numbers() -> None:
    found = measured(np.zeros((0, 2, 2)), np.zeros((0, 3, 3)), np.zeros((0, 4, 4)))
    assert [getattr(found, field).shape for field in FIELDS] == [(0,), (0,), (0, 19), (0, 19)]


def test_maps_of_the_two_classes_may_have_sizes_of_their_own() -> None:
    maps, _, masks = some(4, 3, (8, 8))
    confused = some(5, 5, (8, 8))[0][:4]
    at_once = measured(maps, confused, masks)
    alone = measured(confused, confused, masks).iou
    assert at_once.aiou == pytest.approx(at_once.iou / (at_once.iou + alone))


def test_a_map_that_is_the_same_everywhere_has_the_objects_area() -> None:
    masks = some(20, 1, (12, 10))[2]
    found, area = uniform(masks), masks.sum(axis=(1, 2)) / 120
    assert areas(masks) == pytest.approx(area)
    assert found.pointing == pytest.approx(area)
    assert found.energy == pytest.approx(area)
    assert found.iou == pytest.approx(np.repeat(area[:, None], 19, axis=1))
    assert (found.aiou == 0.5).all()


def test_a_blob_in_the_middle_has_a_gaussians_share() -> None:
    masks = np.zeros((3, 200, 100), np.bool_)
    masks[0, :100] = True
    masks[1, 50:150, 25:75] = True
    masks[2, :20, :10] = True
    found = centred(masks)
    # Half the edge is two deviations; the middle half reaches one from the middle to either side.
    middle = math.erf(1 / math.sqrt(2)) / math.erf(2 / math.sqrt(2))
    edge = (math.erf(2 / math.sqrt(2)) - math.erf(1.6 / math.sqrt(2))) / 2 / math.erf(2 / math.sqrt(2))
    assert found.energy == pytest.approx([0.5, middle**2, edge**2], abs=1e-3)
    assert found.pointing.tolist() == [0.5, 1, 0]
    assert (found.aiou[:2] == 0.5).all()
    # It shows a disc: in the corners it is exp(-4) of its height, and half of what is above that is the threshold.
    radius = math.sqrt(-2 * math.log((1 + math.exp(-4)) / 2)) / 4
    half = math.pi * radius**2 / 2
    assert found.iou[0, THRESHOLDS.index(0.5)] == pytest.approx(half / (0.5 + half), abs=5e-3)


def test_an_object_that_is_not_there_is_refused_by_name() -> None:
    masks = np.repeat(LEFT, 3, axis=0)
    masks[1:] = 0
    with pytest.raises(
        DataError, match=r"masks of 2 of 3 photos show nothing, the first that of '1.jpg': draw the obj"
    ):
        measured(np.ones((3, 2, 2)), np.ones((3, 2, 2)), masks)
    with pytest.raises(DataError, match=r"the first that of 'photo 0'"):
        uniform(np.zeros((1, 2, 2), np.bool_))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-9, -np.inf])
def test_values_that_no_map_has_are_refused_by_name(value: float) -> None:
    good, bad = np.ones((2, 2, 2)), np.ones((2, 2, 2))
    bad[1, 0, 1] = value
    masks = np.ones((2, 4, 4), np.bool_)
    with pytest.raises(ValueError, match=r"^maps must be finite and 0 or more; 1 are not, the first of 'b'"):
        locate(bad, good, masks, ["a", "b"])
    with pytest.raises(ValueError, match=r"^maps of confused classes must be finite and 0 or more"):
        locate(good, bad, masks, ["a", "b"])


@pytest.mark.parametrize(
    ("maps", "masks", "names", "said"),
    [
        (np.ones((2, 3, 3)), np.ones((3, 4, 4), bool), "abc", r"maps must be \(3, h, w\), not \(2, 3, 3\)"),
        (np.ones((2, 3)), np.ones((2, 4, 4), bool), "ab", r"maps must be \(2, h, w\), not \(2, 3\)"),
        (np.ones((2, 0, 3)), np.ones((2, 4, 4), bool), "ab", r"maps must be \(2, h, w\), not \(2, 0, 3\)"),
        (np.ones((2, 3, 3)), np.ones((2, 4, 4)), "ab", r"masks must be bool \(n, H, W\) for 2 names, not float64"),
        (np.ones((2, 3, 3)), np.ones((2, 4), bool), "ab", r"masks must be bool .* not bool \(2, 4\)"),
        (np.ones((2, 3, 3)), np.ones((2, 4, 4), bool), "abc", r"for 3 names"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(maps: Any, masks: Any, names: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        locate(maps, maps, masks, list(names))


def test_measuring_needs_no_torch() -> None:
    code = "import sys, spurbench.localisation, spurbench.masks; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"
