"""The rows of a table, kept by the content of its files: who looks again computes nothing that has not changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Generic, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from ..errors import DataError
from ..files import MOST_BYTES, digest, write_atomic
from ..provenance import modules_hash
from ..reading import opened
from ..record import Record, read_in_place, read_predictions, record_files
from ..rules import Selection
from .across import rank_tracks
from .agreement import strangers
from .make import make_rows
from .outcomes import Arrays
from .rows import Board, BoardRow, TrackRanking

T = TypeVar("T")
CODE = (
    "attention", "board", "calibration", "easy_hard", "errors", "metrics", "npz", "reading", "record", "rules", "seeds",
    "stats",
)  # fmt: skip
"""Modules that decide what is kept."""
SELECTIONS: tuple[Selection, ...] = get_args(Selection)


@dataclass(frozen=True)
class TableRows:
    """One table under every selection rule; `broken` has a message for each record that had to be left out."""

    rows: dict[Selection, tuple[BoardRow, ...]]
    broken: tuple[str, ...]


class Kept(Generic[T]):
    """Values in files of a cache folder, each named by a hash of what it was computed from."""

    def __init__(self, kind: type[T], folder: Path) -> None:
        self._adapter, self._folder = TypeAdapter(kind), folder

    def get(self, key: str) -> T | None:
        """What was kept under a key; None if nothing was, or nothing that can be read."""
        try:
            return self._adapter.validate_json((self._folder / f"{key}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, key: str, value: T) -> None:
        """Keep a value, if the folder can be written."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Not `dump_json`, which has no word for infinite degrees of freedom.
            text = json.dumps(self._adapter.dump_python(value))
            write_atomic(self._folder / f"{key}.json", text.encode())


def kept_tables(results: Path, cache: Path, broken: list[str]) -> list[TableRows]:
    """Every table of a results folder, in the order of the folders' names; those that changed are made anew.

    Messages of files that had to be left out are added to `broken`.
    """
    kept = Kept(TableRows, cache)
    tables = []
    for _, files in groupby(record_files(results, broken), lambda path: path.parent):
        some = list(files)
        key = table_key(some)
        table = kept.get(key)
        if table is None:
            table = make_table(some)
            # Not what was made of files that somebody changed meanwhile: they may become again what they were.
            if table_key(some) == key:
                kept.put(key, table)
        tables.append(table)
        broken += table.broken
    return tables


def kept_board(rows: Sequence[BoardRow], selection: Selection, cache: Path) -> Board:
    """The board of some tables' rows; its rankings take longer than reading all of it."""
    kept = Kept(tuple[TrackRanking, ...], cache)
    scores = [(*row.where, row.method, row.track, row.rank, row.score.mean if row.score else None) for row in rows]
    key = digest([_code(), scores])
    rankings = kept.get(key)
    if rankings is None:
        rankings = rank_tracks(rows)
        kept.put(key, rankings)
    return Board(selection, tuple(rows), rankings)


def table_key(files: Sequence[Path]) -> str:
    """A hash of the content of a table's records and predictions, and of the code that makes rows of them."""
    found = hashlib.sha256(_code().encode())
    for path in files:
        for file in (path, path.with_suffix(".npz")):
            found.update(f"{file}\n".encode("utf-8", "replace"))
            found.update(_hash(file))
    return found.hexdigest()


def _hash(file: Path) -> bytes:
    """sha256 of a file's content; of what is wrong with it, where it cannot be read."""
    try:
        with opened(file, MOST_BYTES) as stream:
            state = hashlib.sha256()
            while block := stream.read(1 << 20):
                state.update(block)
            return state.digest()
    except (OSError, DataError) as error:
        return hashlib.sha256(str(error).encode("utf-8", "replace")).digest()


@lru_cache
def _code() -> str:
    """Computed once: it does not change while this runs."""
    return modules_hash(CODE)


def make_table(files: Sequence[Path]) -> TableRows:
    """The rows of the records in these files, of one table; those that `strangers` names are left out."""
    read: list[tuple[Path, Record]] = []
    arrays: dict[str, Arrays] = {}
    broken = []
    for path in files:
        try:
            record = read_in_place(path)
            if record is None:
                continue
            arrays[record.method] = read_predictions(path, record)
        except DataError as error:
            broken.append(str(error))
        else:
            read.append((path, record))
    other = strangers(read)
    broken += other.values()
    records = [record for path, record in read if path not in other]
    rows = {rule: tuple(make_rows(records, rule, lambda record: arrays[record.method])) for rule in SELECTIONS}
    return TableRows(rows, tuple(broken))
