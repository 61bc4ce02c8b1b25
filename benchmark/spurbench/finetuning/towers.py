"""The towers that are trained, and which of their parameters are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbones.spatial import spatial
from ..errors import MethodError
from ..model_space import ModelSpace
from .objective import Objective


@dataclass(frozen=True)
class Trained:
    """What moves in training; everything else stays as it was, bit for bit.

    Attributes:
        image: the whole image tower, or its projection alone (the attention pool of a ModifiedResNet).
        text: nothing of the text tower, all of it, or what the released code of Yang et al. 2023 and CFR leaves
            trainable under the name of a frozen text side: all but the transformer, that is the embeddings of tokens
            and positions, the last normalisation and the projection.
        batch_norm: whether BatchNorm uses the statistics it came with, or each batch's and updates its own, as that
            code does even where the weights are frozen. A batch is then never split: its parts would have others.
    """

    image: Literal["all", "projection"] = "all"
    text: Literal["frozen", "released", "all"] = "frozen"
    batch_norm: Literal["eval", "train"] = "eval"


class ImageTower(nn.Module):
    """(b, 3, H, W) -> (b, d) float32 embeddings, in the backbone's precision; of regions as well, (b, 1 + r, d)."""

    def __init__(self, model: ModelSpace) -> None:
        super().__init__()
        self.trunk, self.projection = model.trunk(), model.projection()
        self._device, self._half = model.device.type, model.precision == "bf16"

    def forward(self, images: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings, not normalised: (b, d), or with boxes (b, r, 4) of regions (b, 1 + r, d), the image first."""
        if self._device == "cpu":
            # A third faster for convolutions (measured in training a ModifiedResNet), no matter for the rest.
            images = images.contiguous(memory_format=torch.channels_last)
        with _precision(self._device, self._half):
            embeddings: torch.Tensor = (
                self.projection(self.trunk(images)) if boxes is None else self._regional(images, boxes)
            )
        return embeddings.float()

    @cached_property
    def _regional(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """The same modules, asked for regions as well. Not a part of this one: they would be named twice."""
        return spatial(self.trunk, self.projection).__call__


class TextTower(nn.Module):
    """(n, L) tokens -> (n, d) float32 embeddings, in the backbone's precision."""

    def __init__(self, model: ModelSpace) -> None:
        super().__init__()
        self.trunk, self.projection = model.text_trunk(), model.text_projection()
        self._device, self._half = model.device.type, model.precision == "bf16"

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeddings, not normalised."""
        with _precision(self._device, self._half):
            embeddings: torch.Tensor = self.projection(self.trunk(tokens))
        return embeddings.float()


class Towers(nn.Module):
    """What one fit trains: copies of the towers, and the objective's own parameters.

    Raises MethodError where nothing of the image tower that is to be trained has parameters, and unless a text tower is
    trained just where the objective has texts for it.
    """

    def __init__(self, model: ModelSpace, trained: Trained, objective: Objective) -> None:
        super().__init__()
        if (objective.texts is None) != (trained.text == "frozen"):
            raise MethodError(
                f"method '{model.method}': a text tower is trained where the objective has texts, and only there; "
                f'it has {"none" if objective.texts is None else "some"}, and the text side is "{trained.text}"'
            )
        self.image = ImageTower(model)
        self.text = None if trained.text == "frozen" else TextTower(model)
        self.objective = objective.to(model.device)
        if trained.image == "projection":
            self.image.trunk.requires_grad_(False)
        if self.text is not None and trained.text == "released":
            for name, parameter in self.text.trunk.named_parameters():
                parameter.requires_grad_(not name.startswith("transformer."))
        if not any(parameter.requires_grad for parameter in self.image.parameters()):
            raise MethodError(
                f"method '{model.method}' trains the projection of the image tower, and this backbone has none"
            )
        norms = [(name, part) for name, part in self.named_modules() if isinstance(part, _BatchNorm)]
        self._norms = norms if trained.batch_norm == "train" else []

    @property
    def statistics_move(self) -> bool:
        """Whether BatchNorm uses and updates the statistics of each batch."""
        return bool(self._norms)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that are trained, by name."""
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)

    def moving(self) -> dict[str, torch.Tensor]:
        """Everything that training changes, by name: trained parameters, statistics where they move, and what the
        objective keeps in buffers.
        """
        found: dict[str, torch.Tensor] = {name: parameter.data for name, parameter in self.trained()}
        found |= {f"objective.{name}": value for name, value in self.objective.state_dict().items()}
        for place, norm in self._norms:
            found |= {f"{place}.{name}": buffer for name, buffer in norm.named_buffers(recurse=False)}
        return found

    def start(self) -> None:
        """Put BatchNorm into the mode it trains in."""
        for _, norm in self._norms:
            norm.train()

    def checkpoint_gradients(self) -> None:
        """Have towers that can hold only their blocks' inputs for the backward pass, and compute the rest again."""
        for tower in (self.image, self.text):
            switch = getattr(tower.trunk, "set_grad_checkpointing", None) if tower is not None else None
            if switch is not None:
                switch(True)


def _precision(device: str, half: bool) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16, enabled=half)
