"""Where the models look, on the page: in the table, in a record's story, and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.attention import MEASURES
from spurbench.board import BoardRow
from spurbench.leaderboard import read_everything
from spurbench.record import Record
from spurbench.render.attention import BLOB

from .made import page_of
from .reading import data_of, markup

SIZES = (20, 10, 8, 30)
ROWS = np.repeat(np.arange(4), SIZES)
CENTRE = {"aiou": 0.5, "pointing": 0.6, "energy": 0.3}
LAYER = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def looked(write_outcomes: Callable[..., Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five methods, into the models of four of which somebody has looked."""
    folder = tmp_path_factory.mktemp("looks") / "results"
    for place, method in enumerate("abcde"):
        right = np.random.default_rng(place).random((3, len(ROWS))) < 0.5 + 0.08 * place
        more = {"looked": {"seed": place, "photos": (6, 5, 0, 8), "layer": LAYER}} if place else {}
        write_outcomes(folder, method, right, ROWS, **more)
    (folder.parent / "index.html").write_text(page_of(folder), encoding="utf-8")
    return folder


def rows_of(folder: Path) -> list[BoardRow]:
    return read_everything(folder).rows()


def test_the_data_are_those_of_the_board(looked: Path) -> None:
    data = data_of((looked.parent / "index.html").read_text(encoding="utf-8"))
    for row, told in zip(rows_of(looked), data["rows"]["worst_group"], strict=True):
        cell, found = row.attention, told["attention"]
        assert (cell is None) == (found is None) == (row.method == "a")
        if cell is None:
            continue
        assert found["groups"] == ["landbird/land", "landbird/water", "waterbird/water"]
        assert (found["photos"], found["area"]) == ([6, 5, 8], [0.2, 0.2, 0.2])
        assert found["centre"] == {name: [share] * 3 for name, share in CENTRE.items()}
        for measure in MEASURES:
            means = getattr(cell, measure)
            expected = [means.balanced, means.groups[0], means.groups[1], means.groups[3]]
            assert found[measure] == [pytest.approx([v.mean, v.low, v.high], abs=1e-5) for v in expected]
        assert found["curve"] == [
            pytest.approx([x, y], abs=1e-5) for x, y in zip(cell.thresholds, cell.curve, strict=True)
        ]


def test_the_section_stands_in_the_page_itself_and_a_layer_from_anywhere_is_text(looked: Path) -> None:
    page = markup((looked.parent / "index.html").read_text(encoding="utf-8"))
    assert all(tag != "img" for tag, _ in page.elements)
    (table,) = (table for table in page.tables if table[:1] == [["method", "WGA", "AIoU", "pointing", "energy"]])
    assert [line[0] for line in table[1:5]] == [row.method for row in rows_of(looked) if row.attention]
    assert table[5][2:] == ["50.0", "20.0", "20.0"]
    assert table[6] == [BLOB, "-", "50.0", "60.0", "30.0"]
    assert f"Grad-CAM at {LAYER}" in page.text
    assert "with WGA over 4 methods" in page.text


def test_a_page_of_records_that_nobody_looked_into_says_nothing_of_it(small_page: Path) -> None:
    page = small_page.read_text(encoding="utf-8")
    assert 'id="looks"' not in page
    assert "adjusted IoU" not in markup(page).text
    assert all(row["attention"] is None for row in data_of(page)["rows"]["average"])


@pytest.fixture
def tab(browser: Any, looked: Path) -> Any:
    """The page, opened; any error in it fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.goto((looked.parent / "index.html").as_uri())
    opened.wait_for_selector("#table tbody td")
    yield opened
    context.close()
    assert errors == []


def test_columns_can_be_shown_and_sorted_by(tab: Any, looked: Path) -> None:
    assert tab.locator("#table thead th", has_text="looks:").count() == 0
    tab.click("#columns summary")
    tab.check("#columns input[value=looks_energy]")
    tab.click("#columns summary")
    heading = tab.locator("#table thead th", has_text="looks: energy")
    heading.click()
    tab.wait_for_selector("#table th[aria-sort=descending]:has-text('looks: energy')")
    energy = {row.method: row.attention.energy.balanced for row in rows_of(looked) if row.attention is not None}
    best = sorted(energy, key=lambda method: -energy[method].mean)
    shown = tab.locator("#table tbody td.name button").all_inner_texts()
    assert shown == [*best, "a"]
    first = tab.locator("#table tbody tr").first.inner_text()
    found = energy[best[0]]
    assert f"{100 * found.mean:.1f} {100 * found.low:.1f} to {100 * found.high:.1f}" in first
    heading.click()
    tab.wait_for_selector("#table th[aria-sort=ascending]:has-text('looks: energy')")
    assert tab.locator("#table tbody td.name button").all_inner_texts() == [*reversed(best), "a"]


def test_columns_that_nothing_has_are_not_offered(browser: Any, small_page: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(small_page.as_uri())
    page.wait_for_selector("#table tbody td")
    assert page.locator("#columns input[value=auroc]").count() == 1
    assert page.locator("#columns input[value^=looks]").count() == 0
    context.close()


def test_a_records_story_has_its_groups_and_its_curve(tab: Any, looked: Path) -> None:
    tab.locator("#table tbody td.name button", has_text="e").first.click()
    story = tab.locator("dialog")
    cell = next(row.attention for row in rows_of(looked) if row.method == "e")
    assert cell is not None
    table = story.get_by_role("region", name="Where the models look, by group")
    assert "landbird/water" in table.inner_text()
    for value in (cell.aiou.balanced, cell.energy.groups[3]):
        assert value is not None
        assert f"{100 * value.mean:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})" in table.inner_text()
    assert LAYER in story.inner_text()
    assert "A blob in the middle has a pointing of 60.0 and an energy of 30.0." in story.inner_text()
    line = story.get_by_label("Adjusted IoU at each threshold").locator(
        "path[stroke-width='2'], g[stroke-width='2'] path"
    )
    assert line.first.get_attribute("d").count(",") == 3
    tab.keyboard.press("Escape")
    tab.locator("#table tbody td.name button", has_text="a").first.click()
    assert "Where the models look" not in story.inner_text()
