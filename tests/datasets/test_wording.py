"""What the package's data sets say in words serves the methods that ask for it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from spurbench.attribute_text import WORDS
from spurbench.cards import DatasetCard
from spurbench_datasets.digits_sticker import DigitsSticker
from spurbench_datasets.menagerie.captions import every_caption
from spurbench_datasets.menagerie.companion import MenagerieCompanion
from spurbench_datasets.menagerie.worlds import MenagerieAnimals, MenagerieBirds, MenagerieSticker
from spurbench_datasets.mnist_sticker import FashionSticker, MnistSticker
from spurbench_datasets.waterbirds import Waterbirds

CARDS = [
    Waterbirds.card,
    *(make().card for make in (MenagerieBirds, MenagerieAnimals, MenagerieSticker, MenagerieCompanion)),
    *(make().card for make in (DigitsSticker, MnistSticker, FashionSticker)),
]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_word_is_told_but_values_that_depend_on_the_class(card: DatasetCard) -> None:
    untold = {word for word in WORDS if not card.tells(word)}
    assert untold == ({"values", "names", "settings"} if card.name == "menagerie-animals" else set())
    assert card.concepts.reject
    assert card.concepts.accept


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_there_are_two_named_prompt_sets(card: DatasetCard) -> None:
    assert len({prompts.name for prompts in card.prompts}) == len(card.prompts) >= 2


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_names_and_settings_name_no_class_and_start_without_an_article(card: DatasetCard) -> None:
    text = card.attribute_text
    for phrase in (*text.names, *text.settings):
        assert not any(re.search(rf"\b{re.escape(name)}\b", phrase) for name in card.classes)
        # "a photo of a {}." must read well.
        assert re.match(r"(?!(a|an|the) )[^aeiou]", phrase)


def test_waterbirds_is_told_in_the_words_of_the_paper_that_fine_tunes_on_them() -> None:
    text = Waterbirds.card.attribute_text
    assert (text.names, text.settings) == (("land", "water"), ("bird on land", "bird on water"))


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
    for noun in ("duck", *text.names, *text.settings):
        said += [template.replace("{}", noun) for prompts in card.prompts for template in prompts.templates]
    assert words(said) <= words(every_caption())
