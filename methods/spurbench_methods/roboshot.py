"""RoboShot: images freed of concepts that are spurious, and strengthened along those that are useful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from spurbench.cards import MethodCard
from spurbench.data import View
from spurbench.errors import ConfigurationError
from spurbench.method import Predictor, Task
from spurbench.space import Choice, Config, Distribution

from .spans import span_basis


class RoboShot:
    """Zero-shot on images moved along concepts (Adila et al., ICLR 2024, arXiv 2309.04344); no training, no labels.

    For each pair of concepts (b+, b-) the direction is v = emb(b+) - emb(b-) of unit embeddings; Q_r and Q_a are
    orthonormal bases of the directions to reject and to accept. On unit image embeddings, made unit again after each
    step:

        for u in Q_r: x <- x - <x, u> u          then, for u in Q_a: x <- x + <x, u> u

    and the class is that of the nearest class vector. Within a basis all steps commute and lengths cancel in the end,
    so that x <- (I + Q_a^T Q_a)(I - Q_r^T Q_r) x, made unit, is the same and depends on the spans alone. `both` is the
    paper's method, `reject` and `accept` its ablations.

    The pairs are data: in the paper a language model lists them, knowing the task and not the attribute, so no
    supervision is declared. A data set brings them on its card, a folder of photos in its `card.yaml`. The released
    code takes directions of rounding errors for concepts where some pairs depend on others; here these are left out.
    """

    card = MethodCard(
        name="roboshot",
        title="RoboShot",
        paper="arXiv 2309.04344",
        inputs=("embeddings", "text"),
        trains="nothing",
        words=("concepts",),
    )
    space: Mapping[str, Distribution] = MappingProxyType({"variant": Choice("both", "reject", "accept")})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One predictor. Raises ConfigurationError for a variant whose concepts the data set does not name."""
        concepts = task.text.concepts()
        variant = config["variant"]
        if (variant == "reject" and not concepts.reject) or (variant == "accept" and not concepts.accept):
            raise ConfigurationError(f"the data set names no concepts to {variant}")
        unit = torch.nn.functional.normalize(task.text.encode(concepts.texts()).double(), dim=-1).cpu().numpy()
        directions = unit[0::2] - unit[1::2]
        n_reject = len(concepts.reject)
        rejected = directions[: n_reject if variant != "accept" else 0]
        accepted = directions[n_reject if variant != "reject" else len(directions) :]
        matrix = torch.from_numpy(movement(rejected, accepted)).float()
        return [MovedHead(matrix, task.text.classes(), task.text.logit_scale)]


def movement(rejected: NDArray[np.float64], accepted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, d) matrix that removes the span of (m, d) directions, then doubles what lies in the span of (l, d) others."""
    remove, boost = span_basis(rejected), span_basis(accepted)
    one = np.eye(remove.shape[1])
    return np.asarray((one + boost.T @ boost) @ (one - remove.T @ remove), dtype=np.float64)


@dataclass(frozen=True)
class MovedHead:
    """Scaled cosine between moved embeddings and unit class vectors (K, d); `matrix` (d, d) moves."""

    matrix: torch.Tensor
    class_vectors: torch.Tensor
    scale: float

    def moved(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(n, d) unit vectors."""
        unit = torch.nn.functional.normalize(embeddings, dim=-1)
        return torch.nn.functional.normalize(unit @ self.matrix.to(unit).T, dim=-1)

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) scores."""
        moved = self.moved(view.embeddings())
        return self.scale * moved @ self.class_vectors.to(moved).T
