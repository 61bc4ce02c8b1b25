"""A seed is its path: equal paths give equal numbers, different paths different ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import spurbench.seeds
from spurbench.seeds import Seed

PARTS = st.text(max_size=8) | st.integers()
PATHS = st.lists(PARTS, max_size=5).map(tuple)


@given(PATHS, PATHS)
def test_different_paths_give_different_integers(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert (Seed(one).integer() == Seed(other).integer()) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), ("1",)),
        (("ab",), ("a", "b")),
        ((), ("",)),
        (("a", "b"), ("b", "a")),
        ((12,), (1, 2)),
        (("1",), ("int:1",)),
    ],
)
def test_type_and_place_of_each_part_matter(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert Seed(one).integer() != Seed(other).integer()


def test_no_part_can_imitate_two() -> None:
    assert Seed(("a\x1fstr:b",)).integer() != Seed(("a", "b")).integer()


@pytest.mark.parametrize("part", [np.int64(3), True, np.str_("a"), 3.0, None, ("a",), b"a"])
def test_a_part_that_is_not_exactly_str_or_int_is_refused(part: object) -> None:
    """Equal paths must give equal numbers, and `np.int64(3) == 3 == 3.0`, `True == 1`."""
    for make in (lambda: Seed(("v1", part)), lambda: Seed(("v1",)).derive(part)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="made of str and int"):
            make()


@given(PATHS, PATHS, PATHS)
def test_derive_appends(path: tuple[str | int, ...], one: tuple[str | int, ...], two: tuple[str | int, ...]) -> None:
    assert Seed(path).derive(*one).derive(*two) == Seed((*path, *one, *two))


@given(PATHS)
def test_integers_fit_every_generator(path: tuple[str | int, ...]) -> None:
    assert 0 <= Seed(path).integer() < 2**63


def test_integers_fill_all_63_bits_evenly() -> None:
    bits = np.array([[(Seed(("x", i)).integer() >> b) & 1 for b in range(63)] for i in range(2000)])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)


@given(PATHS)
def test_streams_repeat_and_do_not_touch_global_state(path: tuple[str | int, ...]) -> None:
    np.random.seed(0)
    torch.manual_seed(0)
    seed = Seed(path)
    assert np.array_equal(seed.numpy().random(5), seed.numpy().random(5))
    assert torch.equal(torch.rand(5, generator=seed.torch()), torch.rand(5, generator=seed.torch()))
    assert np.random.random() == np.random.RandomState(0).random_sample()
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(0)))


def test_streams_of_different_seeds_are_unrelated() -> None:
    one, other = Seed(("v1", 0)).numpy().standard_normal(20_000), Seed(("v1", 1)).numpy().standard_normal(20_000)
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(20_000)


def test_numbers_are_the_same_in_another_process_and_forever() -> None:
    code = "from spurbench.seeds import Seed; print(Seed(('v1', 0, 'batches')).integer())"
    env = {"PYTHONPATH": str(Path(spurbench.seeds.__file__).parents[1]), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) == Seed(("v1", 0, "batches")).integer()
