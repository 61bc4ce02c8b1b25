"""The page in a browser: what a reader clicks, types and prints, with mouse or keyboard, with scripts or without."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.render.site import text

from .made import made, page_of
from .reading import data_of

Open = Callable[..., Any]
LOCAL = ("file:", "blob:", "data:")
COSTS = {"seconds": "seconds per seed", "parameters": "trained parameters", "memory": "peak memory"}
FIGURES = ("groups", "average", "cost", "ranks")


@pytest.fixture
def visit(browser: Any, small_page: Path) -> Iterator[Open]:
    """Open the page, at an address after the #; any error in it fails the test."""
    errors: list[str] = []
    contexts = []

    def go(address: str = "", ready: str = "#table tbody td", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("request", lambda request: errors.append(request.url) if not request.url.startswith(LOCAL) else None)
        tab.goto(f"{small_page.as_uri()}{address}")
        tab.wait_for_selector(ready)
        return tab

    yield go
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="module")
def data(small_page: Path) -> dict[str, Any]:
    return data_of(small_page.read_text(encoding="utf-8"))


def column(tab: Any, title: str) -> list[str]:
    """The cells below a heading, on the page of the table that is shown."""
    cells: list[str] = tab.evaluate(
        """title => {
            const heads = [...document.querySelectorAll("#table thead th")].map((th) => th.innerText.trim());
            const rows = [...document.querySelectorAll("#table tbody tr")];
            return rows.map((tr) => tr.cells[heads.indexOf(title)].innerText.trim());
        }""",
        title,
    )
    return cells


def sorts(tab: Any, title: str) -> Any:
    return tab.locator(f'#table thead [aria-label^="{title}:"]')


def dismiss(tab: Any) -> None:
    """Close the dialog by key. Its `close` event, upon which the address lets go of the record, comes later."""
    tab.keyboard.press("Escape")
    tab.wait_for_function("() => !document.getElementById('record').open && !location.hash.includes('record')")


def total(tab: Any) -> int:
    return int(tab.inner_text(".dt-info").split(" of ")[1].split()[0])


def test_the_table_is_the_board_in_its_order(visit: Open, data: dict[str, Any]) -> None:
    tab = visit()
    rows = data["rows"]["worst_group"]
    assert total(tab) == len(rows) == 32
    assert column(tab, "method") == [data["records"][row["record"]]["method"] for row in rows[:25]]
    assert column(tab, "WGA") == [f"{100 * row['wga'][0]:.1f}" for row in rows[:25]]
    assert column(tab, "acc_test") == [f"{100 * row['acc_test'][0]:.1f}" for row in rows[:25]]
    assert column(tab, "per seed") == [text.seconds(row["seconds"]) for row in rows[:25]]
    assert column(tab, "memory") == [text.memory(row["memory"]) for row in rows[:25]]
    assert column(tab, "parameters") == [text.count(row["parameters"]) for row in rows[:25]]
    tab.get_by_role("link", name="Next").click()
    tab.wait_for_function("document.querySelectorAll('#table tbody tr').length === 7")
    assert column(tab, "method") == [data["records"][row["record"]]["method"] for row in rows[25:]]


def test_a_heading_sorts_by_mouse_and_by_keyboard_and_says_so(visit: Open) -> None:
    tab = visit()
    tab.click("#table thead th:has-text('WGA')")
    tab.wait_for_selector("#table th[aria-sort=descending]")
    found = [float(value) for value in column(tab, "WGA")]
    assert found == sorted(found, reverse=True)
    sorts(tab, "WGA").press("Enter")
    tab.wait_for_selector("#table th[aria-sort=ascending]")
    found = [float(value) for value in column(tab, "WGA")]
    assert found == sorted(found)
    assert tab.evaluate("location.hash") == "#sort=wga-asc"


def test_typing_finds_methods_and_the_address_keeps_it(visit: Open) -> None:
    tab = visit()
    tab.locator("#query").press_sequentially("METHOD_03 vit-1")
    assert set(column(tab, "method")) == {"method_03"}
    assert set(column(tab, "backbone")) == {"ViT-1"}
    assert total(tab) == 2
    tab.fill("#query", "no such thing")
    assert "Nothing matches" in tab.inner_text("#table tbody")
    tab.click("#reset")
    assert total(tab) == 32
    assert tab.input_value("#query") == ""


def test_filters_are_set_by_keyboard(visit: Open) -> None:
    tab = visit()
    menu = tab.locator("[data-filter=dataset]")
    menu.locator("summary").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    assert set(column(tab, "data set")) == {"data-0"}
    assert menu.locator(".chosen").inner_text() == "data-0"
    tab.keyboard.press("Escape")
    assert menu.get_attribute("open") is None
    assert tab.evaluate("document.activeElement.tagName") == "SUMMARY"
    tab.locator("[data-filter=track] summary").click()
    tab.get_by_label("val groups").check()
    tab.get_by_label("train groups").check()
    assert set(column(tab, "supervision")) == {"val groups", "train groups"}
    assert tab.evaluate("location.hash") == "#dataset=data-0&track=val+groups&track=train+groups"


def test_a_link_opens_the_page_as_it_was(visit: Open, data: dict[str, Any]) -> None:
    tab = visit("#dataset=data-1&track=none&selection=average&sort=acc_test-asc&columns=method,acc_test,oracle")
    rows = [
        (row["acc_test"][0], data["records"][row["record"]]["method"], row["oracle"][0])
        for row in data["rows"]["average"]
        if (data["records"][row["record"]]["dataset"], data["records"][row["record"]]["track"]) == ("data-1", "none")
    ]
    rows.sort()
    assert column(tab, "method") == [method for _, method, _ in rows]
    assert column(tab, "acc_test") == [f"{100 * share:.1f}" for share, _, _ in rows]
    assert column(tab, "oracle (diagnostic)") == [f"{100 * share:.1f}" for _, _, share in rows]
    assert tab.locator("#table thead th").count() == 3
    assert tab.input_value("#selection") == "average"
    assert tab.locator("[data-filter=dataset] .chosen").inner_text() == "data-1"


def test_addresses_that_say_nonsense_are_no_harm(visit: Open) -> None:
    tab = visit("#selection=__proto__&sort=nothing-up&dataset=&columns=&record=../x&track=%F0")
    assert "Nothing matches" in tab.inner_text("#table tbody") or total(tab) == 0
    assert tab.inner_text("#record-title") == "No such record"
    assert "../x" in tab.inner_text("#record")
    dismiss(tab)
    tab.click("#reset")
    assert total(tab) == 32


def test_selection_shows_other_numbers_one_rule_at_a_time(visit: Open, data: dict[str, Any]) -> None:
    tab = visit()
    for rule in ("worst_class", "average", "worst_group"):
        tab.select_option("#selection", rule)
        assert column(tab, "WGA") == [f"{100 * row['wga'][0]:.1f}" for row in data["rows"][rule][:25]]


def test_the_top_follows_the_selection(visit: Open, data: dict[str, Any]) -> None:
    tab = visit("#dataset=data-1")
    for rule in ("worst_class", "average", "worst_group"):
        tab.select_option("#selection", rule)
        shown = tab.locator("#short table:visible")
        assert shown.count() == 1
        best: dict[tuple[str, ...], str] = {}
        for row in data["rows"][rule]:
            story = data["records"][row["record"]]
            best.setdefault((story["dataset"], story["backbone"], story["track"]), f"{100 * row['wga'][0]:.1f}")
        assert shown.locator("td b:not([style])").all_inner_texts() == list(best.values())
        assert f"Selected by {rule.replace('_', ' ')}" in tab.locator("#short p:visible").first.inner_text()
        leaders = tab.locator(".leaders:visible strong").all_inner_texts()
        assert leaders == [ranking["methods"][0] for ranking in data["rankings"][rule]]
    tab.select_option("#selection", "average")
    link = tab.locator("#short a:visible").first
    address = link.get_attribute("href")
    link.click()
    wga = tab.inner_text("#record .numbers dd >> nth=0").split()[0]
    assert wga == next(f"{100 * row['wga'][0]:.1f}" for row in data["rows"]["average"] if row["rank"] == 1)
    assert "dataset=data-1" in tab.evaluate("location.hash")
    again = visit(address, ready="#record-title")
    assert again.inner_text("#record .numbers dd >> nth=0").split()[0] == wga


@pytest.mark.parametrize("menu", ["[data-filter=dataset]", "[data-filter=backbone]", "[data-filter=track]", "#columns"])
def test_a_click_on_the_text_of_a_choice_chooses_it(visit: Open, menu: str) -> None:
    tab = visit()
    tab.locator(f"{menu} summary").click()
    tab.wait_for_function(
        """menu => {
            const { top, bottom } = document.querySelector(`${menu} fieldset`).getBoundingClientRect();
            return top >= 0 && bottom <= innerHeight;
        }""",
        arg=menu,
    )
    for place in range(2, tab.locator(f"{menu} label").count()) if menu == "#columns" else range(2):
        label = tab.locator(f"{menu} label").nth(place)
        label.scroll_into_view_if_needed()
        before = label.locator("input").is_checked()
        text = label.evaluate(
            """node => { const range = document.createRange(); range.selectNodeContents(node.lastChild);
                const box = range.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }"""
        )
        tab.mouse.click(*text)
        assert label.locator("input").is_checked() != before


def test_bars_are_drawn_on_the_range_of_what_is_shown(visit: Open, data: dict[str, Any]) -> None:
    tab = visit()
    for query in ("", "method_07"):
        tab.fill("#query", query)
        rows = [row for row in data["rows"]["worst_group"] if query in data["records"][row["record"]]["method"]][:25]
        low = math.floor(10 * min(row["worst"]["low"] for row in rows)) * 10
        high = math.ceil(10 * max(row["worst"]["high"] for row in rows)) * 10
        assert tab.locator("#table thead th:has-text('interval')").get_attribute("title").endswith(f"{low} to {high}")
        bar = tab.locator("#table .bar").first
        whole, part, point = (bar.bounding_box(), *(bar.locator(kind).bounding_box() for kind in "ib"))
        found, mean = rows[0]["worst"], 100 * rows[0]["wga"][0]
        scale = whole["width"] / (high - low)
        assert part["x"] - whole["x"] == pytest.approx(scale * (100 * found["low"] - low), abs=0.6)
        assert part["width"] == pytest.approx(scale * 100 * (found["high"] - found["low"]), abs=0.6)
        assert point["x"] + 1.5 - whole["x"] == pytest.approx(scale * (mean - low), abs=0.6)


def test_figures_are_drawn_without_being_scrolled_to_and_tips_close(visit: Open) -> None:
    tab = visit()
    for name in FIGURES:
        tab.locator(f"#figure-{name} .plot > svg").wait_for()
    assert tab.evaluate("scrollY") == 0
    figure = tab.locator("#figure-groups .plot > svg")
    dot = figure.locator("[aria-label=dot] circle").first
    dot.scroll_into_view_if_needed()
    tip = figure.locator("[aria-label=tip] text")
    for scrolls in (True, False):
        dot.dispatch_event("pointerdown", {"pointerType": "touch", **centre(dot)})
        dot.dispatch_event("pointermove", {"pointerType": "touch", "bubbles": True, **centre(dot)})
        tip.first.wait_for()
        if scrolls:
            tab.mouse.wheel(0, 300)
        else:
            tab.mouse.click(5, 5)
        tip.first.wait_for(state="detached")


def centre(node: Any) -> dict[str, float]:
    """Where a pointer event on a node is."""
    box = node.bounding_box()
    return {"clientX": box["x"] + box["width"] / 2, "clientY": box["y"] + box["height"] / 2}


def test_ranks_over_few_data_sets_have_no_interval(visit: Open) -> None:
    tab = visit()
    ranking = {
        "track": "none", "tables": 10, "methods": ["a", "b", "c"], "mean": [1.5, 2.0, 2.5], "low": [1.0, 1.5, 2.0],
        "high": [2.0, 2.5, 3.0], "groups": [[0, 1]], "critical": 0.75, "friedman": 0.2, "incomplete": [],
    }  # fmt: skip
    for datasets in (2, 5):
        found = tab.evaluate(
            """ranking => {
                const { drawn, caption } = drawRanks({ ranking, width: 500 });
                const all = (kind) => [...drawn.querySelectorAll(kind)];
                const dots = all("[aria-label=dot] circle").map((dot) => dot.cx.baseVal.value);
                const ends = ({ x1, x2 }) => [x1.baseVal.value, x2.baseVal.value];
                const lines = all("[aria-label=rule] line").map(ends);
                return { caption, said: drawn.textContent, dots, lines };
            }""",
            {**ranking, "datasets": datasets},
        )
        best, second, third = found["dots"]
        assert second - best == pytest.approx(third - second, abs=0.1)
        if datasets < 3:
            assert "Too few data sets for an interval" in found["caption"]
            assert "critical difference" not in found["said"]
            assert found["lines"] == [found["lines"][-1]]
        else:
            assert "backbones of one count once" in found["caption"]
            assert "critical difference 0.75" in found["said"]
            assert found["lines"][0] == pytest.approx([best, best + 1.5 * (second - best)], abs=0.1)
            assert found["lines"][1] == pytest.approx([best - (second - best), second], abs=0.1)


def test_how_a_method_stands_is_said_with_what_could_be_found(visit: Open, data: dict[str, Any]) -> None:
    tab = visit()
    place, row = next((i, row) for i, row in enumerate(data["rows"]["worst_group"]) if row["standing"])
    tab.locator("#table td.name button").nth(place).click()
    said = tab.inner_text("#record")
    standing = row["standing"]
    sign = "\u2212" if standing["difference"] < 0 else "+"
    assert ("Not told apart from" if standing["tied"] else "Told apart from") + f" the best, {standing['best']}" in said
    assert f"{sign}{abs(100 * standing['difference']):.1f} points" in said
    assert f"a difference of {100 * standing['detectable']:.1f} points would be found about three times" in said
    assert "Bonferroni" in said
    assert tab.evaluate("chance(0.00004)") == "p < 0.0001"
    biases = {-0.0003: False, 0.0004: False, -0.02: True}
    for bias, told in biases.items():
        worst = {"bias": bias, "corrected": 0.72}
        text_of = tab.evaluate("worst => worstOf({ worst, ranked_by: 'wga' }).textContent", worst)
        assert ("corrected 72.0" in text_of) == told
        assert "over test examples and seeds" in text_of


def test_a_small_screen_has_the_interval_and_names_a_place_once(visit: Open, data: dict[str, Any]) -> None:
    tab = visit(viewport={"width": 390, "height": 844})
    first = data["rows"]["worst_group"][0]["worst"]
    assert f"{100 * first['low']:.1f} to {100 * first['high']:.1f}" in tab.inner_text("#table tbody tr >> nth=0")
    rows = data["rows"]["worst_group"][:25]
    stories = [data["records"][row["record"]] for row in rows]
    places = [tuple(story[name] for name in ("dataset", "backbone", "track")) for story in stories]
    expected = [place == 0 or places[place] != places[place - 1] for place in range(25)]
    assert [node.is_visible() for node in tab.locator("#table .where").all()] == expected
    tab.locator("#table td.name button").first.click()
    groups = tab.locator("#record .of-groups")
    assert groups.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert " to " in groups.locator("td:visible").nth(3).inner_text()


def test_seeds_beyond_those_of_the_table_and_failures_alike_are_said(browser: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made(tmp_path / "results", rng, "many", 0, seeds=5)
    made(tmp_path / "results", rng, "few", 0)
    failures = [("out of memory", 1), ("no data", 2), ("out of memory", 4)]
    gone = [
        {"seed": seed, "status": "failed", "failure": {"message": message, "traceback": "Traceback"}}
        for message, seed in failures
    ]
    made(tmp_path / "results", rng, "gone", 0, gone=gone)
    file = tmp_path / "index.html"
    file.write_text(page_of(tmp_path / "results"), encoding="utf-8")
    tab = browser.new_page()
    tab.goto(file.as_uri())
    tab.wait_for_selector("#table tbody td")
    seeds = dict(zip(column(tab, "method"), column(tab, "seeds"), strict=True))
    assert seeds == {"many": "3 of 5", "few": "3", "gone": "0/3"}
    tab.get_by_role("button", name="many").click()
    assert "the 3 seeds that all methods of this table have, together; this record has 5" in tab.inner_text("#record")
    titles = tab.locator("#record summary:has-text('Seed')").all_inner_texts()
    assert [title.endswith("not shown on the board") for title in titles] == [False] * 3 + [True] * 2
    assert "--results again" in tab.inner_text("#record pre")
    assert "needs --plugin" in tab.inner_text("#record")
    dismiss(tab)
    tab.get_by_role("button", name="gone").click()
    assert tab.locator("#record summary.wrong").all_inner_texts() == ["Seeds 1, 4: out of memory", "Seed 2: no data"]
    assert tab.locator("#figure-ranks .plot").bounding_box()["height"] < 10
    tab.close()


def test_a_row_opens_its_record_and_gives_the_focus_back(visit: Open, data: dict[str, Any]) -> None:
    tab = visit()
    row = data["rows"]["worst_group"][2]
    story = data["records"][row["record"]]
    button = tab.locator("#table td.name button").nth(2)
    button.focus()
    tab.keyboard.press("Enter")
    said = tab.inner_text("#record")
    assert tab.evaluate("document.activeElement.id") == "record-title"
    assert story["command"] in said
    for name, correct, count, low, high in row["groups"]:
        cells = [name, str(count // 3), f"{correct} / {count}", f"{100 * correct / count:.1f}"]
        line = tab.locator(f"#record tr:has-text('{name}')").first.inner_text().replace(" worst", "").split("\t")
        assert [cell.strip() for cell in line] == [*cells, f"{100 * low:.1f} to {100 * high:.1f}"]
    assert tab.locator("#record details:has-text('Seed')").count() == 3
    tab.locator("#record summary", has_text="Seed 1").click()
    tried = tab.locator("#record details[open] tbody tr")
    assert tried.count() == 8
    chosen = story["seeds"][1]["chosen"]["worst_group"][0]
    assert "chosen" in tried.nth(chosen).inner_text()
    assert f"{100 * story['seeds'][1]['configs'][chosen][2][0]:.1f}" in tried.nth(chosen).inner_text()
    tab.locator("#record summary", has_text="Key").click()
    assert story["key"] in tab.inner_text("#record")
    assert "2.15.0" in tab.inner_text("#record")
    dismiss(tab)
    assert not tab.locator("#record").is_visible()
    assert tab.evaluate("document.activeElement.innerText") == story["method"]


def test_a_click_anywhere_on_a_row_and_a_link_to_a_record_open_it_too(visit: Open) -> None:
    tab = visit()
    tab.locator("#table tbody tr").nth(1).locator("td").nth(7).click()
    method = tab.inner_text("#record-title")
    address = tab.evaluate("location.hash")
    tab.get_by_role("button", name="Close").click()
    again = visit(address, ready="#record-title")
    assert again.inner_text("#record-title") == method
    tab.locator("#short a").first.click()
    assert tab.locator("#record").is_visible()


def test_columns_are_chosen(visit: Open) -> None:
    tab = visit()
    heads = tab.locator("#table thead th").all_inner_texts()
    assert "oracle (diagnostic)" not in [head.strip() for head in heads]
    tab.locator("#columns summary").click()
    tab.get_by_role("checkbox", name="oracle").check()
    tab.get_by_role("checkbox", name="memory").uncheck()
    heads = [head.strip() for head in tab.locator("#table thead th").all_inner_texts()]
    assert "oracle (diagnostic)" in heads
    assert "memory" not in heads
    assert "columns=" in tab.evaluate("location.hash")


def test_figures_are_drawn_of_what_is_filtered_and_saved_as_svg(
    visit: Open, data: dict[str, Any], tmp_path: Path
) -> None:
    tab = visit("#dataset=data-1&backbone=ViT-0")
    tab.locator("#figures").scroll_into_view_if_needed()
    assert tab.locator("#place option").all_inner_texts() == ["data-1 · ViT-0 · v1"]
    methods = {row["method"] for row in data["records"]}
    for name in FIGURES:
        figure = tab.locator(f"#figure-{name}")
        figure.scroll_into_view_if_needed()
        figure.locator("svg").wait_for()
        with tab.expect_download() as download:
            figure.locator(".save").click()
        assert download.value.suggested_filename == f"spurbench-{name}.svg"
        root = ElementTree.fromstring(Path(download.value.path()).read_bytes())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        told = {element.text for element in root.iter() if element.text}
        assert told & methods
    assert tab.locator("#figure-groups svg [aria-label=dot] circle").count() >= 4 * 8
    assert tab.locator("#figure-robustness").is_hidden()


def test_cost_is_switched_and_the_front_is_what_nothing_cheaper_beats(visit: Open, data: dict[str, Any]) -> None:
    tab = visit()
    tab.locator("#figure-cost").scroll_into_view_if_needed()
    tab.locator("#figure-cost svg").wait_for()
    for choice in ("parameters", "memory", "seconds"):
        tab.locator("#figure-cost select").select_option(choice)
        assert tab.locator(f"#figure-cost svg[aria-label*='{COSTS[choice]}']").count() == 1
        found = tab.evaluate(
            "([rows, choice]) => frontOf(rows, (row) => row[choice]).map((row) => row.record)",
            [data["rows"]["worst_group"], choice],
        )
        rows = data["rows"]["worst_group"]
        beaten = [
            any(
                (other[choice] < row[choice] and other["score"][0] >= row["score"][0])
                or (other[choice] == row[choice] and other["score"][0] > row["score"][0])
                for other in rows
            )
            for row in rows
        ]
        best = [row for row, lost in zip(rows, beaten, strict=True) if not lost]
        assert {(r[choice], r["score"][0]) for r in rows if r["record"] in found} == {
            (r[choice], r["score"][0]) for r in best
        }


def test_without_scripts_the_tables_are_there(visit: Open) -> None:
    tab = visit(java_script_enabled=False, ready="table.plain td")
    assert tab.locator("table.plain").count() == 4
    assert tab.locator("table.plain tr:has(td)").count() == 32
    assert not tab.locator("#live").is_visible()
    assert not tab.locator("#figures").is_visible()
    assert tab.locator("#short td").first.is_visible()


def test_where_data_cannot_be_unpacked_the_tables_are_there_too(browser: Any, small_page: Path) -> None:
    tab = browser.new_page()
    tab.add_init_script("delete window.DecompressionStream")
    tab.goto(small_page.as_uri())
    tab.wait_for_selector("table.plain td")
    assert tab.locator("table.plain tr:has(td)").count() == 32
    assert not tab.locator("#live").is_visible()
    tab.close()


def test_print_has_every_row_and_no_controls(visit: Open) -> None:
    tab = visit("#dataset=data-0")
    tab.fill("#query", "vit")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert tab.locator("#table tbody tr").count() == 16
    assert not tab.locator(".filters").is_visible()
    assert tab.locator("#figures svg").count() == len(FIGURES)
    assert len(tab.pdf(format="A4")) > 10_000
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator(".filters").is_visible()


@pytest.mark.parametrize("width", [390, pytest.param(768, marks=pytest.mark.slow), 1280])
def test_nothing_is_wider_than_the_screen(visit: Open, width: int) -> None:
    tab = visit(viewport={"width": width, "height": 844})
    for name in FIGURES:
        tab.locator(f"#figure-{name}").scroll_into_view_if_needed()
        tab.locator(f"#figure-{name} svg").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("#table td.name button").first.is_visible()
    tab.locator("#table td.name button").first.click()
    box = tab.locator("#record").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(visit: Open, scheme: str) -> None:
    """Contrast of 4.5 at least, as WCAG 2.2 asks for (success criterion 1.4.3)."""
    tab = visit(color_scheme=scheme)
    for selector in (
        "body",
        "th",
        ".soft",
        "#table td",
        "#table td.name button",
        ".chosen",
        "figcaption",
        ".leaders span",
    ):
        colours = tab.evaluate(
            """selector => {
                const seen = (node) => { for (; node; node = node.parentElement) {
                    const colour = getComputedStyle(node).backgroundColor;
                    if (!/rgba\\(.*, 0\\)/.test(colour)) return colour; } };
                const node = document.querySelector(selector);
                const numbers = (said) => said.match(/[0-9.]+/g).slice(0, 3).map(Number);
                return [getComputedStyle(node).color, seen(node)].map(numbers);
            }""",
            selector,
        )
        light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (selector, colours)


def luminance(colour: list[float]) -> float:
    """Relative luminance of an sRGB colour, as WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_everything_that_can_be_used_has_a_name(visit: Open) -> None:
    tab = visit()
    tab.locator("#figure-ranks").scroll_into_view_if_needed()
    tab.locator("#figure-ranks svg").wait_for()
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=button], summary, svg[role=img], a")]
            .filter((node) => node.checkVisibility())
            .filter((node) => !(node.innerText || node.ariaLabel || node.labels?.[0]?.textContent || "").trim())
            .map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert tab.locator("h1").count() == 1
    assert tab.locator("html").get_attribute("lang") == "en"


def test_numbers_are_written_alike_with_a_script_and_without(visit: Open) -> None:
    tab = visit()
    shares = [k / 800 for k in range(801)]
    assert tab.evaluate("values => values.map((v) => percent(v))", shares) == [f"{100 * share:.1f}" for share in shares]
    times = [0.0, 0.0123, 0.125, 0.375, 0.5, 1.25, 1.35, 9.96, 11.5, 12.5, 59.6, 61.0, 75.0, 4000.0, 86400.0]
    sizes = [0, 7, 258, 999, 1486, 25_000, 999_950, 86_192_640, 2_000_000_000]
    assert tab.evaluate("values => values.map(duration)", times) == [text.seconds(value) for value in times]
    assert tab.evaluate("values => values.map(count)", sizes) == [text.count(value) for value in sizes]
    assert tab.evaluate("values => values.map(memory)", sizes[4:]) == [text.memory(value) for value in sizes[4:]]
