"""Changing a record that is there: one at a time, and what attention adds to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from .attention import Attention
from .attention import fault as attention_fault
from .errors import DataError, one_line
from .files import digest
from .record import GROUPS, Predictions, Record, array_hash, read_predictions, read_record, write_record

LOCKS = "locks"
"""Folder of the cache in which those who change records lock each other out."""


@contextmanager
def changing(path: Path, locks: Path) -> Iterator[None]:
    """While nobody else changes the record at a path.

    Args:
        locks: folder of lock files, the same for everybody who may; it is made.
    """
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{digest(str(path.absolute()))[:32]}.lock"):
        yield


def with_attention(
    path: Path, record: Record, attention: Attention, arrays: Predictions, *, locks: Path, replace: bool = False
) -> Record | None:
    """Add attention to the record in a file, and its arrays to the predictions beside it.

    Attention that is there already stays for models that the new one does not have, if both were measured alike (see
    `Attention.joined`). What was measured otherwise by the same code is left as it is and nothing is added, unless it
    is to be replaced; what other code measured is replaced.

    Args:
        path: of the record.
        record: as it was when its models were looked into. The file may have gained seeds since.
        attention: of models that it has selected.
        arrays: (n_test,) int16, all that `attention.arrays()` names.
        locks: see `changing`.
        replace: attention that was measured otherwise.

    Returns:
        The record as it stands in the file now; None where it was left as it is.

    Raises:
        DataError: the file holds another record by now, or other models of those seeds, or cannot be read.
        ValueError: attention that does not fit the record or its arrays.
    """
    with changing(path, locks):
        now = read_record(path)
        if now is None or now.key != record.key or _chosen(now, attention) != _chosen(record, attention):
            message = f"{path} is not the record any more whose models were looked into: it was made again meanwhile"
            raise DataError(one_line(f"{message}; look into its models once more"))
        before = now.attention
        if before is not None and before.code == attention.code and not replace and not _alike(before, attention):
            return None
        held = read_predictions(path, now)
        joined = attention if before is None else before.joined(attention)
        made = attentive(now, joined)
        old = set() if before is None else set(before.arrays())
        plain = {name: array for name, array in held.items() if name not in old}
        kept = {name: array for name, array in (held | dict(arrays)).items() if name in joined.arrays()}
        _check(joined, plain | kept)
        if before is not None:
            # Killed between two files, a record without attention is left: never one that names what is not there.
            write_record(path, attentive(now, None), held)
        write_record(path, made, plain | kept)
    return made


def attentive(record: Record, attention: Attention | None) -> Record:
    """The record with other attention. Raises ValueError where it does not fit, as a plain copy would not."""
    return Record.model_validate({**dict(record), "attention": attention})


def sound(path: Path, record: Record) -> tuple[Record, dict[str, NDArray[np.int16]]]:
    """A record and its arrays, without its attention where nothing but that is broken: it can be measured again, and
    what was trained need not be.

    Raises DataError as `read_predictions` does.
    """
    try:
        return record, read_predictions(path, record)
    except DataError:
        if record.attention is None:
            raise
        plain = attentive(record, None)
        return plain, read_predictions(path, plain)


def _alike(one: Attention, other: Attention) -> bool:
    """Whether two were measured in the same way, on the same photos."""
    return one.model_copy(update={"seeds": {}}) == other.model_copy(update={"seeds": {}})


def _chosen(record: Record, attention: Attention) -> list[str | None]:
    """sha256 of the predictions of each model that was looked into."""
    known = {
        f"{result.seed}.{rule}": selected.predictions
        for result in record.done
        for rule, selected in result.selected.items()
    }
    return [known.get(name) for name, _ in attention.models()]


def _check(attention: Attention, arrays: Predictions) -> None:
    for name, sha256 in attention.arrays().items():
        if name not in arrays or array_hash(arrays[name]) != sha256:
            raise ValueError(f"attention: the array '{name}' is not the one whose hash it has")
    wrong = attention_fault(attention, arrays, arrays[GROUPS])
    if wrong:
        raise ValueError(f"attention: {wrong}")
