"""Which planted models there are to make, and which are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..backbones import Backbone, resolve
from ..errors import DataError, PluginError, SpurbenchError, UsageError
from ..files import digest
from ..jobs import Job
from ..keys import LoadedData, checked_method, impossible_reason, key_parts, load_data
from ..provenance import modules_hash, source_hash
from ..registry import Registries
from ..rules import load_rules
from ..session import Session
from .family import Setting
from .jobs import PlantedJob
from .record import PlantedRecord, PlantedSeed, planted_path, read_planted
from .validity import THRESHOLD

EVALUATION = ("planted.compute", "planted.validity", "study")
"""Harness modules that decide the numbers of planted records besides those that decide a method's."""
ENOUGH = 0.6
"""Precision@10 above which discovery counts as successful and mitigations are run, as in the paper."""


@dataclass(frozen=True)
class PlantedRow:
    """All seeds of one setting: what one record holds.

    Attributes:
        reason: why it cannot be made; empty where it can.
        key, key_parts: what the record must carry to be reused.
        model_key: of the method that fine-tunes the model, as any record of it would have.
        jobs: what is left to do.
        done: seeds for which nothing is.
    """

    setting: Setting
    path: Path
    reason: str = ""
    key: str = ""
    key_parts: dict[str, Any] = field(default_factory=dict)
    model_key: str = ""
    data: LoadedData | None = None
    backbone: str = ""
    label: int = 0
    jobs: tuple[PlantedJob, ...] = ()
    done: tuple[PlantedSeed, ...] = ()


def make_rows(
    session: Session,
    settings: Sequence[Setting],
    seeds: int,
    discoverers: Sequence[str],
    *,
    mitigate: bool,
    memory_limit: int,
) -> list[PlantedRow]:
    """The settings in order, each with what is left to do. Nothing is run.

    Args:
        discoverers: who is asked about every model; the first decides where mitigations are run.
        mitigate: whether they are.

    Raises:
        UsageError: a name that was written wrongly. What is merely absent becomes a row's reason.
    """
    planner = _Planner(session, seeds, discoverers, mitigate, memory_limit)
    return [planner.row(setting) for setting in settings]


def limited(rows: Sequence[PlantedRow], limit: int | None) -> list[PlantedRow]:
    """The same rows with at most `limit` models to make."""
    left = limit
    found = []
    for row in rows:
        some = row.jobs if left is None else row.jobs[: max(0, left)]
        left = None if left is None else left - len(row.jobs)
        found.append(replace(row, jobs=some))
    return found


def _discoverer_key(registries: Registries, name: str) -> str:
    thing = registries.discoverers.get(name)
    if not callable(getattr(thing, "discover", None)):
        raise PluginError(f"discoverer '{name}' from {registries.discoverers.origin(name)} has no `discover`")
    return digest([thing.card.name, source_hash(thing)])


class _Planner:
    """What the rows of one call have in common."""

    def __init__(
        self, session: Session, seeds: int, discoverers: Sequence[str], mitigate: bool, memory_limit: int
    ) -> None:
        self.session, self.seeds, self.mitigate, self.memory_limit = session, seeds, mitigate, memory_limit
        # One configuration, the first: nothing is selected here.
        self.rules = load_rules("v1").variant(configurations=1)
        self.discoverers = tuple((name, _discoverer_key(session.registries, name)) for name in discoverers)
        self.backbones: dict[str, Backbone | str] = {}

    def row(self, setting: Setting) -> PlantedRow:
        """A setting's row."""
        session = self.session
        registries, hashes = session.registries, session.setting.hashes
        name = setting.dataset
        try:
            data = load_data(registries, name, session.data_root, hashes, download=session.fetch)
            data.region_source()
            backbone = self._backbone(setting.backbone)
        except UsageError:
            raise
        except SpurbenchError as error:
            path = planted_path(session.results, name, setting.backbone)
            return PlantedRow(setting, path, reason=str(error))
        row = PlantedRow(
            setting, planted_path(session.results, name, backbone.card.name), data=data, backbone=backbone.card.name
        )
        label = getattr(data.dataset, "planted_label", None)
        if not isinstance(label, int) or not callable(getattr(data.dataset, "places", None)):
            return replace(row, reason=f"{name} does not say what is planted with which class, and where it is")
        method = checked_method(registries, setting.base.model)
        reason = impossible_reason(method.card, data, backbone, self.rules)
        if reason:
            return replace(row, reason=reason)
        of_model = key_parts(method, data, backbone, self.rules)
        parts = {
            **of_model,
            "evaluation": modules_hash(EVALUATION),
            "model": method.card.name,
            "looked_at": data.region_source().identity,
            "label": label,
        }
        row = replace(row, key=digest(parts), key_parts=parts, model_key=digest(of_model), label=label)
        return self._with_jobs(row, data, backbone)

    def _backbone(self, spec: str) -> Backbone:
        if spec not in self.backbones:
            try:
                self.backbones[spec] = resolve(self.session.registries.backbones, spec, self.session.setting)
            except UsageError:
                raise
            except SpurbenchError as error:
                self.backbones[spec] = str(error)
        found = self.backbones[spec]
        if isinstance(found, str):
            raise DataError(found)
        return found

    def _with_jobs(self, row: PlantedRow, data: LoadedData, backbone: Backbone) -> PlantedRow:
        record = self._record(row)
        by_seed = {result.seed: result for result in record.seeds if result.status == "ok"} if record else {}
        mitigations = self._mitigations(row.setting, data, backbone) if self.mitigate else ()
        jobs, done = [], []
        for seed in range(self.seeds):
            job = PlantedJob(self._job(row, seed), row.label, self.discoverers, mitigations, ENOUGH, by_seed.get(seed))
            if job.before is not None and not job.missing(THRESHOLD):
                done.append(job.before)
            else:
                jobs.append(job)
        return replace(row, jobs=tuple(jobs), done=tuple(done))

    def _record(self, row: PlantedRow) -> PlantedRecord | None:
        try:
            record = read_planted(row.path)
        except DataError:
            return None
        return record if record is not None and record.key == row.key and not self.session.force else None

    def _mitigations(self, setting: Setting, data: LoadedData, backbone: Backbone) -> tuple[tuple[str, str], ...]:
        found = []
        for name in setting.base.mitigations:
            method = checked_method(self.session.registries, name)
            if not impossible_reason(method.card, data, backbone, self.rules):
                found.append((method.card.name, digest(key_parts(method, data, backbone, self.rules))))
        return tuple(found)

    def _job(self, row: PlantedRow, seed: int) -> Job:
        session = self.session
        return Job(
            row.model_key,
            row.setting.dataset,
            row.setting.backbone,
            row.setting.base.model,
            (seed,),
            self.rules,
            session.data_root,
            session.cache,
            session.torch_device,
            session.precision,
            self.memory_limit,
            isolated=False,
        )
