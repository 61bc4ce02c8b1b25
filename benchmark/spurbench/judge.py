"""`Judge`: asks predictors for logits on label-free views, checks them, and counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import metrics
from .calibration import Scores, score
from .data import Ints, View
from .errors import ConfigurationError, MethodError
from .method import Method, Predictor
from .tasks import Prepared, shuffle, view_of

Predictions = NDArray[np.int16]


@dataclass(frozen=True)
class Judged:
    """What one predictor makes of some rows.

    Attributes:
        classes: (n,) predicted classes.
        scores: what its logits say besides; None where nobody asked.
    """

    classes: Predictions
    scores: Scores | None


@dataclass(frozen=True)
class Judge:
    """Judges the predictors of one method."""

    method: Method
    prepared: Prepared

    def predict(
        self, predictors: Sequence[Predictor], rows: Ints, *, scored: bool = False
    ) -> list[Judged | ConfigurationError]:
        """What each predictor makes of the rows; in the place of NaN or infinite logits, an error that says so.

        Predictors see the rows shuffled: a file's order may spell out classes or groups.

        Raises MethodError for anything but (n, K) logits.
        """
        order = shuffle(len(rows))
        view = view_of(self.method, self.prepared, "evaluation", rows[order])
        outcomes: list[Judged | ConfigurationError] = []
        for kind, some in groupby(predictors, type):
            outcomes += [self._judged(logits, rows, order, scored) for logits in self._logits(kind, list(some), view)]
        return outcomes

    def _logits(self, kind: type, predictors: list[Predictor], view: View) -> Iterable[Any]:
        if not hasattr(kind, "logits"):
            raise MethodError(f"fit returned a {kind.__name__}, which has no logits(view)")
        many = getattr(kind, "logits_many", None)
        if many is None:
            return _one_by_one(predictors, view)
        answers: Any = many(predictors, view)
        if not isinstance(answers, torch.Tensor | Sequence) or len(answers) != len(predictors):
            got = f"{len(answers)} results" if isinstance(answers, torch.Tensor | Sequence) else type(answers).__name__
            raise MethodError(f"logits_many returned {got} for {len(predictors)} predictors")
        return answers

    def _judged(self, logits: Any, rows: Ints, order: Ints, scored: bool) -> Judged | ConfigurationError:
        expected = (len(order), self.prepared.examples.n_classes)
        if isinstance(logits, ConfigurationError):
            return logits
        if not isinstance(logits, torch.Tensor):
            raise MethodError(f"logits must be a torch.Tensor of shape {expected}, not {type(logits).__name__}")
        if tuple(logits.shape) != expected:
            raise MethodError(f"logits must have shape {expected} (examples, classes), not {tuple(logits.shape)}")
        logits = logits.detach().float().cpu()
        finite = torch.isfinite(logits).all(dim=1)
        if not bool(finite.all()):
            wrong = int((~finite).sum())
            return ConfigurationError(f"logits are NaN or infinite for {wrong} of {len(order)} examples")
        examples = self.prepared.examples
        if examples.candidates is not None:
            among = torch.from_numpy(examples.candidates)[torch.from_numpy(examples.y[rows[order]])]
            logits = logits.masked_fill(~among, -torch.inf)
        found = logits.argmax(dim=1).numpy()
        predictions = np.empty(len(order), dtype=np.int16)
        predictions[order] = found
        return Judged(predictions, score(logits.numpy(), examples.y[rows[order]], found) if scored else None)

    def correct(self, predictions: Predictions, rows: Ints) -> list[int]:
        """Correct per group."""
        examples = self.prepared.examples
        n_groups = examples.n_classes * examples.n_attributes
        return metrics.group_counts(examples.y[rows], examples.groups[rows], predictions, n_groups)[0]

    def totals(self, rows: Ints) -> list[int]:
        """Examples per group."""
        examples = self.prepared.examples
        counts = np.bincount(examples.groups[rows], minlength=examples.n_classes * examples.n_attributes)
        return [int(count) for count in counts]


def _one_by_one(predictors: list[Predictor], view: View) -> Iterator[Any]:
    """Logits as they are asked for: nobody knows how large they are."""
    for predictor in predictors:
        try:
            yield predictor.logits(view)
        except ConfigurationError as error:
            yield error
