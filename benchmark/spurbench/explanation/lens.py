"""`Lens`: where in a tower a map is drawn, and how it comes from gradients."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import nn

from ..errors import UsageError, WeightsError
from .how import How, Kind
from .transformers import transformer_of


class Lens(Protocol):
    """One way to draw maps of one trunk."""

    @property
    def layer(self) -> str:
        """Where: the name of a module in the trunk."""

    def watching(self) -> AbstractContextManager[list[torch.Tensor]]:
        """A list that holds, once the trunk has run inside, the m tensors to differentiate a score by. The graph of
        gradients begins at the first of them.
        """

    def maps(self, seen: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """(b, h, w) float32, 0 or more, of b photos.

        Args:
            seen: what was watched.
            gradients: of the sum of the photos' scores by each of them.
        """


def natural(trunk: nn.Module) -> Kind:
    """How maps of a trunk are drawn where nobody says: relevance for transformers, Grad-CAM for all else."""
    return "grad-cam" if transformer_of(trunk) is None else "relevance"


def lens_of(trunk: nn.Module, kind: Kind, how: How, photo: torch.Tensor) -> Lens:
    """The lens for a trunk.

    Args:
        photo: (1, 3, H, W), any that the trunk takes, on its device: it is run once to see its maps.

    Raises:
        UsageError: there is no such layer, or it has no map, or the kind was asked for and cannot be.
        WeightsError: nothing can be drawn of such a trunk in the way that is natural to it.
    """
    from .grad_cam import grad_cam
    from .relevance import relevance

    if kind != "relevance":
        return grad_cam(trunk, how.layer, photo)
    try:
        return relevance(trunk, how.layer)
    except WeightsError as error:
        if how.kind is None:
            raise
        raise UsageError(str(error)) from error
