"""The rules and suites that ship are valid, strict, and kept apart from their variants."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import spurbench.rules as module
from spurbench.errors import UnknownNameError, UsageError
from spurbench.files import safe_name
from spurbench.rules import Budget, Named, Rules, Suite, load_rules, load_suite, named, names_in

PACKAGE = Path(module.__file__).parents[1]


def v1(**changes: object) -> Rules:
    return Rules.model_validate({**load_rules("v1").model_dump(), **changes})


@pytest.mark.parametrize("name", names_in("rules"))
def test_rules_are_what_their_file_says_under_the_files_name(name: str) -> None:
    document = yaml.safe_load((PACKAGE / "rules" / f"{name}.yaml").read_text())
    rules = load_rules(name)
    assert rules.name == name == document["name"]
    assert rules.model_dump(exclude_unset=True) == document


def test_every_track_has_a_budget_in_every_rules() -> None:
    for name in names_in("rules"):
        assert set(load_rules(name).tracks) == {"head", "projection", "image"}


def test_v1_is_the_default_and_its_headline_is_worst_group() -> None:
    assert load_rules() == load_rules("v1")
    assert load_rules().selection[0] == "worst_group"


def budgets(name: str) -> dict[str, tuple[int, int]]:
    return {track: (budget.seeds, budget.configurations) for track, budget in load_rules(name).tracks.items()}


def test_v1_tries_what_was_decided_on_the_head_track() -> None:
    assert budgets("v1")["head"] == (10, 16)


def test_quick_has_a_smaller_budget_than_v1_on_every_track() -> None:
    quick, full = budgets("quick"), budgets("v1")
    assert set(quick) == set(full)
    for track, (seeds, configurations) in quick.items():
        assert seeds <= full[track][0]
        assert configurations <= full[track][1]
        assert seeds * configurations < full[track][0] * full[track][1]


def test_quick_differs_from_v1_in_nothing_but_its_budget() -> None:
    apart = {"name", "description", "tracks"}
    assert load_rules("quick").model_dump(exclude=apart) == load_rules("v1").model_dump(exclude=apart)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean quick"):
        load_rules("quik")
    with pytest.raises(UnknownNameError, match="embedded"):
        load_suite("embeded")
    for name in ("../rules/v1", "v1.yaml", ""):
        with pytest.raises(UnknownNameError):
            load_rules(name)


def test_the_suites_that_ship_are_read() -> None:
    for name in names_in("suites"):
        assert load_suite(name).datasets
    assert load_suite() == load_suite("embedded")


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 3},
        {"tracks": {"head": {"seeds": 3, "configurations": 4, "steps": 1}}},
        {"tracks": {"body": {"seeds": 3, "configurations": 4}}},
        {"tracks": {"head": {"seeds": 0, "configurations": 4}}},
        {"selection": []},
        {"selection": ["test_oracle"]},
        {"validation_fit_share": 0.0},
        {"validation_fit_share": 1.0},
        {"confidence": 95},
        {"name": "V 1"},
    ],
)
def test_unknown_keys_and_impossible_values_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        v1(**changes)


def test_rules_do_not_change_after_they_were_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_rules().confidence = 0.5


def test_a_broken_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yaml").write_text("name: mine\nextra: 1\n")
    (tmp_path / "rules" / "torn.yaml").write_text("name: [")
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    for name in ("mine", "torn"):
        with pytest.raises(UsageError, match=f"rules/{name}.yaml"):
            load_rules(name)


def test_a_variant_changes_what_it_says_and_takes_a_name_of_its_own() -> None:
    rules = load_rules("v1")
    variant = rules.variant(configurations=5, prompts="plain")
    assert {budget.configurations for budget in variant.tracks.values()} == {5}
    assert [b.seeds for b in variant.tracks.values()] == [b.seeds for b in rules.tracks.values()]
    assert variant.prompts == "plain"
    assert Rules.model_validate(variant.model_dump()) == variant
    assert rules == load_rules("v1")
    names = [rules.variant(c, p).name for c in (None, 5, 6) for p in (None, "plain", "photo")]
    assert len({safe_name(name) for name in names}) == 9


@pytest.mark.parametrize("configurations", [None, 5])
@pytest.mark.parametrize("prompts", [None, "plain", "a+b"])
def test_the_name_of_a_variant_says_of_what_it_is_one(configurations: int | None, prompts: str | None) -> None:
    assert named(load_rules("v1").variant(configurations, prompts).name) == Named("v1", configurations, prompts)


def test_a_name_that_is_made_otherwise_is_its_own_base() -> None:
    assert named("v1+configs=2+attributes=suspects@0123abcd") == Named("v1", 2, attributes="suspects@0123abcd")
    assert named("v1+mine") == Named("v1+mine")


def test_a_variant_that_changes_nothing_is_the_same_rules() -> None:
    rules = load_rules("v1")
    assert rules.variant() == rules
    even = v1(tracks={"head": Budget(seeds=3, configurations=4), "image": Budget(seeds=1, configurations=4)})
    assert even.variant(configurations=4) == even


def test_suites_are_strict() -> None:
    with pytest.raises(ValidationError, match="backbone"):
        Suite.model_validate({"description": "", "datasets": [], "backbones": [], "methods": [], "backbone": []})
