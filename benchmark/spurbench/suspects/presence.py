"""Which photos show a word, by a model that matches photos with texts: no detector, no labels, a threshold per class.

Yang et al. (2023, arXiv 2304.03916) ask an open-vocabulary detector, whose scores have a threshold of their own. A
cosine has none: photos of gulls are closer to "sea" than photos of pigeons are, whatever lies behind them. Such
an offset is a class's, so the scores of every class are divided by themselves, where Otsu's criterion says (Otsu 1979):
into the two parts that differ most, with the least variance within. Whether the model is right plays no part in this,
so that shuffling right and wrong within classes leaves presence as it is, and permutation tests are exact.

Tried on the menagerie, whose places are known, with both backbones (correlation of presence with the true place within
a class, mean over places and classes). Where photos are half at home, 0.66 to 0.94 on validation, and one threshold for
scores centred on their class's mean does as well, 0.67 to 0.96. Where most are at home, as in training, means move with
the majority: centring falls to 0.14 and 0.75 on the animals, Otsu within each class has 0.90 and 0.96. Fitting offsets
and a common distance together is no better (0.88 and 0.93), and has no closed form.

What is left is that a cosine sees more than the word. To a tower of birds a pale gull is a little like snow, and the
model that uses the same embedding errs on it, whatever lies behind. With a backbone that never learnt the shortcut
(`pretrain --control`), of the animals no word survived; of the birds `forest` did, which hides them, with the 0.022
nats that the true forest has, and a word that `learnt` leaves out by now. Words that survive say what errors look like;
`placebo` says how many directions that mean nothing say as much, and whether errors look so for the word's sake is for
the eye to judge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import Ints

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Presence:
    """n photos of K classes and W words.

    Attributes:
        above: (n, W) score less the threshold of the photo's class.
        thresholds: (K, W); NaN for a class without photos.
    """

    above: Floats
    thresholds: Floats

    @property
    def present(self) -> Bools:
        """(n, W) whether a photo shows a word."""
        return self.above > 0


def presence(scores: Floats, y: Ints, n_classes: int) -> Presence:
    """Divide every class's photos by every word.

    Args:
        scores: (n, W) how close photo and word are.
        y: (n,) classes, 0..n_classes - 1.
    """
    thresholds = np.full((n_classes, scores.shape[1]), np.nan)
    for k in np.unique(y):
        thresholds[k] = otsu(scores[y == k])
    return Presence(scores - thresholds[y], thresholds)


def otsu(scores: Floats) -> Floats:
    """(W,) per column the threshold that leaves the most variance between what lies above and what does not.

    It lies in the middle of a gap between neighbouring scores; where all scores are equal, none of them is above it.

    Args:
        scores: (n, W), one row or more.
    """
    n, ordered = len(scores), np.sort(scores, axis=0)
    if n == 1:
        alone: Floats = ordered[0]
        return alone
    below = np.arange(1.0, n)[:, None]
    # Of deviations from the mean: sums of the scores themselves would lose the digits in which they differ.
    sums = np.cumsum(ordered - ordered.mean(axis=0), axis=0)[:-1]
    # Such a sum is that of the part below and, but for the sign, of the part above.
    between = sums**2 * (1 / below + 1 / (n - below))
    # Equal scores stay together.
    between[ordered[1:] <= ordered[:-1]] = -1.0
    column, cut = np.arange(scores.shape[1]), between.argmax(axis=0)
    low, high = ordered[cut, column], ordered[cut + 1, column]
    # Neighbours so close that no number lies between them are told apart by "above" all the same.
    middle: Floats = np.clip((low + high) / 2, low, np.where(high > low, np.nextafter(high, low), low))
    return middle


def agreement(present: Bools, y: Ints) -> Floats:
    """(W, W) correlation of words' presence within classes; 0 with a word that all photos of each class show, or none.

    Args:
        present: (n, W) whether a photo shows a word; y: (n,) classes.
    """
    centred = present.astype(np.float64)
    for k in np.unique(y):
        centred[y == k] -= centred[y == k].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    # What never varies is left with rounding errors.
    unit = np.where(lengths > _ROUNDING, centred / np.maximum(lengths, _ROUNDING), 0.0)
    found: Floats = np.clip(unit.T @ unit, -1.0, 1.0)
    return found
