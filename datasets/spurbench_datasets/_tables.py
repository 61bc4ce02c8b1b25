"""Three file formats for embeddings behind one face: named arrays, read one at a time.

Messages here say what is wrong; whoever opened the table puts the file's name in front.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spurbench.errors import DataError, UsageError

from ._columns import check_keys

NAMES = ("x", "y", "a", "split", "id", "classes", "attributes", "backbone", "class_text", "attribute_text")
"""What a file of embeddings may hold."""


class Table(Protocol):
    """A file of named arrays."""

    names: frozenset[str]

    def read(self, name: str) -> NDArray[Any]:
        """One array. Raises DataError."""


def open_table(path: Path) -> Table:
    """The table in a file, by its suffix. Raises UsageError for another suffix, DataError for a broken file."""
    kinds: dict[str, Callable[[Path], Table]] = {".npz": Npz, ".safetensors": Safetensors, ".parquet": Parquet}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: embeddings are read from {', '.join(kinds)} files, not from '{path.suffix}'")
    return kind(path)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever a reader raises about a file into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # on damaged bytes readers raise whatever they stumble over, struct.error to MemoryError
        raise DataError(f"cannot be read: {type(error).__name__}: {error}") from error


class Npz:
    """NumPy's `.npz`; pickled objects are refused, since unpickling runs whatever the file says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _reading(), zipfile.ZipFile(path) as archive:
            self.names = frozenset(name.removesuffix(".npy") for name in archive.namelist())

    def read(self, name: str) -> NDArray[Any]:
        """One array. Raises DataError."""
        try:
            with _reading(), np.load(self._path, allow_pickle=False) as arrays:
                array: NDArray[Any] = arrays[name]
                return array
        except DataError as error:
            if "allow_pickle" in str(error):
                raise DataError(
                    f"array '{name}' holds Python objects, which are not loaded because unpickling runs "
                    "code; save numbers as numbers and names as str arrays"
                ) from error
            raise


class Safetensors:
    """A `.safetensors` file; words stand in its metadata as JSON: a list of strings, or (`backbone`) one string."""

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._path, self._open = path, safe_open
        with self._opened() as file:
            self._words: dict[str, str] = dict(file.metadata() or {})
            self._arrays = frozenset(file.keys())
        self.names = self._arrays | frozenset(self._words)

    def read(self, name: str) -> NDArray[Any]:
        """One array. Raises DataError."""
        if name not in self._arrays:
            return _words(self._words[name], f"metadata '{name}'")
        with self._opened() as file:
            try:
                array: NDArray[Any] = file.get_tensor(name)
            except TypeError as error:
                raise DataError(f"array '{name}' has a type unknown to NumPy ({error}); save it as float32") from error
            return array

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with _reading(), self._open(str(self._path), framework="np") as file:
            yield file


class Parquet:
    """A `.parquet` table: columns y, a, split, optionally id, and x as one list column or as x0, x1, ...

    What does not fit a column (classes, attributes, backbone, class_text, attribute_text) stands in the schema's
    metadata under `spurbench`, as a JSON object.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as parquet

        self._path, self._parquet = path, parquet
        with _reading():
            schema = parquet.read_schema(path)
            columns = [str(name) for name in schema.names]
            extra = json.loads((schema.metadata or {}).get(b"spurbench", b"{}"))
        self._extra = _object(extra)
        numbered = {int(name[1:]): name for name in columns if re.fullmatch(r"x(0|[1-9][0-9]*)", name)}
        self._wide = [numbered[i] for i in sorted(numbered)]
        self._check_wide(columns)
        self.names = (frozenset(columns) - set(self._wide)) | frozenset(self._extra) | ({"x"} if self._wide else set())

    def read(self, name: str) -> NDArray[Any]:
        """One array. Raises DataError."""
        if name in self._extra:
            with _reading():
                return np.array(self._extra[name])
        with _reading():
            if name == "x" and self._wide:
                table = self._parquet.read_table(self._path, columns=self._wide)
                return np.stack([self._column(table, column) for column in self._wide], axis=1)
            return self._column(self._parquet.read_table(self._path, columns=[name]), name)

    def _column(self, table: Any, name: str) -> NDArray[Any]:
        """A column as an array; a list column as (n, d)."""
        column = table.column(name)
        if column.null_count:
            raise ValueError(f"column '{name}' is empty in {column.null_count} rows")
        if "list" not in str(column.type):
            array: NDArray[Any] = column.to_numpy()
            return array.astype(str) if array.dtype == object else array
        import pyarrow.compute as compute

        lengths = set(compute.list_value_length(column).to_pylist())
        if len(lengths) > 1:
            raise ValueError(f"column '{name}' holds lists of different lengths: {sorted(lengths)[:5]}")
        values: NDArray[Any] = compute.list_flatten(column).to_numpy()
        return values.reshape(len(column), max(lengths, default=0))

    def _check_wide(self, columns: list[str]) -> None:
        if self._wide and "x" in columns:
            raise DataError("there are both a column 'x' and columns 'x0', ...; keep one of the two")
        absent = [f"x{i}" for i in range(len(self._wide)) if f"x{i}" not in columns]
        if absent:
            raise DataError(f"columns x0 to {self._wide[-1]} must be complete; {absent[0]} is missing")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError("the schema metadata 'spurbench' must be a JSON object")
    try:
        check_keys(value, NAMES[5:], "key")
    except DataError as error:
        raise DataError(f"schema metadata 'spurbench': {error}") from error
    return value


def _words(text: str, where: str) -> NDArray[Any]:
    """Words from their JSON spelling; a bare word stands for itself."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) for word in listed):
        raise DataError(f"{where} must be a JSON list of strings, not {text[:60]!r}")
    return np.array(value, dtype=str)
