"""Problems of a projection method on every core, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..method import Bundle, Fitted, Problem, Task, bundles, in_place
from ..parallel import cores, on_every_core
from ..space import Config
from .forms import form_of
from .rows import PenultimateRows

S = TypeVar("S")


@dataclass(frozen=True)
class Shared:
    """What all configurations and seeds read."""

    rows: PenultimateRows
    y: torch.Tensor
    """(n,) classes, on the device."""


def same_for_all(config: Config) -> Hashable:  # noqa: ARG001
    """Any configurations may be trained side by side."""
    return ()


def fit_projections(
    problems: Sequence[Problem],
    prepare: Callable[[Bundle, Shared], S],
    train: Callable[[Bundle, Shared, S], list[Fitted]],
    rows_per_step: Callable[[Bundle], int],
    alike: Callable[[Config], Hashable] = same_for_all,
) -> list[Fitted]:
    """What `train` makes of the problems, some configurations of one seed at a time.

    Args:
        prepare: what one seed needs before its configurations are trained, computed once for all of them, and in no
            more memory than training them all would take.
        train: the candidates of a bundle's configurations; those of one must not depend on the others.
        rows_per_step: the most rows that a step embeds for configurations that are alike, to know its memory.
        alike: only configurations for which this is the same are trained side by side.

    """
    task = problems[0].task
    shared = Shared(PenultimateRows(task.train, task.device, task.memory_limit), task.train.y.to(task.device))
    parts = bundles(problems)
    groups = [
        (some, _bytes_of_one(task, shared.rows, rows_per_step(some))) for p in parts for some in _grouped(p, alike)
    ]
    largest = max(size for _, size in groups)
    prepared = on_every_core(
        lambda part: prepare(part, shared),
        parts,
        task.device,
        piece_bytes=max(len(part.configs) for part in parts) * largest,
        limit=task.memory_limit,
    )
    ready = {id(part.task): found for part, found in zip(parts, prepared, strict=True)}
    sized = [(piece, len(piece.configs) * size) for some, size in groups for piece in _pieces(some, size)]
    pieces = [piece for piece, _ in sized]
    fitted = on_every_core(
        lambda piece: train(piece, shared, ready[id(piece.task)]),
        pieces,
        task.device,
        piece_bytes=max(size for _, size in sized),
        limit=task.memory_limit,
    )
    return in_place(pieces, fitted)


def _bytes_of_one(task: Task, rows: PenultimateRows, rows_per_step: int) -> int:
    """Weights, gradients and velocities of one configuration, and what its step holds."""
    form, weights = form_of(task.model.projection())
    held = 3 * sum(value.numel() * value.element_size() for value in weights.values())
    d = task.text.classes().shape[1]
    return held + form.activation_bytes(torch.Size((rows_per_step, *rows.shape)), d)


def _grouped(part: Bundle, alike: Callable[[Config], Hashable]) -> list[Bundle]:
    """A bundle taken apart into configurations that may be trained side by side."""
    where: dict[Hashable, list[int]] = {}
    for i, config in enumerate(part.configs):
        where.setdefault(alike(config), []).append(i)
    return [
        Bundle(part.task, tuple(part.configs[i] for i in some), tuple(part.places[i] for i in some))
        for some in where.values()
    ]


def _pieces(part: Bundle, size: int) -> list[Bundle]:
    """A bundle in as many parts as there are cores; smaller ones where all cores at once would take too much memory."""
    room = max(1, part.task.memory_limit // (cores() * max(1, size)))
    length = min(-(-len(part.configs) // (1 if part.task.device.type != "cpu" else cores())), room)
    starts = range(0, len(part.configs), length)
    return [Bundle(part.task, part.configs[i : i + length], part.places[i : i + length]) for i in starts]
