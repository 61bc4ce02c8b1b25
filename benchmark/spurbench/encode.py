"""From photos to features: opening in threads while the tower computes."""

from __future__ import annotations

import ctypes
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from PIL import Image

from .backbones import Tower
from .data import Photos
from .errors import DataError

T = TypeVar("T")
BATCH = {"cpu": 32, "cuda": 256}
PART = 2048
"""Photos per part; a multiple of every batch size, so that a resumed build sees the same batches."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`."""
AHEAD = 4
"""Batches opened ahead of the tower."""


@dataclass
class Speed:
    """How long building took, and how much of it the tower."""

    images: int = 0
    seconds: float = 0.0
    tower_seconds: float = 0.0

    @property
    def images_per_second(self) -> float | None:
        """Photos per second, decoding included; None if nothing was built."""
        return self.images / self.seconds if self.images else None

    def __str__(self) -> str:
        rate = self.images_per_second
        if rate is None:
            return "nothing to encode"
        share = self.tower_seconds / self.seconds
        return f"{self.images} photos at {rate:.0f} images/s, {share:.0%} of the time in the image tower"


def keep_freed_memory() -> None:
    """Have glibc reuse freed memory instead of returning it, in this process from now on.

    Faulting an image tower's activations in anew for every batch halves its speed on CPUs.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return


def preprocessed(
    photos: Photos, rows: Sequence[int], preprocess: Callable[[Image.Image], torch.Tensor]
) -> list[torch.Tensor]:
    """The rows' photos as a tower takes them. Raises DataError."""
    images = photos.open(rows)
    if len(images) != len(rows):
        raise DataError(f"{type(photos).__name__}.open gave {len(images)} images for {len(rows)} rows")
    return [preprocess(image) for image in images]


def opened(
    batches: Sequence[Sequence[int]], open_some: Callable[[Sequence[int]], Sequence[T]], at_once: int, device: str
) -> Iterator[list[T]]:
    """What `open_some` makes of each batch, opened in threads ahead of whoever takes the batches.

    Args:
        batches: rows of photos.
        open_some: called with up to `at_once` rows of one batch; see `Photos.at_once`.
        device: where the batches are worked on: cpu or cuda.
    """
    # Photos that are made in batches are made by the same processor as the features: side by side, the tower's threads
    # would wait for each other at every layer.
    ahead = AHEAD if at_once == 1 or device != "cpu" else 0
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        waiting: deque[list[Future[Sequence[T]]]] = deque()
        for index in range(len(batches) + ahead):
            if index < len(batches):
                batch = batches[index]
                waiting.append([pool.submit(open_some, batch[i : i + at_once]) for i in range(0, len(batch), at_once)])
            if index < ahead or not waiting:
                continue
            yield [item for future in waiting.popleft() for item in future.result()]


class Encoder(Protocol):
    """What makes features of photos: of each by itself in threads, then of batches of them."""

    kinds: Sequence[str]
    """Of the features that it makes."""

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """What a batch needs of one photo."""

    def encode(self, rows: Sequence[int], prepared: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Features of some rows by kind, each (b, ...) on the CPU, as they are kept. Raises SpurbenchError."""


class TowerEncoder:
    """The features of a tower, `embeddings` and `penultimate`: vectors in float32, maps in float16."""

    def __init__(self, tower: Tower, kinds: Sequence[str], device: str) -> None:
        self._tower, self.kinds, self._device = tower, kinds, device
        self.prepare = tower.preprocess

    def encode(self, rows: Sequence[int], prepared: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Features of photos in one pass through the tower. Raises DataError for maps that float16 cannot hold."""
        penultimate = self._tower.trunk(batched(prepared, self._device))
        outputs = {}
        if "penultimate" in self.kinds:
            kept = penultimate.cpu()
            outputs["penultimate"] = kept if kept.ndim <= 2 else halved(kept, "penultimate maps")
        if "embeddings" in self.kinds:
            outputs["embeddings"] = self._tower.project(penultimate).cpu()
        return outputs


def batched(images: Sequence[torch.Tensor], device: str) -> torch.Tensor:
    """(b, 3, H, W) on the device, laid out in memory as its convolutions are fastest."""
    batch = torch.stack(list(images)).to(device)
    return batch.contiguous(memory_format=torch.channels_last) if batch.device.type == "cpu" else batch


def halved(features: torch.Tensor, what: str) -> torch.Tensor:
    """Features in half precision. Raises DataError where that cannot hold them."""
    half = features.half()
    if not torch.equal(torch.isfinite(half), torch.isfinite(features)):
        most = float(features.abs().max())
        raise DataError(f"the backbone's {what} reach {most:.3g}, which 16-bit floats cannot hold")
    return half


def encode_part(
    encoder: Encoder,
    photos: Photos,
    rows: Sequence[int],
    device: str,
    speed: Speed,
    progress: Callable[[int], None],
    *,
    keep: bool = True,
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Features of up to PART rows of photos.

    Args:
        keep: whether features are wanted; else the photos are only looked through for such that cannot be read.

    Returns:
        features by kind, each (n, ...), and one message per photo that cannot be read (its row is missing).
    """
    started = time.perf_counter()
    if device == "cpu":
        keep_freed_memory()
    size = BATCH["cuda" if device.startswith("cuda") else "cpu"]
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    outputs: dict[str, list[torch.Tensor]] = {kind: [] for kind in encoder.kinds}
    broken: list[str] = []
    done = 0

    def readable(some: Sequence[int]) -> Sequence[torch.Tensor | str]:
        try:
            return preprocessed(photos, some, encoder.prepare)
        except DataError as error:
            # One by one, so that every photo that cannot be read is named.
            return [str(error)] if len(some) == 1 else [item for row in some for item in readable([row])]

    for batch, items in zip(batches, opened(batches, readable, photos.at_once, device), strict=True):
        broken += [item for item in items if isinstance(item, str)]
        # Once a photo is broken nothing will be kept: the rest is only looked through for more of them.
        if keep and not broken:
            encoding = time.perf_counter()
            images = [item for item in items if not isinstance(item, str)]
            for kind, features in encoder.encode(batch, images).items():
                outputs[kind].append(features)
            speed.tower_seconds += time.perf_counter() - encoding
        done += len(items)
        progress(done)
    speed.images += done
    speed.seconds += time.perf_counter() - started
    return {kind: torch.cat(tensors) for kind, tensors in outputs.items() if tensors}, broken
