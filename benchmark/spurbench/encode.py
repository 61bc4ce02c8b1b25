"""From photos to features: opening in threads while the tower computes."""

from __future__ import annotations

import ctypes
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from PIL import Image

from .backbones import Tower
from .cards import Input
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


def encode_part(
    tower: Tower,
    photos: Photos,
    rows: Sequence[int],
    kinds: Sequence[Input],
    device: str,
    speed: Speed,
    progress: Callable[[int], None],
) -> tuple[dict[Input, torch.Tensor], list[str]]:
    """Features of up to PART rows of photos.

    Returns:
        features by kind, each (n, ...) float32, and one message per photo that cannot be read (its row is missing);
        no kinds: the photos are only looked through for such.
    """
    started = time.perf_counter()
    if device == "cpu":
        keep_freed_memory()
    size = BATCH["cuda" if device.startswith("cuda") else "cpu"]
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    outputs: dict[Input, list[torch.Tensor]] = {kind: [] for kind in kinds}
    broken: list[str] = []
    done = 0

    def readable(some: Sequence[int]) -> Sequence[torch.Tensor | str]:
        try:
            return preprocessed(photos, some, tower.preprocess)
        except DataError as error:
            # One by one, so that every photo that cannot be read is named.
            return [str(error)] if len(some) == 1 else [item for row in some for item in readable([row])]

    for items in opened(batches, readable, photos.at_once, device):
        broken += [item for item in items if isinstance(item, str)]
        images = [item for item in items if not isinstance(item, str)]
        # Once a photo is broken nothing will be kept: the rest is only looked through for more of them.
        if images and kinds and not broken:
            in_tower = time.perf_counter()
            _run(tower, torch.stack(images).to(device), outputs)
            speed.tower_seconds += time.perf_counter() - in_tower
        done += len(items)
        progress(done)
    speed.images += done
    speed.seconds += time.perf_counter() - started
    return {kind: torch.cat(tensors) for kind, tensors in outputs.items() if tensors}, broken


def _run(tower: Tower, images: torch.Tensor, outputs: dict[Input, list[torch.Tensor]]) -> None:
    if images.device.type == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)
    penultimate = tower.trunk(images)
    if "penultimate" in outputs:
        outputs["penultimate"].append(penultimate.cpu())
    if "embeddings" in outputs:
        outputs["embeddings"].append(tower.project(penultimate).cpu())
