"""Names, notes and tracebacks come from anywhere; on the page they are text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.render.site.text import written

from .made import made, page_of
from .reading import data_of, markup

NASTY = (
    "<script>hacked=1</script></script><img src=x onerror='hacked=2'>\"'> a|b `c` & {{ 7*7 }} \u202ed\n\ne\x1b[31m<!--"
)
FLAT = (
    "<script>hacked=1</script></script><img src=x onerror='hacked=2'>\"'> a|b `c` & {{ 7*7 }} \ufffdd e\ufffd[31m<!--"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records with the same text wherever there is text."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    failure = {"message": NASTY, "traceback": NASTY}
    gone = [{"seed": 0, "status": "failed", "failure": failure, "environment": {NASTY: NASTY}}]
    named: dict[str, Any] = dict.fromkeys(
        ("rules", "dataset", "backbone", "title", "paper", "trains", "prompts"), NASTY
    )
    named |= {"supervision": [NASTY], "classes": [NASTY, "other"], "attributes": [NASTY, "else"]}
    made(folder / "results", rng, f"{NASTY}1", 0, **named)
    made(folder / "results", rng, f"{NASTY}2", 0, **named)
    made(folder / "results", rng, f"{NASTY}3", 0, **named, gone=gone)
    (folder / "results" / "v1" / "a" / "b").mkdir(parents=True)
    (folder / "results" / "v1" / "a" / "b" / "<script>hacked=3<!--.json").write_text("{")
    file = folder / "index.html"
    file.write_text(page_of(folder / "results"), encoding="utf-8")
    return file


def test_it_adds_no_element_and_no_character_that_turns_text(page: Path, small_page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found, tame = markup(text), markup(small_page.read_text(encoding="utf-8"))
    assert len(found.scripts) == len(tame.scripts)
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in tame.elements} | {"ul", "li"}
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert FLAT in found.text
    said = text.replace(found.scripts[2], "")
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b") & set(
        said + json.dumps(data_of(text), ensure_ascii=False)
    )


def test_a_browser_shows_it_and_runs_none_of_it(page: Path, browser: Any) -> None:
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(page.as_uri())
    tab.wait_for_selector("#table tbody td")
    assert f"{FLAT}1" in tab.inner_text("#table tbody")
    for place in range(3):
        tab.locator("#table td.name button").nth(place).click()
        said = tab.inner_text("#record")
        assert f"{FLAT}{place + 1}" in tab.inner_text("#record-title") or place
        assert "spurbench run --datasets" in said
        tab.keyboard.press("Escape")
    assert "<img src=x onerror='hacked=2'>" in said
    tab.fill("#query", "<script>")
    assert tab.locator("#table tbody tr").count() == 3
    tab.locator("#figures").scroll_into_view_if_needed()
    tab.wait_for_selector("#figure-groups svg")
    assert tab.evaluate("typeof hacked") == "undefined"
    assert tab.locator("img").count() == 0
    assert errors == []
    tab.close()


def test_a_traceback_keeps_its_lines() -> None:
    assert written("File 'a'\n\tline 1\u202e\x07\u2066") == "File 'a'\n\tline 1\ufffd\ufffd\ufffd"
