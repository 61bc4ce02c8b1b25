"""One name for each background, however it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.builder import synonyms
from spurbench.builder.synonyms import built_in, folded, read_words, with_own
from spurbench.errors import DataError


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("grass", "grass"), ("GREEN", "grass"), ("common-green", "grass"), ("counter-Hand", "human"),
        ("person", "human"),
        ("earth", "ground"), ("Dirt", "ground"), ("soil", "ground"), ("asphalt", "road"), ("street", "road"),
        ("lake", "lake"), ("sea", "sea"), ("bare_ground", "ground"), ("bare--ground ", "ground"),
        ("common-", "common"), ("common room", "common room"), ("Old_Barn", "old barn"),
        ("outdoor", "outdoor"), ("", ""),
    ],
)  # fmt: skip
def test_words_that_come_with_the_builder(written: str, name: str) -> None:
    assert built_in().name(written) == name


def test_the_names_that_come_with_it_are_those_of_the_paper_and_their_own() -> None:
    names = built_in().names
    paper = {"ground", "water", "sand", "snow", "grass", "human", "sky", "road", "rock", "shrub", "indoor", "tree"}
    assert paper <= set(names)
    assert [built_in().name(name) for name in names] == list(names)


@given(st.text(st.characters(max_codepoint=0x17F) | st.sampled_from("\u3000\ufb01\uff21 _-"), max_size=30))
def test_a_name_is_its_own_name(written: str) -> None:
    assert folded(folded(written)) == folded(written)
    name = folded(written)
    assert built_in().name(built_in().name(name)) == built_in().name(name)


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "words.yaml"
    path.write_text(text)
    return path


def test_words_of_ones_own_are_added_and_win(tmp_path: Path) -> None:
    mine = with_own(own(tmp_path, "Green: [grass, moss]\nearth: [soil]\nbarn:\n"))
    assert {word: mine.name(word) for word in ("grass", "lawn", "moss", "green")} == dict.fromkeys(
        ("grass", "lawn", "moss", "green"), "green"
    )
    assert [mine.name(word) for word in ("earth", "soil", "dirt", "ground")] == ["earth", "earth", "ground", "ground"]
    assert "grass" not in mine.names
    assert {"green", "earth", "ground", "barn"} <= set(mine.names)
    assert with_own(None) == built_in()


WRONG = {
    "grass: [lawn]\nwood: [lawn, grass]": ["'lawn' stands under both 'grass' and 'wood'", "'grass' stands under both"],
    "grass: lawn": ["the words for 'grass' must be a list, such as [lawn, meadow], not 'lawn'"],
    "grass: [1, no, '']": ["1 of 'grass' is no word", "False of 'grass' is no word", "'' of 'grass' is no word"],
    "1: [a]": ["1 of 1 is no word"],
    "- grass": ["must name backgrounds"],
    "": ["must name backgrounds"],
    "a: [b": ["cannot be read as YAML"],
    "!!python/object/apply:os.getcwd []": ["cannot be read as YAML"],
    "a: [\x00]": ["cannot be read as YAML"],
}


@pytest.mark.parametrize(("text", "messages"), WRONG.items(), ids=[repr(text) for text in WRONG])
def test_every_mistake_is_told(tmp_path: Path, text: str, messages: list[str]) -> None:
    with pytest.raises(DataError) as raised:
        synonyms.read(own(tmp_path, text))
    for message in messages:
        assert message in str(raised.value)
    assert str(tmp_path / "words.yaml") in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing.yaml: cannot be read: No such file"):
        with_own(tmp_path / "nothing.yaml")


def test_words_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# places\nLawn\n\nwaters\r\ngreen\nbarn yard\n")
    assert read_words(path, built_in()) == ("grass", "water", "barn yard")
    path.write_text("lawn\ngrass\n")
    with pytest.raises(DataError, match=r"words\.txt: names 1 backgrounds"):
        read_words(path, built_in())
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"words\.txt: cannot be read as text"):
        read_words(path, built_in())
    with pytest.raises(DataError, match=r"none\.txt: cannot be read as text"):
        read_words(tmp_path / "none.txt", built_in())
