"""Run jobs in this process."""

from __future__ import annotations

import time

from ..errors import SpurbenchError
from ..evaluation import evaluate
from ..jobs import Finished, Job, Listener, Started, failed, short_traceback
from ..registry import Registries
from ..workbench import Workbench


class InlineExecutor:
    """Runs jobs where it is called. Data, tower and features stay loaded while jobs share them."""

    def __init__(self, registries: Registries) -> None:
        self.registries = registries
        self._bench: Workbench | None = None

    def run(self, job: Job, listen: Listener) -> None:
        """Prepare what the job needs, then compute its seeds one by one; an exception fails its seed and no other."""
        if self._bench is None or self._bench.name != (job.dataset, job.backbone):
            self._bench = Workbench(self.registries, job)
        try:
            prepared = self._bench.prepare(job, self.registries.methods.get(job.method), listen)
        except Exception as error:
            for seed in job.seeds:
                listen(Finished(failed(seed, error, _trace(error)), {}, 0.0))
            return
        for seed in job.seeds:
            listen(Started(seed))
            started = time.perf_counter()
            try:
                method = self.registries.methods.fresh(job.method)
                result, predictions = evaluate(method, prepared, job.rules, seed)
            except (Exception, SystemExit) as error:
                result, predictions = failed(seed, error, _trace(error)), {}
            listen(Finished(result, predictions, time.perf_counter() - started))

    def close(self) -> None:
        """Let go of data and models."""
        self._bench = None


def _trace(error: BaseException) -> str:
    """A traceback where the error is not one of ours, whose message says it all."""
    return "" if isinstance(error, SpurbenchError) else short_traceback(error)
