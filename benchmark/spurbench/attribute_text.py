"""What is known in words about a spurious attribute and a task: phrases and prompts as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import chain
from typing import Literal, TypeAlias, cast

Word: TypeAlias = Literal["values", "contexts", "scenes", "pairs", "names", "settings", "concepts"]
"""What a method may ask to be told; `MethodCard.words`."""

WORDS: Mapping[Word, str] = {
    "values": "a phrase for each value of the attribute (attribute_text: values)",
    "contexts": "phrases for contexts (attribute_text: contexts or values)",
    "scenes": "prompts that name the attribute alone (attribute_text: scenes, or attribute_prompts)",
    "pairs": "two or more phrases to pair (attribute_text: pairs or values)",
    "names": "a noun phrase for each value of the attribute (attribute_text: names)",
    "settings": "a noun phrase for what all classes are, with each value (attribute_text: settings)",
    "concepts": "pairs of concepts (concepts: reject or accept)",
}
"""What each is, and where a data set gives it."""

Pair: TypeAlias = tuple[str, str]


def is_template(text: str) -> bool:
    """Whether there is one `{}` and no other brace."""
    return text.count("{}") == 1 and not set("{}") & set(text.replace("{}", ""))


@dataclass(frozen=True)
class AttributeText:
    """The spurious attribute in words.

    Phrases continue a class name: `on land` makes `a photo of a gull on land.` Names and settings stand in its place:
    `land` makes `a photo of a land.` and `bird on land` makes `a photo of a bird on land.`

    Attributes:
        values: a phrase for each value, in their order; none where what a value means depends on the class.
        contexts: phrases for more situations than the attribute's values; the empty one says nothing of any. Default:
            `values`.
        class_free: a sentence with one `{}` for a phrase, naming no class; the empty phrase takes the blank with it.
        scenes: prompts that name the attribute without a class. Default: the card's `attribute_prompts`.
        pairs: phrases any two of which should make no difference behind the same class name. Default: `values`.
        names: a noun phrase for each value alone, in their order.
        settings: a noun phrase for each value with what the classes have in common, naming no class.

    Raises:
        ValueError: a phrase that is not text, occurs twice, or holds braces; one context; a class among the braces.
    """

    values: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    class_free: str = "a photo {}."
    scenes: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("values", "contexts", "pairs"):
            _check_texts(name, getattr(self, name), empty=True)
        for name in ("scenes", "names", "settings"):
            _check_texts(name, getattr(self, name), empty=False)
        for name in ("contexts", "pairs"):
            if len(getattr(self, name)) == 1:
                raise ValueError(f"{name}: one alone tells nothing apart; give two or more, or none")
        if not isinstance(self.class_free, str) or not is_template(self.class_free):
            raise ValueError(f"class_free: {self.class_free!r} needs one {{}} and no other braces")

    def context_phrases(self, which: Literal["values", "all"]) -> tuple[str, ...]:
        """The attribute's values, or all contexts; where only one of the two is given, that one."""
        return (self.values or self.contexts) if which == "values" else (self.contexts or self.values)

    def pair_phrases(self) -> tuple[str, ...]:
        """Phrases any two of which make a pair."""
        return self.pairs or self.values

    def without_class(self, phrase: str) -> str:
        """The sentence that names no class."""
        return self.class_free.replace("{}", phrase) if phrase else re.sub(r"\s*\{\}", "", self.class_free)


@dataclass(frozen=True)
class Concepts:
    """Pairs of opposites (b+, b-) about a task, as a language model or a person who never saw the data lists them.

    Attributes:
        reject: what goes with the classes without making them.
        accept: what tells the classes apart.

    Raises:
        ValueError: not pairs of two different texts, or one pair twice.
    """

    reject: tuple[Pair, ...] = ()
    accept: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        for item in fields(self):
            pairs = getattr(self, item.name)
            good = isinstance(pairs, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
            if not good:
                raise ValueError(f"{item.name}: must be pairs of two texts, not {pairs!r}")
            if len(set(pairs)) != len(pairs):
                raise ValueError(f"{item.name}: a pair occurs twice")
            for pair in pairs:
                _check_texts(item.name, pair, empty=False)

    def __bool__(self) -> bool:
        return bool(self.reject or self.accept)

    def texts(self) -> list[str]:
        """Every text, rejected pairs first, in order."""
        return list(chain.from_iterable((*self.reject, *self.accept)))


def phrase_after(name: str, phrase: str) -> str:
    """A class name and the phrase that continues it."""
    return f"{name} {phrase}" if phrase else name


def _check_texts(name: str, texts: object, *, empty: bool) -> None:
    if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name}: must be a tuple of texts, not {texts!r}")
    for text in cast("tuple[str, ...]", texts):
        if text != text.strip() or set("{}") & set(text) or not (text or empty):
            raise ValueError(f"{name}: {text!r} must be words without braces or blanks around them")
    if len(set(texts)) != len(texts):
        raise ValueError(f"{name}: every text must be another, unlike {list(texts)}")
