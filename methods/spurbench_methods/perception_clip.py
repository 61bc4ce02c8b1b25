"""PerceptionCLIP: infer the context of an image first, then its class given the context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.data import View
from spurbench.method import Predictor, Task
from spurbench.space import Choice, Config, Distribution


class PerceptionCLIP:
    """Two-step inference over contexts z (An et al., ICLR 2024, arXiv 2308.01313); no training.

    With F(y,z;x) = s <v / ||v||, t_{y,z}>, t_{y,z} the text of class y in context z:

        with_y:     p(z|x) = sum_y e^{F(y,z;x)/t} / sum_{z',y} e^{F(y,z';x)/t}
        without_y:  p(z|x) = softmax_z s <v / ||v||, t_z> / t, with texts t_z that name no class
        p(y|x) = sum_z p(z|x) softmax_y F(y,z;x)

    The temperature t is that of the context alone. The contexts are the attribute's values (`values`) or all that the
    data set names (`all`), among them that nothing is said; a data set that gives only one of the two has just these.
    First comes what the released `perceptionclip_two_step.py` does unless told otherwise: with_y and t = 1, on the
    template of two backgrounds. The other temperatures are those its scripts go through.

    Those scripts go through them on the split that they report, and for Waterbirds and CelebA that is the training
    split, with another normalisation of pixels than CLIP's. Here a configuration is chosen on validation and judged on
    test, with CLIP's preprocessing: expect other numbers than the paper's.
    """

    card = MethodCard(
        name="perception_clip",
        title="PerceptionCLIP",
        paper="arXiv 2308.01313",
        supervision=Supervision(attribute_text=True),
        inputs=("embeddings", "text"),
        trains="nothing",
        words=("contexts",),
    )
    space: Mapping[str, Distribution] = MappingProxyType(
        {
            "contexts": Choice("values", "all"),
            "infer": Choice("with_y", "without_y"),
            "temperature": Choice(1.0, 0.5, 0.8, 3.0, 5.0, 10.0),
        }
    )

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One predictor."""
        found = task.text.contexts("all" if config["contexts"] == "all" else "values")
        alone = found.alone if config["infer"] == "without_y" else None
        return [TwoStep(found.with_class, alone, task.text.logit_scale, cast("float", config["temperature"]))]


@dataclass(frozen=True)
class TwoStep:
    """log p(y|x).

    Attributes:
        with_class: (K, Z, d) unit vectors of every class in every context.
        alone: (Z, d) unit vectors of the contexts without a class, or None to infer them from `with_class`.
        scale: s.
        temperature: t.
    """

    with_class: torch.Tensor
    alone: torch.Tensor | None
    scale: float
    temperature: float

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) logarithms of probabilities that sum to 1."""
        unit = torch.nn.functional.normalize(view.embeddings(), dim=-1)
        scores = self.scale * torch.einsum("nd,kzd->nkz", unit, self.with_class.to(unit))
        if self.alone is None:
            contexts = torch.logsumexp(scores / self.temperature, dim=1)
        else:
            contexts = self.scale * unit @ self.alone.to(unit).T / self.temperature
        log_z = torch.log_softmax(contexts, dim=1)
        return torch.logsumexp(log_z[:, None] + torch.log_softmax(scores, dim=1), dim=2)
