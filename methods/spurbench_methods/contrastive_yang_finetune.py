"""Yang's contrastive terms in vision, with a pseudo-attribute in the place of the true one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.method import Predictor, Task
from spurbench.space import Config

from . import yang_terms
from .clip_finetune import Captions, ImageText
from .ravl_groups import KNOWING, SpuriousRegions, tuned_knowing


class ContrastiveYangFinetune:
    """L = L_CL + L_vc + L_vs: photos of a class together, whether or not they have the spurious region.

    "Spurious-Aware Mitigation" of RaVL's study (Varma et al. 2024, arXiv 2411.04097), after Yang et al. 2023 (arXiv
    2304.03916): CLIP's loss and two terms between images, one of the class (`yang_terms.vision_class`), one of the
    spurious attribute. The study says no more of it, and follows a code whose image terms do not do what they are named
    for. Here the second term has the form of the first among photos of one class, on the pseudo-attribute "has a
    spurious region" (see `ravl_groups`) and with its sign turned: those with and those without are drawn together,
    those that share it are not (`across_attribute`). All weights are 1, as published; the rest is as in
    `clip_finetune`, which this is where no cluster is suspected.
    """

    card = MethodCard(
        name="contrastive_yang_finetune",
        title="Contrastive, vision (Yang; RaVL's groups)",
        paper="arXiv 2304.03916",
        supervision=Supervision(val_labels=True),
        inputs=("images", "text", "regions"),
        trains="image tower",
        track="image",
    )
    space = KNOWING

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The tower after some epochs of the second training."""
        return tuned_knowing(task, config, DrawnTogether)


class DrawnTogether(ImageText):
    """L_CL + L_vc + L_vs.

    Attributes:
        a: (n,) pseudo-attribute of the training split, 0 or 1.
    """

    a: torch.Tensor

    def __init__(self, captions: Captions, y: torch.Tensor, found: SpuriousRegions) -> None:
        super().__init__(captions, y)
        self.register_buffer("a", found.images, persistent=False)

    def loss(self, matched: torch.Tensor, f: torch.Tensor, rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """The three terms."""
        y = self.y[rows]
        return matched + yang_terms.vision_class(f[None], y)[0] + across_attribute(f, y, self.a[rows])


def across_attribute(f: torch.Tensor, y: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """L_vs: within each class, photos of different attribute together and of the same apart.

    (1/B^2) sum_{y_j = y_i} s_ij <f_i, f_j>, with s = 1 where a_j = a_i and -1 where not; an image is its own partner.
    That is, class by class, the squared distance between the sums of both sides.

    Args:
        f: (B, d) unit features.
        y: (B,) classes.
        a: (B,) attribute, 0 or 1.
    """
    signed = torch.nn.functional.one_hot(y).to(f) * (1 - 2 * a).to(f)[:, None]
    return (signed.T @ f).square().sum() / len(f) ** 2
