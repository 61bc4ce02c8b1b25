"""The grid: data sets x backbones x methods x seeds -> cells, each with its state and the reason for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from .backbones import Backbone, Setting, resolve
from .cards import DatasetCard, MethodCard
from .data import Dataset, Examples
from .errors import DataError, PluginError, SpurbenchError, UnknownNameError, UsageError
from .files import HashCache, digest
from .provenance import harness_hash, source_hash
from .record import Record, SeedResult, read_predictions, read_record, record_path
from .registry import Registries
from .rules import Rules
from .space import check_space, describe_space

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


@dataclass(frozen=True)
class LoadedData:
    """A data set that is on this machine."""

    dataset: Dataset
    examples: Examples
    fingerprint: str

    @property
    def card(self) -> DatasetCard:
        """The data set's card."""
        return self.dataset.card


def load_data(registries: Registries, spec: str, root: Path, hashes: HashCache, *, download: bool) -> LoadedData:
    """Prepare, read and fingerprint a data set. Raises DataError."""
    dataset: Dataset = registries.datasets.get(spec)
    try:
        dataset.prepare(root, download=download)
        examples = dataset.load(root)
        fingerprint = examples.fingerprint(dataset.card, hashes)
    except SpurbenchError:
        raise
    except OSError as error:
        raise DataError(f"data set '{spec}': {error.filename or root} cannot be read: {error.strerror}") from error
    except Exception as error:
        raise DataError(f"data set '{spec}' cannot be read: {type(error).__name__}: {error}") from error
    return LoadedData(dataset, examples, fingerprint)


def make_plan(registries: Registries, request: Request) -> Plan:
    """The cells of a request. Nothing is run; data and weights are looked at only if they are here, or fetched first
    if `request.setting.fetch`.

    Raises:
        UsageError: a data set or backbone that was written wrongly. What is merely absent becomes a cell's reason.
    """
    rows: list[Row] = []
    backbones: dict[str, Backbone | str] = {}
    present: dict[str, LoadedData] = {}
    for spec in request.datasets:
        data = _loaded(registries, spec, request)
        if isinstance(data, LoadedData):
            present[spec] = data
        takes_backbone = needs_backbone(registries, spec)
        for backbone_spec in request.backbones if takes_backbone else [OWN]:
            if takes_backbone and backbone_spec not in backbones:
                backbones[backbone_spec] = _resolved(registries, backbone_spec, request.setting)
            backbone = backbones.get(backbone_spec)
            rows += [_row(registries, request, spec, data, backbone_spec, backbone, name) for name in request.methods]
    _check_prompts(request.rules, present)
    return Plan(request.rules, tuple(rows), present)


def _check_prompts(rules: Rules, present: Mapping[str, LoadedData]) -> None:
    """A prompt set that no data set at hand has is a slip of the pen, not a cell that cannot be."""
    known = {prompts.name for data in present.values() for prompts in data.card.prompts}
    if rules.prompts is not None and known and rules.prompts not in known:
        raise UnknownNameError("prompt set", rules.prompts, known)


def needs_backbone(registries: Registries, spec: str) -> bool:
    """Whether backbones apply to a data set; not to one that brings its own features, nor to one that is broken."""
    try:
        card: DatasetCard = registries.datasets.get(spec).card
    except UsageError:
        raise
    except SpurbenchError:
        return False
    return not card.own_features


def _loaded(registries: Registries, spec: str, request: Request) -> LoadedData | str:
    """The data set, or why it is not to be had."""
    setting = request.setting
    try:
        return load_data(registries, spec, request.data_root, setting.hashes, download=setting.fetch)
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


def checked_method(registries: Registries, name: str) -> Any:
    """The method, if it meets the contract as far as can be seen. Raises PluginError."""
    method = registries.methods.get(name)
    try:
        if not isinstance(method.card, MethodCard) or not callable(method.fit):
            raise ValueError("it needs a MethodCard as `card`, and `fit`")
        check_space(method.space)
    except Exception as error:
        origin = registries.methods.origin(name)
        raise PluginError(f"method '{name}' from {origin} does not meet the contract: {error}") from error
    return method


def impossible_reason(method_card: Any, data: LoadedData, backbone: Backbone | None, rules: Rules) -> str:
    """Why a method cannot be evaluated on this data under this backbone, or an empty string."""
    inputs, examples, card = method_card.inputs, data.examples, data.card
    own = examples.features
    if own is not None:
        without = [kind for kind in ("penultimate", "regions", "images") if kind in inputs]
        if without:
            return f"needs {' and '.join(without)}; {card.name} has embeddings only"
        if "text" in inputs and own.class_text is None:
            return f"needs text features of the classes; {card.name} has none (array 'class_text')"
        if method_card.supervision.attribute_text and own.attribute_text is None:
            return f"needs text features of the attribute; {card.name} has none (array 'attribute_text')"
    elif backbone is not None:
        if "text" in inputs and not backbone.card.has_text:
            return f"needs a text tower; {backbone.card.name} has an image tower only"
        if "regions" in inputs:
            return "needs regions, which no feature builder makes yet"
        if method_card.supervision.attribute_text and not card.attribute_prompts:
            return f"needs names of the spurious attribute; {card.name} has none"
        if rules.prompts is not None and "text" in inputs:
            try:
                card.prompt_set(rules.prompts)
            except KeyError:
                known = ", ".join(prompts.name for prompts in card.prompts)
                return f"{card.name} has no prompt set '{rules.prompts}' (it has {known})"
    totals = {split: sum(examples.group_totals(split)) for split in ("train", "val", "test")}
    if not totals["test"]:
        return f"{card.name} has no test split"
    if not totals["train"] and method_card.trains != "nothing":
        return f"trains {method_card.trains}, and {card.name} has no training split"
    if not totals["val"] and (method_card.trains != "nothing" or method_card.supervision.val_groups):
        return f"needs validation to choose a configuration; {card.name} has no validation split"
    return ""


def key_parts(method: Any, data: LoadedData, backbone: Backbone | None, rules: Rules) -> dict[str, Any]:
    """Everything that a record's numbers depend on, apart from the seed."""
    card = method.card
    parts: dict[str, Any] = {
        "protocol": rules.protocol,
        "configurations": rules.tracks[card.track].configurations,
        "selection": list(rules.selection),
        "validation_fit_share": rules.validation_fit_share,
        "data": data.fingerprint,
        "backbone": backbone.fingerprint if backbone is not None else "own",
        "method": source_hash(method),
        "harness": harness_hash(),
        "space": describe_space(method.space),
        "supervision": list(card.supervision.words),
        "inputs": sorted(card.inputs),
        "refit": card.refit,
    }
    if "text" in card.inputs and data.examples.features is None:
        prompts = data.card.prompt_set(rules.prompts)
        # A list of open_clip's is known by its name there and the version that ships it.
        shipped = [prompts.open_clip_list, version("open_clip_torch")] if prompts.open_clip_list else []
        parts["prompts"] = [prompts.name, list(prompts.templates), shipped]
        parts["attribute_prompts"] = list(data.card.attribute_prompts)
    return parts


def _with_states(row: Row, seeds: int, *, force: bool) -> Row:
    try:
        record = read_record(row.path)
        if record is not None and record.key == row.key:
            read_predictions(row.path, record)
    except DataError as error:
        return _every(row, seeds, "stale", str(error))
    if record is None:
        return _every(row, seeds, "missing", "not run yet")
    if (record.dataset, record.backbone, record.method) != (row.dataset, row.backbone, row.method):
        other = " / ".join((record.dataset, record.backbone, record.method))
        reason = f"{row.path} holds the record of {other}; this file system does not tell the names apart"
        return _every(row, seeds, "impossible", reason)
    if force or record.key != row.key:
        reason = "--force" if force else f"changed since: {', '.join(_changed(record.key_parts, row.key_parts))}"
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


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return sorted(changed) or ["key"]
