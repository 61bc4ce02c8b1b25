"""The batched solvers against scikit-learn's, on real features: DFR's recipe (L1), a grid of linear probes (L2)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from spurbench.heads import balanced_subset
from spurbench.solvers import Design, solve_logistic

pytestmark = pytest.mark.slow
DFR_CS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
PROBE_CS = tuple(np.geomspace(1, 0.001, 16))
THREADS = 2


@dataclass(frozen=True)
class Real:
    """Standardised features (n, d) float32, classes and attributes (n,), and splits (n,)."""

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray
    split: np.ndarray


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Real:
    with np.load(shared_data / "waterbirds_mobilenet_v1.npz") as file:
        x, y, a, split = (file[name].astype(np.int64) for name in ("x", "y", "a", "split"))
    scale = x[split == 0].std(axis=0)
    x = (x - x[split == 0].mean(axis=0)) / np.where(scale > 0, scale, 1)
    return Real(x.astype(np.float32), y, a, split)


def gigaflops(rows: int, d: int) -> float:
    """What one core makes of products with 16 columns, in float32."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    a, b = torch.randn(16, rows), torch.randn(rows, d)
    times = [seconds(lambda: a @ b) for _ in range(10)]
    torch.set_num_threads(before)
    return 2 * 16 * rows * d / min(times) / 1e9


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


@pytest.mark.benchmark(group="logistic regression")
def test_l1_on_the_dfr_recipe(benchmark: Any, real: Real, liblinear: Any) -> None:
    """Twenty balanced subsets of half the validation data, seven penalties each; liblinear does four of them."""
    generator = np.random.default_rng(0)
    half = generator.permutation(np.flatnonzero(real.split == 1))[:599]
    x, y = real.x[half], real.y[half]
    subsets = [balanced_subset(2 * y + real.a[half], 4, generator) for _ in range(20)]
    designs = [Design(torch.tensor(DFR_CS), torch.from_numpy(subset)) for subset in subsets]
    inputs = torch.from_numpy(x), torch.from_numpy(y), 2, designs
    found = benchmark.pedantic(
        solve_logistic, args=inputs, kwargs={"penalty": "l1", "threads": THREADS}, rounds=3, warmup_rounds=1
    )
    assert all(bool(solution.converged.all()) for solution in found)

    def theirs_once() -> None:
        for subset in subsets[:4]:
            for c in DFR_CS:
                liblinear(C=c).fit(x[subset], y[subset])

    ours, theirs = benchmark.stats.stats.min / 20, min(seconds(theirs_once) for _ in range(2)) / 4
    m = len(subsets[0])
    passes = float(np.mean([int(solution.iterations.max()) + 1 for solution in found]))
    floor = passes * 2 * 2 * m * 1025 * 16 / gigaflops(m, 1025) / 1e9 / THREADS
    report(benchmark, ours, theirs, floor)


@pytest.mark.benchmark(group="logistic regression")
def test_l2_on_a_grid_of_probes(benchmark: Any, real: Real) -> None:
    """Sixteen penalties on all training data; scikit-learn's lbfgs at its default tolerance, which stops early."""
    x, y = real.x[real.split == 0], real.y[real.split == 0]
    inputs = torch.from_numpy(x), torch.from_numpy(y), 2, [Design(torch.tensor(PROBE_CS))]
    (found,) = benchmark.pedantic(
        solve_logistic, args=inputs, kwargs={"penalty": "l2", "threads": THREADS}, rounds=3, warmup_rounds=1
    )
    assert found.converged.all()

    def lbfgs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for c in PROBE_CS:
                LogisticRegression(C=c, max_iter=5000).fit(x.astype(np.float64), y)

    ours, theirs = benchmark.stats.stats.min, min(seconds(lbfgs) for _ in range(2))
    n, d = x.shape
    operations = (int(found.iterations.max()) + 1) * 2 * 2 * n * d * 16 + 2 * n * d * d
    report(benchmark, ours, theirs, operations / gigaflops(640, d) / 1e9 / THREADS)


def report(benchmark: Any, ours: float, theirs: float, floor: float) -> None:
    """Put seconds, their ratio, and the time that the products alone must take beside the benchmark."""
    line = {"ours_ms": ours * 1e3, "scikit_learn_ms": theirs * 1e3, "ratio": theirs / ours, "floor_ms": floor * 1e3}
    benchmark.extra_info.update({name: round(value, 2) for name, value in line.items()})
    print({name: round(value, 2) for name, value in line.items()})
