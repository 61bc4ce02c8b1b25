"""How activation maps are drawn, and what they are: plain values, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..cards import Input

if TYPE_CHECKING:
    from ..method import Predictor

Kind = Literal["grad-cam", "relevance"]
Score = Literal["odds", "logit"]


@dataclass(frozen=True)
class How:
    """How maps are drawn.

    Attributes:
        kind: None: Grad-CAM for towers that end in a map, relevance for those of attention.
        score: what is differentiated for a class c. "odds": z_c - logsumexp of the other logits, the logarithm of its
            odds, which is the same for all logits that predict the same; "logit": z_c alone, as Grad-CAM has it.
        layer: name of a module of the trunk: for Grad-CAM the one whose output is the map, for relevance the block
            that it begins at; None: the last map that is fine enough, the first block.
    """

    kind: Kind | None = None
    score: Score = "odds"
    layer: str | None = None


@dataclass(frozen=True)
class Subject:
    """A fitted model that is looked into.

    Attributes:
        name: of the method.
        inputs: those on its card.
        predictor: one of those that its `fit` returned.
    """

    name: str
    inputs: tuple[Input, ...]
    predictor: Predictor


@dataclass(frozen=True, eq=False)
class Maps:
    """What one model looks at in n photos.

    Attributes:
        true: (n, h, w) float32, 0 or more: what speaks for the photo's own class, cell by cell of the tower's view.
        confused: (n, h, w) likewise for the class that the model takes it for most, of all others.
        rival: (n,) int64, that class.
        logits: (n, K) float32.
    """

    true: NDArray[np.float32]
    confused: NDArray[np.float32]
    rival: NDArray[np.int64]
    logits: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Drawn:
    """The maps of several models on the same photos.

    Attributes:
        kind, layer: how and where they were drawn.
        of: one for each subject, in order.
    """

    kind: Kind
    layer: str
    of: tuple[Maps, ...]
