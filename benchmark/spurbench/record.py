"""`Record`: everything known of one (rules, data set, backbone, method), all seeds; and its two small files.

`METHOD.json` holds integer counts per group for every candidate tried; `METHOD.npz` the predicted class per test
example for each seed and selection rule. From these alone every metric and interval on the board can be recomputed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from operator import gt
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from .errors import DataError
from .files import digest, safe_name, write_atomic
from .rules import Budget, Selection, Strict

Tier = Literal["self-reported", "rescored", "reproduced"]
M = TypeVar("M", bound=Strict)
MOST = 10**12
"""Examples in a group beyond which a count is a slip or an attack."""
GROUPS = "group"
"""Name of the array of test groups in the npz file."""
Predictions = Mapping[str, NDArray[np.int16]]


class Candidate(NamedTuple):
    """One configuration at one snapshot of its training, judged on the harness's part of validation and on test.

    A row rather than an object in JSON: a record holds hundreds.
    """

    config: Annotated[int, Field(ge=0)]
    """Which of the seed's configurations."""
    snapshot: Annotated[int, Field(ge=0)]
    selection: list[int] | None = None
    """Correct per group on the selection examples; None where it cannot be chosen."""
    test: list[int] | None = None
    error: str = ""
    """Why it cannot be chosen, e.g. non-finite logits."""
    optimality: float | None = None
    """What a convex solver reached, in the terms of `solvers`; None where nothing is solved to convergence."""


class Selected(Strict):
    """What one selection rule chose."""

    candidate: int = Field(ge=0)
    test: list[int]
    """Correct per group on test, after the refit where the method has one."""
    predictions: str
    """sha256 of the predicted classes (int16, little endian) in the npz file."""


class Failure(Strict):
    """Why a seed has no result."""

    message: str
    traceback: str = ""


class SeedResult(Strict):
    """One cell: what one seed gave."""

    seed: int = Field(ge=0)
    status: Literal["ok", "failed"]
    selection_total: list[int] = Field(default_factory=list)
    test_total: list[int] = Field(default_factory=list)
    configs: list[dict[str, float | int | str | bool]] = Field(default_factory=list)
    """The configurations tried."""
    candidates: list[Candidate] = Field(default_factory=list)
    selected: dict[Selection, Selected] = Field(default_factory=dict)
    failure: Failure | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions and hardware that this seed was computed with."""

    @model_validator(mode="after")
    def _consistent(self) -> SeedResult:
        if (self.status == "failed") != (self.failure is not None):
            raise ValueError(f"seed {self.seed}: a failed seed has a failure, others have none")
        if self.status == "ok" and not self.selected:
            raise ValueError(f"seed {self.seed}: nothing selected")
        if any(candidate.config >= len(self.configs) for candidate in self.candidates):
            raise ValueError(f"seed {self.seed}: a candidate has a configuration that is not among the seed's")
        for selected in self.selected.values():
            if selected.candidate >= len(self.candidates):
                raise ValueError(f"seed {self.seed}: selected candidate {selected.candidate} does not exist")
        counts = [(c.selection, self.selection_total) for c in self.candidates]
        counts += [(c.test, self.test_total) for c in self.candidates]
        counts += [(s.test, self.test_total) for s in self.selected.values()]
        for correct, total in counts:
            if correct is not None and (
                len(correct) != len(total) or min(correct, default=0) < 0 or any(map(gt, correct, total))
            ):
                raise ValueError(f"seed {self.seed}: counts {correct} do not fit totals {total}")
        return self


class Times(Strict):
    """The only part of a record that differs between two runs of the same command on one machine."""

    updated: str
    """ISO 8601, UTC."""
    seconds: dict[str, float]
    """Seconds per seed, by seed."""


class Record(Strict):
    """All seeds of one (rules, data set, backbone, method)."""

    schema_version: Literal[2] = 2
    rules: str
    dataset: str
    backbone: str
    method: str
    key: str
    """sha256 of `key_parts`. A record whose key is not the present one is stale and is never reused."""
    key_parts: dict[str, Any]
    title: str
    paper: str
    supervision: list[str]
    trains: str
    refit: bool
    prompts: str
    classes: list[str]
    attributes: list[str]
    train_total: list[int]
    budget: Budget
    confidence: float = Field(gt=0, lt=1)
    tier: Tier = "self-reported"
    test_groups: str
    """sha256 of the group of every test example (int16, little endian), in the npz file."""
    times: Times
    seeds: list[SeedResult]

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        if digest(self.key_parts) != self.key:
            raise ValueError("key is not the sha256 of key_parts")
        n_groups = len(self.classes) * len(self.attributes)
        totals = [self.train_total, *(total for r in self.done for total in (r.selection_total, r.test_total))]
        for total in totals:
            if len(total) != n_groups or min(total) < 0 or max(total) > MOST:
                raise ValueError(f"totals {total} do not fit {n_groups} groups")
        if len({tuple(result.test_total) for result in self.done}) > 1:
            raise ValueError("seeds disagree on the number of test examples per group")
        for result in self.done:
            if not sum(result.test_total):
                raise ValueError(f"seed {result.seed}: no test examples")
            for rule, selected in result.selected.items():
                if not self.refit and selected.test != result.candidates[selected.candidate].test:
                    raise ValueError(f"seed {result.seed}, {rule}: counts differ from those of the chosen candidate")
        numbers = [result.seed for result in self.seeds]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"seeds must be ascending and distinct, not {numbers}")
        return self

    @property
    def done(self) -> list[SeedResult]:
        """The seeds that have a result."""
        return [result for result in self.seeds if result.status == "ok"]


def record_path(results: Path, rules: str, dataset: str, backbone: str, method: str) -> Path:
    """Where a record lives: `RESULTS/RULES/DATASET/BACKBONE/METHOD.json`, each name made safe, reversibly."""
    folder = results.joinpath(*(safe_name(name) for name in (rules, dataset, backbone)))
    return folder / f"{safe_name(method)}.json"


def read_record(path: Path) -> Record | None:
    """The record in a file, None if there is none. Raises DataError naming the file and the first fault."""
    return read_checked(path, Record, "record")


def read_checked(path: Path, model: type[M], kind: str) -> M | None:
    """What a JSON file holds, None if there is none. Raises DataError naming the file, its kind and the first fault."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path} is not a valid {kind}: {where}: {first['msg']}; delete it to have it made again"
        ) from error


def read_records(results: Path, broken: list[str] | None = None) -> Iterator[Record]:
    """Every record below a results folder, in the order of their paths. `results/published` holds none.

    Raises DataError for a broken one; or, where a list `broken` is given, adds the message to it and goes on.
    """
    for path in sorted(results.glob("*/*/*/*.json")):
        parts = path.relative_to(results).parts
        if parts[0] != "published" and not any(part.startswith(".") for part in parts):
            try:
                record = read_record(path)
                if record is not None:
                    yield _in_its_place(record, path, results)
            except DataError as error:
                if broken is None:
                    raise
                broken.append(str(error))


def _in_its_place(record: Record, path: Path, results: Path) -> Record:
    expected = record_path(results, record.rules, record.dataset, record.backbone, record.method)
    if expected != path:
        raise DataError(
            f"{path} holds the record of {record.rules} / {record.dataset} / {record.backbone} / {record.method}, "
            f"which belongs in {expected}; move it there"
        )
    return record


def write_record(path: Path, record: Record, predictions: Predictions) -> None:
    """Write both files, predictions first: a record never names predictions that are not there."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(sorted(predictions.items())))  # type: ignore[arg-type]
    write_atomic(path.with_suffix(".npz"), buffer.getvalue())
    write_atomic(path, to_json(record).encode())


def read_predictions(path: Path, record: Record) -> dict[str, NDArray[np.int16]]:
    """The arrays that belong to a record: `group` (n_test,) and `SEED.RULE` (n_test,) for every selected result.

    Raises DataError if the file is absent, broken, or not the record's.
    """
    file = path.with_suffix(".npz")
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing: the predictions of {path} cannot be checked") from error
    except Exception as error:
        raise DataError(f"{file} is not a readable npz file: {error}") from error
    expected = {GROUPS: record.test_groups}
    for result in record.done:
        for rule, selected in result.selected.items():
            expected[predictions_name(result.seed, rule)] = selected.predictions
    for name, sha256 in expected.items():
        array = arrays.get(name)
        if array is None or array.dtype != np.int16 or array.ndim != 1 or array_hash(array) != sha256:
            raise DataError(f"{file} does not hold the array '{name}' that {path} names")
    for result in record.done:
        for rule, selected in result.selected.items():
            counts = recount(arrays[GROUPS], arrays[predictions_name(result.seed, rule)], record)
            if counts != selected.test:
                raise DataError(
                    f"{path}: counts of seed {result.seed}, {rule} are not those of the predictions in {file}"
                )
    return arrays


class HasNames(Protocol):
    """A record or a data set card: something that names classes and attribute values."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""

    @property
    def attributes(self) -> Sequence[str]:
        """Names of the attribute's values."""


def recount(groups: NDArray[np.int16], predictions: NDArray[np.int16], names: HasNames) -> list[int]:
    """Correct per group, from the arrays in the npz file."""
    if groups.shape != predictions.shape:
        return []
    right = groups[predictions == groups // len(names.attributes)]
    return [int(n) for n in np.bincount(right, minlength=len(names.classes) * len(names.attributes))]


def predictions_name(seed: int, rule: str) -> str:
    """Name of an array in the npz file."""
    return f"{seed}.{rule}"


def array_hash(array: NDArray[np.int16]) -> str:
    """sha256 of an array of classes or groups as little-endian int16."""
    return hashlib.sha256(array.astype("<i2").tobytes()).hexdigest()


def to_json(record: Record) -> str:
    """The record as JSON: one line per candidate and per selected result, so that a diff shows what changed."""
    document = record.model_dump(mode="json")
    seeds = ",\n".join(_seed_json(seed) for seed in document.pop("seeds"))
    head = json.dumps(document, indent=1, ensure_ascii=False).removesuffix("\n}")
    return f'{head},\n "seeds": [\n{seeds}\n ]\n}}\n'


def _seed_json(seed: dict[str, Any]) -> str:
    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    rows = [
        f"   {compact(key)}: {compact(seed[key])}" for key in seed if key not in ("configs", "candidates", "selected")
    ]
    configs = ",\n".join(f"    {compact(config)}" for config in seed["configs"])
    candidates = ",\n".join(f"    {compact(candidate)}" for candidate in seed["candidates"])
    selected = ",\n".join(f"    {compact(rule)}: {compact(value)}" for rule, value in seed["selected"].items())
    rows.append(f'   "configs": [\n{configs}\n   ]' if configs else '   "configs": []')
    rows.append(f'   "candidates": [\n{candidates}\n   ]' if candidates else '   "candidates": []')
    rows.append(f'   "selected": {{\n{selected}\n   }}' if selected else '   "selected": {}')
    return "  {\n" + ",\n".join(rows) + "\n  }"


def json_schema(model: type[Strict] = Record) -> str:
    """JSON Schema of a record, as committed beside its module."""
    return json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n"
