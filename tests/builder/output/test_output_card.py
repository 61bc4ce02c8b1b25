"""The data card: true numbers, warnings where they are due, commands that can be pasted, and nothing but text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from spurbench.builder.output import Built, words, write
from spurbench.builder.output.built import is_reserved
from spurbench.builder.table import ClassResult, Interval, Rule
from spurbench.marking import markdown

MakeBuilt = Callable[..., Built]


def card(built: Built, out: Path, *forms: Any) -> tuple[dict[str, Any], str]:
    """Front matter and text."""
    write(built, out, report=lambda built: "", forms=forms)
    _, front, text = (out / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def test_the_front_matter(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built(title="a: b\n---\nlicense: mit")
    front, _ = card(built, tmp_path / "out", "huggingface")
    assert front["pretty_name"] == "a: b --- license: mit"
    assert front["license"] == "other"
    assert front["size_categories"] == ["n<1K"]
    assert "image-classification" in front["task_categories"]
    (config,) = front["configs"]
    for files in config["data_files"]:
        assert list((tmp_path / "out").glob(files["path"]))
    front, _ = card(built, tmp_path / "plain")
    assert front["configs"] == [{"config_name": "metadata", "data_files": "metadata.csv"}]


def test_numbers_are_those_of_the_evaluation_half(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    _, text = card(built, tmp_path / "out")
    found = built.found
    assert f"| **drop, on the evaluation half** | **{words.bounded(found.drop)}** |" in re.sub(" +", " ", text)
    for result in found.kept:
        easy, hard = (
            next(item.evaluation for item in result.backgrounds if item.name == name) for name in ("meadow", "lake")
        )
        row = (
            f"| {result.label} | meadow ({easy.correct} / {easy.total}, {words.percent(easy.accuracy)}) "
            f"| lake ({hard.correct} / {hard.total}, {words.percent(hard.accuracy)}) "
            f"| {words.bounded(result.drop)} | {words.points(result.drop_found)} | 0.004 |"
        )
        assert row in re.sub(" +", " ", text)
    assert "Looked at and not kept: 1" in text


def test_warnings_where_they_are_due(make_built: MakeBuilt, tmp_path: Path) -> None:
    _, text = card(make_built(), tmp_path / "out")
    assert "**Warning: 36 backgrounds are unconfirmed drafts.**" in text
    assert "**Warning: 14 photos have no licence.**" in text
    assert "all rights reserved" not in text
    built = make_built(licences=("All rights reserved",))
    built = replace(built, photos=built.photos.assign(background_by="confirmed"))
    _, text = card(built, tmp_path / "other")
    assert "None is an unconfirmed guess." in text
    assert "**Warning: 46 photos have all rights reserved.**" in text
    assert "no licence" not in text


@pytest.mark.parametrize(
    ("licence", "reserved"),
    [("All Rights Reserved", True), ("© Ann", True), ("C", True), ("CC-BY", False), ("CC0", False), ("c", True)],
)
def test_reserved_rights(licence: str, reserved: bool) -> None:
    assert is_reserved(licence) == reserved


def test_commands_can_be_pasted(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    out = tmp_path / "a place; rm -rf $HOME"
    _, text = card(built, out)
    commands = [line for line in text.splitlines() if line.startswith("spurbench run")]
    spelled = [shlex.split(command) for command in commands]
    assert [words[3] for words in spelled] == [f"folder:{out}", f"counteranimal:{out}"]
    assert all(words[4:6] == ["--backbones", "ViT-B/32"] for words in spelled)
    assert [words[7] for words in spelled] == ["all", "zero_shot"]


def test_names_are_text(make_built: MakeBuilt, tmp_path: Path) -> None:
    evil = "<img src=x> | *a* [b](c)"
    built = make_built(
        labels=("a", evil), kept=(evil, "a"), strangers=("b",), licences=(evil,), backgrounds=("<b>", "|", "_x_")
    )
    built = replace(built, command="spurbench\n```\n<b>")
    _, text = card(built, tmp_path / "out")
    assert "<img" not in text
    assert markdown(evil) in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "img src" in line]
    assert len(rows) == 2, "one of the class, one of the licence"
    assert [len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows] == [6, 2], "no cell is split in two"
    assert text.count("```") == 6


def test_markdown_of_plain_words_is_themselves() -> None:
    assert markdown("African hunting dog, hyena dog_2") == "African hunting dog, hyena dog_2"
    assert markdown(" a\n# b ") == "a # b"


def test_the_published_rule_is_called_what_it_is(make_built: MakeBuilt, world: Any, tmp_path: Path) -> None:
    built = make_built(rule=replace(world.rule, published=True))
    _, text = card(built, tmp_path / "out")
    assert f"**{words.points(built.found.drop_found)} points** on the photos that chose the pairs" in text
    assert "some are noise, and all drops are too large" in text
    assert "evaluation half, which chose nothing" not in text


def test_the_rule_in_words_has_its_numbers() -> None:
    text = " ".join(words.the_rule(Rule(0.075, 31, 0.01, 0.9, 777, 5, split_by="photographer")))
    for part in (
        "photos of one photographer stay together",
        "31 or more",
        "7.5 points",
        "777 draws",
        "at 0.01",
        "90 %",
    ):
        assert part in text
    text = " ".join(words.the_rule(Rule(0.05, 31, published=True)))
    assert "31 or more photos, the one" in text
    assert "more than 5 points" in text


def test_numbers_in_words() -> None:
    assert words.percent(None) == words.points(None) == words.bounded(None) == words.p_value(None) == "-"
    assert words.percent(0.5) == "50.0 %"
    assert words.points(-0.0004) == "0.0"
    assert words.bounded(Interval(0.123, -0.05, 0.2)) == "12.3 (-5.0 to 20.0)"
    assert [words.p_value(p) for p in (0.00012, 0.0123, 1.0)] == ["0.00012", "0.012", "1.000"]


def test_a_pair_is_reported_on_the_half_that_did_not_choose_it(make_built: MakeBuilt) -> None:
    result: ClassResult = make_built().found.kept[0]
    meadow = next(item for item in result.backgrounds if item.name == "meadow")
    assert words.of_pair(result, "meadow", Rule()) == meadow.evaluation
    assert words.of_pair(result, "meadow", Rule(published=True)) == meadow.discovery
