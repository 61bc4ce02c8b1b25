"""The learning rate's schedule."""

from __future__ import annotations

import math


def cosine(step: int, steps: int, warm_up: int) -> float:
    """Factor of the learning rate at a step, counted from 0: up in a line, then down along half a cosine.

    The schedule of the released code of WiSE-FT and FLYP, but that warming up takes a tenth of the steps where that is
    less than `warm_up`: small data sets end before 500 steps.
    """
    warm_up = min(warm_up, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
