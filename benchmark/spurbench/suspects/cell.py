"""A trained model's right and wrong predictions, from its record: what was evaluated need not be trained again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import Examples, Ints
from ..errors import UsageError
from ..record import Record, array_hash, predictions_name, read_predictions, read_record
from ..rules import Selection

RULE: Selection = "worst_group"
"""The rule by which the model was chosen among its configurations; the board's headline."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One seed of a record.

    Attributes:
        path: of the record.
        seed: of the model.
        predicted: (n_test,) int64 classes, in the order of the data set's test examples.
    """

    path: Path
    record: Record
    seed: int
    predicted: Ints


def read_cell(path: Path, seed: int | None) -> Cell:
    """The model that was chosen by RULE, of one seed, or of the first that has a result.

    Raises:
        UsageError: there is no such file, no such seed, or no model was chosen so.
        DataError: the record or its predictions are broken; names the file.
    """
    record = read_record(path)
    if record is None:
        raise UsageError(f"there is no record {path}; give one such as results/v1/DATASET/BACKBONE/METHOD.json")
    found = {result.seed: result for result in record.done if RULE in result.selected}
    if not found:
        raise UsageError(f"{path} has no model chosen by {RULE}: {record.method} has no result there")
    wanted = min(found) if seed is None else seed
    if wanted not in found:
        known = ", ".join(map(str, sorted(found)))
        raise UsageError(f"{path} has no result of seed {wanted}; --cell-seed takes {known}")
    predicted = read_predictions(path, record)[predictions_name(wanted, RULE)]
    return Cell(path, record, wanted, predicted.astype(np.int64))


def check_dataset(cell: Cell, name: str) -> None:
    """Raises UsageError for a record of another data set than that of this name."""
    if cell.record.dataset != name:
        raise UsageError(f"{cell.path} is of data set '{cell.record.dataset}', not '{name}'; give one of the same")


def check_backbone(cell: Cell, name: str, fingerprint: str) -> None:
    """Raises UsageError for a record of another backbone, or of one of this name with other weights."""
    if cell.record.backbone != name:
        raise UsageError(f"{cell.path} is of backbone '{cell.record.backbone}', not '{name}'; give one of the same")
    if cell.record.key_parts.get("backbone") != fingerprint:
        raise UsageError(f"{cell.path} is of other weights or settings of {name} than those here; run its method again")


def check_examples(cell: Cell, examples: Examples, fingerprint: str) -> None:
    """Raises UsageError for predictions of other photos than the data set's test examples, or in another order."""
    groups = examples.groups[examples.rows("test")].astype(np.int16)
    if cell.record.key_parts.get("data") != fingerprint or cell.record.test_groups != array_hash(groups):
        message = f"{cell.path} is of other photos or labels of {cell.record.dataset} than those here"
        raise UsageError(f"{message}; run its method again")
