"""How long a plan will take, from what was measured on this machine before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from .errors import DataError
from .features import IMAGE_KINDS, FeatureStore, feature_key
from .plan import Plan, Row
from .record import read_record
from .regions.features import region_key

UNMEASURED_CELL_SECONDS = 5.0
UNMEASURED_IMAGES_PER_SECOND = {"cpu": 30.0, "cuda": 1000.0}
"""Rough guesses until something was measured: a ViT-B/16 on two cores, and on a data-centre GPU."""


@dataclass(frozen=True)
class Work:
    """Expected seconds of one row: encoding photos first, then each cell."""

    encode: float
    per_cell: float
    measured: bool

    def total(self, cells: int) -> float:
        """Seconds for the row with this many cells to compute."""
        return self.encode + cells * self.per_cell if cells else 0.0


def expected_work(plan: Plan, inputs: dict[str, tuple[str, ...]], cache: Path, device: str) -> list[Work]:
    """Expected work of each of the plan's rows, in order.

    Args:
        inputs: by method name, what its card says it needs.
    """
    store = FeatureStore(cache / "features")
    entries = list(store.entries())
    have = {entry.key for entry in entries}
    work = []
    for row in plan.rows:
        rates = [
            entry.images_per_second
            for entry in entries
            if entry.images_per_second and entry.parts.get("backbone") == row.key_parts.get("backbone")
        ]
        guess = UNMEASURED_IMAGES_PER_SECOND["cuda" if device.startswith("cuda") else "cpu"]
        keys = _missing_features(row, plan, inputs[row.method], have)
        encode = len(plan.data[row.dataset_spec].examples) / (fmean(rates) if rates else guess) if keys else 0.0
        have |= keys
        seconds = _measured_seconds(row)
        measured = bool(seconds) and (bool(rates) or not keys)
        work.append(Work(encode, fmean(seconds) if seconds else UNMEASURED_CELL_SECONDS, measured))
    return work


def _missing_features(row: Row, plan: Plan, inputs: Collection[str], have: set[str]) -> set[str]:
    data = plan.data.get(row.dataset_spec)
    if data is None or data.examples.photos is None or not row.todo() or not row.key:
        return set()
    kinds = [kind for kind in IMAGE_KINDS if kind in inputs]
    backbone = row.key_parts["backbone"]
    keys = {feature_key(data.fingerprint, backbone, kind)[0] for kind in kinds}
    if "regions" in inputs and "images" not in inputs:
        keys.add(region_key(data.fingerprint, backbone, "regions", row.key_parts["regions"])[0])
    return keys - have


def _measured_seconds(row: Row) -> list[float]:
    """Seconds per cell of this method on this data set, under any backbone and rules."""
    seconds: list[float] = []
    results = row.path.parents[3]
    for path in sorted(results.glob(f"*/{row.path.parents[1].name}/*/{row.path.name}")):
        try:
            record = read_record(path)
        except DataError:  # a broken record has nothing to say about time
            continue
        seconds += [value for value in record.times.seconds.values() if value] if record else []
    return seconds
