"""What data sets say in words: refused where it is wrong, part of the key, and what a cell is impossible without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.attribute_text import WORDS, AttributeText, Concepts, Word, phrase_after
from spurbench.backbones import Tower
from spurbench.cards import BackboneCard, DatasetCard, MethodCard, Supervision
from spurbench.data import Examples, OwnFeatures
from spurbench.files import digest
from spurbench.keys import LoadedData, impossible_reason, key_parts
from spurbench.rules import load_rules

TOLD = Supervision(attribute_text=True)
RULES = load_rules("quick")
TEXT = AttributeText(values=("on land", "on water"))
CARD = DatasetCard("birds", "Birds", ("landbird", "waterbird"), ("land", "water"), "none", attribute_text=TEXT)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"values": "land"}, "values: must be a tuple of texts"),
        ({"values": ["land"]}, "values: must be a tuple of texts"),
        ({"values": (1, 2)}, "values: must be a tuple of texts"),
        ({"contexts": ("on land", "on land")}, "contexts: every text must be another"),
        ({"contexts": ("on land",)}, "contexts: one alone"),
        ({"pairs": ("on land",)}, "pairs: one alone"),
        ({"pairs": ("on land", " on water")}, "blanks"),
        ({"pairs": ("on land", "in a {}")}, "braces"),
        ({"scenes": ("",)}, "scenes: ''"),
        ({"names": "land"}, "names: must be a tuple of texts"),
        ({"names": ("", "red square")}, "names: ''"),
        ({"names": ("land", "land")}, "names: every text must be another"),
        ({"settings": ("bird on {}", "bird")}, "braces"),
        ({"settings": ("bird ", "bird on land")}, "blanks"),
        ({"settings": ("bird", 1)}, "settings: must be a tuple of texts"),
        ({"class_free": "a photo"}, "class_free"),
        ({"class_free": "a {} {}"}, "class_free"),
        ({"class_free": 3}, "class_free"),
    ],
)
def test_wrong_words_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        AttributeText(**given)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"reject": (("a", "b", "c"),)}, "reject: must be pairs"),
        ({"accept": ("ab",)}, "accept: must be pairs"),
        ({"accept": [("a", "b")]}, "accept: must be pairs"),
        ({"reject": (("a", "a"),)}, "reject: every text must be another"),
        ({"reject": (("a", ""),)}, "reject: ''"),
        ({"reject": (("a", 1),)}, "reject: must be a tuple of texts"),
        ({"reject": (("a", "b"), ("a", "b"))}, "occurs twice"),
    ],
)
def test_wrong_concepts_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Concepts(**given)


@pytest.mark.parametrize("name", ["values", "names", "settings"])
def test_one_phrase_for_each_value_of_the_attribute(name: str) -> None:
    for phrases in (("land",), ("land", "water", "sky")):
        given: dict[str, Any] = {name: phrases}
        with pytest.raises(
            ValueError, match=rf"data set birds: one phrase in attribute_text\.{name} per attribute value"
        ):
            replace(CARD, attribute_text=AttributeText(**given))
    given = {name: ("land", "water")}
    assert getattr(replace(CARD, attribute_text=AttributeText(**given)).attribute_text, name) == given[name]


def test_what_is_not_given_falls_back_on_the_values() -> None:
    assert TEXT.context_phrases("all") == TEXT.context_phrases("values") == TEXT.pair_phrases() == TEXT.values
    more = AttributeText(contexts=("", "on land"), pairs=("x", "y"))
    assert more.context_phrases("values") == more.context_phrases("all") == ("", "on land")
    assert more.pair_phrases() == ("x", "y")
    both = replace(more, values=("on land", "on water"))
    assert both.context_phrases("values") == ("on land", "on water")
    assert both.context_phrases("all") == ("", "on land")


@given(
    st.sampled_from(["a photo {}.", "{}", "a bird {}, today", "a bird {}"]), st.text("ab ", min_size=1).map(str.strip)
)
def test_the_empty_phrase_takes_the_blank_before_it_with_it(template: str, phrase: str) -> None:
    text = AttributeText(class_free=template)
    if phrase:
        assert text.without_class(phrase) == template.format(phrase)
        assert phrase_after("gull", phrase) == f"gull {phrase}"
    assert text.without_class("") == template.replace(" {}", "").replace("{}", "")
    assert phrase_after("gull", "") == "gull"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"words": ("scene",)}, "words must be some of"),
        ({"words": "scenes"}, "words must be some of"),
        ({"words": ("concepts",), "inputs": ("embeddings",)}, "words need the input 'text'"),
        ({"words": ("concepts", "values")}, "needs the supervision attribute_text"),
    ],
)
def test_a_method_that_asks_wrongly_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        MethodCard("m", "", "", **{"inputs": ("text",), **changes})


@dataclass(frozen=True)
class Fake:
    fingerprint: str = "f"
    card: BackboneCard = BackboneCard("fake", "Fake", "none")

    def load(self, device: str) -> Tower:
        raise AssertionError("nothing is loaded to find out what is impossible")


class Photos:
    at_once = 1

    def __len__(self) -> int:
        return 4

    def open(self, rows: Any) -> Any:
        raise AssertionError

    def fingerprint(self, ids: Any, hashes: Any) -> str:
        return "p"


class Asking:
    """A method that asks for words."""

    space: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, *words: Word) -> None:
        supervision = TOLD if set(words) - {"concepts"} else Supervision()
        self.card = MethodCard("asking", "", "", supervision, inputs=("text",), trains="nothing", words=words)

    def fit(self, task: Any, config: Any) -> Any:
        raise AssertionError


def loaded(card: DatasetCard, features: OwnFeatures | None = None) -> LoadedData:
    photos = None if features is not None else Photos()
    examples = Examples(
        list("abcd"), *(np.array(c) for c in ([0, 0, 1, 1], [0, 1, 0, 1], [2] * 4)), 2, 2, photos, features
    )

    class Data:
        pass

    data = Data()
    data.card = card  # type: ignore[attr-defined]
    return LoadedData(data, examples, "d")  # type: ignore[arg-type]


def reason(card: DatasetCard, *words: Word, features: OwnFeatures | None = None) -> str:
    return impossible_reason(Asking(*words).card, loaded(card, features), None if features else Fake(), RULES)


@pytest.mark.parametrize("word", list(WORDS))
def test_a_data_set_that_lacks_a_word_makes_the_cell_impossible_and_says_which(word: Word) -> None:
    silent = replace(CARD, attribute_text=AttributeText())
    assert reason(silent, word) == f"needs {WORDS[word]}; birds has none"
    given: dict[Word, dict[str, Any]] = {
        "values": {"attribute_text": TEXT},
        "contexts": {"attribute_text": AttributeText(contexts=("", "on land"))},
        "scenes": {"attribute_prompts": ("land.", "water.")},
        "pairs": {"attribute_text": AttributeText(pairs=("on land", "on water"))},
        "names": {"attribute_text": AttributeText(names=("land", "water"))},
        "settings": {"attribute_text": AttributeText(settings=("bird on land", "bird on water"))},
        "concepts": {"concepts": Concepts(accept=(("a", "b"),))},
    }
    assert reason(replace(silent, **given[word]), word) == ""
    others = [name for name in WORDS if name != word]
    assert all(reason(silent, word, other) != "" for other in others)


def test_features_without_a_text_tower_serve_only_scenes_that_they_bring() -> None:
    rows = np.ones((4, 3), np.float32)
    card = replace(CARD, own_features=True, attribute_prompts=("land.", "water."), concepts=Concepts((("a", "b"),)))
    own = OwnFeatures("mine", rows, rows[:2], rows[:2])
    assert reason(card, "scenes", features=own) == ""
    for words in (("values",), ("contexts",), ("pairs", "scenes"), ("names",), ("settings",), ("concepts",)):
        found = reason(card, *words, features=own)  # type: ignore[arg-type]
        assert found == "needs a text tower to embed further texts; birds brings its own features, and none"
    assert "attribute_text" in reason(card, "scenes", features=OwnFeatures("mine", rows, rows[:2], None))


@pytest.mark.parametrize(
    "changed",
    [
        {"attribute_text": replace(TEXT, values=("on land", "at sea"))},
        {"attribute_text": replace(TEXT, contexts=("", "on land"))},
        {"attribute_text": replace(TEXT, class_free="a bird {}.")},
        {"attribute_text": replace(TEXT, scenes=("land.",))},
        {"attribute_text": replace(TEXT, pairs=("on land", "at sea"))},
        {"attribute_text": replace(TEXT, names=("land", "sea"))},
        {"attribute_text": replace(TEXT, settings=("bird on land", "bird at sea"))},
        {"concepts": Concepts(reject=(("a", "b"),))},
    ],
)
def test_other_words_are_another_key_for_who_asks_for_them(changed: dict[str, Any]) -> None:
    def key(card: DatasetCard, *words: Word) -> str:
        return digest(key_parts(Asking(*words), loaded(card), Fake(), RULES))

    told: Word = "concepts" if "concepts" in changed else "values"
    other: Word = "values" if told == "concepts" else "concepts"
    card = replace(CARD, **changed)
    assert key(card, told) != key(CARD, told)
    assert key(card, other) == key(CARD, other)
    assert key(card) == key(CARD)
