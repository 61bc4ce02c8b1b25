"""From a prepared data set to what a method is given: splits of validation, shuffled views, tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .backbones import Tower
from .cards import DatasetCard
from .data import Examples, FeatureSource, Ints, View
from .files import digest
from .method import Method, Task
from .model_space import ModelSpace
from .rules import Rules
from .scratch import FolderScratch, MemoryScratch, Scratch
from .seeds import Seed
from .text_space import TextSpace


@dataclass(frozen=True)
class Text:
    """The text side of a data set under a backbone, from which each method gets what it declares."""

    class_vectors: torch.Tensor
    attribute_vectors: torch.Tensor | None
    logit_scale: float
    encode: Callable[[Sequence[str]], torch.Tensor] | None
    prompted: Callable[[Sequence[str]], torch.Tensor] | None = None
    """Noun phrases -> unit vectors made as the class vectors are; None where a data set brings its own features."""
    templates: tuple[str, ...] = ()
    """Of the prompt set in use, with one `{}` for a noun phrase; none where a data set brings its own features."""
    class_names: tuple[str, ...] = ()
    """How the prompts say the classes; none: as the card does."""


@dataclass(frozen=True)
class Prepared:
    """A data set under a backbone, ready to be fitted on."""

    card: DatasetCard
    examples: Examples
    source: FeatureSource
    text: Text | None
    fingerprints: tuple[str, str]
    """Of the data and of the backbone: what seeds are derived from, so that a new file name changes no number."""
    device: torch.device
    memory_limit: int = 2 * 2**30
    """Bytes that a batched fit may use for itself."""
    tower: Callable[[], Tower] | None = None
    """Loads the backbone's tower; None where the data set brings its own features."""
    memo: dict[tuple[str, ...], torch.Tensor] = field(default_factory=dict)
    """What was computed with the tower's frozen text trunk (see `ModelSpace`)."""
    scratch: Path | None = None
    """A folder for what long fits have reached; without one it lasts as long as the task."""


def split_validation(
    method: Method, examples: Examples, validation: Ints, rules: Rules, seed: int
) -> tuple[Ints, Ints]:
    """(rows the method may fit on, rows the harness selects on), both ascending.

    A method that declares `val_groups` or `val_labels` gets a share of every group, drawn by the seed alone, so that
    all such methods get the same examples, whether or not they are told the groups; the others get none, and all of
    validation is selected on.
    """
    if not method.card.supervision.validation:
        return validation[:0], validation
    generator = Seed(("validation split", seed)).numpy()
    groups = examples.groups[validation]
    parts = []
    for group in np.unique(groups):
        members = generator.permutation(validation[groups == group])
        parts.append(members[: round(len(members) * rules.validation_fit_share)])
    fit_rows = np.sort(np.concatenate(parts)) if parts else validation[:0]
    return fit_rows, np.setdiff1d(validation, fit_rows)


def train_view(method: Method, prepared: Prepared) -> View:
    """The training split as the method may see it; one view serves the tasks of all seeds."""
    # A file's order may spell out classes or groups.
    rows = prepared.examples.rows("train")
    return view_of(
        method,
        prepared,
        "train",
        rows[shuffle(len(rows))],
        labels=True,
        attribute=method.card.supervision.train_groups,
    )


def make_task(method: Method, prepared: Prepared, train: View, validation_rows: Ints, seed: Seed) -> Task:
    """The task of one seed; `validation_rows` are those that the method may fit on, where its card declares so."""
    card, examples = method.card, prepared.examples
    supervision = card.supervision
    validation_rows = validation_rows[shuffle(len(validation_rows))]
    text = prepared.text if "text" in card.inputs else None
    return Task(
        method=card.name,
        train=train,
        n_classes=examples.n_classes,
        n_attributes=examples.n_attributes,
        text=TextSpace(
            method=card.name,
            supervision=supervision,
            class_vectors=text.class_vectors if text else None,
            logit_scale=text.logit_scale if text else 1.0,
            attribute_vectors=text.attribute_vectors if text and supervision.attribute_text else None,
            encoder=text.encode if text else None,
            prompted=text.prompted if text else None,
            templates=text.templates if text else (),
            class_names=(text.class_names or prepared.card.classes) if text else (),
            words=card.words,
            attribute_text=prepared.card.attribute_text
            if text and supervision.attribute_text and set(card.words) - {"concepts"}
            else None,
            concept_pairs=prepared.card.concepts if text and "concepts" in card.words else None,
        ),
        model=ModelSpace(
            card.name, card.inputs, prepared.tower, prepared.device, prepared.memo, prepared.card.imagenet
        ),
        seed=seed,
        device=prepared.device,
        val_view=view_of(method, prepared, "val", validation_rows, labels=True, attribute=supervision.val_groups)
        if supervision.validation
        else None,
        memory_limit=prepared.memory_limit,
        scratch=scratch_of(prepared, seed),
    )


def scratch_of(prepared: Prepared, seed: Seed) -> Scratch:
    """The scratch of the task with this seed, hence of one purpose of one cell."""
    return MemoryScratch() if prepared.scratch is None else FolderScratch(prepared.scratch / digest(seed.path)[:32])


def shuffle(n: int) -> Ints:
    """One fixed order of n rows that has nothing to do with what they hold."""
    return Seed(("row order", n)).numpy().permutation(n)


def view_of(
    method: Method, prepared: Prepared, split: str, rows: Ints, *, labels: bool = False, attribute: bool = False
) -> View:
    """Some rows as the method may see them: with labels and attribute only where they are asked for."""
    examples = prepared.examples
    return View(
        split,
        rows,
        prepared.source,
        method=method.card.name,
        inputs=method.card.inputs,
        n_attributes=examples.n_attributes,
        supervision=method.card.supervision,
        y=examples.y[rows] if labels else None,
        a=examples.a[rows] if attribute else None,
    )
