from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from spurbench.builder.splits import by_name
from spurbench.errors import UsageError
from spurbench.seeds import Seed

SEED = Seed(("splits",))


@given(st.lists(st.integers(0, 4), max_size=60), st.sampled_from([(5, 2, 3), (7, 3), (95, 3, 2), (1, 1, 1)]))
def test_parts_are_as_large_as_largest_remainders_make_them(strata, parts) -> None:
    shares = [Fraction(part, sum(parts)) for part in parts]
    found = by_name([f"photo {i}" for i in range(len(strata))], strata, [float(share) for share in shares], SEED)
    for stratum, n in Counter(strata).items():
        counts = np.bincount(found[np.array(strata) == stratum], minlength=len(shares)).tolist()
        # Hamilton's method with exact fractions: who gets one more has as large a remainder as any who does not.
        more = [count - math.floor(share * n) for count, share in zip(counts, shares, strict=True)]
        remainders = [share * n % 1 for share in shares]
        assert set(more) <= {0, 1}
        assert sum(counts) == n
        got = [remainder for remainder, one in zip(remainders, more, strict=True) if one]
        assert min(got, default=1) >= max((r for r, one in zip(remainders, more, strict=True) if not one), default=0)


@given(st.permutations(range(40)))
def test_neither_order_nor_other_strata_matter(order) -> None:
    ids, strata = [f"photo {i}" for i in range(40)], ["ab"[i % 3 == 0] for i in range(40)]
    found = by_name(ids, strata, (0.5, 0.2, 0.3), SEED)
    moved = by_name([ids[i] for i in order], [strata[i] for i in order], (0.5, 0.2, 0.3), SEED)
    assert moved.tolist() == found[list(order)].tolist()
    alone = [i for i in order if strata[i] == "b"]
    assert by_name([ids[i] for i in alone], ["b"] * len(alone), (0.5, 0.2, 0.3), SEED).tolist() == found[alone].tolist()


def test_which_ids_go_where_is_the_seeds_and_even() -> None:
    ids = [f"photo {i}" for i in range(20)]
    found = np.array([by_name(ids, ["a"] * 20, (0.5, 0.5), Seed((seed,))) for seed in range(400)])
    # Each id is in the first part half of the time: 400 draws have a standard deviation of 0.025.
    assert np.abs(found.mean(axis=0) - 0.5).max() < 0.1
    assert len({tuple(row) for row in found.tolist()}) > 390


@pytest.mark.parametrize(
    ("ids", "strata", "shares", "what"),
    [
        (["a", "b", "a"], [0, 0, 1], (0.5, 0.5), "'a' stands there more than once"),
        (["a", "b"], [0], (0.5, 0.5), "2 ids and 1 strata"),
        (["a"], [0], (0.5, 0.6), "add up to 1"),
        (["a"], [0], (1.5, -0.5), "must not be negative"),
        (["a"], [0], (math.nan, 1.0), "add up to 1"),
        (["a"], [0], (), "add up to 1"),
    ],
)
def test_wrong_calls_are_refused(ids, strata, shares, what) -> None:
    with pytest.raises(UsageError, match=what):
        by_name(ids, strata, shares, SEED)


def test_nothing_is_shared_out_of_nothing() -> None:
    assert by_name([], [], (0.5, 0.5), SEED).shape == (0,)
