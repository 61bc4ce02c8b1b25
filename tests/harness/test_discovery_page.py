"""A discovery as a page and in the terminal: true sentences, every name harmless, nothing from elsewhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.cells import cell_len
from rich.console import Console

from spurbench.cards import DiscovererCard
from spurbench.discovery import Discovery, Finding, LabelScore
from spurbench.findings import words
from spurbench.findings.account import make_report
from spurbench.findings.report import ClassRow, Contrast, DiscoveryReport, FindingReport, Provenance, Tally
from spurbench.findings.sheet import open_pictures
from spurbench.render.discovery_page import MOST_CLASSES, to_html
from spurbench.render.discovery_terminal import print_discovery

ORIGIN = Provenance(seed=0, fingerprints={"data": "ab" * 32}, environment={"torch": "2"})
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "two\nlines\u2028{{ 7 * 7 }}",
    "\u202eesrever\u2066 & שלום\x1b[31m\x00",
)


def reported(study: Any, k: int = 30, against: bool = True, label: int | None = 1) -> DiscoveryReport:
    scores = (LabelScore(1, 1, 1, 1, 1, 0.5),)
    findings = (Finding(torch.arange(k), 1.25, label, scores, 0.0004), Finding(torch.arange(5), 0.5)) if k else ()
    card = DiscovererCard("looker", "Looks", "a <paper>")
    return make_report(study, Discovery(findings), card, ORIGIN, top=5, examples=6, against=against)


def page(study: Any, report: DiscoveryReport) -> str:
    return to_html(report, open_pictures(study.examples.photos, report))


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def read(text: str) -> Seen:
    seen = Seen(text)
    seen.close()
    assert seen.open == []
    return seen


def squeezed(text: str) -> str:
    return " ".join(text.split())


def a_finding(label: str | None, rows: list[ClassRow], right: Contrast, called: Contrast | None) -> FindingReport:
    return FindingReport(
        rank=1, label=label, score=1, influence=None, p_value=None, n_regions=1, n_images=1, right=right, called=called,
        classes=rows, known_share=None, precision_at_10=None, examples=[],
    )  # fmt: skip


def contrast(hits: int, total: int, hits_absent: int, total_absent: int) -> Contrast:
    return Contrast(present=Tally(hits=hits, total=total), absent=Tally(hits=hits_absent, total=total_absent))


def row(label: str, right: Contrast, present: list[int] | None = None, absent: list[int] | None = None) -> ClassRow:
    return ClassRow(label=label, right=right, influence=None, attributes_present=present, attributes_absent=absent)


def test_a_finding_in_a_sentence() -> None:
    everyone, called = contrast(4, 10, 81, 100), contrast(37, 100, 3, 100)
    helped = a_finding("dog", [row("dog", contrast(98, 100, 41, 100))], everyone, called)
    assert words.summary(helped) == (
        "The model calls a photo 'dog' more often when it shows this: 98 % right with it, 41 % without."
    )
    assert words.pull(helped) == "Photos of other classes are called 'dog' 37 % of the time with it, 3 % without."
    hurt = a_finding("dog", [row("dog", contrast(41, 100, 98, 100))], everyone, None)
    assert "no more often when it shows this: 41 % right with it, 98 % without" in words.summary(hurt)
    alone = a_finding("dog", [row("dog", contrast(5, 5, 0, 0))], everyone, contrast(1, 2, 0, 0))
    for finding in (alone, a_finding(None, helped.classes, everyone, None)):
        assert words.summary(finding) == "Photos that show this are right 40 % of the time, the others 81 %."
        assert words.pull(finding) == ""


@given(st.integers(1, 5000), st.data())
def test_percents_are_rounded_but_never_to_all_or_nothing(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    shown = int(words.percent(hits / total).removesuffix(" %"))
    assert abs(shown - 100 * hits / total) <= 1
    assert (shown == 0) == (hits == 0)
    assert (shown == 100) == (hits == total)
    assert words.percent(None) == "unknown"


def test_p_values_have_the_digits_that_mean_something() -> None:
    assert [words.p_value(p) for p in (None, 0.0, 0.00099, 0.001, 0.0314, 1.0)] == [
        "-", "< 0.001", "< 0.001", "0.001", "0.031", "1.000",
    ]  # fmt: skip


def test_the_attribute_value_that_tells_photos_apart_is_named() -> None:
    found = words.telling(row("dog", contrast(0, 10, 0, 10), [0, 4, 6], [7, 2, 1]), ["lawn", "sofa", "sticker"])
    assert found is not None
    assert (found[0], found[1].present.share, found[1].absent.share) == ("sticker", 0.6, 0.1)
    assert words.telling(row("dog", contrast(0, 1, 0, 1)), ["lawn"]) is None
    lonely = words.telling(row("dog", contrast(0, 10, 0, 0), [2, 8], [0, 0]), ["lawn", "sofa"])
    assert lonely is not None
    assert (lonely[0], lonely[1].gap) == ("sofa", None)


def test_the_page_needs_nothing_else_and_shows_every_example(make_study: Callable[..., Any]) -> None:
    study = make_study()
    report = reported(study)
    text = page(study, report)
    seen = read(text)
    assert text == page(study, report)
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    policy = next(a["content"] for _, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    images = [attributes for tag, attributes in seen.elements if tag == "img"]
    examples = [example for finding in report.findings for example in finding.examples]
    assert len(images) == 2 * len(examples) == 22
    for place, image in enumerate(images):
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        opened = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (str(opened.width), str(opened.height)) == (image["width"], image["height"])
        assert (examples[place // 2].id in str(image["alt"])) == bool(place % 2)
    shown = squeezed(seen.text)
    marks = [f"✓ {e.label}" if e.right else f"✗ {e.label}, called {e.predicted}" for e in examples]
    assert all(mark in shown for mark in marks)
    assert shown.count("✗") == sum(not e.right for e in examples)
    for finding in report.findings:
        for one in finding.classes:
            for tally in (one.right.present, one.right.absent):
                assert tally.share is None or f"{words.percent(tally.share)} of {tally.total}" in shown
                assert f"width:{100 * (tally.share or 0):.1f}%" in text
    assert squeezed(words.P_VALUE) in shown
    assert "ab" * 32 in shown


@pytest.mark.parametrize("against", [True, False])
def test_hostile_names_stay_text(make_study: Callable[..., Any], against: bool) -> None:
    ids = [f"{row}<b>\"'\u202e" for row in range(60)]
    study = make_study(classes=HOSTILE, attributes=HOSTILE[:2], ids=ids, title=HOSTILE[3])
    report = reported(study, against=against)
    text = page(study, report)
    harmless, seen = (
        read(page(make_study(classes=tuple("abcd")), reported(make_study(classes=tuple("abcd"))))),
        read(text),
    )
    assert {tag for tag, _ in seen.elements} == {tag for tag, _ in harmless.elements}
    allowed = {name for _, attributes in harmless.elements for name in attributes}
    assert {name for _, attributes in seen.elements for name in attributes} == allowed
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\u2028]", text)
    shown = squeezed(seen.text)
    assert "<script>alert(1)</script>" in shown
    assert "{{ 7 * 7 }}" in shown
    assert "“\"><img src=x onerror='alert(1)'>”" in shown


def test_many_classes_are_cut_off_and_counted(make_study: Callable[..., Any]) -> None:
    study = make_study(n=180, classes=[f"class {k}" for k in range(40)], ids=[f"{i}" for i in range(270)])
    report = reported(study, k=300)
    n = len(report.findings[0].classes)
    assert n > MOST_CLASSES
    shown = squeezed(read(page(study, report)).text)
    assert f"and {n - MOST_CLASSES} more classes in report.json" in shown


def test_no_finding_is_said_plainly(make_study: Callable[..., Any]) -> None:
    study = make_study()
    report = reported(study, k=0)
    shown = squeezed(read(page(study, report)).text)
    assert "Nothing is suspected." in shown
    assert report.why_none in shown
    assert "Nothing is suspected. " + report.why_none in squeezed(printed(report))


def printed(report: DiscoveryReport, width: int = 80) -> str:
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    print_discovery(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_has_the_numbers_of_the_report(make_study: Callable[..., Any]) -> None:
    report = reported(make_study())
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    first = report.findings[0]
    assert first.row is not None
    line = next(line for line in text.splitlines() if line.startswith(" 1 "))
    cells = re.split(r"\s{2,}", line.strip())
    shares = [words.percent(tally.share) for tally in (first.row.right.present, first.row.right.absent)]
    known = [words.percent(first.known_share), f"{first.precision_at_10:.1f}"]
    assert cells == ["1", "dog", *shares, "1.250", "0.50", "< 0.001", str(first.n_images), *known]
    assert squeezed(words.summary(first)) in squeezed(text)
    order = [line.split()[0] for line in text.splitlines() if line.split()[:1] in (["cat"], ["dog"], ["cow"])]
    assert order == [one.label for one in first.by_gap]


@settings(max_examples=20)
@given(names=st.lists(st.text(min_size=1, max_size=120), min_size=3, max_size=3, unique=True))
def test_any_name_fits_into_80_columns(make_study: Callable[..., Any], names: list[str]) -> None:
    text = printed(reported(make_study(classes=names)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert max(map(cell_len, text.splitlines())) <= 80
    for rank, score in (("1", "1.250"), ("2", "0.500")):
        assert sum(line.split()[:1] == [rank] and score in line.split() for line in text.splitlines()) == 1


def test_a_terminal_that_does_not_compare_says_nothing_of_attributes(make_study: Callable[..., Any]) -> None:
    blind = printed(reported(make_study(truth=False)))
    assert "what regions show is not known: nobody drew boxes" in blind
    assert "P@10" not in blind
    assert "known attribute" in blind
    silent = printed(reported(make_study(), against=False))
    assert "known" not in silent
