"""Where defaults meet: rules, suites, and whose backbones are whose."""

from __future__ import annotations

from typing import Any

import pytest

from spurbench.errors import UsageError
from spurbench.registry import load_registries
from spurbench.rules import load_suite
from spurbench.session import Session

METHODS = load_registries().methods


@pytest.mark.parametrize(
    ("asked", "rules"),
    [
        ({}, "quick"),
        ({"seeds": 2}, "quick"),
        ({"suite": "embedded"}, "v1"),
        ({"methods": "erm"}, "v1"),
        ({"datasets": "menagerie-birds"}, "v1"),
        ({"backbones": "menagerie-rn"}, "v1"),
        ({"rules_name": "v1"}, "v1"),
        ({"suite": "embedded", "rules_name": "quick"}, "quick"),
        ({"configs": 2}, "quick+configs=2"),
    ],
)
def test_a_first_look_is_quick_and_whoever_names_anything_means_it(asked: dict[str, Any], rules: str) -> None:
    assert Session(**asked).rules.name == rules


def test_without_arguments_the_embedded_suite_is_run() -> None:
    suite, session = load_suite("embedded"), Session()
    assert session.dataset_names() == suite.datasets
    assert session.backbone_names() == suite.backbones
    assert "erm" in session.method_names()


@pytest.mark.parametrize("datasets", ["menagerie-birds", "menagerie-sticker:strength=0.5", "gaussians,digits-sticker"])
def test_a_suites_own_data_sets_get_its_backbones(datasets: str) -> None:
    assert Session(datasets=datasets).backbone_names() == load_suite("embedded").backbones


@pytest.mark.parametrize("datasets", ["waterbirds", "menagerie-birds,waterbirds"])
def test_other_data_sets_do_not(datasets: str) -> None:
    session = Session(datasets=datasets)
    assert session.backbone_names() == []
    with pytest.raises(UsageError, match="'.*' needs a backbone"):
        session.plan()


def test_a_suite_that_is_named_brings_its_backbones() -> None:
    assert Session(suite="paper").backbone_names() == load_suite("paper").backbones


def test_a_suite_keeps_long_tracks_to_some_of_its_data_sets_unless_methods_or_data_sets_are_named() -> None:
    track = {name: METHODS.get(name).card.track for name in Session().method_names()}

    plan = Session().plan()
    found = {(row.dataset, track[row.method]) for row in plan.rows}
    assert {dataset for dataset, kind in found if kind == "projection"} == {"menagerie-birds"}
    assert {dataset for dataset, kind in found if kind == "head"} == set(load_suite("embedded").datasets)
    assert "cfr" in plan.left_out["digits-sticker"]
    assert "cfr" not in plan.left_out.get("menagerie-birds", ())
    for asked in ({"methods": "cfr"}, {"datasets": "digits-sticker"}):
        named = Session(**asked).plan()
        assert not named.left_out
        assert "digits-sticker" in {row.dataset for row in named.rows if row.method == "cfr"}
