"""Whose word counts for a background, and when there are too few of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from spurbench.builder.backgrounds import check, drafters, named
from spurbench.builder.synonyms import built_in
from spurbench.errors import DataError

Write = Callable[[str], Path]


def photos(**backgrounds: str) -> pd.DataFrame:
    """Photos `cat/N.jpg`, each before one background."""
    paths = [f"cat/{name}.jpg" for name in backgrounds]
    table: pd.DataFrame = pd.DataFrame({"path": paths, "background": list(backgrounds.values())})
    return table


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def sheet(text: str) -> Path:
        path = tmp_path / "backgrounds.csv"
        path.write_text(text)
        return path

    return sheet


def told(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["background"], table["background_by"], strict=True))


def test_labels_get_their_one_name() -> None:
    before = photos(a="Green", b="common-lawn", c="Old_barn", d="", e="  ")
    after = named(before, built_in())
    assert told(after) == [("grass", "label"), ("grass", "label"), ("old barn", "label"), ("", ""), ("", "")]
    assert before["background"].tolist()[0] == "Green"


def test_drafts_count_as_far_as_they_were_confirmed(write: Write) -> None:
    path = write(
        "file,background,guess,confidence,second,confirmed,drafter\n"
        "cat/a.jpg,sand,sand,0.9,sky,yes,f00\n"
        "cat/b.jpg,sand,sand,0.9,sky,,f00\n"
        "cat/c.jpg,Waters,sand,0.4,sky,,f00\n"
        "cat/d.jpg,lawn,grass,0.4,sky,,f00\n"
        "cat/e.jpg,sand,sand,0.4,sky,NO,f00\n"
        "cat/f.jpg,sky,sand,0.4,sky,no,f00\n"
        "cat/g.jpg,,sand,0.4,sky,,f00\n"
        "./cat/h.jpg,sand,sand,0.4,sky,X,f00\n"
        "cat/own.jpg,sand,sand,0.4,sky,yes,f00\n"
        "cat/elsewhere.jpg,sand,sand,0.4,sky,yes,f01\n"
    )
    table = photos(a="", b="", c="", d="", e="", f="", g="", h="", own="road", unlisted="")
    assert told(named(table, built_in(), path)) == [
        ("sand", "confirmed"),
        ("sand", "draft"),
        ("water", "confirmed"),
        # Another word for what was guessed says nothing about it.
        ("grass", "draft"),
        ("", ""),
        ("sky", "confirmed"),
        ("", ""),
        ("sand", "confirmed"),
        ("road", "label"),
        ("", ""),
    ]
    assert drafters(path) == ("f00", "f01")


def test_a_sheet_of_three_columns_from_anywhere(write: Write) -> None:
    path = write("File;Background;Confirmed\ncat\\a.jpg;waters;1\ncat/b.jpg;sea;0\n")
    assert told(named(photos(a="", b=""), built_in(), path)) == [("water", "confirmed"), ("", "")]
    assert drafters(path) == ()


SHEETS = {
    "file,background\ncat/a.jpg,sand\n": "has no column confirmed; found file, background",
    "a,b\n1,2\n": "has no column file and no column background and no column confirmed; found a, b",
    "file,background,confirmed\ncat/a.jpg,sand,maybe\n": "line 2 has 'maybe' in `confirmed`; write yes or no",
    "file,background,confirmed\ncat/a.jpg,sand,\n./cat/a.jpg,sky,\n": "1 photos are listed more than once",
    "file,background,confirmed\ndog/a.jpg,sand,\n": "lists none of these photos, but dog/a.jpg",
    "": "is empty",
}


@pytest.mark.parametrize(("text", "message"), SHEETS.items(), ids=SHEETS.values())
def test_a_sheet_that_cannot_be_is_told(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        named(photos(a=""), built_in(), path)


def classes(**backgrounds: list[str]) -> pd.DataFrame:
    rows = [(label, background) for label, some in backgrounds.items() for background in some]
    table: pd.DataFrame = pd.DataFrame(rows, columns=["label", "background"])
    return table


def test_classes_in_which_nothing_can_be_compared_are_named() -> None:
    table = classes(cat=["lawn", "sand"], dog=["lawn", "lawn", ""], cow=[""], ape=["a", "b", "c"])
    assert check(table) == ("cow", "dog")
    table["status"] = ["", "", "", "", "", "", "burst", "tiny", ""]
    assert check(table) == ("ape", "cow", "dog")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (classes(cat=["", ""], dog=[""]), "no photo has a background; sort photos into class/background/"),
        (classes(cat=["lawn"], dog=["lawn", "lawn"]), "no class has photos before two backgrounds (found lawn)"),
        (classes(cat=["lawn"], dog=["sand"]), "no class has photos before two backgrounds (found lawn, sand)"),
        (classes(cat=["lawn", "sand"]).assign(status=["", "unreadable"]), "no class has photos before two backgrounds"),
    ],
)
def test_without_two_backgrounds_in_any_class_it_is_told_what_to_do(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        check(table)
    assert "spurbench build backgrounds PHOTOS --with BACKBONE --out DIR" in str(raised.value)
