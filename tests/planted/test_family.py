"""Families of planted settings, and what the command line takes of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from spurbench.errors import UnknownNameError, UsageError
from spurbench.planted.family import Base, Choice, Family, load_family
from spurbench.registry import load_registries
from spurbench.rules import names_in

FAMILY = Family(
    description="",
    bases=[
        Base(name="one", dataset="one:s={strength}:l={label}", labels=["a", "b"], model="m"),
        Base(name="two", dataset="two:{strength}", labels=["c"], model="m"),
    ],
    strengths=[0.7, 0.99],
    backbones=["x", "y"],
    seeds=3,
    discoverers=["ravl"],
)


def test_settings_are_every_combination_once() -> None:
    settings = Choice().settings(FAMILY)
    names = {(setting.dataset, setting.backbone) for setting in settings}
    assert len(settings) == len(names) == 2 * (2 + 1) * 2
    assert settings[0].dataset == "one:s=0.7:l=a"
    assert {setting.dataset for setting in settings if setting.base.name == "two"} == {"two:0.7", "two:0.99"}


def test_the_choice_narrows_what_there_is() -> None:
    choice = Choice(bases=["one"], labels=["b"], strengths=[0.5], backbones=["z"])
    (setting,) = choice.settings(FAMILY)
    assert (setting.dataset, setting.backbone, setting.strength) == ("one:s=0.5:l=b", "z", 0.5)


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(UnknownNameError, match="did you mean one"):
        Choice(bases=["on"]).settings(FAMILY)
    with pytest.raises(UsageError, match="labels are a, b, c"):
        Choice(labels=["d"]).settings(FAMILY)
    with pytest.raises(UnknownNameError, match="unknown family 'smal'"):
        load_family("smal")


@pytest.mark.parametrize("dataset", ["plain", "has:{label}", "odd:{strength}:{colour}", "open:{strength"])
def test_a_data_set_that_cannot_be_planted_in_is_refused(dataset: str) -> None:
    with pytest.raises(ValidationError, match="dataset"):
        Base(name="b", dataset=dataset, labels=["a"], model="m")


@pytest.mark.parametrize("name", names_in("planted/families"))
def test_the_families_of_the_package_name_what_there_is(name: str) -> None:
    registries, family = load_registries(), load_family(name)
    for setting in Choice().settings(family):
        dataset: Any = registries.datasets.get(setting.dataset)
        assert dataset.card.attributes[dataset.planted_label % 2] is not None
        spelled = {setting.label, dataset.card.classes[dataset.planted_label]}
        assert setting.label == str(dataset.planted_label) or len(spelled) == 1
    for base in family.bases:
        for method in (base.model, *base.mitigations):
            assert registries.methods.get(method).card.track == "image"
    for discoverer in family.discoverers:
        assert callable(registries.discoverers.get(discoverer).discover)
