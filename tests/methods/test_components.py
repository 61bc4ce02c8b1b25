"""What is fitted on some of very many regions: components, mixtures and failure directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spurbench.discovery import Evidence
from spurbench.seeds import Seed
from spurbench_methods.discovery import components, distilling_failures
from spurbench_methods.discovery.components import principal_components
from spurbench_methods.discovery.distilling_failures import DistillingFailures
from spurbench_methods.discovery.domino import Domino
from spurbench_methods.discovery.george import George

SEED = Seed(("components",))


def test_components_are_those_of_the_rows_that_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "FITTED_ON", 40)
    x = np.random.default_rng(0).normal(size=(90, 5)) * [4.0, 3.0, 2.0, 1.0, 0.5]
    found = principal_components(torch.from_numpy(x).float(), 3, SEED)
    assert found.points.shape == (90, 3)
    assert len(np.unique(found.fitted)) == 40
    sample = x[found.fitted]
    _, _, axes = np.linalg.svd(sample - sample.mean(axis=0), full_matrices=False)
    expected = (x - sample.mean(axis=0)) @ axes[:3].T
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    assert principal_components(torch.from_numpy(x[:2]).float(), 3, SEED).points.shape == (2, 2)


@pytest.mark.parametrize("make", [George, Domino, DistillingFailures])
def test_every_region_is_sorted_though_few_are_fitted_on(
    make: type[George | Domino | DistillingFailures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "FITTED_ON", 60)
    monkeypatch.setattr(distilling_failures, "FITTED_ON", 60)
    rng = np.random.default_rng(0)
    # Two kinds of region, of which the second is what goes wrong; one class of images besides, all right.
    kind = np.arange(400) % 4 == 0
    x = np.eye(6)[kind.astype(np.int64)] + 0.1 * rng.normal(size=(400, 6))
    y = torch.from_numpy((np.arange(400) >= 300).astype(np.int64))
    wrong = torch.from_numpy(kind) & (y == 0)
    scores = 0.05 + 0.9 * torch.eye(2)[torch.where(wrong, 1, y)]
    unit = torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1)
    found = make().discover(Evidence(y, unit, scores, torch.arange(400), unit, scores), SEED)
    shown = {int(r) for finding in found.findings if finding.score > 0.2 for r in finding.regions}
    # Regions of this kind in the class that is right may be shown, too: embeddings tell no class from the other.
    first, expected = {r for r in shown if y[r] == 0}, set(torch.nonzero(wrong)[:, 0].tolist())
    assert len(first & expected) > 0.9 * len(expected)
    assert len(first - expected) < 0.1 * len(expected)
