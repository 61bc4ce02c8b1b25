"""Where classes stand among labels: names as people write them, against the lists that timm and open_clip ship."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timm.data import ImageNetInfo

from spurbench import imagenet
from spurbench.builder.label_spaces import open_label_space
from spurbench.errors import DataError, UsageError


def test_synset_names_are_those_that_timm_gives() -> None:
    info = ImageNetInfo()
    assert list(imagenet.synset_names()) == [info.index_to_description(index) for index in range(1000)]
    assert len(set(imagenet.labels())) == 1000
    assert (imagenet.labels()[134], imagenet.labels()[517]) == ("crane (134)", "crane (517)")


def test_the_classes_themselves_are_a_label_space() -> None:
    space = open_label_space("classes", ["snow_goose", "Auk"])
    assert space.labels == space.names == ("Auk", "snow goose")
    assert space.places == {"Auk": 0, "snow_goose": 1}
    with pytest.raises(DataError, match="one class only, 'owl'.*--labels imagenet"):
        open_label_space("classes", ["owl"])


@pytest.mark.parametrize("asked", ["imagenet", "imagenet-openai"])
@pytest.mark.parametrize(
    ("written", "index"),
    [
        ("ostrich, Struthio camelus", 9),
        ("9 ostrich, Struthio camelus", 9),
        ("ostrich", 9),
        ("Struthio_camelus", 9),
        ("ICE BEAR", 296),
        ("polar_bear", 296),
        ("134 crane", 134),
        ("517 crane", 517),
        ("garter-snake", 57),
        ("23 Vulture", 23),
    ],
)
def test_classes_are_found_among_imagenets_however_they_are_written(asked: str, written: str, index: int) -> None:
    space = open_label_space(asked, [written])
    assert space.places == {written: index}
    assert space.imagenet


@given(st.integers(0, 999))
def test_every_class_is_found_by_either_of_its_whole_names_with_its_number(index: int) -> None:
    for names in (imagenet.synset_names(), open_clip.IMAGENET_CLASSNAMES):
        written = f"{index} {names[index]}"
        assert open_label_space("imagenet-openai", [written]).places == {written: index}


def test_imagenets_names_are_said_as_asked() -> None:
    assert open_label_space("imagenet", ["ostrich"]).names == imagenet.synset_names()
    assert open_label_space("imagenet-openai", ["ostrich"]).names == tuple(open_clip.IMAGENET_CLASSNAMES)


def test_what_is_not_clear_is_asked_back() -> None:
    with pytest.raises(
        DataError, match="'crane' is more than one of the labels 'imagenet': call it '134 crane' or '517"
    ):
        open_label_space("imagenet", ["crane"])
    with pytest.raises(DataError, match=r"1 of 2 classes are not among .*'ostritch' \(did you mean 'ostrich'\?\)"):
        open_label_space("imagenet", ["ostritch", "bulbul"])
    with pytest.raises(DataError, match="'ice bear' and 'polar bear' are the same label"):
        open_label_space("imagenet", ["polar bear", "ice bear"])


def test_a_file_is_a_label_space(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("wolf\n\n  dog \nred fox\n")
    space = open_label_space(str(path), ["red_fox", "Dog"])
    assert space.labels == ("wolf", "dog", "red fox")
    assert space.places == {"red_fox": 2, "Dog": 1}
    assert not space.imagenet
    for content, message in (
        (b"wolf\n", "has 1 labels"),
        (b"\xff\xfe\x00x", "cannot be read as a list of labels"),
        (b"wolf\nWolf\n", "'Wolf' stands there twice"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            open_label_space(str(path), ["wolf"])
    with pytest.raises(UsageError, match="there is no file .*none.txt"):
        open_label_space(str(tmp_path / "none.txt"), ["wolf"])
