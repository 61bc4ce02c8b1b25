"""Logits that carry gradients, of whatever a method's `fit` returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.nn.parameter import is_lazy

from ..cards import Input
from ..data import Ints, View
from ..errors import MethodError
from ..finetuning import ImageTower, TunedTower
from ..projections import ProjectionHead
from .asking import asking
from .how import Subject

BY_TORCH = "compute its logits by torch alone, from what the view gives"
FROM_PHOTOS = "what it returns must make (b, K) logits of (b, 3, H, W) float32 images, and work at once"


class Features:
    """What a frozen tower makes of b photos, with its graph of gradients.

    Args:
        penultimate: (b, ...) float32.
        project: those -> (b, d) float32 embeddings; called once, and only if somebody wants them.
    """

    def __init__(self, penultimate: torch.Tensor, project: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.penultimate, self._project = penultimate, project

    @cached_property
    def embeddings(self) -> torch.Tensor:
        """(b, d) float32."""
        # Whoever asks first may do so without gradients; the others want them.
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self._project(self.penultimate)


@dataclass(frozen=True)
class _Source:
    """Features as a view reads them: on the CPU, where predictors are used to find them."""

    method: str
    found: Features

    def features(self, kind: Input, rows: Ints) -> torch.Tensor:
        """Fresh, as any view's, but with their graph."""
        if kind not in ("embeddings", "penultimate"):
            self._refuse(kind)
        features = self.found.embeddings if kind == "embeddings" else self.found.penultimate
        return features.cpu()[torch.from_numpy(rows)]

    def boxes(self, rows: Ints) -> torch.Tensor:  # noqa: ARG002
        self._refuse("regions")

    def images(self, rows: Ints) -> NoReturn:  # noqa: ARG002
        self._refuse("images")

    def _refuse(self, kind: str) -> NoReturn:
        raise MethodError(
            f"method '{self.method}': its predictor reads {kind}, through which no activation map can be drawn; "
            "give it a method module() that returns what makes (b, K) logits of (b, 3, H, W) images"
        )


def head_logits(subject: Subject, found: Features) -> torch.Tensor:
    """(b, K) logits of a model on a frozen tower's features, with their graph. Raises MethodError."""
    predictor = subject.predictor
    fault = "its predictor fails on features that carry gradients, without which no activation map can be drawn"
    with asking(subject.name, fault, BY_TORCH):
        if isinstance(predictor, ProjectionHead):
            # Its own logits are made without a graph.
            weights = {name: value[None] for name, value in predictor.weights.items()}
            embeddings = predictor.form(weights, found.penultimate.to(predictor.classes.device))[0]
            return predictor.scale * normalize(embeddings, dim=-1) @ predictor.classes.T
        rows = np.arange(len(found.penultimate))
        source = _Source(subject.name, found)
        view = View("test", rows, source, method=subject.name, inputs=subject.inputs, n_attributes=1)
        return predictor.logits(view)


def own_module(subject: Subject, device: str) -> nn.Module | None:
    """(b, 3, H, W) -> (b, K): what a model that has its own way from photos to logits says it is; else None.

    A predictor says so by a method `module()`; what that returns is put on the device and into evaluation mode, and
    takes no gradients from then on. Raises MethodError where it gives something else.
    """
    with asking(subject.name, "its module() fails", FROM_PHOTOS):
        make = getattr(subject.predictor, "module", None)
        if not callable(make) or isinstance(make, nn.Module):
            return None
        module = make()
        if not isinstance(module, nn.Module):
            kind = type(module).__name__
            raise MethodError(f"method '{subject.name}': module() must return a torch module, not {kind}")
        if any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
            raise MethodError(
                f"method '{subject.name}': module() returns lazy layers, whose sizes are not known yet: run it on an "
                "image before"
            )
        return module.eval().requires_grad_(False).to(device)


def tuned_logits(predictor: TunedTower, tower: nn.Module, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes (b, K) logits of (b, 3, H, W) photos as a fine-tuned tower does, with their graph.

    Args:
        tower: photos -> (b, d) float32 embeddings; its parameters have the names that `ImageTower`'s have, and the
            fine-tuned ones are put in their place for each call.
    """
    realised = predictor.realised(ImageTower(predictor.model).requires_grad_(False))
    state = {name: value.detach().to(device) for name, value in realised[0].items()}
    weight, bias = (part.detach().to(device) for part in realised[1:])

    def logits(photos: torch.Tensor) -> torch.Tensor:
        embeddings = torch.func.functional_call(tower, state, (photos,))
        return normalize(embeddings, dim=-1) @ weight.T + bias

    return logits


def checked(subject: Subject, logits: object, n: int, classes: range) -> torch.Tensor:
    """Logits that a map can be drawn of, of n photos and as many classes as are allowed. Raises MethodError."""
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != n or logits.shape[1] not in classes:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise MethodError(f"method '{subject.name}': logits must be ({n}, K) for {n} photos, not {shape}")
    if not logits.requires_grad:
        raise MethodError(
            f"method '{subject.name}': its logits carry no gradient, so that no activation map can be drawn: compute "
            "them by torch from what the view gives, outside of no_grad and inference_mode, without detach or numpy"
        )
    if not bool(logits.isfinite().all()):
        raise MethodError(f"method '{subject.name}': logits are NaN or infinite for some of the photos")
    return logits
