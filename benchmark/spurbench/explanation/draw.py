"""`draw`: activation maps of several models on the same photos, from as few passes through towers as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..backbones import Tower
from ..data import Ints
from ..encode import BATCH, batched, keep_freed_memory, opened
from ..errors import DataError, UsageError
from .how import Drawn, How, Subject
from .passes import passes_of, tower_lens

MEMORY = 2 * 2**30
"""Bytes that graphs of gradients may take."""


def draw(
    tower: Tower,
    subjects: Sequence[Subject],
    images: Any,
    y: Ints,
    how: How | None = None,
    *,
    candidates: NDArray[np.bool_] | None = None,
    device: str = "cpu",
    memory_limit: int = MEMORY,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> Drawn:
    """Maps of each model for each photo's own class, and for the class that the model takes it for most of all others.

    The frozen tower is run once for all models that work on its features; a fine-tuned tower, and a predictor that has
    a `module()` of its own, (b, 3, H, W) -> (b, K), once for that model. Nothing before the layer of the map leaves a
    graph.

    Args:
        tower: loaded, on the device.
        subjects: the models; the same predictor named twice is drawn once.
        images: n photos as a view gives them: a torch Dataset of (3, H, W) with `__getitems__` and `at_once`.
        y: (n,) their classes.
        candidates: (K, K) as `Examples.candidates`: classes that are none for a photo are no rivals of its own, and
            its own is not weighed against them.
        device: cpu or cuda.
        memory_limit: bytes that graphs may take; maps do not depend on it beyond rounding.
        progress: told (photos done, photos in all).

    Raises:
        UsageError: no photos, no models, no such layer, or a kind of map that was asked for and cannot be.
        DataError: a photo cannot be read, or a class has no other that it is told apart from.
        WeightsError: no such maps can be drawn of the tower.
        MethodError: no maps can be drawn of a model, which is named.
    """
    how = how or How()
    if not len(images) or not subjects:
        raise UsageError(f"there is nothing to look at: {len(images)} photos, {len(subjects)} models")
    if device == "cpu":
        keep_freed_memory()
    distinct = list({id(subject.predictor): subject for subject in subjects}.values())
    usual = BATCH[torch.device(device).type]
    size = max(usual, images.at_once)
    batches = [range(start, min(start + size, len(images))) for start in range(0, len(images), size)]
    with torch.inference_mode(mode=False), torch.enable_grad():
        classes = torch.from_numpy(y).to(device)
        among = None if candidates is None else _told_apart(candidates, y).to(device)
        first = batched([images[0]], device)
        kind, passes = passes_of(tower, distinct, how, first, device)
        room = [memory_limit // one.bytes_per_photo(first) for one in passes]
        done = 0
        for rows, items in zip(batches, opened(batches, images.__getitems__, images.at_once, device), strict=True):
            photos, own = batched(items, device), classes[rows.start : rows.stop]
            for one, most in zip(passes, room, strict=True):
                at_once = max(1, min(usual, most))
                for some, theirs in zip(torch.split(photos, at_once), torch.split(own, at_once), strict=True):
                    one.look(some, theirs, how, among)
            done += len(rows)
            progress(done, len(images))
    found = {id(subject.predictor): maps for one in passes for subject, maps in one.drawn()}
    layers = dict.fromkeys(one.lens.layer for one in passes)
    return Drawn(kind, ", ".join(layers), tuple(found[id(subject.predictor)] for subject in subjects))


def check(tower: Tower, how: How, device: str = "cpu") -> None:
    """Whether maps can be drawn of a tower: told before any model of it is fitted, and without photos.

    It says nothing of models that have a `module()` of their own.

    Args:
        tower: loaded, on the device.
        how: as `draw` will be asked.
        device: cpu or cuda.

    Raises:
        UsageError: there is no such layer, or it has no map; or the kind of map was asked for and cannot be.
        WeightsError: no maps can be drawn of the tower.
    """
    picture = tower.preprocess(Image.linear_gradient("L").convert("RGB"))
    with torch.inference_mode(mode=False):
        tower_lens(tower, how, batched([picture], device))


def _told_apart(candidates: NDArray[np.bool_], y: Ints) -> torch.Tensor:
    lonely = [int(k) for k in np.unique(y) if candidates[k].sum() < 2]
    if lonely:
        raise DataError(f"class {lonely[0]} has no other class that it is told apart from, so there is none to confuse")
    return torch.from_numpy(candidates)
