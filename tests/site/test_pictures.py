"""Pictures of the page for people to look at, in pytest's temporary folder (`--basetemp DIR` says where)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "device_scale_factor": 2},
    "plain": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
    "print": {"viewport": {"width": 1024, "height": 1400}},
}


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_pictures_show_a_whole_page(browser: Any, small_page: Path, tmp_path: Path, look: str) -> None:
    context = browser.new_context(**LOOKS[look])
    tab = context.new_page()
    tab.goto(small_page.as_uri())
    tab.wait_for_selector("table.plain td" if look == "plain" else "#table tbody td")
    if look != "plain":
        tab.locator("#figures .plot > svg").nth(3).wait_for()
    if look == "print":
        tab.emulate_media(media="print")
    tab.screenshot(path=tmp_path / f"{look}.png", full_page=True)
    if look in ("light", "dark", "narrow"):
        tab.locator("#table td.name button").first.click()
        tab.screenshot(path=tmp_path / f"{look}-dialog.png")
    context.close()
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            small = picture.convert("RGB").resize((64, 64))
            (paper, *others) = sorted(small.getcolors(64 * 64) or [], reverse=True)
            assert sum(n for n, _ in others) > 200, f"{file} is empty"
            assert (sum(paper[1]) < 3 * 128) == (look == "dark")
