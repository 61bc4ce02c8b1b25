"""`ModelSpace`: the modules of a backbone, as far as a method's card opens it, as copies that may be trained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from .backbones import Parts, Tower
from .cards import Input
from .errors import MethodError

TEXT_BATCH = 256


@dataclass(frozen=True)
class ModelSpace:
    """The modules of a backbone, as far as a method may train them.

    Every module is a fresh copy in evaluation mode (BatchNorm keeps its statistics, dropout is off) whose parameters
    take gradients, float32, on the device. What is not trained is to be frozen by who trains.

    Attributes:
        tower: loads the backbone's tower; None where a data set brings its own features.
        memo: what was computed with the frozen text trunk, shared by the tasks of one data set and backbone.
        imagenet: ImageNet-1K index of each of the K classes; empty where they are others.
    """

    method: str
    inputs: tuple[Input, ...]
    tower: Callable[[], Tower] | None
    device: torch.device
    memo: dict[tuple[str, ...], torch.Tensor] = field(default_factory=dict)
    imagenet: tuple[int, ...] = ()

    def trunk(self) -> nn.Module:
        """(b, 3, H, W) -> penultimate activations. Raises MethodError unless the input `images` is declared."""
        self._check("images")
        return self._copy(self._parts().trunk)

    def projection(self) -> nn.Module:
        """Penultimate activations -> (b, d). Raises MethodError unless `penultimate` or `images` is declared."""
        if "images" not in self.inputs:
            self._check("penultimate")
        return self._copy(self._parts().projection)

    def classifier(self) -> nn.Linear:
        """Embeddings (b, d) -> (b, K), the backbone's own classifier of ImageNet-1K, of the data set's classes alone.

        Raises MethodError unless the input `classifier` is declared, and where there is none.
        """
        self._check("classifier")
        own = self._tower().classifier
        if own is None or not self.imagenet:
            raise MethodError(f"method '{self.method}' needs a classifier of ImageNet's classes, and there is none")
        rows = torch.tensor(self.imagenet)
        part = nn.Linear(own.in_features, len(rows), bias=own.bias is not None)
        with torch.no_grad():
            part.weight.copy_(own.weight.cpu()[rows])
            if own.bias is not None:
                part.bias.copy_(own.bias.cpu()[rows])
        return part.eval().to(self.device)

    def text_trunk(self) -> nn.Module:
        """Tokens (n, L) -> (n, w). Raises MethodError unless the input `text` is declared."""
        self._check("text")
        return self._copy(self._parts().text_trunk)

    def text_projection(self) -> nn.Module:
        """(n, w) -> (n, d). Raises MethodError unless the input `text` is declared."""
        self._check("text")
        return self._copy(self._parts().text_projection)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, L) tokens."""
        self._check("text")
        tokenize = self._parts().tokenize
        if tokenize is None:
            raise MethodError(f"method '{self.method}' trains a text tower, and the backbone has none")
        return tokenize(texts)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, w) float32: what the frozen text trunk makes of texts, to be put through the text projection."""
        key = tuple(texts)
        if key not in self.memo:
            self._check("text")
            trunk = self._parts().text_trunk
            if trunk is None:
                raise MethodError(f"method '{self.method}' trains a text tower, and the backbone has none")
            with torch.no_grad():
                chunks = torch.split(self.tokenize(texts), TEXT_BATCH)
                self.memo[key] = torch.cat([trunk(chunk.to(self.device)).float().cpu() for chunk in chunks])
        return self.memo[key].to(self.device, copy=True)

    @property
    def precision(self) -> str:
        """fp32, or bf16 for the matrix products of whole towers in training."""
        return self._tower().precision

    def _tower(self) -> Tower:
        if self.tower is None:
            raise MethodError(f"method '{self.method}' trains a tower, and the data set brings its own features")
        return self.tower()

    def _parts(self) -> Parts:
        parts = self._tower().parts
        if parts is None:
            raise MethodError(
                f"method '{self.method}' trains parts of the backbone, which does not give any (Tower.parts)"
            )
        return parts

    def _copy(self, module: nn.Module | None) -> nn.Module:
        if module is None:
            raise MethodError(f"method '{self.method}' trains a text tower, and the backbone has none")
        return copy.deepcopy(module).float().eval().requires_grad_(True).to(self.device)

    def _check(self, kind: Input) -> None:
        if kind not in self.inputs:
            raise MethodError(
                f"method '{self.method}' uses the backbone's modules for {kind} without declaring it: "
                f"write inputs=({', '.join(repr(i) for i in (*self.inputs, kind))}) on its MethodCard"
            )
