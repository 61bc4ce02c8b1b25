"""Backbones: what one is, how a name leads to one, and the tower that encodes. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..cards import BackboneCard
from ..files import HashCache

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Parts:
    """The modules of a loaded backbone, frozen and in evaluation mode; whoever trains takes copies (`ModelSpace`).

    Attributes:
        trunk: (b, 3, H, W) -> penultimate activations (b, ...).
        projection: those -> (b, d) embeddings; without parameters where a tower cannot be cut.
        tokenize: n texts -> (n, L) tokens; None for an image-only backbone, as the next two.
        text_trunk: tokens -> (n, w), pooled, after the last normalisation.
        text_projection: those -> (n, d) embeddings.
    """

    trunk: nn.Module
    projection: nn.Module
    tokenize: Callable[[Sequence[str]], torch.Tensor] | None = None
    text_trunk: nn.Module | None = None
    text_projection: nn.Module | None = None


@dataclass(frozen=True)
class Tower:
    """A loaded backbone, frozen and in evaluation mode.

    The image tower is cut where its projection into the shared space begins: `project(trunk(x))` is exactly what the
    model's own `encode_image` computes.

    Attributes:
        preprocess: RGB image -> (3, H, W) float32 tensor.
        trunk: (b, 3, H, W) -> penultimate activations (b, ...).
        project: penultimate activations -> (b, d) embeddings.
        encode_text: n texts -> (n, d) embeddings, not normalised; None for an image-only backbone.
        logit_scale: s = exp(learned log temperature); 1 for an image-only backbone.
        parts: the modules that all this is made of, for methods that train some; None: such methods do not apply.
        precision: fp32, or bf16 for the towers' matrix products.
        regions: images, and boxes (b, r, 4) in shares of what the tower sees, NaN for none -> (b, 1 + r, d), the
            image's embedding and its regions' (`spatial.SpatialTower`); None for a tower without a spatial map.
        classifier: embeddings -> (b, 1000), of ImageNet-1K, that a supervised model was trained with; else None.
        modules: (trunk, projection), the functions of `trunk` and `project` as modules that gradients pass through,
            frozen and in evaluation mode: what activation maps are drawn of; None: there are none then.
    """

    preprocess: Callable[[Image.Image], torch.Tensor]
    trunk: Callable[[torch.Tensor], torch.Tensor]
    project: Callable[[torch.Tensor], torch.Tensor]
    encode_text: Callable[[Sequence[str]], torch.Tensor] | None
    logit_scale: float
    parts: Parts | None = None
    precision: str = "fp32"
    regions: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    classifier: nn.Linear | None = None
    modules: tuple[nn.Module, nn.Module] | None = None


class Backbone(Protocol):
    """One architecture with one set of weights that are on this machine.

    A plugin's backbone is a class of this shape, registered under its card's name.
    """

    card: BackboneCard
    fingerprint: str
    """sha256 over architecture, weights, activation, preprocessing and precision: everything that changes features."""

    def load(self, device: str) -> Tower:
        """The tower, ready to encode. Raises WeightsError."""


@dataclass(frozen=True)
class Setting:
    """What resolving a name may depend on.

    Attributes:
        cache: folder for what is remembered between runs.
        precision: fp32, or bf16 for the towers' matrix products.
        fetch: whether weights may be downloaded.
    """

    cache: Path
    precision: str = "fp32"
    fetch: bool = False

    @property
    def hashes(self) -> HashCache:
        """Remembered hashes of weight files."""
        return HashCache(self.cache / "hashes")


class BackboneFamily(Protocol):
    """A family of backbones behind one registered name, such as every `timm:MODEL`."""

    def resolve(self, setting: Setting) -> Backbone:
        """The backbone. Raises UnknownNameError, or WeightsError where its weights are not here and not fetched."""


class Pretrainable(Protocol):
    """A registered backbone or family whose weights can be made from nothing on a small machine."""

    card: BackboneCard
    tolerance: float
    """How far the accuracies of weights made again may be from those of the shipped ones."""

    def pretrain(self, folder: Path, control: bool, progress: Callable[[int, int, float], None]) -> None:
        """Make the weights in `folder`, going on where an interrupted call stopped.

        Args:
            control: make those of the counterpart that the shortcut was kept from.
            progress: told (photos seen, photos to see in all, loss).
        """

    def judge(self, folder: Path | None) -> dict[str, float]:
        """Named accuracies of the weights in `folder`; of the shipped ones for None."""

    def describe(self, folder: Path, accuracies: dict[str, dict[str, float]]) -> None:
        """Write the model card beside the weights; `accuracies` maps the name of each set of weights to its own."""


def resolve(registry: Any, name: str, setting: Setting) -> Backbone:
    """The backbone that a name on the command line stands for.

    A registered name or `entry:argument` is looked up; anything else is `NAME`, `NAME:tag` or `NAME=checkpoint` of
    open_clip, which the registered `open_clip` family resolves.
    """
    prefix = name.partition(":")[0]
    registered = name in registry.names() or prefix in registry.names()
    thing = registry.get(name if registered else f"open_clip:{name}")
    backbone: Backbone = thing.resolve(setting) if hasattr(thing, "resolve") else thing
    return backbone
