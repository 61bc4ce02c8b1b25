"""RaVL: fine-tune so that classes are found in regions other than the spurious ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.method import Predictor, Task
from spurbench.space import Choice, Config, Distribution

from .clip_finetune import TEMPERATURE, Captions, ImageText
from .ravl_groups import KNOWING, SpuriousRegions, tuned_knowing
from .ravl_terms import region_losses

WEIGHT = Choice(0.8, 0.5, 0.6, 0.7, 0.9, 0.95)
"""Of CLIP's loss; the rest is that of the other terms. The paper's own is 0.8."""


class RaVL:
    """L = weight L_CL + (1 - weight) (L_R + L_A): regions and classes find each other, spurious regions are wrong.

    Varma et al. 2024 (arXiv 2411.04097, sec. 4.2; no code of it is released). A first model is fine-tuned as usual, its
    mistakes on labelled photos show which cluster of regions misleads it, and each region of the training photos is
    sorted into the clusters (`ravl_groups`). Then the pretrained tower is fine-tuned once more: L_R has a photo's other
    regions find its class among the batch's classes and spurious regions, L_A has the class find them among other
    photos' (`ravl_terms` has the equations). Everything else is as in `clip_finetune`.

    The paper leaves open, and here is done: training starts from the pretrained weights, not from the first model's;
    a photo's class label is its class, for that is what its caption is made of; L_R and L_A are means over photos, so
    that the weight means the same at any batch size; with `text=all` class vectors are captions drawn for each batch.
    Without a suspected cluster this is `clip_finetune`. Regions embed a place of the photo: what is spurious in the
    photo as a whole, such as its brightness or somebody's gender, is out of its reach, as the authors say.
    """

    card = MethodCard(
        name="ravl",
        title="RaVL",
        paper="arXiv 2411.04097",
        supervision=Supervision(val_labels=True),
        inputs=("images", "text", "regions"),
        trains="image tower",
        track="image",
    )
    space: Mapping[str, Distribution] = {**KNOWING, "weight": WEIGHT}

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The tower after some epochs of the second training."""
        weight = float(config["weight"])
        return tuned_knowing(task, config, lambda captions, y, found: RegionAware(captions, y, found, weight))


class RegionAware(ImageText):
    """weight L_CL + (1 - weight) (L_R + L_A)."""

    asks_for_classes = True
    spurious: torch.Tensor
    rest: torch.Tensor

    def __init__(self, captions: Captions, y: torch.Tensor, found: SpuriousRegions, weight: float) -> None:
        super().__init__(captions, y)
        self.boxes, self.weight = found.boxes, weight
        self.register_buffer("spurious", found.spurious, persistent=False)
        self.register_buffer("rest", found.rest, persistent=False)

    def loss(self, matched: torch.Tensor, f: torch.Tensor, rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """The three terms."""
        spurious, rest = self.spurious[rows], self.rest[rows]
        regional, across = region_losses(f[:, 1:], spurious, rest, self.y[rows], w, TEMPERATURE)
        return self.weight * matched + (1 - self.weight) * (regional + across)
