"""Linear heads on frozen features: the predictor, and the solvers that several methods share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .data import View
from .errors import ConfigurationError, MethodError
from .space import Choice

Floats = NDArray[np.float64]
L2_GRID = Choice(1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 10.0)
"""C of the linear probes: four decades, scikit-learn's default first; the papers sweep and name no single value."""
NEWTON_LIMIT = 1200
"""Features up to which a Newton step (n d^2 operations, a d x d Hessian) beats many steps of conjugate gradients."""


@dataclass(frozen=True)
class LinearHead:
    """z = W x + b on the view's embeddings, computed in float32.

    Attributes:
        weight: (K, d).
        bias: (K,).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        x = view.embeddings()
        return x @ self.weight.to(x).T + self.bias.to(x)


@dataclass(frozen=True)
class Standardiser:
    """Per-feature shift and scale to mean 0 and deviation 1; constant features are only shifted."""

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, x: Floats) -> Standardiser:
        """Statistics of (n, d) features; the deviation is the population one, as in scikit-learn's StandardScaler."""
        deviation = x.std(axis=0)
        return cls(x.mean(axis=0), np.where(deviation > 10 * np.finfo(x.dtype).eps, deviation, 1.0))

    def __call__(self, x: Floats) -> Floats:
        """Standardised features, (n, d)."""
        scaled: Floats = (x - self.mean) / self.scale
        return scaled

    def fold(self, weight: Floats, bias: Floats) -> LinearHead:
        """The head on raw features that equals (weight (K, d), bias (K,)) on standardised ones."""
        raw = weight / self.scale
        return LinearHead(torch.from_numpy(raw).float(), torch.from_numpy(bias - raw @ self.mean).float())


def fit_probe(
    x: Floats, y: NDArray[np.int64], n_classes: int, *, c: float, sample_weight: Floats | None = None
) -> LinearHead:
    """The linear probe: standardise by these examples, fit L2 logistic regression, fold the standardisation in."""
    scaler = Standardiser.fit(x)
    return scaler.fold(*fit_logistic(scaler(x), y, n_classes, c=c, sample_weight=sample_weight))


def fit_logistic(
    x: Floats,
    y: NDArray[np.int64],
    n_classes: int,
    *,
    c: float,
    penalty: Literal["l1", "l2"] = "l2",
    sample_weight: Floats | None = None,
    seed: int = 0,
    max_iter: int = 5000,
) -> tuple[Floats, Floats]:
    """Penalised logistic regression by scikit-learn: min sum_i w_i CE_i + R/c.

    L2: R = ||w||^2 / 2, intercept free; for two classes w is the difference of the two rows, for more the softmax
    loss over all rows. The optimum is found to a gradient of 1e-8 of the mean loss: at scikit-learn's default of 1e-4
    weak penalties are cut short, which is a regularisation of its own and decides between values of c. Newton's
    method, with its Hessian factorised where that is small, else by conjugate gradients; the optimum is the same.
    L1: liblinear at its own tolerance, one against the rest for more than two classes: the solver of DFR's published
    recipe, which penalises the intercept like a weight.

    Args:
        x: (n, d) features.
        y: (n,) classes; every class must occur.
        c: inverse strength of the penalty.
        sample_weight: (n,) or None for ones.
        seed: liblinear's coordinate order.

    Returns:
        weight (K, d) and bias (K,). For two classes the rows are -w/2 and w/2, so that softmax gives the fitted
        probabilities.

    Raises:
        ConfigurationError: the solver did not converge in `max_iter` iterations.
        MethodError: a class is missing.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y)
    if len(present) != n_classes:
        raise MethodError(
            f"logistic regression needs every class in its data; only {present.tolist()} of {n_classes} occur"
        )
    arguments: dict[str, object] = {"C": c, "max_iter": max_iter}
    if penalty == "l1":
        arguments |= {"solver": "liblinear", "random_state": seed % 2**32, **_l1_argument()}
    else:
        small = n_classes == 2 and x.shape[1] <= NEWTON_LIMIT
        arguments |= {"solver": "newton-cholesky" if small else "newton-cg", "tol": 1e-8}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if penalty == "l1" and n_classes > 2:
            fits = [LogisticRegression(**arguments).fit(x, y == k, sample_weight) for k in range(n_classes)]
            weight = np.concatenate([fit.coef_ for fit in fits])
            bias = np.concatenate([fit.intercept_ for fit in fits])
        else:
            fit = LogisticRegression(**arguments).fit(x, y, sample_weight)
            weight, bias = fit.coef_, fit.intercept_
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        raise ConfigurationError(f"logistic regression ({penalty}, C={c:g}) did not converge in {max_iter} iterations")
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


def _l1_argument() -> dict[str, object]:
    """scikit-learn 1.8 replaced `penalty="l1"` by `l1_ratio=1`."""
    import sklearn

    major, minor = (int(part) for part in sklearn.__version__.split(".")[:2])
    return {"l1_ratio": 1.0} if (major, minor) >= (1, 8) else {"penalty": "l1"}


def balanced_subset(labels: NDArray[np.int64], n_labels: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Indices of a random subset with the same number of examples of each label that occurs: that of the rarest.

    Args:
        labels: (n,) integers in 0..n_labels-1 (groups for SUBG and DFR).
    """
    if not len(labels):
        raise MethodError("there are no examples to draw a balanced subset from; is validation too small?")
    totals = np.bincount(labels, minlength=n_labels)
    size = int(totals[totals > 0].min())
    parts = [generator.permutation(np.flatnonzero(labels == label))[:size] for label in np.flatnonzero(totals)]
    return np.concatenate(parts)


def features_and_labels(view: View) -> tuple[Floats, NDArray[np.int64]]:
    """The view's embeddings as float64 (n, d), and its classes (n,)."""
    return view.embeddings().double().numpy(), view.y.numpy()


def average_heads(heads: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Plain average of weights and biases."""
    return np.mean([weight for weight, _ in heads], axis=0), np.mean([bias for _, bias in heads], axis=0)
