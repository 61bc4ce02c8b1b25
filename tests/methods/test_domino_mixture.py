"""Domino's mixture against SciPy's densities and scikit-learn's Gaussian mixture; slices of one kind of error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from spurbench.discovery import Evidence
from spurbench.seeds import Seed
from spurbench_methods.discovery import domino_mixture
from spurbench_methods.discovery.domino import Domino
from spurbench_methods.discovery.domino_mixture import Observed, estimated, fit


def observed(m: int = 200, d: int = 3, k: int = 2, seed: int = 0) -> tuple[Observed, np.ndarray]:
    """Points around two means, of k labels, and responsibilities (m, 2) that start from a coin."""
    rng = np.random.default_rng(seed)
    side = rng.integers(2, size=m)
    x = 3.0 * side[:, None] + rng.normal(size=(m, d)) * [1.0, 0.5, 2.0][:d]
    predicted = rng.dirichlet(np.ones(k), size=m)
    start = np.eye(2)[np.where(rng.random(m) < 0.8, side, 1 - side)]
    return Observed(x, np.eye(k)[rng.integers(k, size=m)], predicted), start


def test_the_joint_density_is_the_product_of_its_parts() -> None:
    seen, start = observed(20)
    mixture = estimated(seen, start)
    found = mixture.log_joint(seen, 10.0)
    for i in range(20):
        for s in range(2):
            expected = np.log(mixture.share[s])
            for j in range(3):
                expected += norm.logpdf(seen.x[i, j], mixture.mean[s, j], np.sqrt(mixture.variance[s, j]))
            for c in range(2):
                expected += 10 * seen.y[i, c] * np.log(mixture.y[s, c])
                expected += 10 * seen.predicted[i, c] * np.log(mixture.predicted[s, c])
            assert found[i, s] == pytest.approx(expected)


def test_the_estimates_are_weighted_means() -> None:
    seen, _ = observed(50)
    weight = np.random.default_rng(1).dirichlet([1, 1], size=50)
    mixture = estimated(seen, weight)
    for s in range(2):
        mean = np.average(seen.x, axis=0, weights=weight[:, s])
        np.testing.assert_allclose(mixture.mean[s], mean)
        variance = np.average((seen.x - mean) ** 2, axis=0, weights=weight[:, s])
        np.testing.assert_allclose(mixture.variance[s], variance + 1e-6)
        np.testing.assert_allclose(mixture.y[s], np.average(seen.y, axis=0, weights=weight[:, s]))
        np.testing.assert_allclose(mixture.predicted[s], np.average(seen.predicted, axis=0, weights=weight[:, s]))
        assert mixture.share[s] == pytest.approx(weight[:, s].mean())


def test_without_labels_it_is_scikit_learns_gaussian_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domino_mixture, "TOLERANCE", 1e-10)
    monkeypatch.setattr(domino_mixture, "STEPS", 1000)
    seen, start = observed(400)
    found = fit(seen, start, 0.0)
    first = estimated(seen, start)
    theirs = GaussianMixture(
        2,
        covariance_type="diag",
        tol=1e-10,
        max_iter=1000,
        weights_init=first.share,
        means_init=first.mean,
        precisions_init=1 / first.variance,
    ).fit(seen.x)
    np.testing.assert_allclose(found.mean, theirs.means_, atol=1e-3)
    np.testing.assert_allclose(found.variance, theirs.covariances_, atol=1e-3)
    np.testing.assert_allclose(found.share, theirs.weights_, atol=1e-3)


def test_every_step_raises_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, start = observed()
    monkeypatch.setattr(domino_mixture, "TOLERANCE", -np.inf)
    reached = []
    for steps in range(8):
        monkeypatch.setattr(domino_mixture, "STEPS", steps)
        reached.append(float(logsumexp(fit(seen, start, 1.0).log_joint(seen, 1.0), axis=1).mean()))
    assert (np.diff(reached) > -1e-9).all()
    assert reached[-1] > reached[0] + 0.01


def test_a_slice_without_points_stays_finite_and_wins_none() -> None:
    seen, start = observed()
    mixture = fit(seen, np.concatenate([start, np.zeros((200, 1))], axis=1), 10.0)
    joint = mixture.log_joint(seen, 10.0)
    assert np.isfinite(joint).all()
    assert (joint.argmax(axis=1) < 2).all()


def test_a_slice_of_one_kind_of_error_comes_first() -> None:
    rng = np.random.default_rng(0)
    # Four clumps of regions of class 0; those of the last look like class 1 to the model.
    clump = np.repeat(np.arange(4), 40)
    x = np.eye(8)[clump] + 0.1 * rng.normal(size=(160, 8))
    taken = np.where(clump == 3, 1, 0)
    scores = torch.from_numpy(0.1 + 0.8 * np.eye(2)[taken]).float()
    evidence = Evidence(
        y=torch.zeros(160, dtype=torch.int64),
        image_embeddings=torch.zeros(160, 8),
        image_scores=scores,
        image_of=torch.arange(160),
        region_embeddings=torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1),
        region_scores=scores,
    )
    found = Domino().discover(evidence, Seed(("d",)))
    for finding in found.findings:
        wrong = set(taken[finding.regions.numpy()].tolist())
        assert len(wrong) == 1, "labels and predictions weigh most: no slice mixes right and wrong"
        assert finding.score == pytest.approx(0.9 if wrong == {1} else 0.1, abs=1e-3)
    assert sum(len(finding.regions) for finding in found.findings) == 160
