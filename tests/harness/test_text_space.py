"""What a task tells a method in words: what it declares, made as the class vectors are, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from spurbench.attribute_text import AttributeText, Concepts, Word
from spurbench.cards import Input, MethodCard, Supervision
from spurbench.errors import MethodError, SupervisionError
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, Text, make_task, train_view
from spurbench.text_space import TextSpace

if TYPE_CHECKING:
    from conftest import MakePrepared

TOLD = Supervision(attribute_text=True)
EVERYTHING: tuple[Word, ...] = ("values", "contexts", "scenes", "pairs", "names", "settings", "concepts")
TEMPLATES = ("see {}", "{} near by")
TEXT = AttributeText(
    values=("on land", "on water"),
    contexts=("", "on land", "in the sky"),
    class_free="a bird {}.",
    scenes=("the sea", "a forest"),
    pairs=("by day", "by night", "at noon"),
    names=("land", "water"),
    settings=("bird on land", "bird on water"),
)
CONCEPTS = Concepts(reject=(("wet", "dry"),), accept=(("big", "small"),))


def letters(text: str) -> np.ndarray:
    """How often each letter occurs: an embedding that shows which text it is of."""
    return np.array([text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"], float)


def encode(texts: Sequence[str]) -> torch.Tensor:
    return torch.from_numpy(np.stack([letters(text) for text in texts])).float()


def prompted(nouns: Sequence[str]) -> torch.Tensor:
    return torch.nn.functional.normalize(encode([f"see {noun}" for noun in nouns]), dim=-1)


def unit(text: str) -> np.ndarray:
    found = letters(text)
    return found / np.linalg.norm(found)


@pytest.fixture
def prepared(make_prepared: MakePrepared) -> Prepared:
    made = make_prepared()
    text = Text(prompted(made.card.classes), prompted(["land", "water"]), 100.0, encode, prompted, TEMPLATES)
    return replace(made, card=replace(made.card, attribute_text=TEXT, concepts=CONCEPTS), text=text)


def space(
    prepared: Prepared,
    *words: Word,
    supervision: Supervision = TOLD,
    inputs: tuple[Input, ...] = ("embeddings", "text"),
) -> TextSpace:
    class Method:
        card = MethodCard("asking", "", "", supervision, inputs=inputs, words=words)

    method: Any = Method()
    return make_task(method, prepared, train_view(method, prepared), np.zeros(0, np.int64), Seed(("s",))).text


def test_vectors_are_of_the_texts_that_the_card_describes(prepared: Prepared) -> None:
    text = space(prepared, *EVERYTHING)
    classes = prepared.card.classes
    for k, name in enumerate(classes):
        for a, phrase in enumerate(TEXT.values):
            np.testing.assert_allclose(text.groups()[k, a].numpy(), unit(f"see {name} {phrase}"), atol=1e-6)
        for z, phrase in enumerate(TEXT.contexts):
            expected = unit(f"see {name} {phrase}")
            np.testing.assert_allclose(text.contexts("all").with_class[k, z].numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(text.contexts("values").with_class.numpy(), text.groups().numpy())
    alone = np.stack([unit("a bird."), unit("a bird on land."), unit("a bird in the sky.")])
    np.testing.assert_allclose(text.contexts("all").alone.numpy(), alone, atol=1e-6)
    np.testing.assert_allclose(text.scenes().numpy(), np.stack([unit("the sea"), unit("a forest")]), atol=1e-6)
    ends = [[f"see {name} {p}" for p in (one, other)] for name in classes for one, other in both(TEXT.pairs)]
    assert text.pairs().shape == (6, 2, 36)
    np.testing.assert_allclose(text.pairs().numpy(), [[unit(end) for end in pair] for pair in ends], atol=1e-6)
    for found, phrases in (
        (text.name_prompts(), TEXT.names),
        (text.setting_prompts(), TEXT.settings),
        (text.class_prompts(), classes),
    ):
        assert found == [[form.format(phrase) for form in TEMPLATES] for phrase in phrases]
    assert text.concepts() == CONCEPTS


def both(phrases: Sequence[str]) -> list[tuple[str, str]]:
    return [(one, other) for i, one in enumerate(phrases) for other in phrases[i + 1 :]]


READ: dict[Word, Callable[[TextSpace], Any]] = {
    "values": lambda text: text.groups(),
    "contexts": lambda text: text.contexts("values"),
    "scenes": lambda text: text.scenes(),
    "pairs": lambda text: text.pairs(),
    "names": lambda text: text.name_prompts(),
    "settings": lambda text: text.setting_prompts(),
    "concepts": lambda text: text.concepts(),
}


@pytest.mark.parametrize("word", ["values", "contexts", "scenes", "pairs", "names", "settings"])
def test_words_for_the_attribute_are_closed_to_who_does_not_declare_it(prepared: Prepared, word: Word) -> None:
    for text in (space(prepared, supervision=Supervision()), space(prepared, "concepts", supervision=Supervision())):
        with pytest.raises(SupervisionError, match=r"supervision=Supervision\(attribute_text=True\)"):
            READ[word](text)
        hidden = {*TEXT.values, *TEXT.contexts, *TEXT.scenes, *TEXT.pairs, *TEXT.names, *TEXT.settings}
        assert reachable(text).isdisjoint(hidden - {""})


@pytest.mark.parametrize("word", EVERYTHING)
def test_a_word_that_the_card_does_not_ask_for_is_not_told(prepared: Prepared, word: Word) -> None:
    others = [name for name in EVERYTHING if name != word]
    with pytest.raises(MethodError, match=rf"asks?ing.* reads {word} without asking .* words=\(.*'{word}',\)"):
        READ[word](space(prepared, *others))
    READ[word](space(prepared, word))


def test_concepts_need_no_supervision_but_are_only_there_when_asked_for(prepared: Prepared) -> None:
    assert space(prepared, "concepts", supervision=Supervision()).concepts() == CONCEPTS
    assert space(prepared, "values").concept_pairs is None
    assert "wet" not in reachable(space(prepared, "values"))


@pytest.mark.parametrize("word", EVERYTHING)
def test_what_the_data_set_does_not_say_is_an_error_that_names_it(prepared: Prepared, word: Word) -> None:
    silent = replace(prepared.card, attribute_text=AttributeText(), concepts=Concepts())
    text = prepared.text
    assert text is not None
    mute = replace(prepared, card=silent, text=replace(text, attribute_vectors=None))
    with pytest.raises(MethodError, match=r"needs .*, and the data set"):
        READ[word](space(mute, word))


@pytest.mark.parametrize("word", ["values", "contexts", "pairs", "names", "settings"])
def test_without_a_text_tower_nothing_is_embedded(prepared: Prepared, word: Word) -> None:
    text = prepared.text
    assert text is not None
    bare = replace(prepared, text=replace(text, encode=None, prompted=None, templates=()))
    with pytest.raises(MethodError, match="encodes text"):
        READ[word](space(bare, word))


def test_prompts_of_the_classes_need_the_input_text_and_nothing_else(prepared: Prepared) -> None:
    assert space(prepared, supervision=Supervision()).class_prompts()[1][0] == TEMPLATES[0].format("c1")
    closed = space(prepared, supervision=Supervision(), inputs=("embeddings",))
    assert closed.templates == ()
    with pytest.raises(MethodError, match="uses text without declaring it"):
        closed.class_prompts()


def test_a_data_set_with_text_features_of_its_own_has_no_prompts(make_prepared: MakePrepared) -> None:
    with pytest.raises(MethodError, match="no text tower"):
        space(make_prepared()).class_prompts()


def test_without_the_input_text_there_is_nothing(prepared: Prepared) -> None:
    bare = replace(prepared, text=None)
    for word in EVERYTHING:
        with pytest.raises(MethodError):
            READ[word](space(bare, word))


def reachable(text: TextSpace) -> set[str]:
    """Every string that the object's fields hold, at any depth."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, tuple):
            for item in value:
                walk(item)
        elif is_dataclass(value):
            for item in fields(value):
                walk(getattr(value, item.name))

    walk(text)
    return found
