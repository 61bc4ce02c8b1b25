"""Cards refuse what the rest of the harness could not use, when they are made."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spurbench.cards import BackboneCard, DatasetCard, MethodCard, PromptSet, Supervision, check_name

ALLOWED = string.ascii_letters + string.digits + "_.+@=,:/-"


def dataset_card(**changes: object) -> DatasetCard:
    given: dict[str, object] = {
        "name": "birds",
        "title": "Birds",
        "classes": ("landbird", "waterbird"),
        "attributes": ("land", "water", "sky"),
        "licence": "MIT",
    }
    return DatasetCard(**{**given, **changes})  # type: ignore[arg-type]


@given(st.sampled_from(string.ascii_letters + string.digits), st.text(ALLOWED, max_size=79))
@example("x", "/" * 79)
def test_names_of_up_to_80_allowed_characters_are_taken(first: str, rest: str) -> None:
    assert check_name("method", first + rest) == first + rest


@given(st.text(ALLOWED, min_size=1, max_size=20), st.characters(exclude_characters=ALLOWED), st.integers(0, 20))
def test_one_other_character_anywhere_refuses_a_name(name: str, other: str, place: int) -> None:
    with pytest.raises(ValueError, match="bad method name"):
        check_name("method", name[:place] + other + name[place:])


@pytest.mark.parametrize("name", ["", "x" * 81, "-x", ".hidden", "/abs", "x\n", "é", "a b"])
def test_bad_names_are_refused_on_every_card(name: str) -> None:
    for make in (
        lambda: dataset_card(name=name),
        lambda: MethodCard(name, "", ""),
        lambda: BackboneCard(name, "", ""),
        lambda: PromptSet(name, ("{}",)),
    ):
        with pytest.raises(ValueError, match=r"bad .* name"):
            make()


def test_supervision_lists_its_words_in_a_fixed_order() -> None:
    assert Supervision().words == ()
    assert str(Supervision()) == "none"
    both = Supervision(attribute_text=True, train_groups=True)
    assert both.words == ("train_groups", "attribute_text")
    assert str(both) == "train groups + attribute text"


def test_group_names_follow_y_times_a_count_plus_a() -> None:
    card = dataset_card()
    for y, label in enumerate(card.classes):
        for a, value in enumerate(card.attributes):
            assert card.groups[y * len(card.attributes) + a] == f"{label}/{value}"
    assert len(card.groups) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("one",)},
        {"attributes": ()},
        {"attribute_prompts": ("a", "b")},
        {"counts": {"train": (1, 2, 3, 4)}},
        {"counts": {"trian": (1, 2, 3, 4, 5, 6)}},
    ],
)
def test_inconsistent_data_set_cards_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="data set birds"):
        dataset_card(**changes)


def test_a_card_keeps_the_counts_that_it_was_given() -> None:
    counts = {"test": (1, 2, 3, 4, 5, 6)}
    card = dataset_card(counts=counts)
    counts["test"] = (0, 0, 0, 0, 0, 0)
    assert card.counts["test"] == (1, 2, 3, 4, 5, 6)


def test_cards_are_frozen() -> None:
    for card in (dataset_card(), MethodCard("m", "", ""), BackboneCard("b", "", ""), PromptSet("p", ("{}",))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            card.name = "other"  # type: ignore[misc]


def test_a_data_set_card_survives_pickle_and_copy() -> None:
    card = dataset_card(counts={"test": (1, 2, 3, 4, 5, 6)})
    assert pickle.loads(pickle.dumps(card)) == card
    assert copy.deepcopy(card) == card


def test_class_names_must_be_distinct() -> None:
    with pytest.raises(ValueError, match="birds"):
        dataset_card(classes=("bird", "bird"))


def test_headline_prompts_are_the_first_and_others_go_by_name() -> None:
    first, second = PromptSet("plain", ("{}",)), PromptSet("photo", ("a photo of a {}",))
    card = dataset_card(prompts=(first, second))
    assert card.prompt_set(None) is first
    assert card.prompt_set("photo") is second
    with pytest.raises(KeyError, match="absent"):
        card.prompt_set("absent")


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "a {name}", "a {{}} of {}", "a {} in {place}", "a {} }"])
def test_a_template_has_exactly_one_place_for_the_class(template: str) -> None:
    with pytest.raises(ValueError, match=r"needs one \{\} and no other braces"):
        PromptSet("p", ("a {}", template))


@given(st.text("{}a !:0.", max_size=8))
def test_every_accepted_template_can_be_formatted(template: str) -> None:
    try:
        accepted = PromptSet("p", (template,))
    except ValueError:
        return
    assert accepted.templates[0].format("owl") == template.replace("{}", "owl")


def test_a_prompt_set_is_either_templates_or_a_list_of_open_clip() -> None:
    assert PromptSet("p", open_clip_list="OPENAI_IMAGENET_TEMPLATES").templates == ()
    with pytest.raises(ValueError, match="either"):
        PromptSet("p")
    with pytest.raises(ValueError, match="either"):
        PromptSet("p", ("{}",), "OPENAI_IMAGENET_TEMPLATES")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ()}, "inputs"),
        ({"inputs": ("embedding",)}, "inputs"),
        ({"inputs": "text"}, "inputs"),
        ({"track": "body"}, "track"),
        ({"refit": True}, "val_groups"),
        ({"refit": True, "supervision": Supervision(train_groups=True)}, "val_groups"),
    ],
)
def test_inconsistent_method_cards_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MethodCard("m", "", "", **changes)  # type: ignore[arg-type]


def test_a_method_that_fits_on_validation_may_refit() -> None:
    assert MethodCard("m", "", "", Supervision(val_groups=True), refit=True).refit
