"""What a fit must neither depend on nor leave behind: global random states, and the number of cores."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from .cards import Track
from .seeds import Seed


@contextmanager
def threads_for(track: Track) -> Iterator[None]:
    """One torch thread for heads and projections: their steps are too small to share, and threads that wait for each
    other on a busy machine make them many times slower. It also takes the number of cores out of the result.
    """
    if track == "image":
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # NumPy's and scikit-learn's threads too.
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def isolated_randomness(seed: Seed) -> Iterator[None]:
    """Start the global generators from a named seed and put them back after.

    Methods draw from `task.seed`; should one use global state all the same, it neither depends on what ran before nor
    disturbs what runs next.
    """
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    number = seed.integer()
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
