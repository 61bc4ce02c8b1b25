"""What tests of activation maps share: photos at hand, towers of random modules, and heads drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from spurbench.backbones import Tower
from spurbench.explanation import How, Maps, Subject
from spurbench.explanation.draw import draw

Modules = tuple[nn.Module, nn.Module]


class Images(torch.utils.data.Dataset[torch.Tensor]):
    """Photos that are there already."""

    at_once = 1

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.x[index]

    def __getitems__(self, indices: Sequence[int]) -> list[torch.Tensor]:
        return list(self.x[list(indices)])


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Frozen, with normalisations that do something."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(part.weight, 0.5, 1.5)
    return module.eval().requires_grad_(False)


def tower_of(trunk: nn.Module, projection: nn.Module) -> Tower:
    return Tower(lambda image: torch.zeros(3, 1, 1), trunk, projection, None, 1.0, modules=(trunk, projection))


def of_heads(modules: Modules, heads: Sequence[Any], x: torch.Tensor, y: Sequence[int], how: How) -> tuple[Maps, ...]:
    subjects = [Subject(f"head {i}", ("embeddings",), head) for i, head in enumerate(heads)]
    return draw(tower_of(*modules), subjects, Images(x), np.asarray(y), how).of
