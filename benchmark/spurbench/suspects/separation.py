"""How strongly words separate a model's right predictions from its wrong ones, and how likely that is by chance.

Words are ranked by mutual information of presence and being right, as in Yang et al. (2023, arXiv 2304.03916), here
conditional on the class: a word that tells classes apart, of which one is harder, is not suspected for that.

The hypothesis is that within each class being right has nothing to do with what the photo shows. Then which photos of
the class are right may be permuted among them. Every permutation gives all words their statistics anew, and a word's
p-value counts how often the largest of all words' reaches its own (Westfall and Young 1993, single-step maxT):
p = (1 + permutations that reach it) / (1 + permutations) (Phipson and Smyth 2010). It holds for all words at once, and
knows that "sea" and "ocean" are nearly one. Of classes and words, the same with the largest of all pairs'.

What a small p-value denies is that errors are independent of how close photos are to the word, no more. Errors are read
off the same embedding as words, so most of its directions are not independent of them: `placebo` says how many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import Ints
from ..seeds import Seed
from .presence import Bools, Floats

PERMUTATIONS = 9_999
"""The least p-value is one in PERMUTATIONS + 1."""
MIN_PHOTOS = 10
"""Yang et al. (2023) keep words that are seen in at least ten photos of a class."""
BLOCK = 250
"""Permutations at once: few enough for 5,000 words, and always as many, so that memory decides no number."""
# Of sums of the same logarithms in another order, which differ in the last bits.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Counts:
    """Photos of K classes with and without W words, and how many of them the model gets right.

    Attributes:
        right_in: (K, W) right where the word is present.
        total_in: (K, W) photos where the word is present.
        right: (K,) right in all.
        total: (K,) photos in all.
    """

    right_in: Ints
    total_in: Ints
    right: Ints
    total: Ints

    def asked(self, min_photos: int) -> Bools:
        """(K, W) whether a class has so many photos with the word, and so many without."""
        return (self.total_in >= min_photos) & (self.total[:, None] - self.total_in >= min_photos)


@dataclass(frozen=True, eq=False)
class Separation:
    """What `separate` finds of K classes and W words.

    Attributes:
        counts: what it is found from.
        by_class: (K, W) mutual information in nats; 0 where a class is not asked about a word.
        information: (W,) the same, conditional on the class: the classes' mean, weighted by their photos.
        p_by_class: (K, W) adjusted for all words and classes.
        p_value: (W,) adjusted for all words.
        largest: per permutation, the most that any word tells, in nats.
    """

    counts: Counts
    by_class: Floats
    information: Floats
    p_by_class: Floats
    p_value: Floats
    largest: Floats


def count(present: Bools, right: Bools, y: Ints, n_classes: int) -> Counts:
    """Photos with and without every word.

    Args:
        present: (n, W); right: (n,); y: (n,) classes, 0..n_classes - 1.
    """
    members = [y == k for k in range(n_classes)]
    return Counts(
        right_in=np.stack([present[some & right].sum(axis=0) for some in members]),
        total_in=np.stack([present[some].sum(axis=0) for some in members]),
        right=np.array([int(right[some].sum()) for some in members]),
        total=np.array([int(some.sum()) for some in members]),
    )


def separate(
    present: Bools,
    right: Bools,
    y: Ints,
    n_classes: int,
    seed: Seed,
    *,
    min_photos: int = MIN_PHOTOS,
    permutations: int = PERMUTATIONS,
) -> Separation:
    """Counts, mutual information and p-values of all words.

    A class of which all photos are right, or all wrong, says nothing: it never varies. Classes count by their photos,
    in 2 n times the information, the likelihood ratio's G, whose distribution is about the same in all of them.

    Args:
        present: (n, W), n and W at least 1, fixed whatever is right; right: (n,); y: (n,), 0..n_classes - 1.
        min_photos: a class is asked about a word if so many of its photos show it, and so many do not.
        permutations: how many.
    """
    counts = count(present, right, y, n_classes)
    asked, margins = _margins(counts, min_photos)
    of_class = _g(counts, margins)
    varying = np.flatnonzero(asked.any(axis=1)).tolist()
    shown = {k: present[y == k].astype(np.float32) for k in varying}
    generators = {k: seed.derive("permutations", k).numpy() for k in varying}
    largest, largest_of_class = np.zeros(permutations), np.zeros(permutations)
    for start in range(0, permutations, BLOCK):
        block = slice(start, min(start + BLOCK, permutations))
        of_all = np.zeros((block.stop - block.start, present.shape[1]))
        for k in varying:
            drawn = _draw(int(counts.right[k]), int(counts.total[k]), generators[k])[: len(of_all)]
            # Counts are whole numbers below 2^24: float32 holds them all, and multiplies fastest.
            g = margins[k].g((drawn @ shown[k]).astype(np.int64))
            of_all += g
            np.maximum(largest_of_class[block], g.max(axis=1), out=largest_of_class[block])
        largest[block] = of_all.max(axis=1)
    return Separation(
        counts,
        of_class / (2 * np.maximum(counts.total, 1)[:, None]),
        of_class.sum(axis=0) / (2 * len(y)),
        share_reaching(of_class, largest_of_class),
        share_reaching(of_class.sum(axis=0), largest),
        largest / (2 * len(y)),
    )


def information(present: Bools, right: Bools, y: Ints, n_classes: int, min_photos: int) -> Floats:
    """(W,) mutual information in nats, conditional on the class; `separate` explains the arguments."""
    counts = count(present, right, y, n_classes)
    found: Floats = _g(counts, _margins(counts, min_photos)[1]).sum(axis=0) / (2 * len(y))
    return found


def share_reaching(found: Floats, others: Floats) -> Floats:
    """How many of `others`, which has one axis, reach each of what was found, which counts as one of them; a share."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, found - _ROUNDING * np.maximum(found, 1.0))
    share: Floats = (1 + len(ordered) - below) / (1 + len(ordered))
    return share


def _margins(counts: Counts, min_photos: int) -> tuple[Bools, list[_Margins]]:
    """(K, W) whether a class is asked about a word, and what each class's tables have in common."""
    varies = (counts.right > 0) & (counts.right < counts.total)
    asked = counts.asked(min_photos) & varies[:, None]
    of_each = zip(counts.total_in, counts.right.tolist(), counts.total.tolist(), asked, strict=True)
    return asked, [_Margins(*of_class) for of_class in of_each]


def _g(counts: Counts, margins: list[_Margins]) -> Floats:
    """(K, W) the likelihood ratio's G of what was counted."""
    return np.concatenate([some.g(right_in[None]) for some, right_in in zip(margins, counts.right_in, strict=True)])


def _draw(right: int, total: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """(BLOCK, total): in each row, `right` ones among zeros, all orders as likely."""
    rows = np.zeros((BLOCK, total), dtype=np.float32)
    rows[:, :right] = 1
    return generator.permuted(rows, axis=1, out=rows)


class _Margins:
    """What all tables of one class have in common: G is a sum of n log n over cells, margins and all.

    Args:
        total_in: (W,) photos that show each word.
        asked: (W,) words about which the class is asked; of the others G is 0.
    """

    def __init__(self, total_in: Ints, right: int, total: int, asked: Bools) -> None:
        x = np.arange(total + 1.0)
        table = 2 * x * np.log(np.maximum(x, 1.0))
        # With given margins, the number of right photos inside says how many are outside, and so do the wrong ones.
        self._right, self._wrong = table[: right + 1], table[: total - right + 1]
        self._right, self._wrong = self._right + self._right[::-1], self._wrong + self._wrong[::-1]
        of_margins = table[total_in] + table[total - total_in] + table[right] + table[total - right] - table[total]
        self._total_in, self._of_margins = total_in, np.where(asked, of_margins, np.inf)

    def g(self, right_in: Ints) -> Floats:
        """(b, W) the likelihood ratio's G, twice the photos times the information, of (b, W) right photos inside."""
        g: Floats = self._right[right_in]
        g += self._wrong[self._total_in - right_in]
        g -= self._of_margins
        return np.maximum(g, 0.0, out=g)
