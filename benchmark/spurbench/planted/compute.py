"""One planted model: made, found to use the shortcut or not, and shown to discoverers and mitigations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..data import Places
from ..discovery import Evidence
from ..discovery.evidence import gather
from ..errors import ConfigurationError, SpurbenchError
from ..files import digest
from ..finetuning import TunedTower
from ..isolation import threads_for
from ..jobs import Event, Stage, short_traceback
from ..metrics import group_counts
from ..provenance import environment
from ..record import Failure
from ..regions import Frames, truth
from ..regions.placing import in_view, photo_sizes
from ..registry import Registries
from ..seeds import Seed
from ..study import fit_once, look
from ..tasks import Prepared
from ..workbench import SCRATCH, Workbench
from .jobs import Doing, Done, PlantedEvent, PlantedJob
from .record import DEEPEST, Found, Judged, Mitigated, PlantedSeed
from .validity import THRESHOLD, effects

Tell = Callable[[PlantedEvent], None]


class PlantedWorker:
    """Computes planted models, one after the other. Data and tower stay loaded while jobs share them."""

    def __init__(self, registries: Registries) -> None:
        self.registries = registries
        self._bench: Workbench | None = None

    def __call__(self, job: PlantedJob, tell: Tell) -> None:
        """Compute a model; whatever goes wrong is its result."""
        started = time.perf_counter()
        try:
            if self._bench is None or not self._bench.serves(job.job):
                self._bench = Workbench(self.registries, job.job)
            # Models are made side by side, each on one core: so their number decides no result.
            with threads_for("head"):
                result = _Model(self.registries, self._bench, job, tell).result()
        except (Exception, SystemExit) as error:
            result = PlantedSeed(seed=job.seed, status="failed", failure=_failure(error))
        tell(Done(result, time.perf_counter() - started))


def _failure(error: BaseException) -> Failure:
    told = isinstance(error, SpurbenchError)
    message = str(error) if told else f"{type(error).__name__}: {error}"
    return Failure(message=message, traceback="" if told else short_traceback(error))


@dataclass
class _Model:
    """One model on its way."""

    registries: Registries
    bench: Workbench
    job: PlantedJob
    tell: Tell

    def result(self) -> PlantedSeed:
        """The model's counts, and what everybody makes of it if it uses the shortcut."""
        before = self.job.before
        judged = before.judged if before is not None and before.judged is not None else self._judged(self._model)
        found_effects = effects(judged.image, self._test_total, self.job.label)
        result = PlantedSeed(
            seed=self.job.seed,
            status="ok",
            judged=judged,
            gained=found_effects.gained,
            lost=found_effects.lost,
            environment=environment(self.job.job.device),
        )
        # Without the shortcut there is nothing to be found.
        if found_effects.least <= THRESHOLD:
            return result
        found = {name: self._found(name, key) for name, key in self.job.discoverers}
        mitigated = {}
        if self.job.succeeded(found):
            mitigated = {name: self._mitigated(name, key) for name, key in self.job.mitigations}
        shown = {"regions": before.regions, "planted_regions": before.planted_regions} if before else {}
        if not shown or not shown["regions"]:
            shown = {"regions": len(self._truth), "planted_regions": int(self._truth.sum())}
        return result.model_copy(update={**shown, "found": found, "mitigated": mitigated})

    def _found(self, name: str, key: str) -> Found:
        before = self.job.before
        if before is not None and name in before.found and before.found[name].key == key:
            return before.found[name]
        evidence, shows = self._evidence, self._truth
        self.tell(Doing(f"{name} looks for what was planted"))
        try:
            discovery = self.registries.discoverers.fresh(name).discover(evidence, self._seed.derive("discover"))
            top = discovery.findings[0] if discovery.findings else None
            return Found(
                key=key,
                findings=len(discovery.findings),
                hits=[] if top is None else [1 if shows[row] else 0 for row in top.regions[:DEEPEST].tolist()],
                label=None if top is None else top.label,
                score=None if top is None else top.score,
                p_value=None if top is None else top.p_value,
            )
        except Exception as error:
            return Found(key=key, findings=0, hits=[], error=_failure(error).message)

    def _mitigated(self, name: str, key: str) -> Mitigated:
        before = self.job.before
        if before is not None and name in before.mitigated and before.mitigated[name].key == key:
            return before.mitigated[name]
        self.tell(Doing(f"{name} fine-tunes"))
        try:
            model, _ = self._fitted(name, key)
            judged = self._judged(model)
        except Exception as error:
            return Mitigated(key=key, error=_failure(error).message)
        return Mitigated(key=key, judged=judged)

    def _fitted(self, name: str, key: str) -> tuple[TunedTower, Prepared]:
        """A method's model. All of a seed share their scratch, so that what several begin with is done once."""
        method = self.registries.methods.fresh(name)
        prepared = self.bench.prepare(replace(self.job.job, method=name, key=key), method, self._heard)
        together = digest([self.job.job.key, self.job.job.device, prepared.card.name])[:32]
        prepared = replace(prepared, scratch=self.job.job.cache / SCRATCH / f"planted-{together}")
        return fit_once(method, prepared, self._seed), prepared

    @cached_property
    def _tuned(self) -> tuple[TunedTower, Prepared]:
        self.tell(Doing("the model is fine-tuned"))
        return self._fitted(self.job.job.method, self.job.job.key)

    @property
    def _model(self) -> TunedTower:
        return self._tuned[0]

    @property
    def _prepared(self) -> Prepared:
        return self._tuned[1]

    @property
    def _seed(self) -> Seed:
        data, backbone = self.bench.data.fingerprint, self.bench.backbone.fingerprint
        return Seed(("planted", data, backbone, self.job.seed))

    @property
    def _test_total(self) -> list[int]:
        return self.bench.data.examples.group_totals("test")

    def _judged(self, model: TunedTower) -> Judged:
        """A model's counts on test: of whole images, and of the boxes of their objects alone."""
        examples = self.bench.data.examples
        rows = examples.rows("test")
        boxes = torch.from_numpy(self._places("test").objects[:, None])
        unit = torch.nn.functional.normalize(look(model, self._prepared, rows, boxes), dim=-1)
        logits = unit @ model.weight.cpu().T + model.bias.cpu()
        if not bool(torch.isfinite(logits).all()):
            raise ConfigurationError("the model's logits are NaN or infinite")
        groups, n_groups = examples.groups[rows], 2 * examples.n_classes
        image, region = (
            group_counts(examples.y[rows], groups, logits[:, side].argmax(dim=1).numpy().astype(np.int16), n_groups)[0]
            for side in (0, 1)
        )
        return Judged(image=image, region=region)

    def _places(self, split: str) -> Places:
        """Where things are in a split's photos, in shares of what the tower sees."""
        data: Any = self.bench.data
        rows = data.examples.rows(split)
        frames = Frames(self.bench.tower().preprocess)
        return in_view(data.dataset.places(data.root, rows), photo_sizes(data.examples.photos, rows.tolist()), frames)

    @cached_property
    def _boxes(self) -> torch.Tensor:
        """(n, r, 4) of the validation photos' regions, in shares of the view."""
        rows = torch.from_numpy(self.bench.data.examples.rows("val"))
        return self.bench.regions(self._heard).boxes[rows]

    @cached_property
    def _evidence(self) -> Evidence:
        rows = self.bench.data.examples.rows("val")
        embeddings = look(self._model, self._prepared, rows, self._boxes)
        y = torch.from_numpy(self.bench.data.examples.y[rows])
        present = ~self._boxes.isnan().any(dim=-1)
        return gather(embeddings, present, self._model.weight.cpu(), self._model.bias.cpu(), y)

    @cached_property
    def _truth(self) -> torch.Tensor:
        """(m,) whether each of the evidence's regions shows the planted feature."""
        shown = truth(self._boxes.numpy(), self._places("val"))
        return torch.from_numpy(shown[(~self._boxes.isnan().any(dim=-1)).numpy()])

    def _heard(self, event: Event) -> None:
        if isinstance(event, Stage):
            self.tell(Doing(f"{event.text} {event.done}/{event.total}" if event.total else event.text))
