"""Arrays from an npz file that anybody may have written: only those asked for, and no more bytes than they can have."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, one_line
from .files import MOST_BYTES
from .reading import AGAIN, opened

HEADER = 4096
"""Bytes that may stand before the numbers of one array: its header in NumPy's format, and its entry in the archive."""
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; other compressions can blow up a few bytes at one stroke."""


def read_arrays(file: Path, names: Collection[str], length: int | None) -> dict[str, NDArray[np.int16]]:
    """The arrays of these names that an npz file has; others in it are not looked at.

    Args:
        length: int16 numbers that each has at most; where it is None, as many as a file of results may hold.

    Raises FileNotFoundError, and DataError for what is no such file or is larger than those arrays can be.
    """
    most = MOST_BYTES if length is None else min(MOST_BYTES, 2 * length + HEADER)
    try:
        with opened(file, min(MOST_BYTES, (len(names) + 1) * most)) as stream, zipfile.ZipFile(stream) as archive:
            held = {info.filename: info for info in archive.infolist()}
            return {name: _array(archive, held[f"{name}.npy"], most) for name in names if f"{name}.npy" in held}
    except (FileNotFoundError, DataError):
        raise
    # zipfile and NumPy raise errors of a dozen kinds for bytes that are not theirs.
    except Exception as error:
        raise DataError(one_line(f"{file} is not a readable npz file: {error}; {AGAIN}")) from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> NDArray[np.int16]:
    if info.file_size > most or info.compress_type not in PLAIN:
        raise ValueError(f"'{info.filename}' is larger than the test examples are, or packed in an unknown way")
    found: NDArray[np.int16] = np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
    return found
