"""What the package's data sets say in words serves the methods that ask for it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from spurbench.attribute_text import WORDS
from spurbench.cards import DatasetCard
from spurbench_datasets.digits_sticker import DigitsSticker
from spurbench_datasets.menagerie.captions import every_caption
from spurbench_datasets.menagerie.worlds import MenagerieAnimals, MenagerieBirds, MenagerieSticker
from spurbench_datasets.waterbirds import Waterbirds

CARDS = [
    Waterbirds.card,
    *(make().card for make in (MenagerieBirds, MenagerieAnimals, MenagerieSticker, DigitsSticker)),
]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_word_is_told_but_values_that_depend_on_the_class(card: DatasetCard) -> None:
    untold = {word for word in WORDS if not card.tells(word)}
    assert untold == ({"values"} if card.name == "menagerie-animals" else set())
    assert card.concepts.reject
    assert card.concepts.accept


def test_waterbirds_has_the_published_numbers_of_contexts_scenes_and_pairs() -> None:
    text = Waterbirds.card.attribute_text
    assert (len(text.contexts), text.contexts[0], len(text.scenes), len(text.pairs)) == (12, "", 8, 5)


def words(texts: Iterable[str]) -> set[str]:
    return {word.strip(".,!") for text in texts for word in text.split()}


@pytest.mark.parametrize("card", CARDS[1:3], ids=lambda card: card.name)
def test_the_menageries_own_clips_have_read_every_word(card: DatasetCard) -> None:
    text = card.attribute_text
    alone = [text.without_class(phrase) for phrase in ("", *text.context_phrases("all"))]
    said = [*alone, *text.values, *text.scenes, *text.pairs, *card.attribute_prompts, *card.concepts.texts()]
    assert words(said) <= words(every_caption())
