"""Predictors of fine-tuned towers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..data import View
from ..encode import BATCH, keep_freed_memory, opened
from ..model_space import ModelSpace
from .towers import ImageTower

CHUNK_SHARE = 4
"""Photos that are opened for all predictors take a fourth of the memory limit."""


@dataclass(frozen=True)
class TunedTower:
    """A fine-tuned image tower and its head: logits = W f(x) / ||f(x)|| + b.

    Attributes:
        model: gives what was not trained.
        state: by the names of `ImageTower` what training changed, memory-mapped: many candidates need not fit into
            memory.
        weight, bias: (K, d) and (K,) of the head, logit scale included.
        memory_limit: bytes that predicting may take.
        trained_parameters: how many were trained, those of the text tower as well.
    """

    model: ModelSpace
    state: Mapping[str, torch.Tensor]
    weight: torch.Tensor
    bias: torch.Tensor
    memory_limit: int
    trained_parameters: int

    def logits(self, view: View) -> torch.Tensor:
        """(n, K)."""
        return self.logits_many([self], view)[0]

    def realised(
        self,
        tower: ImageTower,  # noqa: ARG002 (for those that lie between)
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """What to put in the place of a tower's own weights, the head's weight, and its bias.

        Args:
            tower: as it was before training.
        """
        return dict(self.state), self.weight, self.bias

    def embed(self, view: View, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """(n, d) float32 embeddings of a view's photos, not normalised, or with boxes (n, r, 4) of regions
        (n, 1 + r, d), each photo before its regions; those that are not there hold anything.
        """
        shape = self.weight.shape[1:] if boxes is None else (1 + boxes.shape[1], *self.weight.shape[1:])
        return torch.cat([torch.empty(0, *shape), *self.embedded(view, boxes)])

    def embedded(self, view: View, boxes: torch.Tensor | None = None) -> Iterator[torch.Tensor]:
        """What `embed` gives in parts, for those whom the whole would take too much memory; in order."""
        images, device = view.images(), self.model.device
        if device.type == "cpu":
            keep_freed_memory()
        tower = ImageTower(self.model).requires_grad_(False)
        state = {name: value.to(device) for name, value in self.realised(tower)[0].items()}
        rows = torch.split(torch.arange(len(images)), max(BATCH[device.type], images.at_once))
        opening = opened([some.tolist() for some in rows], images.__getitems__, images.at_once, device.type)
        for some, items in zip(rows, opening, strict=True):
            if not len(some):
                continue
            photos = torch.stack(items).to(device)
            inputs = (photos,) if boxes is None else (photos, boxes[some].to(device))
            with torch.inference_mode():
                embeddings: torch.Tensor = torch.func.functional_call(tower, state, inputs)
            # A copy outside of that mode may be used in anything.
            yield embeddings.cpu().clone()

    @staticmethod
    def logits_many(predictors: Sequence[TunedTower], view: View) -> list[torch.Tensor]:
        """Each photo is opened once for all of them, and each one's weights are read once for many photos."""
        model, images = predictors[0].model, view.images()
        device = model.device
        if device.type == "cpu":
            keep_freed_memory()
        tower = ImageTower(model).requires_grad_(False)
        size = max(BATCH[device.type], images.at_once)
        rows = [range(len(images))[start : start + size] for start in range(0, len(images), size)]
        chunk = max(1, predictors[0].memory_limit // CHUNK_SHARE // (size * images[0].nbytes)) if len(images) else 1
        logits: list[list[torch.Tensor]] = [[] for _ in predictors]
        waiting: list[torch.Tensor] = []
        for place, items in enumerate(opened(rows, images.__getitems__, images.at_once, device.type)):
            waiting.append(torch.stack(items))
            if len(waiting) < chunk and place + 1 < len(rows):
                continue
            for mine, predictor in zip(logits, predictors, strict=True):
                mine.extend(_ask(predictor, tower, waiting))
            waiting = []
        return [torch.cat(mine) if mine else torch.empty(0, len(predictors[0].bias)) for mine in logits]


@torch.inference_mode()
def _ask(predictor: TunedTower, tower: ImageTower, batches: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    state, weight, bias = predictor.realised(tower)
    device = predictor.model.device
    state = {name: value.to(device) for name, value in state.items()}
    weight, bias = weight.to(device), bias.to(device)
    logits = []
    for images in batches:
        embeddings = torch.func.functional_call(tower, state, (images.to(device),))
        logits.append((torch.nn.functional.normalize(embeddings, dim=-1) @ weight.T + bias).cpu())
    return logits
