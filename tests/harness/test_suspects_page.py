"""Suspects as a page: true sentences, every photo where it belongs, every name harmless, nothing from elsewhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from spurbench.errors import plain
from spurbench.findings.report import Tally
from spurbench.render.suspects_page import MOST_CLASSES, to_html
from spurbench.suspects import sentences
from spurbench.suspects.pictures import SIDE, open_pictures
from spurbench.suspects.report import ClassRow, Photo, Suspect, SuspectsReport

Suspects = Callable[..., SuspectsReport]
WORDS = (("water", "on water", 0.01), ("sea", "in the sea", 0.06))
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "\u202eesrever\u2066 & שלום\x1b[31m\x00\n{{ 7 * 7 }}",
)
SHOWN = (
    Photo(id="a.png", row=3, label="landbird", predicted="waterbird", presence=0.2, present=True),
    Photo(id="b.png", row=5, label="landbird", predicted="landbird", presence=0.1, present=True),
    Photo(id="c.png", row=8, label="landbird", predicted="landbird", presence=-0.3, present=False),
)


class Plain:
    """Photos of one colour each, which spells out the row."""

    at_once = 1

    def __init__(self) -> None:
        self.opened: list[int] = []

    def __len__(self) -> int:
        return 20

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        self.opened += rows
        return [Image.new("RGB", (448, 224), (10 * row, 0, 255 - 10 * row)) for row in rows]

    def fingerprint(self, ids: Sequence[str], hashes: object) -> str:
        return "plain"


class Seen(HTMLParser):
    """A page's elements with their attributes, and the text of each article."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.articles: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "article":
            self.articles.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "dd", "dt", "h2", "p", "span", "td", "th"):
            self.handle_data(" ")
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data
            if "article" in self.open:
                self.articles[-1] += data.replace("\N{NO-BREAK SPACE}", " ")


def squeezed(text: str) -> str:
    return " ".join(text.split())


def page(report: SuspectsReport) -> str:
    return to_html(report, open_pictures(Plain(), report))


def row(label: str, present: tuple[int, int], absent: tuple[int, int], information: float = 0.1) -> ClassRow:
    there, not_there = (Tally(hits=hits, total=total) for hits, total in (present, absent))
    gap = there.share - not_there.share if there.share is not None and not_there.share is not None else None
    return ClassRow(
        label=label, present=there, absent=not_there, threshold=0, information=information, gap=gap, p_value=0.5
    )


def suspect(*rows: ClassRow, word: str = "water", p: float = 0.0001) -> Suspect:
    return Suspect(
        rank=1,
        word=word,
        kind="scene",
        phrase=f"on {word}",
        information=0.1,
        p_value=p,
        placebo=0.01,
        agreement=[],
        classes=list(rows),
        photos=[],
    )


def test_a_suspect_in_a_sentence() -> None:
    duck, crow = row("duck", (41, 100), (90, 100), 0.2), row("crow", (95, 100), (20, 100), 0.1)
    assert sentences.summary(suspect(crow, duck)) == "duck: right in 41 % with 'water', 90 % without; p < 0.001"
    assert sentences.summary(suspect(duck, p=0.0314)).endswith("; p = 0.031")
    # A rare class says less than a common one about which it tells almost as much.
    rare = row("ibis", (0, 5), (5, 5), 0.6)
    assert sentences.summary(suspect(rare, duck)).startswith("duck: ")
    assert sentences.summary(suspect(rare, row("duck", (1, 2), (2, 2), 0.2))).startswith("ibis: ")
    assert sentences.summary(suspect(row("duck", (0, 0), (5, 9)))) == "No class has photos with 'water' and without."


def test_why_nothing_is_suspected(make_suspects: Suspects) -> None:
    report = make_suspects((("water", "on water", 0.31), ("sea", "in the sea", 0.2)))
    assert sentences.nothing(report) == (
        "No word survives: of the 1,836 that were looked for, none goes with the model's 85 errors more than chance "
        "allows (the smallest p = 0.200, 9,999 permutations)."
    )
    assert sentences.nothing(make_suspects(())).endswith("85 errors more than chance allows.")
    perfect = make_suspects((), right={"hits": 300, "total": 300})
    assert sentences.nothing(perfect) == "The model gets all 300 photos right: there is no error to explain."


def test_only_photos_of_survivors_are_opened_and_made_small(make_suspects: Suspects) -> None:
    words = (("water", "on water", 0.05), ("forest", "in a forest", 0.06), ("sea", "in the sea", 0.01))
    report, photos = make_suspects(words, photos=SHOWN), Plain()
    pictures = open_pictures(photos, report)
    assert sorted(photos.opened) == [3, 3, 5, 5, 8, 8]
    assert [len(some) for some in pictures] == [3, 3]
    for some in pictures:
        for photo, picture in zip(SHOWN, some, strict=True):
            assert picture.size == (SIDE, SIDE // 2)
            assert picture.getpixel((0, 0)) == (10 * photo.row, 0, 255 - 10 * photo.row)


def test_the_page_needs_nothing_else_and_shows_every_photo_on_its_side(make_suspects: Suspects) -> None:
    report = make_suspects(photos=SHOWN)
    text = page(report)
    seen = Seen(text)
    assert text == page(report)
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    policy = next(a["content"] for _, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    images = [attributes for tag, attributes in seen.elements if tag == "img"]
    assert len(images) == 2 * len(SHOWN)
    for image, photo in zip(images, 2 * SHOWN, strict=True):
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        opened = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (str(opened.width), str(opened.height)) == (image["width"], image["height"])
        assert image["alt"] == f"{photo.id}, of class landbird"
        wanted = np.array([10 * photo.row, 0, 255 - 10 * photo.row])
        assert np.abs(np.asarray(opened)[5, 5].astype(int) - wanted).max() <= 4
    for article, word in zip(seen.articles, ("water", "forest"), strict=True):
        said = squeezed(article)
        there, _, elsewhere = said.partition(f"without {word}")
        assert "✗ landbird, called waterbird ✓ landbird" in there
        assert elsewhere.startswith(" ✓ landbird")
        assert said.count("✗") == 1
    marks = [a["aria-label"] for _, a in seen.elements if a.get("role") == "img"]
    assert marks == 2 * ["wrong", "right", "right"]


def test_the_page_has_the_numbers_of_the_report(make_suspects: Suspects) -> None:
    report = make_suspects()
    seen = Seen(page(report))
    first, second = map(squeezed, seen.articles)
    assert "1 landbird: right in 10 % with “water”, 90 % without; p < 0.001" in first
    assert "2 landbird: right in 10 % with “forest”, 90 % without; p = 0.031" in second
    for said in ("information 123.4", "placebo 0.001", "kind scene", "in a prompt … on water"):
        assert said in first
    for k, label in enumerate(("landbird", "waterbird")):
        share = 10 * (k + 1)
        assert f"{label} {share} % of 40 with 90 % of 60 without {share - 90:+.1f}" in first
    everything = squeezed(seen.text.replace("\N{NO-BREAK SPACE}", " "))
    for said in ("1,836 words were looked for", "300 val photos, 72 % right", "2 words with p ≤ 0.05", "tiny-2"):
        assert said in everything
    for said in (
        "palm tree",
        "kettle",
        "cd" * 32,
        "ab" * 32,
        "9,999 permutations, 999 random directions",
        sentences.P_VALUE,
    ):
        assert said in everything


def test_words_that_are_no_better_than_directions_that_mean_nothing_are_said_to_be(make_suspects: Suspects) -> None:
    seen = Seen(page(make_suspects(placebo=(0.05, 0.051))))
    first, second = map(squeezed, seen.articles)
    assert "No better than chance directions" not in first
    assert "No better than chance directions: 5 % of those that mean nothing tell as much." in second
    everything = squeezed(seen.text.replace("\N{NO-BREAK SPACE}", " "))
    for said in (
        "1 of them with placebo ≤ 0.05",
        "Of 100 directions that mean nothing, 42 have p up to 0.05 as well",
        "Placebo is up to 0.05 for 1 of the 2 words with such a p, and would be for 92 of 1,836 random directions",
        "--attributes tells methods 'water' (p and placebo up to 0.05).",
        sentences.PLACEBO,
    ):
        assert said in everything
    assert "Of 100 directions" not in page(make_suspects((("sea", "in the sea", 0.06),)))


def test_what_a_reader_should_know_besides_is_said(make_suspects: Suspects) -> None:
    note = "erm: fitted once more, it predicts another class for 3 test photos <b>"
    assert note in Seen(page(make_suspects(notes=[note]))).text


def test_a_counterpart_is_told_apart_from_what_it_is_the_counterpart_of(make_suspects: Suspects) -> None:
    report = make_suspects(placebo=(0.001, 0.9), agreement=([], [-0.8]))
    said = "tells methods 'water' (p and placebo up to 0.05), and for what is seen on other photos 'forest'."
    assert said in sentences.handed_on(report)


def test_which_words_the_same_photos_show_is_said(make_suspects: Suspects) -> None:
    words = [(word, f"on {word}", 0.001) for word in ("water", "land", "sea", "<ice>")] + [("fog", "in fog", 0.06)]
    agreement = ([], [-0.83], [0.5, -0.49], [0.2, -0.5, 0.7], [0.9, 0.9, 0.9, 0.9])
    report = make_suspects(words, agreement=agreement)
    said = [sentences.company(one, report) for one in report.suspects]
    assert said == [
        "Shown by much the same photos as 'sea'; by others than 'land'.",
        "Shown by others than 'water', '<ice>'.",
        "Shown by much the same photos as 'water', '<ice>'.",
        "Shown by much the same photos as 'sea'; by others than 'land'.",
        "Shown by much the same photos as 'water', 'land', 'sea', '<ice>'.",
    ]
    seen = [squeezed(article) for article in Seen(page(report)).articles]
    assert all(line in article for line, article in zip(said[:4], seen[:4], strict=True))
    assert "Shown by" not in page(make_suspects())


def test_words_that_chance_may_explain_are_told_apart(make_suspects: Suspects) -> None:
    words = (("water", "on water", 0.001), ("sea", "in the sea", 0.06), ("ice", "on ice", 0.7))
    articles = Seen(page(make_suspects(words, photos=SHOWN))).articles
    assert len(articles) == 2
    assert "What chance may explain" in articles[1]
    assert "water" not in articles[1].replace("waterbird", "")
    said = squeezed(articles[1])
    assert "2 sea landbird 10 % 90 % 0.060" in said
    assert "3 ice landbird 10 % 90 % 0.700" in said


def test_nothing_suspected_is_said_plainly(make_suspects: Suspects) -> None:
    for words in ((("water", "on water", 0.31),), ()):
        report = make_suspects(words, photos=SHOWN)
        text = page(report)
        articles = [squeezed(article) for article in Seen(text).articles]
        assert articles[0] == f"Nothing is suspected. {sentences.nothing(report)}"
        assert len(articles) == 1 + bool(words)
        assert "<img" not in text


def test_many_classes_are_cut_off_and_counted(make_suspects: Suspects) -> None:
    report = make_suspects((("water", "on water", 0.01),), classes=[f"class {k}" for k in range(MOST_CLASSES + 12)])
    said = squeezed(Seen(page(report)).text)
    assert "and 12 more classes in suspects.json" in said
    assert f"class {MOST_CLASSES - 1} " in said
    assert f"class {MOST_CLASSES} " not in said


def test_hostile_names_stay_text(make_suspects: Suspects) -> None:
    # What else is hostile, no report takes for a word.
    sayable = [name for name in HOSTILE if not set("{}") & set(name) and plain(name) == name == " ".join(name.split())]
    assert any("<script>" in name for name in sayable)
    words = [(name, f"on {name}", 0.01) for name in sayable] + [(f"{name}2", "x", 0.5) for name in sayable]
    photos = [photo.model_copy(update={"id": HOSTILE[1], "label": HOSTILE[0]}) for photo in SHOWN]
    told = dict.fromkeys(("dataset", "title", "backbone", "seen_by", "model", "prompts"), "".join(HOSTILE))
    report = make_suspects(words, HOSTILE[:2], photos, **told, excluded=list(HOSTILE), indistinct=list(HOSTILE))
    text = page(report)
    harmless, seen = Seen(page(make_suspects(WORDS, photos=SHOWN))), Seen(text)
    assert {tag for tag, _ in seen.elements} == {tag for tag, _ in harmless.elements}
    allowed = {name for _, attributes in harmless.elements for name in attributes}
    assert {name for _, attributes in seen.elements for name in attributes} == allowed
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\u2028]", text)
    assert "<script>alert(1)</script>" in squeezed(seen.text)
    assert "{{ 7 * 7 }}" in squeezed(seen.text)


@pytest.mark.parametrize("present", [True, False])
def test_a_side_without_photos_says_so(make_suspects: Suspects, present: bool) -> None:
    photos = [photo for photo in SHOWN if photo.present == present]
    said = squeezed(Seen(page(make_suspects((("water", "on water", 0.01),), photos=photos))).articles[0])
    assert ("without water no photo" in said) == present
    assert ("with water no photo" in said) != present
