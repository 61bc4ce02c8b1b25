"""Pictures of a discovery: the right pixels cut out, the outline around them, two rows for each finding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from spurbench.cards import DiscovererCard
from spurbench.contact_sheet import MAT, layout
from spurbench.discovery import Discovery, Finding
from spurbench.errors import DataError, UsageError
from spurbench.findings.account import make_report
from spurbench.findings.report import DiscoveryReport, Example, Provenance
from spurbench.findings.sheet import CROP, LINE, PHOTO, RIGHT, WRONG, _pixels, discovery_sheet, open_pictures, picture

ORIGIN = Provenance(seed=0, fingerprints={}, environment={})


def example(box: tuple[float, float, float, float], right: bool = True) -> Example:
    predicted = "cat" if right else "dog"
    return Example(id="x", row=0, box=box, label="cat", predicted=predicted, confidence=None, known=None)


def reported(study: Any, n_findings: int, k: int) -> DiscoveryReport:
    findings = tuple(Finding(torch.arange(5 * i, 5 * i + k), 1.0, 1) for i in range(n_findings))
    card = DiscovererCard("looker", "Looks", "none")
    return make_report(study, Discovery(findings), card, ORIGIN, top=9, examples=30, against=False)


def pixels(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


def test_each_crop_is_the_region_and_nothing_but_the_region(make_study: Callable[..., Any]) -> None:
    study = make_study()
    report = reported(study, 3, 12)
    for finding, shown in zip(report.findings, open_pictures(study.examples.photos, report), strict=True):
        assert len(shown) == len(finding.examples) == 12
        for one, pair in zip(finding.examples, shown, strict=True):
            quarter = round(2 * one.box[0]) + 2 * round(2 * one.box[1])
            assert pair.crop.getcolors() == [(128 * 85, study.examples.photos.colour(one.row, quarter))]
            assert pair.photo.size == (256, 171)


@pytest.mark.parametrize("right", [True, False])
def test_the_outline_is_around_the_region_and_the_rest_of_the_photo_is_as_it_was(right: bool) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (PHOTO, PHOTO, 3), dtype=np.uint8))
    before = photo.copy()
    shown = pixels(picture(photo, example((0.25, 0.5, 0.75, 0.625), right)).photo)
    assert photo.tobytes() == before.tobytes()
    left, top, edge_x, edge_y, out = 64, 128, 192, 160, LINE + 2
    frame = np.zeros((PHOTO, PHOTO), bool)
    frame[top - out : edge_y + out, left - out : edge_x + out] = True
    frame[top:edge_y, left:edge_x] = False
    assert np.array_equal(shown[~frame], pixels(photo)[~frame])
    colour = ImageColor.getrgb(RIGHT if right else WRONG)
    depth = np.array([shown[top + 5, left - out + i] for i in range(out)])
    assert depth.tolist() == [[0, 0, 0], *[list(colour)] * LINE, [0, 0, 0]]
    assert {tuple(colours) for colours in shown[frame].tolist()} == {(0, 0, 0), colour}


def test_an_outline_that_the_photo_has_no_room_for_lies_on_its_edge() -> None:
    photo = Image.new("RGB", (PHOTO, PHOTO), "white")
    shown = pixels(picture(photo, example((0.0, 0.0, 1.0, 1.0))).photo)
    for edge in (shown, shown[::-1], shown.swapaxes(0, 1), shown[:, ::-1].swapaxes(0, 1)):
        assert (edge[:LINE] == ImageColor.getrgb(RIGHT)).all()
        assert (edge[LINE : LINE + 2, LINE:-LINE] == 0).all()
    assert (shown[LINE + 2 : -LINE - 2, LINE + 2 : -LINE - 2] == 255).all()


COORDINATE = st.floats(-2, 3, allow_nan=False)


@given(COORDINATE, COORDINATE, COORDINATE, COORDINATE, st.integers(1, 70), st.integers(1, 70))
def test_any_box_gives_a_picture(left: float, top: float, wide: float, high: float, width: int, height: int) -> None:
    shown = picture(Image.new("RGB", (width, height), "teal"), example((left, top, left + abs(wide), top + abs(high))))
    assert max(shown.crop.size) == CROP
    assert max(shown.photo.size) == PHOTO
    assert shown.crop.getcolors() == [(shown.crop.width * shown.crop.height, (0, 128, 128))]


@given(st.integers(1, 16), st.integers(1, 200), st.data())
def test_cells_of_a_grid_cut_a_photo_into_parts_that_touch_and_lose_nothing(
    r: int, width: int, data: st.DataObject
) -> None:
    """Every pixel is in a cell; a pixel is in two cells only where their border goes through it."""
    photo = Image.new("RGB", (width, 3))
    photo.putdata([(x % 256, 0, 0) for _ in range(3) for x in range(width)])
    cell = data.draw(st.integers(0, r - 1))
    box = tuple(round(float(np.float32(share)), 6) for share in (cell / r, 0, (cell + 1) / r, 1))
    touched = [x for x in range(width) if x + 1 > cell * width / r + 1e-9 and x < (cell + 1) * width / r - 1e-9]
    left, top, right, bottom = _pixels(example(box), photo.size)  # type: ignore[arg-type]
    assert list(range(left, right)) == touched
    assert (top, bottom) == (0, 3)


def test_a_finding_has_its_regions_in_one_row_and_their_photos_below(make_study: Callable[..., Any]) -> None:
    study = make_study()
    report = reported(study, 2, 5)
    shown = open_pictures(study.examples.photos, report)
    sheet = discovery_sheet(report, shown)
    five = range(5)
    places = layout([("a\nb\nc\nd", []), ("a\nb", five), ("", five), ("a\nb", five), ("", five)], CROP)
    assert sheet.size == places.size
    for rank, finding in enumerate(report.findings):
        for column, one in enumerate(finding.examples):
            quarter = round(2 * one.box[0]) + 2 * round(2 * one.box[1])
            left, top = places.corner(1 + 2 * rank, column)
            middle = sheet.crop((left, top, left + CROP, top + CROP))
            assert middle.getpixel((CROP // 2, CROP // 2)) == study.examples.photos.colour(one.row, quarter)
            assert middle.getpixel((CROP // 2, 2)) == ImageColor.getrgb(MAT)
            left, top = places.corner(2 + 2 * rank, column)
            below = sheet.crop((left, top, left + CROP, top + CROP))
            # The outline covers the photo's middle, not the corner that is farthest from the region's own.
            x, y = (20 if one.box[0] else CROP - 20), (30 if one.box[1] else CROP - 30)
            across = study.examples.photos.colour(one.row, 3 - quarter)
            assert below.getpixel((x, y)) == across


def test_no_finding_is_a_sheet_that_says_so(make_study: Callable[..., Any]) -> None:
    study = make_study()
    report = reported(study, 0, 0)
    assert open_pictures(study.examples.photos, report) == []
    assert discovery_sheet(report, []).size == layout([("a\nb\nc\nd", [])], CROP).size


def test_too_large_a_sheet_and_a_torn_photo_are_refused(make_study: Callable[..., Any]) -> None:
    study = make_study()

    class Torn:
        at_once = 1

        def open(self, rows: list[int]) -> list[Image.Image]:
            raise DataError(f"photo {rows[0]} is torn")

    report = reported(study, 2, 5)
    with pytest.raises(DataError, match=f"photo {report.findings[0].examples[0].row} is torn"):
        open_pictures(Torn(), report)  # type: ignore[arg-type]
    many = report.model_copy(update={"findings": report.findings[:1] * 1000})
    with pytest.raises(UsageError, match="too large"):
        open_pictures(Torn(), many)  # type: ignore[arg-type]
