"""The lists: metadata.csv of the photos in the data set, manifest.parquet of all that were looked at, label_names.txt
of what they are told apart into.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import inert, plain
from ..file_names import LABELS, MANIFEST, METADATA
from .built import Built, said

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "file_name", "class", "attribute", "split", "photo_id", "background", "background_by", "class_idx", "observation",
    "photographer", "licence", "attribution", "source_url", "sha256", "half", "predicted", "correct",
)  # fmt: skip
"""Of metadata.csv. The first is what Hugging Face's imagefolder wants, the first four are what `folder:DIR` reads."""
FOREIGN = ("photo_id", "observation", "photographer", "licence", "attribution", "source_url")
"""Other people's words: `plain` and `inert` in metadata.csv, which spreadsheets open, and bare in manifest.parquet."""
LOOKED_AT = (
    "file_name", "path", "photo_id", "label", "background", "background_by", "observation", "photographer", "licence",
    "attribution", "source_url", "sha256", "width", "height", "truncated", "status", "twin", "predicted", "correct",
    "half", "group", "split",
)  # fmt: skip
"""Of manifest.parquet; `file_name` is empty for photos that are not in the data set."""


def write_lists(built: Built, rows: pd.DataFrame, folder: Path) -> None:
    """Write the three lists below `folder`.

    Args:
        rows: the photos of the data set, as `folder.placed` gives them.
    """
    foreign = {column: [inert(plain(text)) for text in rows[column]] for column in FOREIGN}
    listed = rows.assign(attribute=rows["group"], correct=rows["correct"].astype(bool), **foreign)
    listed.to_csv(folder / METADATA, columns=list(COLUMNS), index=False, lineterminator="\n", encoding="utf-8")
    looked_at(built, rows).to_parquet(folder / MANIFEST, index=False)
    names = (f"{place}\t{name}\n" for place, name in enumerate(said(built.instrument)))
    (folder / LABELS).write_text("".join(names), encoding="utf-8", newline="\n")


def looked_at(built: Built, rows: pd.DataFrame) -> pd.DataFrame:
    """Every photo that was looked at, with its place in the data set where it has one; columns are LOOKED_AT."""
    places = dict(zip(rows["path"], rows["file_name"], strict=True))
    judged = built.photos["predicted"] != ""
    told = built.photos.assign(
        file_name=[places.get(path, "") for path in built.photos["path"]],
        correct=built.photos["correct"].where(judged).astype("boolean"),
    )
    chosen: pd.DataFrame = told[list(LOOKED_AT)]
    return chosen
