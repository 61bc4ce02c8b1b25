from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spurbench_datasets.menagerie.animals import NAMES, SPECIES
from spurbench_datasets.menagerie.captions import SHARES, VAGUE, caption, every_caption, with_article
from spurbench_datasets.menagerie.corpus import Corpus
from spurbench_datasets.menagerie.places import OUTDOORS, PLACES, STUDIO
from spurbench_datasets.menagerie.scenes import NONE, Scenes

UNLIKELY = 1e-3
"""The samples are fixed: a p-value below this is a pattern, not bad luck."""
SCENES = Corpus(40_000, 1 / OUTDOORS, empty=0.1).scenes()
ANIMALS_OUTDOORS = SCENES.rows(np.flatnonzero((SCENES.species != NONE) & (SCENES.place != STUDIO)))
IN_STUDIOS = SCENES.rows(np.flatnonzero(SCENES.place == STUDIO))
SHAPES = ("animal and place", "animal", "kind", "place")


@dataclass(frozen=True)
class Content:
    """What a caption says, read off its words."""

    animals: frozenset[str]
    kinds: frozenset[str]
    phrases: frozenset[str]
    grounds: frozenset[str]

    @classmethod
    @cache
    def of(cls, text: str) -> Content:
        def said(phrases: set[str]) -> frozenset[str]:
            return frozenset(phrase for phrase in phrases if re.search(rf"\b{phrase}\b", text))

        return cls(
            said(set(NAMES)),
            said({species.kind for species in SPECIES}),
            said({place.phrase for place in PLACES}),
            said({"on land", "on the water"}),
        )

    @property
    def shape(self) -> str:
        """Which of these there are."""
        named = {"animal": self.animals, "kind": self.kinds, "place": self.phrases | self.grounds}
        return " and ".join(word for word, found in named.items() if found)


@pytest.fixture(scope="module")
def captions() -> list[str]:
    return caption(SCENES)


def shapes(scenes: Scenes, shares: tuple[float, float, float, float] = SHARES) -> Counter[str]:
    return Counter(Content.of(text).shape for text in caption(scenes, shares))


def test_every_caption_lists_what_occurs_and_nothing_else(captions: list[str]) -> None:
    listed = every_caption()
    assert len(set(listed)) == len(listed)
    assert set(captions) == set(listed)


def test_every_caption_says_one_of_four_things() -> None:
    assert {Content.of(text).shape for text in every_caption()} == set(SHAPES)


def test_a_caption_says_nothing_that_is_not_in_the_photo(captions: list[str]) -> None:
    for number, where, text in zip(SCENES.species.tolist(), SCENES.place.tolist(), captions, strict=True):
        said, place = Content.of(text), PLACES[where]
        assert said.phrases <= {place.phrase}
        assert said.grounds <= {"on the water" if place.water else "on land"}
        assert said.animals <= (set() if number == NONE else {SPECIES[number].name})
        assert said.kinds <= (set() if number == NONE else {SPECIES[number].kind})


def test_a_photo_without_an_animal_is_described_by_its_place(captions: list[str]) -> None:
    without = [text for number, text in zip(SCENES.species.tolist(), captions, strict=True) if number == NONE]
    assert len(without) > 3000
    assert {Content.of(text).shape for text in without} == {"place"}


def test_shares() -> None:
    found = shapes(ANIMALS_OUTDOORS)
    for shape, share in zip(SHAPES, SHARES, strict=True):
        assert stats.binomtest(found[shape], len(ANIMALS_OUTDOORS), share).pvalue > UNLIKELY
    assert sum(SHARES) == pytest.approx(1)


def test_a_studio_is_not_worth_a_word() -> None:
    found = shapes(IN_STUDIOS)
    assert set(found) == {"animal", "kind"}
    # What would have named the place names the animal alone.
    assert stats.binomtest(found["kind"], len(IN_STUDIOS), SHARES[SHAPES.index("kind")]).pvalue > UNLIKELY
    assert not any("studio" in text for text in every_caption())


@pytest.mark.parametrize(("only", "shape"), list(enumerate(SHAPES)))
def test_shares_of_ones_own(only: int, shape: str) -> None:
    shares = [0.0, 0.0, 0.0, 0.0]
    shares[only] = 1.0
    some = ANIMALS_OUTDOORS.rows(slice(500))
    assert set(shapes(some, (shares[0], shares[1], shares[2], shares[3]))) == {shape}


def test_some_captions_of_places_are_vague(captions: list[str]) -> None:
    places = [Content.of(text) for text in captions if Content.of(text).shape == "place"]
    vague = sum(bool(said.grounds) for said in places)
    assert stats.binomtest(vague, len(places), VAGUE).pvalue > UNLIKELY


def test_wordings_are_equally_likely(captions: list[str]) -> None:
    wordings: dict[str, Counter[str]] = {}
    for text in captions:
        said = Content.of(text)
        wording = text
        for phrase in (*said.animals, *said.kinds, *said.phrases, *said.grounds):
            wording = re.sub(rf"\b((an?) )?{phrase}\b", "{}", wording)
        wordings.setdefault(said.shape, Counter())[wording] += 1
    assert {shape: len(found) for shape, found in wordings.items()} == {
        "animal and place": 6,
        "animal": 5,
        "kind": 3,
        "place": 4,
    }
    for found in wordings.values():
        assert stats.chisquare(list(found.values())).pvalue > UNLIKELY


def test_articles() -> None:
    assert [with_article(noun) for noun in ("duck", "ostrich", "horse")] == ["a duck", "an ostrich", "a horse"]
    for text in every_caption():
        for article, noun in re.findall(r"\b(an?) (\w+)", text):
            assert article == ("an" if noun[0] in "aeiou" else "a"), text
        for noun in Content.of(text).animals | Content.of(text).kinds:
            assert re.search(rf"\ban? {noun}\b", text), text


@given(st.lists(st.integers(0, 999), max_size=20))
def test_a_caption_depends_on_its_own_scene_alone(captions: list[str], rows: list[int]) -> None:
    assert caption(SCENES.rows(np.array(rows, dtype=np.int64))) == [captions[row] for row in rows]


def test_words_do_not_depend_on_what_they_are_said_of() -> None:
    other = Scenes(SCENES.seed, ANIMALS_OUTDOORS.index[:2000], np.full(2000, 5), np.full(2000, 6))
    pairs = {
        (Content.of(one).shape, Content.of(two).shape)
        for one, two in zip(caption(ANIMALS_OUTDOORS.rows(slice(2000))), caption(other), strict=True)
    }
    assert pairs == {(shape, shape) for shape in SHAPES}
