"""Embeddings: anyone's features in one file, evaluated without images and without a backbone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spurbench.cards import DatasetCard
from spurbench.data import Examples, Ints, OwnFeatures
from spurbench.errors import DataError, UsageError
from spurbench.files import HashCache

from ._columns import cleaned, did_you_mean, located, split_codes, whole_numbers
from ._tables import NAMES, Table, open_table

log = logging.getLogger("spurbench")


class Embeddings:
    """Features somebody already has, in one file.

    An `.npz`, `.safetensors` or `.parquet` file, written `embeddings:FILE`.

    The file holds, row i everywhere the same example:

    - `x` (n, d), any real numbers: the image embeddings;
    - `y` (n,) whole numbers 0..K-1: the class; `a` (n,) 0..A-1: the spurious attribute;
    - `split` (n,): 0, 1, 2 or train, val, test;
    - optionally `id` (n,), `classes` (K,), `attributes` (A,) and `backbone` as words, `class_text` (K, d) and
      `attribute_text` (A, d) as numbers.

    In `.safetensors` words stand in the metadata as JSON. In `.parquet` `x` is one list column or columns x0, x1, ...,
    and what is no column stands in the schema's metadata under `spurbench` as one JSON object. The card's name carries
    the file's hash: another content is another data set.

    Args:
        argument: the file.

    Raises:
        UsageError: there is no such file, or its suffix is another.
        DataError: something inside is missing or wrong.
    """

    usage = "embeddings:FILE"
    card: DatasetCard

    def __init__(self, argument: str) -> None:
        self._path = Path(argument).expanduser()
        if not self._path.is_file():
            raise UsageError(f"there is no file {self._path} to read embeddings from ({self.usage})")
        self._stamp = _stamp(self._path)
        with located(self._path):
            self._table = open_table(self._path)
            _check_names(self._table)
            self._y, self._a = (whole_numbers(self._table.read(name), name) for name in ("y", "a"))
            self._column("a", self._a)
            classes = _names(self._table, "classes", "y", self._y)
            attributes = _names(self._table, "attributes", "a", self._a)
            if len(classes) < 2:
                raise DataError("'y' has one class only; a classifier needs two")
            self.card = DatasetCard(
                name=f"embeddings:{_stem(self._path)}@{HashCache(None).file(self._path)[:8]}",
                title=f"Embeddings in {self._path.name}",
                classes=classes,
                attributes=attributes,
                licence="as its owner says",
                own_features=True,
            )

    def prepare(self, root: Path, *, download: bool) -> None:  # noqa: ARG002
        """Make sure that the file is still the one that the card was made from. Raises DataError."""
        try:
            same = _stamp(self._path) == self._stamp
        except OSError as error:
            raise DataError(f"{self._path} cannot be read any more: {error}") from error
        if not same:
            raise DataError(f"{self._path} was changed while it was in use; run the command again")

    def load(self, root: Path) -> Examples:
        """Read the embeddings. Raises DataError."""
        self.prepare(root, download=False)
        with located(self._path):
            return Examples(
                ids=self._ids(),
                y=self._y,
                a=self._a,
                split=self._column("split", split_codes(_vector(self._table, "split"))),
                n_classes=len(self.card.classes),
                n_attributes=len(self.card.attributes),
                features=OwnFeatures(
                    backbone=_backbone(self._table, self._path),
                    embeddings=self._embeddings(),
                    class_text=_floats(self._table, "class_text"),
                    attribute_text=_floats(self._table, "attribute_text"),
                ),
            )

    def _ids(self) -> list[str]:
        if "id" not in self._table.names:
            return [str(row) for row in range(len(self._y))]
        ids = _decoded(_vector(self._table, "id"))
        return [str(value) for value in self._column("id", ids)]

    def _embeddings(self) -> NDArray[np.float32]:
        x = _floats(self._table, "x")
        assert x is not None
        if x.ndim != 2 or x.shape[1] == 0:
            raise DataError(f"'x' must be (n, d), one row of d numbers per example, not {x.shape}")
        self._column("x", x)
        return x

    def _column(self, name: str, array: Any) -> Any:
        """`array`, if it is as long as `y`."""
        if len(array) != len(self._y):
            raise DataError(
                f"'{name}' has {len(array)} rows but 'y' has {len(self._y)}; row i must be example i in both"
            )
        return array


def _check_names(table: Table) -> None:
    absent = [name for name in ("x", "y", "a", "split") if name not in table.names]
    if absent:
        raise DataError(f"no {', '.join(absent)}; found {', '.join(sorted(table.names)) or 'nothing'}")
    for name in sorted(table.names - set(NAMES)):
        # An array that nothing reads may be the owner's business, but not if it is a known one misspelt.
        hint = did_you_mean(name, set(NAMES) - table.names)
        if hint:
            raise DataError(f"unknown array '{name}'{hint}")
        log.info("embeddings: array '%s' is not used", name)


def _names(table: Table, array: str, column: str, codes: Ints) -> tuple[str, ...]:
    """The names of the values, from the file or made up: `class 0`, `class 1`, ..."""
    if array in table.names:
        names = tuple(str(name) for name in _decoded(_vector(table, array)))
        if len(set(names)) != len(names) or "" in names:
            raise DataError(f"'{array}' must hold distinct names, not {list(names)}")
        return names
    if not len(codes):
        raise DataError("has no examples")
    if codes.max() >= len(codes):
        raise DataError(
            f"column '{column}' has value {codes.max()} but there are {len(codes)} "
            f"examples; number the values from 0, or name them in '{array}'"
        )
    singular = {"classes": "class", "attributes": "attribute"}[array]
    return tuple(f"{singular} {code}" for code in range(max(int(codes.max()) + 1, 1)))


def _vector(table: Table, name: str) -> NDArray[Any]:
    array = table.read(name)
    if array.ndim != 1:
        raise DataError(f"'{name}' must have one dimension, not shape {array.shape}")
    return _decoded(array)


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    """Byte strings as text."""
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def _floats(table: Table, name: str) -> NDArray[np.float32] | None:
    """An optional array as contiguous float32 in the machine's byte order."""
    if name not in table.names:
        return None
    array = table.read(name)
    if array.dtype.kind not in "biuf":
        raise DataError(f"'{name}' must hold real numbers, not {array.dtype}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is reported by its row
        return np.ascontiguousarray(array, dtype=np.float32)


def _backbone(table: Table, path: Path) -> str:
    stated = str(_decoded(table.read("backbone").reshape(-1)[:1])[0]) if "backbone" in table.names else ""
    return cleaned(stated, r"A-Za-z0-9_.+@=,:/-", 100) or _stem(path)


def _stem(path: Path) -> str:
    return cleaned(path.stem, r"A-Za-z0-9_.+-", 60) or "file"


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
