"""Gaussians: synthetic features with a planted shortcut, whose right answers are known in closed form."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spurbench.cards import SPLITS, DatasetCard
from spurbench.data import Examples, Ints, OwnFeatures

WIDTH = 64
"""d: one core dimension, one spurious dimension, the rest noise."""
CORE, SPURIOUS = 0, 1
CORE_NOISE, SPURIOUS_NOISE = 0.75, 0.875
"""Standard deviations around the means -1 and +1. The shortcut is the noisier of the two: it wins by being right for
95 % of the training examples, not by being easier to see."""
TEXT_SPURIOUS = 1.125
"""How much of the spurious direction the class texts hold for each unit of the core direction."""
ATTRIBUTE_CORE = 0.25
"""How much of the core direction the attribute texts hold for each unit of the spurious direction."""
STEP = 2.0**-8
"""Features are multiples of this."""
_STREAM = 200504345


class Gaussians:
    """Features (core, spurious, noise): core ~ N(+-1, 0.75^2) by class, spurious ~ N(+-1, 0.875^2) by attribute.

    Modelled after Sagawa et al. 2020 (arXiv 2005.04345), with Waterbirds' group sizes, so that the classes are
    unbalanced too. The 62 noise dimensions are standard normal. The best classifier that ignores the
    shortcut has Phi(1 / 0.75) = 0.909 in every group. The "text tower" has itself picked up the shortcut: class
    vectors point along the core and the spurious direction, attribute vectors a little along the core direction.

    Every value is a multiple of 2^-8 computed from a bit stream that NumPy promises never to change, so the features
    are the same bytes on every machine.
    """

    card = DatasetCard(
        name="gaussians",
        title="Gaussians with a planted shortcut",
        classes=("negative", "positive"),
        attributes=("minus", "plus"),
        licence="MIT (generated)",
        url="https://arxiv.org/abs/2005.04345",
        citation="after Sagawa, Raghunathan, Koh, Liang: An investigation of why overparameterization exacerbates "
        "spurious correlations, ICML 2020",
        counts={
            "train": (3498, 184, 56, 1057),
            "val": (467, 466, 133, 133),
            "test": (2255, 2255, 642, 642),
        },
        own_features=True,
    )

    def prepare(self, root: Path, *, download: bool) -> None:
        """Nothing: the features are computed when they are loaded."""

    def load(self, root: Path) -> Examples:  # noqa: ARG002
        """The 11,788 examples, train, val, test in this order, shuffled within each split."""
        y, a, split = _columns(self.card)
        return Examples(
            ids=[f"{SPLITS[code]}-{row:05d}" for row, code in enumerate(split)],
            y=y,
            a=a,
            split=split,
            n_classes=len(self.card.classes),
            n_attributes=len(self.card.attributes),
            features=OwnFeatures("planted", _features(y, a), *_texts()),
        )


def group_accuracies(weight: ArrayLike, bias: float = 0.0) -> NDArray[np.float64]:
    """Exact accuracy of the rule "positive where weight @ x + bias > 0" in each group, in the order of the card.

    A linear score of a Gaussian is Gaussian: in group (y, a) it has mean w_core s(y) + w_spurious s(a) + b with
    s(0) = -1, s(1) = +1, and variance sum_j w_j^2 sigma_j^2. Quantisation (variance 2^-16 / 12) is left out.

    Args:
        weight: (d,) with d = 64.
        bias: the intercept.
    """
    w = np.asarray(weight, dtype=np.float64)
    if w.shape != (WIDTH,):
        raise ValueError(f"weight must have shape ({WIDTH},), not {w.shape}")
    spread = math.sqrt(float(np.sum((w * _noise()) ** 2)))
    if spread == 0.0:
        raise ValueError("weight must not be all zeros: the rule would not depend on x")
    signs = (-1.0, 1.0)
    scores = [(y, (w[CORE] * y + w[SPURIOUS] * a + bias) / spread) for y in signs for a in signs]
    return np.array([0.5 * math.erfc(-y * score / math.sqrt(2.0)) for y, score in scores])


def _noise() -> NDArray[np.float64]:
    """(d,) standard deviations."""
    noise = np.ones(WIDTH)
    noise[[CORE, SPURIOUS]] = CORE_NOISE, SPURIOUS_NOISE
    return noise


def _columns(card: DatasetCard) -> tuple[Ints, Ints, Ints]:
    """y, a and split."""
    split = np.repeat(np.arange(3), [sum(card.counts[name]) for name in SPLITS]).astype(np.int64)
    blocks = [np.repeat(np.arange(4), card.counts[name]) for name in SPLITS]
    group = np.concatenate(blocks).astype(np.int64)
    keys = np.random.PCG64(_STREAM + 1).random_raw(len(group))
    # Sorting by split, then by a random key, shuffles within each split: no method may profit from groups in a row.
    group = group[np.lexsort((keys, split))]
    return group // 2, group % 2, split


def _features(y: Ints, a: Ints) -> NDArray[np.float32]:
    """(n, d) features."""
    from scipy.special import ndtri

    # NumPy guarantees the bit stream of PCG64 but not `Generator.normal`, so the normal deviates are made here by
    # inversion. A last-bit difference between two machines' `ndtri` is lost in the rounding.
    bits = np.random.PCG64(_STREAM).random_raw(len(y) * WIDTH)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    x = ndtri(uniform).reshape(len(y), WIDTH) * _noise()
    x[:, CORE] += 2.0 * y - 1.0
    x[:, SPURIOUS] += 2.0 * a - 1.0
    quantised: NDArray[np.float32] = (np.round(x / STEP) * STEP).astype(np.float32)
    return quantised


def _texts() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Class vectors (2, d) and attribute vectors (2, d)."""
    signs = np.array([-1.0, 1.0])
    class_text, attribute_text = np.zeros((2, 2, WIDTH), dtype=np.float32)
    class_text[:, CORE], class_text[:, SPURIOUS] = signs, TEXT_SPURIOUS * signs
    attribute_text[:, SPURIOUS], attribute_text[:, CORE] = signs, ATTRIBUTE_CORE * signs
    return class_text, attribute_text
