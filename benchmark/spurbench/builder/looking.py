"""One look at each photo: is it whole, how large is it, and what would a copy of it have in common with it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
from PIL import Image

from ..errors import DataError
from ..files import HashCache, digest, replacing
from ..images import open_tolerant
from .twins import SIDE

FORMAT = 1
"""Of what is kept of a look; another one is taken where this changes."""
PART = 2_000
"""Photos that are looked at before what was seen is written down."""
WORKING = 256
"""Pixels, each way, that hashes are made of at most."""


@dataclass(frozen=True)
class Look:
    """What is seen of a photo.

    Attributes:
        sha256: of the file, hex; "" where it cannot be read at all.
        width, height: pixels, upright; 0 where nothing can be shown.
        truncated: it is cut short, yet shown as far as it goes.
        phash: 64 bits that photos which look the same have in common (`imagehash.phash`).
        thumbnail: SIDE * SIDE grey levels.
    """

    sha256: str
    width: int = 0
    height: int = 0
    truncated: bool = False
    phash: int = 0
    thumbnail: bytes = bytes(SIDE * SIDE)


SCHEMA = pyarrow.schema(
    [
        ("sha256", pyarrow.string()),
        ("width", pyarrow.int64()),
        ("height", pyarrow.int64()),
        ("truncated", pyarrow.bool_()),
        ("phash", pyarrow.uint64()),
        ("thumbnail", pyarrow.binary(SIDE * SIDE)),
    ]
)


def look(path: Path) -> Look:
    """Look at one file. What is wrong with it is told by the look, never raised."""
    try:
        sha256 = HashCache(None).file(path)
        image, truncated = open_tolerant(path)
    except OSError:
        return Look("")
    except DataError:
        return Look(sha256)
    width, height = image.size
    image.thumbnail((WORKING, WORKING), Image.Resampling.BOX, reducing_gap=2.0)
    grey = image.convert("L")
    phash = int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes(), "big")
    thumbnail = grey.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()
    return Look(sha256, width, height, truncated, phash, thumbnail)


def look_at(folder: Path, paths: Sequence[str], work: Path, progress: Callable[[int, int], None]) -> pd.DataFrame:
    """Look at photos on every core, each one once, whatever happens meanwhile.

    What was seen is kept in parts in `work`, by the names, sizes and times of the files of a part: the next call goes
    on from there.

    Args:
        folder: that the paths are below.
        paths: of photos.
        work: folder for what is kept.
        progress: told (photos done, photos in all).

    Returns:
        a row for each photo with the columns of `Look`, and for `thumbnail` bytes.
    """
    from ..parallel import cores

    parts = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), PART):
            some = [folder / path for path in paths[start : start + PART]]
            kept = work / f"looks-{_stamp(some)}.parquet"
            table = _read(kept, len(some))
            if table is None:
                table = pyarrow.Table.from_pylist([asdict(seen) for seen in pool.map(look, some)], SCHEMA)
                with replacing(kept) as temporary:
                    pyarrow.parquet.write_table(table, temporary)
            parts.append(table)
            progress(start + len(some), len(paths))
    seen: pd.DataFrame = (pyarrow.concat_tables(parts) if parts else SCHEMA.empty_table()).to_pandas()
    return seen


def _stamp(paths: Sequence[Path]) -> str:
    """What tells whether files are still those that were looked at."""
    stamps = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        stamps.append([str(path.absolute()), status.st_size, status.st_mtime_ns])
    return digest([FORMAT, stamps])[:32]


def _read(path: Path, rows: int) -> pyarrow.Table | None:
    """What was kept, if it is whole."""
    try:
        table = pyarrow.parquet.read_table(path, schema=SCHEMA)
    except (OSError, ValueError):
        return None
    return table if table.num_rows == rows else None
