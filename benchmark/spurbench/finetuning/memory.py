"""How much memory a step takes, measured, and how many examples it may hold at a time."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ..errors import MethodError
from .towers import Towers

SMALL = 8
"""Examples held at a time below which recomputing activations is worth its time: a third more of it."""
HEAP = 1.75
"""What tensors take of the heap of a CPU over what they hold: there are freed pieces that nothing fits into. Measured
training a ViT: 1.6 to 1.75. Mapping every tensor by itself takes exactly what they hold, and half as much time again.
"""
MIB = 2**20


@dataclass(frozen=True)
class Plan:
    """How a step's work is split.

    Attributes:
        room: bytes for what backward passes need, of all examples that are worked on at a time.
        image, text: bytes that one image, and one text, needs for its backward pass.
        least: bytes without which nothing can be done.
    """

    room: int
    image: int
    text: int = 0
    least: int = 0

    def whole(self, images: int, texts: int) -> bool:
        """Whether a batch is worked on as a whole."""
        return images * self.image + texts * self.text <= self.room

    def less(self, size: int) -> Plan:
        """The same with less room."""
        return replace(self, room=self.room - size)

    def images_at_once(self) -> int:
        """How many images are worked on at a time where a batch is split; below 1 if not even one fits."""
        return self.room // max(1, self.image)

    def texts_at_once(self) -> int:
        """The same for texts."""
        return self.room // max(1, self.text)


def plan_of(
    method: str,
    towers: Towers,
    image: torch.Tensor,
    texts: torch.Tensor | None,
    photos: int,
    batch: int,
    limit: int,
    regions: int = 0,
) -> Plan:
    """What fits into `limit` bytes; turns on gradient checkpointing where next to nothing would fit without.

    Counted are the towers, their gradients and AdamW's two moments, photos, and what backward passes need. That is
    measured on two and three examples, so that copies of weights in another precision and the like do not count as an
    example's. Operators' own working space is not seen.

    Args:
        image: (1, 3, H, W) zeros, on the device.
        texts: (m, L) tokens, on the device, or None.
        photos: bytes of photos that are held in any case.
        batch: examples per step.
        regions: r, of every image that are embedded with it.

    Raises:
        MethodError: not even one example fits, or the batch must not be split and does not fit.
    """
    values = [*towers.parameters(), *towers.buffers()]
    moving = sum(parameter.nbytes for _, parameter in towers.trained())
    # torch's AdamW makes one list of temporaries on GPUs, where it updates all parameters at once.
    held = sum(value.nbytes for value in values) + (3 if image.device.type == "cpu" else 4) * moving + photos
    plan = _measured(towers, image, texts, regions, limit - held)
    if min(plan.images_at_once(), plan.texts_at_once()) < SMALL and not plan.whole(batch, 0):
        towers.checkpoint_gradients()
        plan = _measured(towers, image, texts, regions, limit - held)
    unsplit = towers.statistics_move
    together = batch * plan.image + (0 if texts is None else len(texts)) * plan.text
    plan = replace(plan, least=together if unsplit else max(plan.image, plan.text))
    needed = limit - plan.room + plan.least
    if needed > limit:
        at_a_time = f"{batch} images, whose BatchNorm statistics are the batch's" if unsplit else "one example"
        raise MethodError(
            f"method '{method}' needs {-(-needed // MIB)} MiB to fine-tune this backbone with {at_a_time} at a time "
            f"({held // MIB} MiB for weights, gradients, moments and photos), and --memory-limit is {limit // MIB}M: "
            f"run it with --memory-limit {-(-needed // MIB)}M or more"
        )
    return plan


def _measured(towers: Towers, image: torch.Tensor, texts: torch.Tensor | None, regions: int, room: int) -> Plan:
    # Every region is as large as the image: none needs more.
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0], device=image.device).expand(regions, 4)

    def encode(images: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = towers.image(images, whole.expand(len(images), -1, -1) if regions else None)
        return embeddings

    per_image, shared = _bytes_per_example(encode, image)
    per_text = 0
    if towers.text is not None and texts is not None:
        per_text, shared_by_texts = _bytes_per_example(towers.text, texts[:1])
        shared = max(shared, shared_by_texts)
    towers.zero_grad(set_to_none=True)
    heap = HEAP if image.device.type == "cpu" else 1.0
    return Plan(room - int(heap * shared), int(heap * per_image), int(heap * per_text))


def _bytes_per_example(encode: Callable[[torch.Tensor], torch.Tensor], one: torch.Tensor) -> tuple[int, int]:
    """(bytes that each further example takes at the worst moment of both passes, bytes that do not depend on them).

    The worst moment of few examples, when the gradient of the largest weight is made, is not that of many: what depends
    on their number is told from what does not at every moment, by two runs of as many operations.
    """

    def trace(count: int) -> list[int]:
        batch = torch.cat([one] * count)
        with _Alive() as made:
            encode(batch).square().sum().backward()  # type: ignore[no-untyped-call]
        return list(made.bytes)

    # The first makes the gradients, which are counted elsewhere. One example alone is laid out unlike several.
    trace(2)
    two, three = trace(2), trace(3)
    if len(two) != len(three):
        return max(three), 0
    slopes = [more - fewer for fewer, more in zip(two, three, strict=True)]
    shared = max(fewer - 2 * slope for fewer, slope in zip(two, slopes, strict=True))
    return max(1, *slopes), max(0, shared)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How much memory the tensors that were made inside hold.

    Attributes:
        bytes: after each operation.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: list[int] = []
        self._now = 0
        self._alive: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        known = {id(item.untyped_storage()) for item in tree_iter((args, kwargs)) if isinstance(item, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for item in tree_iter(result):
            if isinstance(item, torch.Tensor):
                storage = item.untyped_storage()
                if id(storage) not in self._alive and id(storage) not in known:
                    self._now += storage.nbytes()
                    self._alive[id(storage)] = weakref.finalize(storage, self._gone, id(storage), storage.nbytes())
        self.bytes.append(self._now)
        return result

    def _gone(self, name: int, size: int) -> None:
        self._now -= size
        del self._alive[name]
