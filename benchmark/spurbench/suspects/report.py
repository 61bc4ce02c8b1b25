"""`SuspectsReport`: which words go with a model's errors, as a document of counts; needs no torch.

Accuracies are kept as integers, right and in all, so that any share or gap can be computed from the file alone. The
same command on the same data and weights gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ..errors import DataError
from ..findings.report import Count, Finite, Provenance, Share, Tally
from ..rules import Strict
from .words import checked

Nats = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Split = Literal["train", "val", "test"]
LEVEL = 0.05
"""Of p-values; what is above it may be chance."""
MOST_CHOSEN = 4
"""How many suspects are handed on at most, but for counterparts: every one takes a direction from the texts of classes.
(Tried with the methods that take words on the menagerie's four worlds: with all that survive, Orth-Proj and Orth-Cal
fall to 27 and 8 % in the worst group of one, from 46 and 44 % with four.)"""
APART = -0.2
"""Agreement of a word and its counterpart, at most."""
CANDIDATES = 8
"""Suspects that a counterpart is looked for among."""


class ClassRow(Strict):
    """The photos of one class, with the word and without."""

    label: str
    present: Tally
    """Right predictions among the photos that show the word."""
    absent: Tally
    """Right predictions among the others."""
    threshold: Finite
    """The cosine of photo and word above which a photo of the class shows the word (see `presence`)."""
    information: Nats
    """Mutual information of presence and being right within the class; 0 where fewer than `min_photos` show the word,
    or do not."""
    gap: Finite | None
    """Accuracy with the word minus accuracy without; None where one of them is of no photo."""
    p_value: Share
    """Adjusted for all words and classes at once."""

    @model_validator(mode="after")
    def _consistent(self) -> ClassRow:
        present, absent = self.present.share, self.absent.share
        gap = None if present is None or absent is None else present - absent
        if self.gap != gap:
            raise ValueError(f"class {self.label}: a gap of {self.gap} between shares {present} and {absent}")
        return self


class Photo(Strict):
    """One photo that tells much about a suspect."""

    id: str
    """Its id in the data set; bytes that are not UTF-8 are spelled `\\udcXX`."""
    row: Count
    """Its row in the data set."""
    label: str
    predicted: str
    presence: Finite
    """The cosine of photo and word, less the threshold of the photo's class."""
    present: bool
    """Whether that is above 0: the photo shows the word."""

    @property
    def right(self) -> bool:
        """Whether the model gets the photo right."""
        return self.label == self.predicted


def _said(text: str) -> str:
    """Raises ValueError for what no list of words may hold."""
    try:
        if checked(text, "a suspect") != text:
            raise ValueError(f"{text!r} has blanks that words do not have")
    except DataError as error:
        raise ValueError(str(error)) from error
    return text


Said = Annotated[str, AfterValidator(_said)]


class Suspect(Strict):
    """A word whose presence goes with the model's errors."""

    rank: Annotated[int, Field(ge=1)]
    word: Said
    kind: str
    """What sort of word it is, as the vocabulary says, e.g. `scene`."""
    phrase: Said
    """How the word follows a noun, e.g. `on water`."""
    information: Nats
    """Mutual information of presence and being right, conditional on the class."""
    p_value: Share
    """Adjusted for all words: how likely so much information is if errors have nothing to do with what photos show."""
    placebo: Share
    """The share of random directions of the embedding that tell at least as much, the word counting as one."""
    agreement: list[Annotated[float, Field(ge=-1, le=1)]]
    """With each of the suspects before it, whether the same photos of a class show both: the correlation of their
    presence within classes; 0 where one of them is seen on all photos of each class, or on none."""
    classes: list[ClassRow]
    """Every class of the data set with a photo in the split, in the data set's order."""
    photos: list[Photo]
    """The most telling: the word present and absent, the model right and wrong."""

    @property
    def by_information(self) -> list[ClassRow]:
        """The classes, the most telling first."""
        return sorted(self.classes, key=lambda row: -row.information)


class WordList(Strict):
    """The vocabulary that was searched."""

    sha256: str
    n: Count
    """Words asked about, without the excluded ones."""


class SuspectsReport(Strict):
    """Words that go with the errors of one model on one data set."""

    schema_version: Literal[1] = 1
    dataset: str
    title: str
    backbone: str
    """Whose model predicts."""
    seen_by: str
    """The backbone whose texts say what is in a photo."""
    model: str
    """`zero-shot`, or the method of the record whose predictions are explained."""
    split: Split
    prompts: str
    words: WordList
    excluded: list[str]
    """Words left out since they name a class."""
    indistinct: list[str] = Field(default_factory=list)
    """Words left out since the texts of `seen_by` cannot tell them, or a piece that they are spelled with, from
    another: it has not learnt what they mean."""
    classes: list[str]
    right: Tally
    """Of all photos."""
    min_photos: Annotated[int, Field(ge=1)] = 10
    """How many photos of a class must show a word, and how many must not, for the class to be asked."""
    permutations: Annotated[int, Field(ge=1)]
    level: Annotated[float, Field(gt=0, lt=1)] = LEVEL
    directions: Annotated[int, Field(ge=1)]
    """Random directions, which mean nothing, that words are compared with."""
    n_directions_below_level: Count
    """Of these, those that would have a p-value of `level` or less, were they words of the list."""
    n_suspects_below_level: Count
    """Of all words, those with a p-value of `level` or less."""
    n_suspects_beyond_directions: Count
    """Of these, those whose `placebo` is `level` or less as well."""
    suspects: list[Suspect]
    """The first ones, the most information first; those that are handed on are among them."""
    notes: list[str] = Field(default_factory=list)
    """What a reader should know besides."""
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> SuspectsReport:
        if [one.rank for one in self.suspects] != list(range(1, len(self.suspects) + 1)):
            raise ValueError("suspects are ranked 1, 2, 3, ...")
        if [len(one.agreement) for one in self.suspects] != list(range(len(self.suspects))):
            raise ValueError("a suspect has an agreement with each of those before it")
        if self.level > LEVEL:
            raise ValueError(f"a level above {LEVEL} lets words survive that chance explains")
        if len({one.word for one in self.suspects}) < len(self.suspects):
            raise ValueError("a word is suspected twice")
        if self.n_directions_below_level > self.directions:
            raise ValueError("more directions have a small p-value than there are")
        if self.n_suspects_beyond_directions > self.n_suspects_below_level:
            raise ValueError("more words are beyond random directions than have a small p-value")
        return self

    @property
    def survivors(self) -> list[Suspect]:
        """The suspects whose p-value is at most `level`."""
        return [one for one in self.suspects if one.p_value <= self.level]

    @property
    def chosen(self) -> list[Suspect]:
        """What methods are told: survivors that tell more than random directions do, or all where none does; the first
        MOST_CHOSEN, and with each that has no counterpart among them, one.

        A counterpart is seen on other photos of a class, as `land` is where `water` is not. To methods that make texts
        with different words alike, a word alone says nothing.
        """
        beyond = [one for one in self.survivors if one.placebo <= self.level]
        chosen = (beyond or self.survivors)[:MOST_CHOSEN]
        for one in tuple(chosen):
            if all(self.agreement(one, other) > APART for other in chosen if other is not one):
                others = [other for other in self.survivors[:CANDIDATES] if other is not one]
                counterpart = min(others, key=lambda other: self.agreement(one, other), default=one)
                if counterpart is not one and self.agreement(one, counterpart) <= APART:
                    chosen.append(counterpart)
        return chosen

    def agreement(self, one: Suspect, other: Suspect) -> float:
        """Whether the same photos of a class show both of two different suspects, from -1 to 1."""
        first, second = sorted((one, other), key=lambda suspect: suspect.rank)
        return second.agreement[first.rank - 1]

    def to_json(self) -> str:
        """The document, one line per number, names as they are."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
