"""Whether a model uses the feature that was planted (Varma et al. 2024, RaVL, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

THRESHOLD = 0.10
"""tau_eval of the paper: both effects must be larger, in every seed."""


@dataclass(frozen=True)
class Effects:
    """How the planted feature moves a model's accuracies on photos where it is independent of the class.

    Attributes:
        gained: e1, how much more often the class it was planted with is right where the feature is.
        lost: e2, the largest such loss of any other class.
    """

    gained: float
    lost: float

    @property
    def least(self) -> float:
        """The threshold up to which the model counts as using the shortcut."""
        return min(self.gained, self.lost)


def effects(correct: Sequence[int], total: Sequence[int], label: int) -> Effects:
    """e1 and e2 from counts per group, group 2 y without the feature and 2 y + 1 with it.

    A class without photos on either side has no effect; raises ValueError if that is so of `label` or of all others.
    """
    gains = {}
    for y in range(len(total) // 2):
        without, with_feature = 2 * y, 2 * y + 1
        if total[without] and total[with_feature]:
            gains[y] = correct[with_feature] / total[with_feature] - correct[without] / total[without]
    if label not in gains or len(gains) < 2:
        raise ValueError(f"class {label} or all others have no photos with, or none without, the planted feature")
    return Effects(gains[label], max(-gain for y, gain in gains.items() if y != label))
