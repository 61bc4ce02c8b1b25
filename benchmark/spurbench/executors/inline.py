"""Run jobs in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..errors import SpurbenchError
from ..evaluation import evaluate
from ..jobs import Finished, Job, Listener, Started, failed, short_traceback
from ..method import fits_many
from ..registry import Registries
from ..tasks import Prepared
from ..workbench import Workbench
from .peak import PeakMemory


class InlineExecutor:
    """Runs jobs where it is called. Data, tower and features stay loaded while jobs share them."""

    def __init__(self, registries: Registries) -> None:
        self.registries = registries
        self._bench: Workbench | None = None

    def run(self, job: Job, listen: Listener) -> None:
        """Prepare what the job needs and compute its seeds, at once where the method can. What fails, fails alone."""
        if self._bench is None or not self._bench.serves(job):
            self._bench = Workbench(self.registries, job)
        try:
            prepared = self._bench.prepare(job, self.registries.methods.get(job.method), listen)
        except Exception as error:
            for seed in job.seeds:
                listen(Finished(failed(seed, error, _trace(error)), {}, 0.0))
            return
        method = self.registries.methods.get(job.method)
        together = method.card.track == "head" and fits_many(method)
        for seeds in [job.seeds] if together else [(seed,) for seed in job.seeds]:
            self._evaluate(job, prepared, seeds, listen)

    def _evaluate(self, job: Job, prepared: Prepared, seeds: Sequence[int], listen: Listener) -> None:
        """Compute some seeds at once; where one of several spoils it for all, each by itself."""
        listen(Started(tuple(seeds)))
        started, memory = time.perf_counter(), PeakMemory(job.device)
        try:
            method = self.registries.methods.fresh(job.method)
            outcomes = evaluate(method, prepared, job.rules, seeds)
        except (Exception, SystemExit) as error:
            if len(seeds) > 1:
                for seed in seeds:
                    self._evaluate(job, prepared, (seed,), listen)
                return
            outcomes = [(failed(seeds[0], error, _trace(error)), {})]
        each = (time.perf_counter() - started) / len(seeds)
        for result, predictions in outcomes:
            listen(Finished(result, predictions, each, memory.bytes()))

    def close(self) -> None:
        """Let go of data and models."""
        self._bench = None


def _trace(error: BaseException) -> str:
    """A traceback where the error is not one of ours, whose message says it all."""
    return "" if isinstance(error, SpurbenchError) else short_traceback(error)
