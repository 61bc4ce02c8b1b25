"""`Record`: everything known of one (rules, data set, backbone, method), all seeds; and its two small files.

`METHOD.json` holds integer counts per group for every candidate tried; `METHOD.npz` the predicted class per test
example for each seed and selection rule. From these alone every metric and interval on the board can be recomputed, but
for the few numbers of `attention` that take the models or the objects' masks (see `attention.Seen`).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import gt
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from .attention import Attention
from .attention import fault as attention_fault
from .calibration import Scores, fits
from .errors import DataError, one_line
from .files import digest, safe_name, write_atomic
from .npz import read_arrays
from .published import FOLDER as PUBLISHED
from .reading import AGAIN, MOVE, files_below, leaving_out, read_checked
from .record_text import record_text
from .rules import Budget, Selection, Strict

Tier = Literal["self-reported", "rescored", "reproduced"]
MOST = 10**12
"""Examples in a group beyond which a count is a slip or an attack."""
Number = Annotated[int, Field(ge=0, le=10**15)]
"""Any count of anything: what is larger is no measurement, and few programs that read tables can hold it."""
Setting = Annotated[int, Field(ge=-(10**18), le=10**18)]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
GROUPS = "group"
"""Name of the array of test groups in the npz file."""
Predictions = Mapping[str, NDArray[np.int16]]
PATTERN = "RULES/DATASET/BACKBONE/METHOD.json"
PLANTED = "planted"
"""Folder of the planted records below the results folder."""


class Candidate(NamedTuple):
    """One configuration at one snapshot of its training, judged on the harness's part of validation and on test.

    A row rather than an object in JSON: a record holds hundreds.
    """

    config: Number
    """Which of the seed's configurations."""
    snapshot: Number
    selection: list[int] | None = None
    """Correct per group on the selection examples; None where it cannot be chosen."""
    test: list[int] | None = None
    error: str = ""
    """Why it cannot be chosen, e.g. non-finite logits."""
    optimality: FiniteFloat | None = None
    """What a convex solver reached, in the terms of `solvers`; None where nothing is solved to convergence."""


class Selected(Strict):
    """What one selection rule chose."""

    candidate: Number
    test: list[int]
    """Correct per group on test, after the refit where the method has one."""
    predictions: str
    """sha256 of the predicted classes (int16, little endian) in the npz file."""
    scores: Scores | None = None
    """What the logits on test say besides the predicted class."""
    parameters: Number | None = None
    """How many parameters were trained; None where the method does not say."""


class Failure(Strict):
    """Why a seed has no result."""

    message: str
    traceback: str = ""


class SeedResult(Strict):
    """One cell: what one seed gave."""

    seed: int = Field(ge=0, le=10**9)
    status: Literal["ok", "failed"]
    selection_total: list[Number] = Field(default_factory=list)
    test_total: list[Number] = Field(default_factory=list)
    configs: list[dict[str, FiniteFloat | Setting | str | bool]] = Field(default_factory=list)
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
        if self.status == "failed" and self.selected:
            raise ValueError(f"seed {self.seed}: a failed seed has nothing selected")
        columns = zip(*self.candidates, strict=True) if self.candidates else ((),) * len(Candidate._fields)
        configs, _, of_selection, of_test, *_ = columns
        if max(configs, default=-1) >= len(self.configs):
            raise ValueError(f"seed {self.seed}: a candidate has a configuration that is not among the seed's")
        for selected in self.selected.values():
            if selected.candidate >= len(self.candidates):
                raise ValueError(f"seed {self.seed}: selected candidate {selected.candidate} does not exist")
        _check_counts(self.seed, of_selection, self.selection_total)
        _check_counts(self.seed, (*of_test, *(item.test for item in self.selected.values())), self.test_total)
        return self


def _check_counts(seed: int, counts: Iterable[list[int] | None], total: Sequence[int]) -> None:
    """Raises ValueError naming the first counts that are not of as many groups, or no part, of the total.

    A record holds hundreds of counts, and a board a thousand records: they are looked at one by one only once it is
    known that some do not fit.
    """
    known = [correct for correct in counts if correct is not None]
    if all([len(correct) == len(total) for correct in known]):  # noqa: C419 - a list is twice as fast here
        columns = zip(zip(*known, strict=True), total, strict=False)
        if all([min(column) >= 0 and max(column) <= most for column, most in columns]):  # noqa: C419
            return
    for correct in known:
        if len(correct) != len(total) or min(correct, default=0) < 0 or any(map(gt, correct, total)):
            raise ValueError(f"seed {seed}: counts {correct} do not fit totals {total}")


class Times(Strict):
    """The only part of a record that differs between two runs of the same command on one machine."""

    updated: str
    """ISO 8601, UTC."""
    seconds: dict[str, Seconds]
    """Seconds per seed, by seed."""
    peak_memory: dict[str, Number] = Field(default_factory=dict)
    """Most bytes of memory that the process held while it computed a seed, by seed; of the device where that is not the
    processor. Seeds computed at once share it."""


class Record(Strict):
    """All seeds of one (rules, data set, backbone, method)."""

    schema_version: Literal[4] = 4
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
    train_total: list[Number]
    budget: Budget
    confidence: float = Field(ge=0.5, le=0.9999)
    tier: Tier = "self-reported"
    test_groups: str
    """sha256 of the group of every test example (int16, little endian), in the npz file."""
    times: Times
    seeds: list[SeedResult]
    attention: Attention | None = None
    """What maps of the selected models say; not in the file of a record whose models nobody has looked into."""

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        if digest(self.key_parts) != self.key:
            raise ValueError("key is not the sha256 of key_parts")
        n_groups = len(self.classes) * len(self.attributes)
        totals = [self.train_total, *(total for r in self.done for total in (r.selection_total, r.test_total))]
        for total in totals:
            if len(total) != n_groups or max(total) > MOST:
                raise ValueError(f"totals {total} do not fit {n_groups} groups")
        if len({tuple(result.test_total) for result in self.done}) > 1:
            raise ValueError("seeds disagree on the number of test examples per group")
        for result in self.done:
            if not sum(result.test_total):
                raise ValueError(f"seed {result.seed}: no test examples")
            for rule, selected in result.selected.items():
                if not self.refit and selected.test != result.candidates[selected.candidate].test:
                    raise ValueError(f"seed {result.seed}, {rule}: counts differ from those of the chosen candidate")
                if selected.scores is not None and not fits(
                    selected.scores, selected.test, result.test_total, len(self.classes)
                ):
                    raise ValueError(f"seed {result.seed}, {rule}: scores do not fit the counts")
        numbers = [result.seed for result in self.seeds]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"seeds must be ascending and distinct, not {numbers}")
        if self.attention is not None:
            _check_attention(self.attention, self.done, n_groups)
        return self

    @property
    def done(self) -> list[SeedResult]:
        """The seeds that have a result."""
        return [result for result in self.seeds if result.status == "ok"]


def _check_attention(attention: Attention, done: Sequence[SeedResult], n_groups: int) -> None:
    """Raises ValueError unless it is of this record's groups, test examples, seeds and choices."""
    if len(attention.photos) != n_groups:
        raise ValueError(f"attention: photos {attention.photos} do not fit {n_groups} groups")
    if done and any(map(gt, attention.photos, done[0].test_total)):
        raise ValueError(f"attention: photos {attention.photos} do not fit test totals {done[0].test_total}")
    known = {predictions_name(result.seed, rule) for result in done for rule in result.selected}
    for name, _ in attention.models():
        if name not in known:
            raise ValueError(f"attention: {name} is no model that this record has selected")


def record_path(results: Path, rules: str, dataset: str, backbone: str, method: str) -> Path:
    """Where a record lives: `RESULTS/RULES/DATASET/BACKBONE/METHOD.json`, each name made safe, reversibly."""
    folder = results.joinpath(*(safe_name(name) for name in (rules, dataset, backbone)))
    return folder / f"{safe_name(method)}.json"


def read_record(path: Path) -> Record | None:
    """The record in a file, None if there is none. Raises DataError naming the file and its fault, as `read_checked`.

    Its predictions are looked at by `read_predictions`.
    """
    return read_checked(path, Record, "record")


def read_records(results: Path, broken: list[str] | None = None) -> Iterator[Record]:
    """Every record below a results folder, in the order of their paths.

    Raises DataError for a broken one, and for a file in a place that is not its own; or, where a list `broken` is
    given, adds the message to it and goes on.
    """
    for path in record_files(results, broken):
        with leaving_out(broken):
            record = read_in_place(path)
            if record is not None:
                yield record


def record_files(results: Path, broken: list[str] | None = None) -> Iterator[Path]:
    """Where records lie below a results folder, sorted: those of one table, a folder, follow each other.

    Raises DataError for what lies where no record does, or is no file; or adds the message to a list `broken`.
    """
    return files_below(results, PATTERN, broken, left_out=(PUBLISHED, PLANTED))


def read_in_place(path: Path) -> Record | None:
    """As `read_record`. Raises DataError as well if the record belongs elsewhere."""
    record = read_record(path)
    if record is None:
        return None
    names = record.rules, record.dataset, record.backbone, record.method
    expected = record_path(path.parents[3], *names)
    if expected != path:
        told = " / ".join(names)
        raise DataError(one_line(f"{path} holds the record of {told}, which belongs in {expected}: {MOVE}"))
    return record


def write_record(path: Path, record: Record, predictions: Predictions) -> None:
    """Write both files, predictions first: a record never names predictions that are not there."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(sorted(predictions.items())))  # type: ignore[arg-type]
    write_atomic(path.with_suffix(".npz"), buffer.getvalue())
    write_atomic(path, to_json(record).encode())


def read_predictions(path: Path, record: Record) -> dict[str, NDArray[np.int16]]:
    """The arrays that belong to a record: `group` (n_test,), `SEED.RULE` (n_test,) for every selected result, and those
    of its attention.

    Raises DataError if the file is absent, broken, or not the record's.
    """
    file = path.with_suffix(".npz")
    expected = {GROUPS: record.test_groups}
    for result in record.done:
        for rule, selected in result.selected.items():
            expected[predictions_name(result.seed, rule)] = selected.predictions
    if record.attention is not None:
        expected |= record.attention.arrays()
    total = record.done[0].test_total if record.done else None
    try:
        arrays = read_arrays(file, expected, None if total is None else sum(total))
    except FileNotFoundError as error:
        message = f"{file} is missing: the predictions of {path} cannot be checked; {AGAIN}"
        raise DataError(one_line(message)) from error
    for name, sha256 in expected.items():
        array = arrays.get(name)
        if array is None or array.dtype != np.int16 or array.ndim != 1 or array_hash(array) != sha256:
            message = f"{file} does not hold the array '{name}' that {path} names: either was changed; {AGAIN}"
            raise DataError(one_line(message))
    _check_groups(arrays[GROUPS], len(record.classes) * len(record.attributes), total, file, path)
    for result in record.done:
        for rule, selected in result.selected.items():
            counts = recount(arrays[GROUPS], arrays[predictions_name(result.seed, rule)], record)
            if counts != selected.test:
                message = f"{path}: counts of seed {result.seed}, {rule} are not those of the predictions in {file}"
                raise DataError(one_line(f"{message}: either was changed; {AGAIN}"))
    wrong = "" if record.attention is None else attention_fault(record.attention, arrays, arrays[GROUPS])
    if wrong:
        raise DataError(one_line(f"{file}, of the attention in {path}: {wrong}: either was changed; {AGAIN}"))
    return arrays


def _check_groups(
    groups: NDArray[np.int16], n_groups: int, total: Sequence[int] | None, file: Path, path: Path
) -> None:
    """Raises DataError unless every test example is in one of the groups, and as many in each as `total` says."""
    if groups.size and not 0 <= groups.min() <= groups.max() < n_groups:
        raise DataError(one_line(f"{file} has test examples outside of the {n_groups} groups of {path}; {AGAIN}"))
    if total is not None and np.bincount(groups, minlength=n_groups).tolist() != total:
        message = f"{path}: the test examples per group are not those in {file}: either was changed; {AGAIN}"
        raise DataError(one_line(message))


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
    """The record as it stands in its file (see `record_text`)."""
    return record_text(record.model_dump(mode="json"))


def json_schema(model: type[Strict] = Record) -> str:
    """JSON Schema of a record, as committed beside its module."""
    return json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n"
