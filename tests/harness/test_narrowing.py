"""Patterns of data sets and backbones: names are themselves, globs match, exclusions take away, slips are told."""

from __future__ import annotations

import pytest

from spurbench.errors import UnknownNameError
from spurbench.narrowing import matching, places

NAMES = ["birds", "birds:labels=1v20", "faces", "folder:/photos [1]", "folder:/photos 1"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (None, NAMES),
        (["all"], NAMES),
        (["faces"], ["faces"]),
        (["birds*"], ["birds", "birds:labels=1v20"]),
        (["!birds*"], ["faces", "folder:/photos [1]", "folder:/photos 1"]),
        (["birds*", "faces", "!birds"], ["birds:labels=1v20", "faces"]),
        (["folder:/photos [1]"], ["folder:/photos [1]"]),
        (["folder:/photos ?"], ["folder:/photos 1"]),
    ],
)
def test_patterns_stand_for_names(patterns: list[str] | None, expected: list[str]) -> None:
    assert matching("data set", NAMES, patterns) == set(expected)


@pytest.mark.parametrize("patterns", [["bird"], ["!bird"], ["birds", "x*"]])
def test_what_nothing_matches_is_told(patterns: list[str]) -> None:
    with pytest.raises(UnknownNameError):
        matching("data set", NAMES, patterns)


def test_places_are_those_of_both() -> None:
    known = [("birds", "RN50"), ("birds", "ViT"), ("faces", "RN50")]
    assert places(known, ["birds"], None) == {("birds", "RN50"), ("birds", "ViT")}
    assert places(known, ["faces"], ["ViT"]) == set()
    assert places(known, None, ["!ViT"]) == {("birds", "RN50"), ("faces", "RN50")}
