"""`PlantedRecord`: everything known of one setting, all seeds; one small file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from ..errors import DataError, one_line
from ..files import digest, safe_name, write_atomic
from ..reading import MOVE, files_below, leaving_out, read_checked
from ..record import PLANTED as FOLDER
from ..record import Failure, Number, Times
from ..rules import Strict
from .validity import effects

PATTERN = "DATASET/BACKBONE.json"
DEEPEST = 50
"""Regions of the top finding whose truth is kept: Precision@K can be computed for K up to this."""


class Found(Strict):
    """What one discoverer made of one model."""

    key: str
    """sha256 over the discoverer's source: another one's result is not reused."""
    findings: Number
    hits: list[Literal[0, 1]] = Field(max_length=DEEPEST)
    """Whether each of the top finding's first regions shows the planted feature."""
    label: Number | None = None
    """The class that the discoverer says the regions go with."""
    score: FiniteFloat | None = None
    p_value: float | None = Field(default=None, ge=0, le=1)
    error: str = ""
    """Why it could not be asked; there are no findings then."""

    def precision_at(self, k: int) -> float:
        """Share of the first k regions that show the feature; what is missing counts as wrong.

        Raises ValueError for k beyond what is kept.
        """
        if not 1 <= k <= DEEPEST:
            raise ValueError(f"k must lie in 1..{DEEPEST}, not {k}")
        return sum(self.hits[:k]) / k


class Judged(Strict):
    """Correct per group on test, by whole images and by the regions of their objects alone."""

    image: list[int]
    region: list[int]


class Mitigated(Strict):
    """What one mitigation made of the same backbone and photos."""

    key: str
    judged: Judged | None = None
    error: str = ""


class PlantedSeed(Strict):
    """One model: one seed of a setting."""

    seed: int = Field(ge=0, le=10**9)
    status: Literal["ok", "failed"]
    failure: Failure | None = None
    judged: Judged | None = None
    """The model under study itself."""
    gained: float | None = None
    lost: float | None = None
    """e1 and e2 (see `validity`)."""
    regions: Number = 0
    """Regions that discoverers were given, and how many of them show the feature."""
    planted_regions: Number = 0
    found: dict[str, Found] = Field(default_factory=dict)
    mitigated: dict[str, Mitigated] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> PlantedSeed:
        if (self.status == "failed") != (self.failure is not None) or (self.status == "ok") != (
            self.judged is not None
        ):
            raise ValueError(f"seed {self.seed}: a failed seed has a failure and no counts, others the reverse")
        return self

    @property
    def least(self) -> float | None:
        """The threshold up to which the model uses the shortcut; None for a seed that failed."""
        return None if self.gained is None or self.lost is None else min(self.gained, self.lost)


class PlantedRecord(Strict):
    """All seeds of one planted pair under one backbone."""

    schema_version: Literal[1] = 1
    base: str
    dataset: str
    backbone: str
    model: str
    label: Number
    """The class that the feature was planted with."""
    strength: float = Field(ge=0, le=1)
    """Cramer's V that was asked for."""
    region_spec: str
    key: str
    key_parts: dict[str, Any]
    classes: list[str]
    attributes: list[str] = Field(min_length=2, max_length=2)
    train_total: list[Number]
    test_total: list[Number]
    seeds: list[PlantedSeed]
    times: Times

    @model_validator(mode="after")
    def _consistent(self) -> PlantedRecord:
        if digest(self.key_parts) != self.key:
            raise ValueError("key is not the sha256 of key_parts")
        n_groups = 2 * len(self.classes)
        if len(self.train_total) != n_groups or len(self.test_total) != n_groups or self.label >= len(self.classes):
            raise ValueError(f"counts or label do not fit {len(self.classes)} classes")
        for result in self.seeds:
            judged = [result.judged, *(item.judged for item in result.mitigated.values())]
            for counts in (side for item in judged if item is not None for side in (item.image, item.region)):
                if len(counts) != n_groups or any(
                    not 0 <= c <= t for c, t in zip(counts, self.test_total, strict=True)
                ):
                    raise ValueError(f"seed {result.seed}: counts {counts} do not fit totals {self.test_total}")
            if result.judged is not None:
                found = effects(result.judged.image, self.test_total, self.label)
                if (result.gained, result.lost) != (found.gained, found.lost):
                    raise ValueError(f"seed {result.seed}: effects differ from those of the counts")
        numbers = [result.seed for result in self.seeds]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"seeds must be ascending and distinct, not {numbers}")
        return self

    def valid_at(self, threshold: float) -> bool:
        """Whether every seed has a model that uses the shortcut by more than the threshold."""
        return bool(self.seeds) and all(result.least is not None and result.least > threshold for result in self.seeds)


def planted_path(results: Path, dataset: str, backbone: str) -> Path:
    """Where a setting's record lives."""
    return results / FOLDER / safe_name(dataset) / f"{safe_name(backbone)}.json"


def read_planted(path: Path) -> PlantedRecord | None:
    """The record in a file, None if there is none. Raises DataError naming the file and fault, as `read_checked`."""
    return read_checked(path, PlantedRecord, "planted record")


def write_planted(path: Path, record: PlantedRecord) -> None:
    """Write a record."""
    write_atomic(path, (record.model_dump_json(indent=1, exclude_defaults=False) + "\n").encode())


def read_all_planted(results: Path, broken: list[str] | None = None) -> Iterator[PlantedRecord]:
    """Every planted record below a results folder, in the order of their paths.

    Raises DataError for a broken one, and for a file in a place that is not its own; or, where a list `broken` is
    given, adds the message to it and goes on.
    """
    for path in files_below(results / FOLDER, PATTERN, broken):
        with leaving_out(broken):
            record = read_planted(path)
            if record is not None:
                _check_place(record, path, results)
                yield record


def _check_place(record: PlantedRecord, path: Path, results: Path) -> None:
    expected = planted_path(results, record.dataset, record.backbone)
    if expected != path:
        told = f"{record.dataset} / {record.backbone}"
        raise DataError(one_line(f"{path} holds the record of {told}, which belongs in {expected}: {MOVE}"))
