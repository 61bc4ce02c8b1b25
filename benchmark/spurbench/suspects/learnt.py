"""Which words a text tower has learnt: those that it tells from others, and of whose fragments it tells each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from ..backbones import Parts
from ..errors import DataError
from ..texts import unit
from .words import Words, parts_of

ALIKE = 1e-5
"""Texts whose cosine is this close to 1 are one to the text tower. Words that it never learnt are: as an embedding of
zero or as the one unknown token, each leaves the bare template. (Of 836 words, the menagerie's CLIPs have 817 of a
cosine above 1 - 1e-7 to another; the next has 0.993.)"""
NONSENSE = ("q", "z", "zq", "xj")
"""What few captions have, of one token and of two: where these are one, a word that is like them has not been learnt
either, though it be the only one of its list."""
ROWS = 256
"""Texts at once."""


def learnt(
    words: Words, prompted: Callable[[Sequence[str]], torch.Tensor], parts: Parts | None
) -> tuple[Words, tuple[str, ...], torch.Tensor]:
    """The words that a text tower has learnt, the others, and (W, d) float64 unit vectors of the first.

    A `picture frame` is left out if the tower does not know what a frame is: it would pass for a picture. So is a word
    that is spelled in several tokens, one of which the tower has not learnt: `water|mark` would pass for what else
    begins so, `water|bird` (0.99 is their cosine in the menagerie's towers; `water` is another token).

    Args:
        prompted: nouns -> their unit vectors.
        parts: of the tower; None where it does not show them, and words are taken as they are spelled.

    Raises:
        DataError: none is left.
    """
    spoken = {entry.word: parts_of(entry.word) for entry in words.entries}
    # What differs in case or in marks alone may be one to a tokenizer, and is no sign that it was not learnt.
    spelled: dict[str, str] = {}
    for text in (*NONSENSE, *(text for word, some in spoken.items() for text in (word, *some))):
        spelled.setdefault(_key(text), text)
    vectors = prompted(list(spelled.values())).double()
    known = {text: row for row, (text, alone) in enumerate(zip(spelled, _alone(vectors), strict=True)) if alone}
    strange = [text for text in spelled if text not in known]
    for text in _of_strange_fragments(sorted({part for some in spoken.values() for part in some}), strange, parts):
        known.pop(text, None)
    told = {word for word, some in spoken.items() if all(_key(text) in known for text in (word, *some))}
    if not told:
        raise DataError("the backbone's texts tell none of the words from another: it has learnt none of them")
    kept = replace(words, entries=tuple(entry for entry in words.entries if entry.word in told))
    rows = [known[_key(entry.word)] for entry in kept.entries]
    return kept, tuple(word for word in spoken if word not in told), vectors[rows]


def _key(text: str) -> str:
    return " ".join(parts_of(text)) or text


def _alone(vectors: torch.Tensor) -> list[bool]:
    """Of (n, d) unit vectors, which are like no other."""
    blocks = torch.split(vectors, ROWS)
    return [alone for some in blocks for alone in ((some @ vectors.T > 1 - ALIKE).sum(dim=1) == 1).tolist()]


def _of_strange_fragments(texts: Sequence[str], strange: Iterable[str], parts: Parts | None) -> list[str]:
    """Those of some texts that are spelled in several tokens, one of which the tower does not tell from another.

    Args:
        strange: texts that it has not learnt as a whole; tokens of theirs are what others are compared with.
    """
    if parts is None or parts.tokenize is None or parts.text_trunk is None or parts.text_projection is None:
        return []
    empty, *rows = parts.tokenize(["", *texts, *strange])
    frame = frozenset(empty.tolist())
    tokens = [[token for token in row.tolist() if token not in frame] for row in rows]
    fragmented = {text: some for text, some in zip(texts, tokens, strict=False) if len(some) > 1}
    if not fragmented:
        return []
    asked = sorted({token for some in (*fragmented.values(), *tokens[len(texts) :]) for token in some})
    # Each token by itself, in the place of the shortest text's.
    shortest = min((place for place, some in enumerate(tokens) if some), key=lambda place: len(tokens[place]))
    alone = rows[shortest].repeat(len(asked), 1)
    places = torch.tensor([token not in frame for token in rows[shortest].tolist()])
    alone[:, places] = torch.tensor(asked)[:, None]
    vectors = unit(_embedded(alone, parts.text_trunk, parts.text_projection)).double()
    unknown = {token for token, told in zip(asked, _alone(vectors), strict=True) if not told}
    return [text for text, some in fragmented.items() if not unknown.isdisjoint(some)]


@torch.no_grad()
def _embedded(tokens: torch.Tensor, trunk: torch.nn.Module, projection: torch.nn.Module) -> torch.Tensor:
    device = next((parameter.device for parameter in trunk.parameters()), torch.device("cpu"))
    return torch.cat([projection(trunk(some.to(device))).float().cpu() for some in torch.split(tokens, ROWS)])
