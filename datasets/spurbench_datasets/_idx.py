"""The IDX format of MNIST and its relatives (LeCun, Cortes, Burges): a header of sizes, then bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spurbench.errors import DataError

_UNSIGNED_BYTES = 8
_MOST = 1 << 30
"""Bytes that a file may hold; those of MNIST and Fashion-MNIST have 47 million."""


class Readable(Protocol):
    """A file, packed or not."""

    def read(self, size: int, /) -> bytes: ...


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in a file, gzipped where its name ends in `.gz`.

    No more is read or unpacked than the header announces.

    Args:
        path: the file.
        dimensions: how many the array must have: 3 for images, 1 for labels.

    Raises:
        DataError: not IDX, other dimensions, another type than unsigned bytes, or not as long as its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return _parsed(stream, dimensions)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


def _parsed(stream: Readable, dimensions: int) -> NDArray[np.uint8]:
    header = stream.read(4 + 4 * dimensions)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] != _UNSIGNED_BYTES:
        raise DataError(f"is not an IDX file of unsigned bytes; it begins with {header[:4].hex(' ') or 'nothing'}")
    if header[3] != dimensions:
        raise DataError(f"holds an array of {header[3]} dimensions, not of {dimensions}")
    if len(header) < 4 + 4 * dimensions:
        raise DataError("ends within its header")
    shape = [int.from_bytes(header[start : start + 4], "big") for start in range(4, len(header), 4)]
    expected = math.prod(shape)
    if expected > _MOST:
        raise DataError(f"says that it holds {' x '.join(map(str, shape))} bytes, which is too many to be true")
    content = stream.read(expected + 1)
    if len(content) != expected:
        found = f"only {len(content)}" if len(content) < expected else "more"
        raise DataError(f"should hold {expected} bytes behind its header, there are {found}; get it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
