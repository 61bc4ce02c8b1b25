"""`TextSpace`: the text side of a backbone, as far as a method's card opens it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple, NoReturn

import torch

from .attribute_text import WORDS, AttributeText, Concepts, Word, phrase_after
from .cards import Supervision
from .errors import MethodError, SupervisionError


class ContextVectors(NamedTuple):
    """Unit vectors of Z contexts."""

    with_class: torch.Tensor
    """(K, Z, d): every class in every context."""
    alone: torch.Tensor
    """(Z, d): the contexts without a class."""


@dataclass(frozen=True)
class TextSpace:
    """The text side of a backbone, as far as a method may use it.

    Attributes:
        class_vectors: (K, d) unit vectors of the classes: each template embedded, unit-normalised, averaged over the
            prompt set's templates, normalised again (specification of zero-shot CLIP; Radford et al. 2021, sec. 3.1.4).
        logit_scale: s, the backbone's learned inverse temperature.
        attribute_vectors: (A, d) unit vectors of the attribute prompts, where the card declares `attribute_text`.
        encoder: texts -> (n, d), or None where the backbone has no text tower.
        prompted: noun phrases -> (n, d) unit vectors, made as the class vectors are; None without a text tower.
        class_names: K names, in order.
        filled_templates: (K, T) what the class vectors were made of; empty without a text tower.
        words: what the card asks to be told of the attribute and of the task.
        attribute_text: the attribute in words, where the card declares `attribute_text` and names any of it in `words`.
        concept_pairs: the task's concepts, where the card names them in `words`.
    """

    method: str
    supervision: Supervision
    class_vectors: torch.Tensor | None
    logit_scale: float
    attribute_vectors: torch.Tensor | None
    encoder: Callable[[Sequence[str]], torch.Tensor] | None
    prompted: Callable[[Sequence[str]], torch.Tensor] | None = None
    class_names: tuple[str, ...] = ()
    filled_templates: tuple[tuple[str, ...], ...] = ()
    words: tuple[Word, ...] = ()
    attribute_text: AttributeText | None = None
    concept_pairs: Concepts | None = None

    def classes(self) -> torch.Tensor:
        """(K, d) unit class vectors w_c. Raises MethodError if the method does not declare the input `text`."""
        if self.class_vectors is None:
            raise MethodError(f"method '{self.method}' uses text without declaring it: add 'text' to its card's inputs")
        return self.class_vectors.clone()

    def class_prompts(self) -> list[list[str]]:
        """K lists of T texts: the prompt set's templates, filled with each class.

        Raises MethodError if the method does not declare the input `text`, or the backbone has no text tower.
        """
        if not self.filled_templates:
            raise MethodError(f"method '{self.method}' reads prompts, which it does not declare or no tower is for")
        return [list(prompts) for prompts in self.filled_templates]

    def attributes(self) -> torch.Tensor:
        """(A, d) unit vectors of the attribute's names. Raises SupervisionError unless `attribute_text` is declared."""
        self._check_supervision()
        if self.attribute_vectors is None:
            raise MethodError(f"method '{self.method}' needs attribute prompts, and the data set names none")
        return self.attribute_vectors.clone()

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, d) text embeddings, not normalised."""
        if self.encoder is None or self.class_vectors is None:
            raise MethodError(f"method '{self.method}' encodes text, which it does not declare or the backbone has not")
        return self.encoder(texts)

    def groups(self) -> torch.Tensor:
        """(K, A, d) unit vectors of each class with each value of the attribute. Raises as `contexts` does."""
        return self._with_classes("values", self._phrases("values").values)

    def contexts(self, which: Literal["values", "all"]) -> ContextVectors:
        """Unit vectors of contexts: the attribute's values, or all that the data set names.

        Raises:
            SupervisionError: the card does not declare `attribute_text`.
            MethodError: the card does not name this in `words`, or the data set does not give it.
        """
        text = self._phrases("contexts")
        phrases = text.context_phrases(which)
        with_class = self._with_classes("contexts", phrases)
        return ContextVectors(with_class, _unit(self.encode([text.without_class(phrase) for phrase in phrases])))

    def scenes(self) -> torch.Tensor:
        """(m, d) unit vectors of prompts that name the attribute without a class. Raises as `contexts` does."""
        text = self._phrases("scenes")
        return _unit(self.encode(text.scenes)) if text.scenes else self.attributes()

    def pairs(self) -> torch.Tensor:
        """(p, 2, d) unit vectors of the same class in two contexts: all pairs of contexts, class after class.

        Raises as `contexts` does.
        """
        vectors = self._with_classes("pairs", self._phrases("pairs").pair_phrases())
        both = list(combinations(range(vectors.shape[1]), 2))
        if not both:
            self._nothing_given("pairs")
        return vectors[:, torch.tensor(both)].flatten(0, 1)

    def concepts(self) -> Concepts:
        """The task's pairs of concepts, as texts. They name no value of the attribute, so no supervision is declared.

        Raises:
            MethodError: the card does not name them in `words`, or the data set gives none.
        """
        self._check_word("concepts")
        if not self.concept_pairs:
            self._nothing_given("concepts")
        return self.concept_pairs

    def _phrases(self, word: Word) -> AttributeText:
        self._check_supervision()
        self._check_word(word)
        if self.attribute_text is None:
            raise MethodError(f"method '{self.method}' uses text without declaring it: add 'text' to its card's inputs")
        return self.attribute_text

    def _with_classes(self, word: Word, phrases: Sequence[str]) -> torch.Tensor:
        """(K, n, d)."""
        if not phrases:
            self._nothing_given(word)
        if self.prompted is None:
            raise MethodError(f"method '{self.method}' encodes text, and the backbone has no text tower")
        vectors = self.prompted([phrase_after(name, phrase) for name in self.class_names for phrase in phrases])
        return vectors.reshape(len(self.class_names), len(phrases), -1)

    def _check_supervision(self) -> None:
        if not self.supervision.attribute_text:
            raise SupervisionError(
                f"method '{self.method}' reads the attribute's names without declaring it: "
                f"write {self.supervision.with_word('attribute_text')} on its MethodCard"
            )

    def _check_word(self, word: Word) -> None:
        if word not in self.words:
            words = ", ".join(repr(item) for item in (*self.words, word))
            raise MethodError(
                f"method '{self.method}' reads {word} without asking for them: write words=({words},) on its MethodCard"
            )

    def _nothing_given(self, word: Word) -> NoReturn:
        raise MethodError(f"method '{self.method}' needs {WORDS[word]}, and the data set has none")


def _unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x.float(), dim=-1)
