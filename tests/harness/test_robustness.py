"""Effective robustness: lines against linear algebra, who is part of them, and a picture that can be read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import t as student

from spurbench.board import Board, make_board
from spurbench.published import Published, packaged, read_published
from spurbench.record import Record
from spurbench.render.robustness_plot import draw, figure_of
from spurbench.render.robustness_terminal import print_robustness
from spurbench.robustness import DISCOVERY, Robustness, robustness

NONE = Board("worst_group", ())
MakeRecord = Callable[..., Record]


@pytest.fixture(scope="module")
def values() -> tuple[Published, ...]:
    return read_published(packaged())


@pytest.fixture(scope="module")
def found(values: tuple[Published, ...]) -> Robustness:
    return robustness(values, NONE, "counteranimal")


def printed(pairs: Sequence[tuple[float, float]], method: str = "own_head") -> list[Published]:
    row = {
        "dataset": "animals", "method": method, "model": "m", "pretraining": "", "average": "class", "prompts": "",
        "label_space": "1v1000", "split": "test", "source": "s", "where": "Table 4", "reliable": True, "note": "",
    }  # fmt: skip
    return [
        Published.model_validate({**row, "backbone": f"m{i}", "metric": metric, "value": value})
        for i, pair in enumerate(pairs)
        for metric, value in zip(("easy", "hard"), pair, strict=True)
    ]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=3, max_size=12))
def test_lines_are_least_squares(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    assume(np.ptp(x) > 1)
    assume(np.ptp(y) > 1)
    made = robustness(printed(pairs), NONE, "animals")
    (fit,) = made.fits
    design = np.stack([np.ones_like(x), x], axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ np.array([intercept, slope])
    error = np.sqrt(residual @ residual / (len(x) - 2) * np.linalg.inv(design.T @ design)[1, 1])
    half = student.ppf(0.975, len(x) - 2) * error
    assert (fit.slope, fit.intercept) == (pytest.approx(slope, abs=1e-6), pytest.approx(intercept, abs=1e-4))
    assert (fit.slope_low, fit.slope_high) == (
        pytest.approx(slope - half, abs=1e-4),
        pytest.approx(slope + half, abs=1e-4),
    )
    assert fit.r_squared == pytest.approx(1 - residual @ residual / ((y - y.mean()) ** 2).sum(), abs=1e-6)
    for point in made.points:
        assert made.effective(point) == pytest.approx(point.hard - intercept - slope * point.easy, abs=1e-4)


def test_too_few_supervised_models_are_no_reference() -> None:
    made = robustness(printed([(60, 40), (70, 50)]), NONE, "animals")
    assert (made.fits, made.reference) == ((), None)
    assert [made.effective(point) for point in made.points] == [None, None]


def test_the_published_models_are_those_of_the_papers_figure(found: Robustness) -> None:
    """27 of 28 CLIP models are fitted: the one that chose the photos is not; 15 supervised ones."""
    assert [sum(point.family == family for point in found.points) for family in ("clip", "supervised")] == [28, 15]
    assert {fit.name: fit.n for fit in found.fits} == {
        "CLIP, published": 27,
        "CLIP, published, without doubtful rows": 21,
        "ImageNet-supervised, published": 15,
    }
    assert all(point.size for point in found.points)
    assert all((point.images is None) == (point.family == "supervised") for point in found.points)


def test_at_equal_easy_accuracy_supervised_models_do_better_on_hard_photos(found: Robustness) -> None:
    clip, _, supervised = found.fits
    for easy in (60, 70, 80, 90):
        assert supervised.at(easy) > clip.at(easy)
    discovery = [point for point in found.points if point.name in DISCOVERY]
    assert min(found.points, key=lambda point: found.effective(point) or 0.0) == discovery[0]


def test_own_records_are_points_of_their_own(values: tuple[Published, ...], easy_hard_record: MakeRecord) -> None:
    total = [10, 10, 10, 10]
    names = ["RN50", "ViT-B/16", "ViT-L/14", "ViT-B/32:laion400m_e31"]
    records = [
        easy_hard_record([6 + i, 3 + 2 * i, 6 + i, 3 + i], total, backbone=name, dataset="counteranimal")
        for i, name in enumerate(names)
    ]
    own_head: dict[str, Any] = {"method": "own_head", "prompts": "", "backbone": "torchvision:resnet50"}
    records.append(easy_hard_record([8, 6, 8, 6], total, dataset="counteranimal", **own_head))
    records.append(easy_hard_record([8, 6, 8, 6], total, dataset="plants"))
    records.append(easy_hard_record([8, 6, 8, 6], total, dataset="counteranimal", method="erm", backbone="RN101"))
    records.append(
        easy_hard_record([1, 1, 1, 1], total, dataset="counteranimal", backbone="RN50x4", prompts="openai80")
    )
    made = robustness(values, make_board(records), "counteranimal")
    own = {point.name: point for point in made.points if point.own}
    assert set(own) == {*names, "torchvision:resnet50"}
    assert (own["RN50"].easy, own["RN50"].hard) == (pytest.approx(60), pytest.approx(30))
    assert own["torchvision:resnet50"].family == "supervised"
    fits = {fit.name: fit.n for fit in made.fits}
    assert fits["CLIP, own records"] == 3
    assert "ImageNet-supervised, own records" not in fits
    assert made.reference == robustness(values, NONE, "counteranimal").reference


def test_without_published_models_own_ones_are_the_reference(easy_hard_record: MakeRecord) -> None:
    own_head: dict[str, Any] = {"method": "own_head", "prompts": "", "dataset": "mine"}
    records = [
        easy_hard_record([10 + 2 * i, 5 + i], [20, 20], backbone=f"torchvision:m{i}", **own_head) for i in range(4)
    ]
    made = robustness((), make_board(records), "mine")
    assert made.reference is not None
    assert made.reference.slope == pytest.approx(0.5)
    assert [made.effective(point) for point in made.points] == pytest.approx([0.0] * 4, abs=1e-9)


def test_in_the_picture_no_name_covers_another_name_or_a_circle(found: Robustness) -> None:
    figure: Any = figure_of(found, "t")
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) > 25
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].shrunk(0.98, 0.98).overlaps(pair[1])]
    room = axes.get_window_extent(renderer)
    legends = [item.get_window_extent(renderer) for item in axes.get_children() if type(item).__name__ == "Legend"]
    assert len(legends) == 2
    for box in boxes:
        assert room.x0 <= box.x0 <= box.x1 <= room.x1 + 1
        assert not any(box.overlaps(legend) for legend in legends)
        for point in found.points:
            x, y = axes.transData.transform((point.easy, point.hard))
            assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1)


def test_own_models_are_filled_and_published_ones_hollow(found: Robustness) -> None:
    own = tuple(replace(point, own=True) for point in found.points[:3])
    both: Any = figure_of(replace(found, points=found.points + own), "t").axes[0]
    circles = [item for item in both.collections if len(item.get_offsets())]
    white = [bool((item.get_facecolor()[0][:3] == 1).all()) for item in circles]
    assert (white.count(True), white.count(False)) == (43, 3)


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_numbers_give_the_same_picture(found: Robustness, form: Any) -> None:
    small = replace(found, points=found.points[:6])
    first = draw(small, "t", form)
    assert first == draw(small, "t", form)
    assert first != draw(small, "another title", form)
    assert b"<dc:date>" not in first


def test_names_from_anywhere_are_drawn_as_they_are(found: Robustness) -> None:
    hostile = replace(found.points[0], label="$\\frac{<b>&\x1b[31m", own=True, easy=95.0, hard=40.0)
    text = draw(replace(found, points=(*found.points, hostile)), "$x_{", "svg")
    assert b"<b>" not in text
    assert b"\x1b" not in text


def test_in_the_terminal_80_columns_are_enough(found: Robustness) -> None:
    console = Console(width=80, record=True, quiet=False, file=None)
    with console.capture() as told:
        print_robustness(found, console)
    text = told.get()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "chose photos" in text
    assert text.index("torchvision:alexnet") < text.index("ViT-B/32-gelu")
