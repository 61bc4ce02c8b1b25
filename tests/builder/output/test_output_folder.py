"""Photos stand where the official data set has them, under their own names as far as that goes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.builder.output import Built, write
from spurbench.builder.output.built import said
from spurbench.builder.output.folder import placed
from spurbench.errors import DataError
from spurbench.files import original_name, readable_name

MakeBuilt = Callable[..., Built]


def renamed(built: Built, names: dict[str, str]) -> Built:
    return replace(built, photos=built.photos.assign(path=[names.get(path, path) for path in built.photos["path"]]))


def test_the_official_layout(make_built: MakeBuilt, tmp_path: Path) -> None:
    built, out = make_built(), tmp_path / "out"
    write(built, out, report=lambda built: "")
    photos: Any = built.photos
    expected = {}
    number = {"crane, wader": "1 crane, wader", "rock/dove": "3 rock%2Fdove"}
    for row in photos.itertuples():
        if row.split:
            folder = f"{number[row.label]}/{'common-meadow' if row.group == 'easy' else 'counter-lake'}"
            expected[f"{folder}/{Path(row.path).name}"] = row.sha256
    found = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*/*-*/*")}
    assert found == expected
    assert len(found) == 46
    assert (out / "label_names.txt").read_text() == "0\tbear\n1\tcrane, wader\n2\theron\n3\trock/dove\n"


def test_places_do_not_depend_on_the_order_of_rows(make_built: MakeBuilt) -> None:
    built = make_built()
    shuffled = replace(built, photos=built.photos.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(placed(built), placed(shuffled))


def test_names_that_collide_are_told_apart_by_hash(make_built: MakeBuilt) -> None:
    built = make_built(kept=("crane, wader",))
    easy = built.photos[(built.photos["split"] != "") & (built.photos["group"] == "easy")]
    a, b, c, d = easy["path"].tolist()[:4]
    hashes = dict(zip(easy["path"], easy["sha256"], strict=True))
    # The fourth stands where the first would be put.
    taken = f"z/Bird-{hashes[a][:8]}.jpg"
    rows: Any = placed(renamed(built, {a: "x/bird.jpg", b: "y/Bird.JPG", c: "z/bird.jpeg", d: taken}))
    names = {row.sha256: PurePosixPath(row.file_name).name for row in rows.itertuples()}
    assert names[hashes[a]] == f"bird-{hashes[a][:8]}-2.jpg"
    assert names[hashes[b]] == f"Bird-{hashes[b][:8]}.JPG"
    assert names[hashes[c]] == "bird.jpeg", "another suffix is another file"
    assert names[hashes[d]] == PurePosixPath(taken).name
    assert len({name.casefold() for name in rows["file_name"]}) == len(rows)


def test_a_class_that_the_instrument_does_not_know_is_refused(make_built: MakeBuilt) -> None:
    built = make_built()
    instrument = replace(built.instrument, labels=("bear", "crane, wader", "heron", "?"))
    with pytest.raises(DataError, match="class 'rock/dove' is not among the 4"):
        placed(replace(built, instrument=instrument))


def test_classes_said_alike_get_their_number(make_built: MakeBuilt) -> None:
    instrument = replace(make_built().instrument, names=("crane", "ox\n cart", "maillot", "Crane"))
    assert said(instrument) == ("crane (0)", "ox cart", "maillot", "Crane (3)")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120)


@given(NAMES)
def test_readable_names_are_safe_everywhere_and_give_the_name_back(name: str) -> None:
    import unicodedata

    safe = readable_name(name)
    assert len(safe.encode()) <= 200
    assert not set(safe) & set('<>:"/\\|?*\0\n\r\t\x7f\x1b')
    assert safe[0] not in ". "
    assert safe[-1] not in ". "
    assert safe.split(".")[0].casefold() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    if "~" not in safe:
        assert original_name(safe) == unicodedata.normalize("NFC", name)


@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_different_names_stay_different(names: list[str]) -> None:
    import unicodedata

    apart = {unicodedata.normalize("NFC", name) for name in names}
    assert len({readable_name(name, 40) for name in names}) >= len(apart)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("African hunting dog, hyena dog", "African hunting dog, hyena dog"),
        ("jay's café 漢字", "jay's café 漢字"),
        ("a/b\\c:d", "a%2Fb%5Cc%3Ad"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("CON", "%43ON"),
        ("nul.txt", "%6Eul.txt"),
        ("100 %", "100 %25"),
    ],
)
def test_readable_names(name: str, safe: str) -> None:
    assert readable_name(name) == safe


def test_long_names_are_cut_and_stay_apart() -> None:
    long = [readable_name("漢" * 300 + end) for end in "ab"]
    assert all(len(name.encode()) <= 200 for name in long)
    assert long[0] != long[1]
    assert long[0].startswith("漢" * 60)
