"""Many tests at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted so that all of them together are right with the confidence of one (Holm 1979).

    The least is multiplied by their number, the next by one less, and so on; none may fall below one before it, or
    exceed 1.
    """
    adjusted = [0.0] * len(p)
    so_far = 0.0
    for place, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        so_far = max(so_far, min(1.0, p[i] * (len(p) - place)))
        adjusted[i] = so_far
    return adjusted
