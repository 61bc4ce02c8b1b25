"""Orth-Proj and Orth-Cal: class texts freed of the spurious attribute, in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve

from spurbench.cards import MethodCard, Supervision
from spurbench.errors import ConfigurationError
from spurbench.heads import UnitLinearHead
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution, LogUniform

from .spans import EPS, span_basis
from .zero_shot import cosine_head

Matrix = NDArray[np.float64]


class OrthProj:
    """Class texts projected away from the prompts that name the attribute (Chuang et al. 2023, arXiv 2302.00070).

    P0 = I - V V^T, V an orthonormal basis of the span of the attribute's m unit texts; w_c <- P0 w_c / ||P0 w_c||.
    Images stay as they are, no data and no labels are used. The released code (`discriminative/main.py`) takes as many
    directions as there are prompts; here those that are rounding errors are left out.
    """

    card = MethodCard(
        name="orth_proj",
        title="Orth-Proj",
        paper="arXiv 2302.00070",
        supervision=Supervision(attribute_text=True),
        inputs=("embeddings", "text"),
        trains="nothing",
        words=("scenes",),
    )
    space: Mapping[str, Distribution] = MappingProxyType({})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:  # noqa: ARG002
        """One predictor; there is nothing to configure."""
        return [_head(projection(_array(task.text.scenes())), task)]


class OrthCal:
    """Orth-Proj, calibrated so that a class's texts in different contexts come together (same paper).

    P = P0 (I + (lambda / |S|) sum_S (z_i - z_j)(z_i - z_j)^T)^{-1} over pairs S of unit texts of one class in two
    contexts; w_c <- P w_c / ||P w_c||. lambda = 1000 is the released code's for classification (500 for images made
    from text).
    """

    card = MethodCard(
        name="orth_cal",
        title="Orth-Cal",
        paper="arXiv 2302.00070",
        supervision=Supervision(attribute_text=True),
        inputs=("embeddings", "text"),
        trains="nothing",
        words=("scenes", "pairs"),
    )
    space: Mapping[str, Distribution] = MappingProxyType({"lambda": LogUniform(10.0, 100_000.0, first=1000.0)})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One predictor."""
        strength = cast("float", config["lambda"])
        matrix = calibrated(projection(_array(task.text.scenes())), _array(task.text.pairs()), strength)
        return [_head(matrix, task)]


def projection(texts: Matrix) -> Matrix:
    """(d, d) P0, the orthogonal projection away from the span of (m, d) texts."""
    basis = span_basis(texts)
    return np.asarray(np.eye(texts.shape[1]) - basis.T @ basis, dtype=np.float64)


def calibrated(p0: Matrix, pairs: Matrix, strength: float) -> Matrix:
    """(d, d) P for (p, 2, d) pairs of texts and lambda = `strength`."""
    differences = pairs[:, 0] - pairs[:, 1]
    gram = np.eye(p0.shape[0]) + strength / len(pairs) * differences.T @ differences
    # P^T = G^{-1} P0, for G and P0 are symmetric.
    return np.asarray(solve(gram, p0, assume_a="pos").T, dtype=np.float64)


def _head(matrix: Matrix, task: Task) -> UnitLinearHead:
    """Zero-shot with P w_c for the class vectors w_c. Raises ConfigurationError where nothing is left of one."""
    moved = _array(task.text.classes()) @ matrix.T
    left = np.linalg.norm(moved, axis=1)
    if left.min() <= len(matrix) * EPS:
        raise ConfigurationError(f"nothing is left of the text of class {left.argmin()}: the attribute's texts span it")
    return cosine_head(torch.from_numpy(moved / left[:, None]).float(), task.text.logit_scale)


def _array(vectors: torch.Tensor) -> Matrix:
    return vectors.cpu().double().numpy()
