"""Folders as they should not be: one message each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.errors import DataError
from spurbench_datasets.counteranimal.layout import found_below, read_layout

if TYPE_CHECKING:
    from conftest import AnimalLayout

CLASSES = [(9, "ostrich, Struthio camelus"), (10, "brambling, Fringilla montifringilla")]
OSTRICH = "9 ostrich, Struthio camelus"


@pytest.fixture
def folder(tmp_path: Path, counteranimal_layout: Callable[..., AnimalLayout]) -> Path:
    laid = counteranimal_layout(tmp_path / "LAION-final", CLASSES)
    assert set(read_layout(laid.folder).ids) == set(laid.photos)
    return laid.folder


def emptied(folder: Path) -> None:
    for path in (folder / OSTRICH / "counter-sky").iterdir():
        path.unlink()


def twice(folder: Path) -> None:
    (folder / "9 Ostrich" / "common-x").mkdir(parents=True)


def numberless(folder: Path) -> None:
    (folder / OSTRICH).rename(folder / "ostrich")


def without_classes(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            path.rename(folder.parent / path.name)


def renamed(folder: Path) -> None:
    (folder / OSTRICH / "counter-sky").rename(folder / OSTRICH / "contra-sky")


def link_out(folder: Path) -> None:
    (folder.parent / "secret.jpg").write_bytes(b"secret")
    (folder / OSTRICH / "counter-sky" / "a.jpg").symlink_to(folder.parent / "secret.jpg")


def link_nowhere(folder: Path) -> None:
    (folder / OSTRICH / "counter-sky" / "a.jpg").symlink_to("absent.jpg")


def link_circle(folder: Path) -> None:
    (folder / OSTRICH / "counter-sky" / "a.jpg").symlink_to("b.jpg")
    (folder / OSTRICH / "counter-sky" / "b.jpg").symlink_to("a.jpg")


def folder_loop(folder: Path) -> None:
    (folder / OSTRICH / "counter-sky" / "again").symlink_to(folder)


def class_loop(folder: Path) -> None:
    (folder / "11 goldfinch").symlink_to(folder)


def folder_out(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / OSTRICH / "common-elsewhere").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (emptied, "class '9 ostrich, Struthio camelus' has no hard photos; they belong into a folder counter-"),
        (renamed, "has no hard photos"),
        (twice, "two folders are class 9: '9 Ostrich' and '9 ostrich, Struthio camelus'"),
        (numberless, "the folder 'ostrich' has no number in front"),
        (without_classes, "has no folders of classes"),
        (link_out, r"a\.jpg is a link that leads out of"),
        (link_nowhere, r"a\.jpg is a link that cannot be followed"),
        (link_circle, r"a\.jpg is a link that cannot be followed"),
        (folder_loop, "again is a link to a folder"),
        (class_loop, "11 goldfinch is a link to a folder"),
        (folder_out, "common-elsewhere is a link that leads out"),
    ],
)
def test_what_cannot_be_right_is_refused(folder: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        read_layout(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_links_between_photos_are_followed(folder: Path) -> None:
    place = folder / OSTRICH / "counter-sky"
    (place / "a.jpg").symlink_to(place / "twin.jpg")
    assert f"{OSTRICH}/counter-sky/a.jpg" in read_layout(folder).ids


def test_a_name_that_is_not_unicode_is_refused(folder: Path) -> None:
    try:
        (folder / OSTRICH / "counter-sky" / os.fsdecode(b"\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system has Unicode names only")
    with pytest.raises(DataError, match="not valid Unicode; rename it"):
        read_layout(folder)


def test_photos_in_folders_below_a_group_belong_to_it(folder: Path) -> None:
    inner = folder / OSTRICH / "counter-sky" / "more"
    inner.mkdir()
    (inner / "x.webp").write_bytes(b"")
    layout = read_layout(folder)
    row = layout.ids.index(f"{OSTRICH}/counter-sky/more/x.webp")
    assert (layout.classes[row], layout.groups[row]) == (9, 1)


def test_folders_of_neither_group_are_named_and_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = read_layout(folder)
    for name in ("comon-sand", "counterfeit"):
        (folder / OSTRICH / name).mkdir()
        (folder / OSTRICH / name / "x.jpg").write_bytes(b"")
    (folder / "report").mkdir()
    assert read_layout(folder) == before
    [message] = caplog.messages
    assert f"{OSTRICH}/comon-sand, {OSTRICH}/counterfeit" in message


def test_an_incomplete_place_does_not_hide_the_complete_one(folder: Path) -> None:
    (folder.parent / "counteranimal" / "LAION-final").mkdir(parents=True)
    assert found_below(folder.parent) == folder


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["common-", "COMMON-", "counter-", "Counter_"]),
            st.text("ab-_ ü", max_size=4),
            st.sampled_from([".jpg", ".JPEG", ".png", ".txt"]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda item: (item[0] + item[1]).casefold() + item[2].casefold(),
    )
)
def test_whatever_the_backgrounds_are_called_the_prefix_decides(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    made += [("common-", "always", ".jpg"), ("counter-", "always", ".jpg")]
    expected = set()
    for prefix, background, suffix in made:
        place = folder / "9 ostrich" / (prefix + background)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"photo{suffix}").write_bytes(b"")
        if suffix != ".txt":
            group = int(prefix.lower().startswith("counter"))
            expected.add((f"9 ostrich/{prefix}{background}/photo{suffix}", group))
    layout = read_layout(folder)
    assert set(zip(layout.ids, layout.groups, strict=True)) == expected
    assert layout.counts == {9: tuple(sum(group == a for _, group in expected) for a in (0, 1))}
