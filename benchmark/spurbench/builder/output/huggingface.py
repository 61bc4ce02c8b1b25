"""The form for `datasets.load_dataset`: parquet files with the photos in them, one set per split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..table import GROUPS
from .built import Progress
from .shards import SHARD, shards

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FOLDER = "huggingface"
SPLIT = {"train": "train", "val": "validation", "test": "test"}
"""What Hugging Face calls ours."""
TEXTS = ("background", "photo_id", "photographer", "licence", "attribution", "source_url", "sha256")
ROWS = 64
"""Photos that are in memory at once."""


def write_huggingface(rows: pd.DataFrame, folder: Path, progress: Progress, shard: int = SHARD) -> None:
    """Write `folder`/huggingface/data/SPLIT-NNNNN-of-NNNNN.parquet.

    `image` is the file as it is; `label` counts the classes of the data set from 0, in the order of `class_idx`, and
    `attribute` is easy (0) or hard (1).

    Args:
        rows: the photos of the data set, as `folder.placed` gives them; they are read from below `folder`.
        shard: bytes of photos in a file, about.
    """
    classes = rows.drop_duplicates("class_idx").sort_values("class_idx")["class"].tolist()
    schema = _schema(classes)
    data = folder / FOLDER / "data"
    data.mkdir(parents=True)
    done = 0
    for split, name in SPLIT.items():
        mine = rows[rows["split"] == split]
        parts = shards([(folder / file).stat().st_size for file in mine["file_name"]], shard)
        for number, part in enumerate(parts):
            file = data / f"{name}-{number:05d}-of-{len(parts):05d}.parquet"
            for written in _write(file, schema, mine.iloc[part.start : part.stop], classes, folder):
                done += written
                progress("writing the Hugging Face form", done, len(rows))


def _schema(classes: list[str]) -> pa.Schema:
    """Columns, with Hugging Face's own description of them."""
    import pyarrow as pa

    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": classes, "_type": "ClassLabel"},
        "attribute": {"names": list(GROUPS), "_type": "ClassLabel"},
        "class_idx": {"dtype": "int64", "_type": "Value"},
        **{name: {"dtype": "string", "_type": "Value"} for name in TEXTS},
    }
    fields = [
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
        *(pa.field(name, pa.int64()) for name in ("label", "attribute", "class_idx")),
        *(pa.field(name, pa.string()) for name in TEXTS),
    ]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _write(file: Path, schema: pa.Schema, rows: pd.DataFrame, classes: list[str], folder: Path) -> Iterator[int]:
    """Write one file, a few photos at a time; yields how many."""
    import pyarrow as pa
    from pyarrow import parquet

    number = {name: place for place, name in enumerate(classes)}
    # Photos are compressed already.
    with parquet.ParquetWriter(file, schema, compression={"image.bytes": "NONE"}) as writer:
        for start in range(0, len(rows), ROWS):
            part = rows.iloc[start : start + ROWS]
            images = [{"bytes": (folder / name).read_bytes(), "path": Path(name).name} for name in part["file_name"]]
            columns: dict[str, Any] = {
                "image": images,
                "label": [number[name] for name in part["class"]],
                "attribute": [GROUPS.index(group) for group in part["group"]],
                "class_idx": part["class_idx"].tolist(),
                **{name: part[name].tolist() for name in TEXTS},
            }
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=schema))
            yield len(part)
