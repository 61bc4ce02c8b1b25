"""The report is one harmless page with the numbers and pictures of the data set, and says plainly what is not there."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scipy.stats import binomtest

from spurbench.builder.output import Built, words
from spurbench.builder.table import BackgroundResult, Share
from spurbench.render import build_page, build_pictures
from spurbench.render.build_page import bars, to_html

MakeBuilt = Callable[..., Built]
HOSTILE = ("<script>alert(1)</script>", "\"><img src=x onerror='alert(1)'>", "two\nlines {{ 7 * 7 }} \u202eesrever")


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " "
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]


def test_the_page_needs_nothing_else(make_built: MakeBuilt) -> None:
    built = make_built()
    text = to_html(built)
    assert text == to_html(built)
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    seen = Seen(text)
    policy = next(a["content"] for _, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    for image in seen.images():
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        opened = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (str(opened.width), str(opened.height)) == (image["width"], image["height"])
        assert max(opened.size) == build_pictures.SIZE


def test_the_page_has_the_numbers_that_were_found(make_built: MakeBuilt) -> None:
    built = make_built()
    found = built.found
    assert found.drop
    shown = Seen(to_html(built)).text
    assert (
        f"{words.points(found.drop.estimate)} points of drop on the evaluation half, averaged over 2 classes" in shown
    )
    assert f"interval {words.points(found.drop.low)} to {words.points(found.drop.high)}" in shown
    assert f"on average: {words.points(found.drop_found)} points" in shown
    for result in found.kept:
        assert f"drop, evaluation half {words.bounded(result.drop)}" in shown
        assert f"drop, in-sample {words.points(result.drop_found)}" in shown
        assert f"p (adjusted) {words.p_value(result.p_adjusted)}" in shown
        for item in result.backgrounds:
            assert f"{item.name} {words.percent(item.evaluation.accuracy)} of {item.evaluation.total}" in shown
    (other,) = (result for result in found.classes if not result.kept)
    assert other.reason in shown
    assert "36 backgrounds are unconfirmed drafts." in shown
    for sentence in words.the_rule(found.rule):
        assert sentence in shown


def test_pictures_are_of_photos_that_chose_nothing_and_say_what_they_were_taken_for(make_built: MakeBuilt) -> None:
    built = make_built()
    sides = build_pictures.make_pictures(built).classes
    assert set(sides) == {"crane, wader", "rock/dove"}
    rows = built.photos.set_index("path")
    for label, backgrounds in sides.items():
        assert list(backgrounds) == ["meadow", "lake"]
        for background, photos in backgrounds.items():
            assert len({photo.path for photo in photos}) == len(photos) == 6
            for photo in photos:
                row: Any = rows.loc[photo.path]
                assert (row.label, row.background, row.half, row.status) == (label, background, "evaluation", "")
                assert (row.predicted, bool(row.correct)) == (photo.predicted, photo.correct)
    shown = Seen(to_html(built)).text
    every = [photo for backgrounds in sides.values() for photos in backgrounds.values() for photo in photos]
    assert shown.count("✗ bear") == sum(not photo.correct for photo in every)
    assert shown.count("✓") == sum(photo.correct for photo in every)


def test_what_was_left_out_stands_beside_what_it_repeats(make_built: MakeBuilt) -> None:
    built = make_built()
    broken = built.folder_of_photos / "0/meadow/left out 0.jpg"
    broken.write_bytes(b"no photo")
    left_out = build_pictures.make_pictures(built).left_out
    assert [reason.status for reason in left_out] == list(words.STATUS)
    assert [reason.count for reason in left_out] == [1] * 7
    for reason in left_out:
        ((photo, twin),) = reason.pairs
        row = built.photos[built.photos["path"] == photo.path].iloc[0]
        assert row["status"] == reason.status
        assert twin is not None
        assert built.photos.loc[built.photos["path"] == twin.path, "photo_id"].tolist() == [row["twin"]]
    shown = Seen(to_html(built)).text
    assert shown.count("no picture") == 1
    assert all(phrase in shown for phrase in words.STATUS.values())


def test_bars_are_shares_with_wilson_intervals(make_built: MakeBuilt) -> None:
    built = make_built()
    result, rule = built.found.kept[0], built.found.rule
    extra = [BackgroundResult(f"b{i:02}", Share(i, 40), Share(i, 30)) for i in range(1, 30)]
    few = BackgroundResult("few", Share(1, 40), Share(2, rule.min_cell - 1))
    many = replace(result, backgrounds=(*extra, *result.backgrounds, few))
    found = bars(many, rule)
    assert len(found) == build_page.MOST_BARS
    assert (found[0].kind, found[-1].kind) == ("easy", "hard")
    assert {bar.kind for bar in found[1:-1]} == {"other"}
    accuracies = [bar.share.accuracy or 0 for bar in found[1:-1]]
    assert accuracies == sorted(accuracies, reverse=True)
    for bar in found:
        expected = binomtest(bar.share.correct, bar.share.total).proportion_ci(0.95, method="wilson")
        assert (bar.low, bar.high) == (expected.low, expected.high)
    (bar,) = (bar for bar in bars(replace(result, backgrounds=(*result.backgrounds, few)), rule) if bar.name == "few")
    assert bar.few
    assert (
        f"and {33 - build_page.MOST_BARS} more in build.json"
        in Seen(to_html(replace(built, found=replace(built.found, classes=(many,))))).text
    )


def test_nothing_kept_is_said_plainly(make_built: MakeBuilt) -> None:
    shown = Seen(to_html(make_built(kept=()))).text
    assert (
        "No class was kept. Of 3 classes, none has two backgrounds that differ by enough, and surely enough." in shown
    )
    assert shown.count("often chosen by chance") == 3
    assert "points of drop" not in shown


def test_the_published_rule_has_no_evaluation_half(make_built: MakeBuilt, world: Any) -> None:
    built = make_built(rule=replace(world.rule, published=True))
    shown = Seen(to_html(built)).text
    assert f"{words.points(built.found.drop_found)} points of drop, averaged over 2 classes" in shown
    assert "has no evaluation half and tests nothing" in shown
    assert "drop, evaluation half" not in shown
    assert "from the evaluation half" not in shown
    for item in built.found.kept[0].backgrounds:
        assert f"{item.name} {words.percent(item.discovery.accuracy)} of {item.discovery.total}" in shown


def test_hostile_names_stay_text(make_built: MakeBuilt) -> None:
    plain = Seen(to_html(make_built()))
    built = make_built(labels=("a b", HOSTILE[0], HOSTILE[1]), kept=HOSTILE[:2], strangers=(HOSTILE[1],),
                       backgrounds=("<b>", "\"'>", "&amp;"), title=HOSTILE[2])  # fmt: skip
    classes = tuple(replace(result, reason=HOSTILE[0]) for result in built.found.classes)
    software = {HOSTILE[0]: HOSTILE[1]}
    built = replace(built, found=replace(built.found, classes=classes), command=HOSTILE[0], software=software)
    text = to_html(built)
    seen = Seen(text)
    assert {tag for tag, _ in seen.elements} == {tag for tag, _ in plain.elements}
    assert {name for _, some in seen.elements for name in some} == {name for _, some in plain.elements for name in some}
    assert "<script>alert(1)</script>" in seen.text
    assert "{{ 7 * 7 }}" in seen.text
    assert "\u202e" not in text


def test_the_page_stays_small(make_built: MakeBuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    built = make_built(noise=90)
    whole = Seen(to_html(built))
    room = 60_000
    monkeypatch.setattr(build_pictures, "ROOM", room)
    small = Seen(to_html(built))
    assert sum(len(str(image["src"])) for image in small.images()) <= room
    assert 0 < len(small.images()) < len(whole.images())
    assert small.text.count("no picture") == len(whole.images()) - len(small.images())


def test_classes_beyond_the_first_have_a_row_only(make_built: MakeBuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    built = make_built()
    for module in (build_page, build_pictures):
        monkeypatch.setattr(module, "MOST_CLASSES", 1)
    monkeypatch.setattr(build_page, "MOST_ROWS", 0)
    shown = Seen(to_html(built)).text
    assert "More classes that are kept" in shown
    assert shown.count("and 1 more in build.json") == 2
    assert list(build_pictures.make_pictures(built).classes) == ["crane, wader"]


def test_many_classes_share_the_pictures(make_built: MakeBuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_pictures, "MOST_PICTURES", 8)
    sides = build_pictures.make_pictures(make_built()).classes
    assert [len(photos) for backgrounds in sides.values() for photos in backgrounds.values()] == [2] * 4


def test_a_picture_comes_from_below_the_folder_only(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    photos = built.photos.copy()
    photos.loc[photos["status"] == "tiny", "path"] = "../elsewhere.jpg"
    Image.new("RGB", (8, 8)).save(tmp_path / "elsewhere.jpg")
    with pytest.raises(Exception, match="leads out of"):
        to_html(replace(built, photos=photos))
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["elsewhere.jpg", "photos"]'
