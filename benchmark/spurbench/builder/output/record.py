"""`BuildRecord`, build.json: how a data set was made and what was found, for programs. Needs no torch.

The same command on the same photos and weights gives the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from ...cards import SPLITS
from ...errors import DataError
from ...rules import Strict
from ..table import BY, GROUPS, STATUSES, Found, Instrument
from .built import Built, licences

if TYPE_CHECKING:
    import pandas as pd

Count = Annotated[int, Field(ge=0)]


class Counts(Strict):
    """How many photos there are of what."""

    looked_at: Count
    left_out: dict[str, Count]
    """By status: what cleaning left out."""
    kept: Count
    """After cleaning."""
    backgrounds_by: dict[str, Count]
    """Of the photos that are kept: by whom their backgrounds are named."""
    truncated: Count
    """Photos in the data set that are incomplete, yet shown as far as they go."""
    splits: dict[str, dict[str, Count]]
    """Photos in the data set: by split, then by group."""
    licences: dict[str, Count]
    """Photos in the data set, by licence as written."""

    @model_validator(mode="after")
    def _consistent(self) -> Counts:
        if self.kept + sum(self.left_out.values()) != self.looked_at:
            raise ValueError(f"{self.kept} kept and {sum(self.left_out.values())} left out are not {self.looked_at}")
        return self

    @property
    def in_data_set(self) -> int:
        """Photos of all splits."""
        return sum(sum(groups.values()) for groups in self.splits.values())


class BuildRecord(Strict):
    """One built data set."""

    # The dataclasses of `table` follow the model that holds them: no unknown key, no NaN in them either.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    title: str
    command: str
    seed: int
    instrument: Instrument
    found: Found
    counts: Counts
    metadata_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of metadata.csv."""
    software: dict[str, str]


def make_record(built: Built, rows: pd.DataFrame, metadata_sha256: str) -> BuildRecord:
    """The record of what is about to be in the folder.

    Args:
        rows: the photos of the data set, as `folder.placed` gives them.
    """
    return BuildRecord(
        title=built.title,
        command=built.command,
        seed=built.seed,
        instrument=built.instrument,
        found=built.found,
        counts=count(built, rows),
        metadata_sha256=metadata_sha256,
        software=dict(built.software),
    )


def count(built: Built, rows: pd.DataFrame) -> Counts:
    """The photos, counted; `rows` are those of the data set, which have a split."""
    statuses = Counter(built.photos["status"].tolist())
    by = Counter(built.photos.loc[built.photos["status"] == "", "background_by"].tolist())
    groups = Counter(zip(rows["split"].tolist(), rows["group"].tolist(), strict=True))
    return Counts(
        looked_at=len(built.photos),
        left_out={status: statuses[status] for status in STATUSES},
        kept=statuses[""],
        backgrounds_by={name: by[name] for name in BY},
        truncated=int(rows["truncated"].astype(bool).sum()),
        splits={split: {group: groups[split, group] for group in GROUPS} for split in SPLITS},
        licences=licences(rows),
    )


def to_json(record: BuildRecord) -> str:
    """The record as it stands in the file."""
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read_build(path: Path) -> BuildRecord:
    """The record in a build.json. Raises DataError, saying what is wrong with the file."""
    try:
        return BuildRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path} is no record of a built data set: {where}: {first['msg']}") from error
