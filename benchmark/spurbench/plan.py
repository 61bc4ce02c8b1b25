"""The grid: data sets x backbones x methods x seeds -> cells, each with its state and the reason for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .amending import sound
from .backbones import Backbone, Setting, resolve
from .cards import Track
from .errors import DataError, SpurbenchError, UnknownNameError, UsageError
from .files import digest
from .keys import LoadedData, checked_method, impossible_reason, key_parts, load_data, needs_backbone
from .record import Record, SeedResult, read_record, record_path
from .registry import Registries
from .rules import Rules

Status = Literal["done", "missing", "stale", "failed", "impossible"]
OWN = "own features"
"""Stands for the backbone, until it is known, where a data set brings its own features."""


@dataclass(frozen=True)
class Cell:
    """Data set x backbone x method x seed, and what is known of it."""

    seed: int
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """All seeds of one method on one data set under one backbone: what one record holds.

    Attributes:
        dataset, backbone, method: canonical names, as in records.
        dataset_spec, backbone_spec: as written on the command line.
        key, key_parts: what the record must carry to be reused; empty while data or weights are not here.
        record: the record with the present key, if there is one.
    """

    dataset: str
    backbone: str
    method: str
    dataset_spec: str
    backbone_spec: str
    cells: tuple[Cell, ...]
    path: Path
    key: str = ""
    key_parts: dict[str, Any] = field(default_factory=dict)
    record: Record | None = None

    def todo(self) -> list[int]:
        """Seeds that need computing."""
        return [cell.seed for cell in self.cells if cell.status in ("missing", "stale", "failed")]


@dataclass(frozen=True)
class Plan:
    """Every row of the grid, in the order in which it runs; and the data sets that are here, by spec."""

    rules: Rules
    rows: tuple[Row, ...]
    data: Mapping[str, LoadedData]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Methods that the request's `tracks` keep from a data set, by its spec."""

    def cells(self) -> Iterator[tuple[Row, Cell]]:
        """Every cell with its row."""
        for row in self.rows:
            for cell in row.cells:
                yield row, cell

    def count(self, *statuses: Status) -> int:
        """Number of cells in any of the states."""
        return sum(cell.status in statuses for _, cell in self.cells())

    def limited(self, limit: int | None) -> Plan:
        """The same plan with at most `limit` cells to compute; the rest is left for another time."""
        if limit is None:
            return self
        left = limit
        rows = []
        for row in self.rows:
            cells = []
            for cell in row.cells:
                wanted = cell.status in ("missing", "stale", "failed")
                if not wanted or left > 0:
                    cells.append(cell)
                left -= wanted
            rows.append(replace(row, cells=tuple(cells)))
        return replace(self, rows=tuple(rows))


@dataclass(frozen=True)
class Request:
    """What to plan: names as selected, and where things are."""

    datasets: Sequence[str]
    backbones: Sequence[str]
    methods: Sequence[str]
    rules: Rules
    seeds: int | None
    data_root: Path
    results: Path
    setting: Setting
    force: bool = False
    tracks: Mapping[Track, Sequence[str]] = field(default_factory=dict)
    """Data sets on which methods of a track run; tracks that are not named run on all."""

    def wants(self, track: Track, dataset: str) -> bool:
        """Whether methods of a track are to run on a data set."""
        return dataset in self.tracks.get(track, (dataset,))


def make_plan(registries: Registries, request: Request) -> Plan:
    """The cells of a request. Nothing is run; data and weights are looked at only if they are here, or fetched first
    if `request.setting.fetch`.

    Raises:
        UsageError: a data set or backbone that was written wrongly. What is merely absent becomes a cell's reason.
    """
    rows: list[Row] = []
    backbones: dict[str, Backbone | str] = {}
    present: dict[str, LoadedData] = {}
    tracks = {name: checked_method(registries, name).card.track for name in request.methods} if request.tracks else {}
    left_out: dict[str, tuple[str, ...]] = {}
    for spec in request.datasets:
        data = _loaded(registries, spec, request)
        if isinstance(data, LoadedData):
            present[spec] = data
        wanted = [name for name in request.methods if name not in tracks or request.wants(tracks[name], spec)]
        if len(wanted) < len(request.methods):
            left_out[spec] = tuple(name for name in request.methods if name not in wanted)
        takes_backbone = needs_backbone(registries, spec)
        for backbone_spec in request.backbones if takes_backbone else [OWN]:
            if takes_backbone and backbone_spec not in backbones:
                backbones[backbone_spec] = _resolved(registries, backbone_spec, request.setting)
            backbone = backbones.get(backbone_spec)
            rows += [_row(registries, request, spec, data, backbone_spec, backbone, name) for name in wanted]
    _check_prompts(request.rules, present)
    return Plan(request.rules, tuple(rows), present, left_out)


def _check_prompts(rules: Rules, present: Mapping[str, LoadedData]) -> None:
    """A prompt set that no data set at hand has is a slip of the pen, not a cell that cannot be."""
    known = {prompts.name for data in present.values() for prompts in data.card.prompts}
    if rules.prompts is not None and known and rules.prompts not in known:
        raise UnknownNameError("prompt set", rules.prompts, known)


def _loaded(registries: Registries, spec: str, request: Request) -> LoadedData | str:
    """The data set, or why it is not to be had."""
    setting = request.setting
    try:
        return load_data(
            registries,
            spec,
            request.data_root,
            setting.hashes,
            download=setting.fetch,
            told=request.rules.attribute,
        )
    except UsageError:
        raise
    except SpurbenchError as error:
        return str(error)


def _resolved(registries: Registries, spec: str, setting: Setting) -> Backbone | str:
    try:
        return resolve(registries.backbones, spec, setting)
    except UsageError:
        raise
    except SpurbenchError as error:
        return str(error)


def _row(
    registries: Registries,
    request: Request,
    dataset_spec: str,
    data: LoadedData | str,
    backbone_spec: str,
    backbone: Backbone | str | None,
    method_name: str,
) -> Row:
    method = checked_method(registries, method_name)
    rules = request.rules
    seeds = request.seeds or rules.tracks[method.card.track].seeds
    if isinstance(data, LoadedData) and data.examples.features is not None:
        backbone_name = data.examples.features.backbone
    else:
        backbone_name = backbone_spec if backbone is None or isinstance(backbone, str) else backbone.card.name
    dataset_name = data.card.name if isinstance(data, LoadedData) else dataset_spec
    path = record_path(request.results, rules.name, dataset_name, backbone_name, method.card.name)
    row = Row(dataset_name, backbone_name, method.card.name, dataset_spec, backbone_spec, (), path)

    if isinstance(data, str) or isinstance(backbone, str):
        return _every(row, seeds, "missing", data if isinstance(data, str) else str(backbone))
    reason = impossible_reason(method.card, data, backbone, rules)
    if reason:
        return _every(row, seeds, "impossible", reason)
    parts = key_parts(method, data, backbone, rules)
    row = replace(row, key=digest(parts), key_parts=parts)
    return _with_states(row, seeds, force=request.force)


def _with_states(row: Row, seeds: int, *, force: bool) -> Row:
    try:
        record = read_record(row.path)
        if record is not None and record.key == row.key:
            record, _ = sound(row.path, record)
    except DataError as error:
        return _every(row, seeds, "stale", str(error))
    if record is None:
        return _every(row, seeds, "missing", "not run yet")
    if (record.dataset, record.backbone, record.method) != (row.dataset, row.backbone, row.method):
        other = " / ".join((record.dataset, record.backbone, record.method))
        reason = f"{row.path} holds the record of {other}; this file system does not tell the names apart"
        return _every(row, seeds, "impossible", reason)
    if force or record.key != row.key:
        reason = "--force" if force else f"changed since: {', '.join(changed(record.key_parts, row.key_parts))}"
        return _every(row, seeds, "stale", reason)
    by_seed = {result.seed: result for result in record.seeds}
    return replace(row, cells=tuple(_cell(seed, by_seed.get(seed)) for seed in range(seeds)), record=record)


def _cell(seed: int, result: SeedResult | None) -> Cell:
    if result is None:
        return Cell(seed, "missing", "not run yet")
    if result.failure is not None:
        return Cell(seed, "failed", result.failure.message)
    return Cell(seed, "done")


def _every(row: Row, seeds: int, status: Status, reason: str) -> Row:
    return replace(row, cells=tuple(Cell(seed, status, reason) for seed in range(seeds)))


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Which parts of a record's key are others in a new one, by name."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return sorted(names) or ["key"]
