"""Markdown of names and messages: nobody is mentioned, nothing is linked, and ordinary names stay as they are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.marking import markdown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R&D &lt;b&gt;", "R&amp;D &amp;lt;b&amp;gt;"),
        ("@octocat (@org/team)", "@<!-- -->octocat (@<!-- -->org/team)"),
        ("mail me@example.com", "mail me@<!-- -->example.com"),
        ("fixes #12, o/r#3, gh-4", "fixes #<!-- -->12, o/r#<!-- -->3, gh-<!-- -->4"),
        ("https://evil.example/x", "https&#58;//evil.example/x"),
        ("WWW.evil.example", "WWW&#46;evil.example"),
    ],
)
def test_what_would_call_or_lead_somewhere_does_not(text: str, expected: str) -> None:
    assert markdown(text) == expected


@pytest.mark.parametrize(
    "name",
    ["cfr:variant=as_released", "ViT-L/14@336px", "#", "RN50", "menagerie-sticker:strength=0.8:label=dog", "a: b"],
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert markdown(name) == name


@given(st.text("@#&:/w.aGH-1 <>_*\\\n"))
def test_nothing_that_github_acts_on_is_left(text: str) -> None:
    made = markdown(text)
    assert "\n" not in made
    assert not re.search(r"(?<![A-Za-z0-9])@[A-Za-z0-9]|#[0-9](?![0-9]*;)|(?i:GH-[0-9])|://|(?i:www\.)", made)
    assert not re.search(r"&(?!amp;|lt;|gt;|#58;|#46;)", made)
    assert not re.search(r"<(?!!-- -->)", made)
