"""K-medoids of regions against a plain one that holds all distances, and its memory for a million regions."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score

from spurbench.discovery.clustering import cluster, cluster_counts
from spurbench.seeds import Seed

pytestmark = pytest.mark.slow
D = 512
COUNTS = cluster_counts(10)
T = TypeVar("T")


def regions(m: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(m, D) unit vectors: forty clumps of unequal sizes about a common direction, with noise of unequal strength."""
    generator = torch.Generator().manual_seed(0)
    base, clump = torch.randn(D, generator=generator), torch.randn(40, D, generator=generator)
    weight = torch.rand(40, generator=generator) ** 2 + 0.05
    found = torch.empty(m, D, dtype=dtype)
    for part in found.split(10_000):  # type: ignore[no-untyped-call]
        of = torch.multinomial(weight, len(part), True, generator=generator)
        strength = 0.5 + torch.rand(len(part), 1, generator=generator)
        noisy = base + 0.8 * clump[of] + strength * torch.randn(len(part), D, generator=generator)
        part[:] = torch.nn.functional.normalize(noisy, dim=1)
    return found


def distances(x: torch.Tensor) -> np.ndarray:
    """(m, m) float32, by the formula."""
    dist: np.ndarray = np.clip(1 - x.numpy() @ x.numpy().T, 0, 1)
    np.fill_diagonal(dist, 0)
    return dist


def plain(x: torch.Tensor, counts: list[int]) -> float:
    """Alternating K-medoids with greedy k-medoids++ on all distances; the best of scikit-learn's silhouettes."""
    dist = distances(x)
    rng = np.random.default_rng(0)
    best = -1.0
    for k in counts:
        medoids = [int(rng.integers(len(dist)))]
        near = dist[medoids[0]].astype(np.float64) ** 2
        while len(medoids) < k:
            drawn = rng.choice(len(dist), 2 + int(np.log(k)), p=near / near.sum())
            left = np.minimum(near, dist[drawn].astype(np.float64) ** 2)
            medoids.append(int(drawn[left.sum(axis=1).argmin()]))
            near = left[left.sum(axis=1).argmin()]
        while True:
            label = dist[:, medoids].argmin(axis=1)
            members = [np.flatnonzero(label == c) for c in range(k)]
            found = [int(rows[dist[np.ix_(rows, rows)].sum(axis=1).argmin()]) for rows in members]
            if found == medoids:
                break
            medoids = found
        best = max(best, float(silhouette_score(dist, label, metric="precomputed")))
    return best


def seconds(function: Callable[[], T]) -> tuple[float, T]:
    """Of processor time, which a busy machine does not stretch; and what came out."""
    started = time.process_time()
    result = function()
    return time.process_time() - started, result


@pytest.mark.benchmark(group="k-medoids")
def test_against_a_plain_one(benchmark: Any) -> None:
    """Twenty thousand regions: three matrices of all distances, as making one takes, are 5 GiB."""
    x = regions(20_000)
    ours, found = benchmark.pedantic(lambda: seconds(lambda: cluster(x, COUNTS, Seed(("bench",)))), rounds=1)
    theirs, silhouette = seconds(lambda: plain(x, COUNTS))
    own = float(silhouette_score(distances(x), found.label.numpy(), metric="precomputed"))
    report(
        benchmark, seconds=ours, plain_seconds=theirs, ratio=theirs / ours, silhouette=own, plain_silhouette=silhouette
    )
    assert own > 0.99 * silhouette


@pytest.mark.benchmark(group="k-medoids")
def test_fifty_thousand_regions(benchmark: Any) -> None:
    """All distances of which would be 10 GB."""
    x = regions(50_000)
    ours, found = benchmark.pedantic(lambda: seconds(lambda: cluster(x, COUNTS, Seed(("bench",)))), rounds=1)
    report(benchmark, seconds=ours, clusters=len(found.medoids), silhouette=found.silhouette)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_million_regions_take_little_more_memory_than_they_are(dtype: str) -> None:
    """In a process of its own: the peak is that of a process's whole life."""
    script = f"import test_medoids as t, torch; print(t.peak(torch.{dtype}))"
    folder = __file__.rpartition("/")[0]
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    gibibytes = float(run.stdout)
    print({"dtype": dtype, "peak_gib": round(gibibytes, 2)})
    assert gibibytes < 8


def peak(dtype: torch.dtype) -> float:
    """GiB that clustering a million regions takes at its highest, the regions included."""
    cluster(regions(1_000_000, dtype), COUNTS, Seed(("bench",)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def report(benchmark: Any, **values: float) -> None:
    """Put numbers beside the benchmark."""
    benchmark.extra_info.update({name: round(value, 4) for name, value in values.items()})
    print({name: round(value, 4) for name, value in values.items()})
