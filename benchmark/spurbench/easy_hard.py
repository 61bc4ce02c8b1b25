"""Easy, hard and drop, as pure functions of integer counts: what CounterAnimal and sets built like it are judged by.

Each class has photos before an easy and before a hard background. A group's accuracy is averaged over classes that
count the same (the headline) or over images; the drop is easy minus hard. Source: Wang et al. 2024, arXiv 2403.11497,
appendix C.2 and Tables 3, 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ATTRIBUTES = ("easy", "hard")


@dataclass(frozen=True)
class ClassDrop:
    """One class with photos in both groups; shares (0..1). `index` is its place among the data set's classes."""

    index: int
    easy: float
    hard: float

    @property
    def drop(self) -> float:
        """Negative where the photos meant to be hard are the easier ones."""
        return self.easy - self.hard


@dataclass(frozen=True)
class EasyHard:
    """What one set of predictions gives, over the classes that have photos in both groups; shares (0..1).

    Attributes:
        easy, hard, drop: class-averaged.
        easy_images, hard_images, drop_images: image-averaged.
        error: standard error of `drop`, from photos alone: sqrt(sum_k [e_k (1 - e_k) / n_k + h_k (1 - h_k) / m_k]) / K,
            each cell binomial, with e_k of n_k easy and h_k of m_k hard photos right. Too small where a class has only
            a handful of photos.
        classes: each of them.
        left_out: classes with photos in one of the groups alone.
    """

    easy: float
    hard: float
    drop: float
    easy_images: float
    hard_images: float
    drop_images: float
    error: float
    classes: tuple[ClassDrop, ...]
    left_out: int

    @property
    def negative(self) -> int:
        """Number of classes with a negative drop."""
        return sum(item.drop < 0 for item in self.classes)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Bounds of the class-averaged drop, `drop` -+ z `error`: how far another draw of photos might take it."""
        from scipy.special import ndtri

        half = float(ndtri((1 + confidence) / 2)) * self.error
        return self.drop - half, self.drop + half


def easy_hard(correct: Sequence[int], total: Sequence[int]) -> EasyHard | None:
    """Accuracies from counts per group; None where no class has photos in both groups.

    Args:
        correct, total: 2 K integers, group 2 y + a with a = 0 easy, 1 hard.

    Raises ValueError for lists that do not fit each other.
    """
    if len(correct) != len(total) or len(total) % 2:
        raise ValueError(f"counts of an easy and a hard group per class, not {len(correct)} and {len(total)} numbers")
    pairs = [(total[place], total[place + 1]) for place in range(0, len(total), 2)]
    both = [index for index, (n, m) in enumerate(pairs) if n and m]
    if not both:
        return None
    classes = tuple(
        ClassDrop(index, correct[2 * index] / total[2 * index], correct[2 * index + 1] / total[2 * index + 1])
        for index in both
    )
    easy, hard = (math.fsum(getattr(item, name) for item in classes) / len(both) for name in ATTRIBUTES)
    images = [
        sum(correct[2 * index + a] for index in both) / sum(total[2 * index + a] for index in both) for a in (0, 1)
    ]
    variance = math.fsum(
        item.easy * (1 - item.easy) / pairs[item.index][0] + item.hard * (1 - item.hard) / pairs[item.index][1]
        for item in classes
    )
    return EasyHard(
        easy=easy,
        hard=hard,
        drop=easy - hard,
        easy_images=images[0],
        hard_images=images[1],
        drop_images=images[0] - images[1],
        error=math.sqrt(variance) / len(both),
        classes=classes,
        left_out=sum(bool(n) != bool(m) for n, m in pairs),
    )
