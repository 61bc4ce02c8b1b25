"""How the rows of a made data set are laid out: split by split, and shuffled within each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spurbench.cards import SPLITS, DatasetCard
from spurbench.data import Ints

from .menagerie.exact import Draws


@dataclass(frozen=True)
class Rows:
    """The rows of a data set that a card's counts decide.

    Attributes:
        split, y, a: (n,) columns, after shuffling.
        order: (n,) which row of the sorted ones each was: by split, then by group.
        draws: random numbers of the rows.
    """

    split: Ints
    y: Ints
    a: Ints
    order: Ints
    draws: Draws

    @property
    def index(self) -> Ints:
        """(n,) number of each row."""
        return np.arange(len(self.y), dtype=np.int64)

    @property
    def ids(self) -> list[str]:
        """A name for each row."""
        return [f"{SPLITS[code]}-{row:05d}" for row, code in enumerate(self.split.tolist())]


def laid_out(card: DatasetCard, world: int) -> Rows:
    """As many rows of each group as the card counts, with the random numbers of a world."""
    split = np.repeat(np.arange(len(SPLITS)), [sum(card.counts[name]) for name in SPLITS])
    group = np.concatenate([np.repeat(np.arange(len(card.groups)), card.counts[name]) for name in SPLITS])
    draws = Draws(world, np.arange(len(group), dtype=np.int64))
    # Sorting by split, then by a random key, shuffles within each split: no method may profit from groups in a row.
    order = np.lexsort((draws.uniform("order"), split))
    group, n_attributes = group[order], len(card.attributes)
    return Rows(split, group // n_attributes, group % n_attributes, order, draws)
