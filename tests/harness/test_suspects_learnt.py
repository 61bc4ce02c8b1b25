"""Which words a text tower has learnt, of towers whose every text can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spurbench.backbones import Parts
from spurbench.errors import DataError
from spurbench.suspects.learnt import learnt
from spurbench.suspects.words import Entry, Words

START, END, LENGTH = 900, 901, 6
TOKENS = {"water": [1], "land": [2], "water*": [3], "mark": [4], "bird": [5], "kettle": [6], "lily": [7], "pad": [8]}
SPELLED = {
    "watermark": ["water*", "mark"],
    "waterfall": ["water*", "bird"],
    "kettlebird": ["kettle", "bird"],
    "waterlily": ["water*", "lily"],
}
KNOWN = ("water", "land", "water*", "bird", "lily", "pad")


def tokenize(texts: Sequence[str]) -> torch.Tensor:
    rows = []
    for text in texts:
        words = "".join(c for c in text.lower() if c.isalpha() or c == " ").split()
        pieces = [piece for word in words for piece in SPELLED.get(word, [word])]
        tokens = [START, *(token for piece in pieces for token in TOKENS.get(piece, map(ord, piece))), END]
        rows.append(tokens + [0] * (LENGTH - len(tokens)))
    return torch.tensor(rows)


class Trunk(nn.Module):
    """The sum of tokens' vectors, each by its place; tokens that were never learnt are 0."""

    def __init__(self, known: Sequence[str] = KNOWN) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(902, 16, generator=generator)
        table[[TOKENS[piece][0] for piece in TOKENS if piece not in known]] = 0
        table[ord("a") : ord("z") + 1] = 0 if known == KNOWN else table[ord("a") : ord("z") + 1]
        self.table = nn.Parameter(table)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return (self.table[tokens] * torch.linspace(1, 2, LENGTH)[:, None]).sum(dim=1)


def told(words: Sequence[str], trunk: nn.Module | None, known: Sequence[str] = KNOWN) -> tuple[list[str], list[str]]:
    """Words that are kept and words that are not."""

    def prompted(nouns: Sequence[str]) -> torch.Tensor:
        return nn.functional.normalize(Trunk(known)(tokenize(nouns)), dim=-1)

    parts = Parts(nn.Identity(), nn.Identity(), tokenize, trunk, nn.Identity() if trunk is not None else None)
    some = Words(tuple(Entry(word, "scene", f"with {word}") for word in words), "ab" * 32, "here")
    kept, others, vectors = learnt(some, prompted, parts)
    assert torch.equal(vectors, prompted([entry.word for entry in kept.entries]).double())
    return [entry.word for entry in kept.entries], list(others)


def test_words_that_are_known_in_parts_are_left_out() -> None:
    words = ["water", "watermark", "land", "kettle", "waterlily", "kettlebird", "lily pad"]
    kept, others = told(words, Trunk())
    assert kept == ["water", "land", "waterlily", "lily pad"]
    assert others == ["watermark", "kettle", "kettlebird"]


def test_a_word_is_taken_as_it_is_spelled_where_tokens_cannot_be_looked_at() -> None:
    kept, others = told(["water", "watermark", "kettle", "kettlebird", "land"], None)
    assert kept == ["water", "watermark", "kettlebird", "land"]
    assert others == ["kettle"]


def test_a_word_that_is_the_only_one_of_its_list_that_was_never_learnt_is_found_out() -> None:
    assert told(["water", "watermark", "land"], Trunk()) == (["water", "land"], ["watermark"])
    assert told(["water", "kettle", "land"], Trunk()) == (["water", "land"], ["kettle"])


def test_case_and_marks_make_no_other_word() -> None:
    assert told(["Water", "land.", "#lily", "Watermark"], Trunk()) == (["Water", "land.", "#lily"], ["Watermark"])
    assert told(["water", "Water!", "land"], Trunk())[0] == ["water", "Water!", "land"]


def test_a_word_that_leaves_the_tokenizer_nothing_hides_no_other() -> None:
    assert told(["!", "waterlily", "land"], Trunk())[0][-2:] == ["waterlily", "land"]


def test_where_all_is_known_nothing_is_left_out() -> None:
    words = ["water", "watermark", "land", "kettle", "kettlebird", "lily pad"]
    assert told(words, Trunk(tuple(TOKENS)), tuple(TOKENS)) == (words, [])


def test_where_nothing_is_known_that_is_said() -> None:
    with pytest.raises(DataError, match="it has learnt none of them"):
        told(["kettle", "kettlebird"], Trunk())


@given(st.permutations(["water", "watermark", "land", "kettle", "waterlily", "kettlebird", "lily pad"]))
def test_the_order_of_words_changes_nothing(words: list[str]) -> None:
    kept, others = told(words, Trunk())
    gone = {"watermark", "kettle", "kettlebird"}
    assert kept == [word for word in words if word not in gone]
    assert others == [word for word in words if word in gone]
