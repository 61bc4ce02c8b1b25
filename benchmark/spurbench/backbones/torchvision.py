"""Supervised image models of torchvision, trained on ImageNet-1K: an image tower and its classifier, no text side."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import imagenet
from ..cards import BackboneCard
from ..errors import UsageError, WeightsError
from ..files import digest
from . import Setting, Tower
from .hub import find_at_url

if TYPE_CHECKING:
    import torch
    from PIL import Image

FIRST = "IMAGENET1K_V1"
"""The weights that papers mean where they name a model alone."""


@dataclass(frozen=True)
class TorchvisionBackbone:
    """A torchvision model whose weights are in a file on this machine.

    Attributes:
        entry: torchvision's description of the weights, with their preprocessing.
    """

    card: BackboneCard
    fingerprint: str
    model: str
    weights: Path
    entry: Any

    def load(self, device: str) -> Tower:
        """The model, its classifier apart. Raises WeightsError."""
        from .towers import torchvision_tower

        return torchvision_tower(self, device)

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """The preprocessing that belongs to the weights."""
        made: Callable[[Image.Image], torch.Tensor] = self.entry.transforms()
        return made


class Torchvision:
    """`torchvision:MODEL` with the weights IMAGENET1K_V1, or `torchvision:MODEL.WEIGHTS`.

    `...=FILE` names a copy of them: a file is taken for weights of the model and its classifier of ImageNet-1K.
    """

    usage = "torchvision:MODEL[.WEIGHTS][=FILE]"

    def __init__(self, argument: str) -> None:
        name, _, file = argument.partition("=")
        self.model, _, self.tag = name.partition(".")
        self.file = Path(file).expanduser() if file else None

    def resolve(self, setting: Setting) -> TorchvisionBackbone:
        """Find the weights and describe the model. Raises UsageError or WeightsError."""
        from torchvision.models import get_model_weights, list_models

        known = list_models()
        if self.model not in known:
            near = difflib.get_close_matches(self.model, known, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"torchvision has no model '{self.model}'{hint}")
        entries = {
            entry.name: entry
            for entry in get_model_weights(self.model)
            if len(entry.meta.get("categories", ())) == imagenet.SIZE
        }
        tag = self.tag or FIRST
        if tag not in entries:
            there = ", ".join(entries) or "none"
            raise UsageError(f"torchvision's {self.model} has no ImageNet weights '{tag}'; there are: {there}")
        entry = entries[tag]
        weights = self._weights(entry, setting)
        sha256 = setting.hashes.file(weights)
        name = f"torchvision:{self.model}" + ("" if tag == FIRST else f".{tag}")
        name += f"={weights.name}@{sha256[:8]}" if self.file else ""
        # The preprocessing is code of torchvision's.
        description = [self.model, tag, repr(entry.transforms()), version("torchvision"), sha256, setting.precision]
        return TorchvisionBackbone(
            card=BackboneCard(
                name=name,
                title=f"torchvision {self.model}, {tag}, image only",
                weights=weights.name if self.file else entry.url,
                has_text=False,
                has_classifier=True,
                precision=setting.precision,
            ),
            fingerprint=digest(description),
            model=self.model,
            weights=weights,
            entry=entry,
        )

    def _weights(self, entry: Any, setting: Setting) -> Path:
        if self.file is not None:
            if not self.file.is_file():
                raise UsageError(f"backbone torchvision:{self.model}: there is no file {self.file}")
            return self.file
        try:
            return find_at_url(entry.url, Path("~/.cache/torch/hub/checkpoints").expanduser(), fetch=setting.fetch)
        except WeightsError as error:
            raise WeightsError(
                f"weights of torchvision:{self.model} are not on this machine: {error}. Ways to supply them: run once "
                f"with network access; put {entry.url} there; or torchvision:{self.model}=/path/to/file"
            ) from error
