"""Before CFR recalibrates: which training examples are wrong, and what lies near them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn.functional import normalize

from spurbench.errors import ConfigurationError
from spurbench.heads import shuffled
from spurbench.method import Bundle, Predictor
from spurbench.projections import PenultimateRows, ProjectionHead, Shared, Step, form_of, train
from spurbench.space import Config

from .erm_adapter import mean_cross_entropy
from .erm_projection import BATCH, text_side

EPOCHS, WEIGHT_DECAY = 10, 1e-5
"""Of stage 0."""
NEGATIVES = 16
CHUNK = 64 * 2**20
"""Bytes of features that are compared at once."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class Calibration:
    """The training examples as a first model sees them.

    Attributes:
        rows: their penultimate features.
        y: (n,) classes, on the CPU.
        correct: (n,) whether the first model gets them right.
        n_classes: K.
    """

    rows: PenultimateRows
    y: torch.Tensor
    correct: torch.Tensor
    n_classes: int

    @staticmethod
    def key(config: Config) -> Key:
        """What of a configuration decides on its calibration set."""
        return ("erm", config["erm_lr"]) if config["calibration"] == "erm" else ("pretrained",)

    @cached_property
    def wrong(self) -> torch.Tensor:
        """(m,) rows of the calibration set."""
        return torch.nonzero(~self.correct)[:, 0]

    @cached_property
    def right(self) -> list[torch.Tensor]:
        """For each class the rows that are predicted rightly."""
        return [torch.nonzero(self.correct & (self.y == k))[:, 0] for k in range(self.n_classes)]

    @cached_property
    def of_class(self) -> list[torch.Tensor]:
        """For each class all its rows."""
        return [torch.nonzero(self.y == k)[:, 0] for k in range(self.n_classes)]

    @cached_property
    def of_others(self) -> list[torch.Tensor]:
        """For each class the rows of all others."""
        return [torch.nonzero(self.y != k)[:, 0] for k in range(self.n_classes)]

    @cached_property
    def neighbours(self) -> torch.Tensor:
        """(m, NEGATIVES) rows of other classes that are nearest (cosine, before the projection) to each wrong one."""
        size = max(1, CHUNK // (4 * self.rows.shape.numel()))
        best = [torch.full((len(self.wrong), 0), 0.0), torch.zeros(len(self.wrong), 0, dtype=torch.long)]
        candidates = torch.arange(len(self.y))
        for some in torch.split(candidates, size):
            theirs = normalize(self.rows[some].flatten(1), dim=1)
            similarity = torch.cat(
                [normalize(self.rows[part].flatten(1), dim=1) @ theirs.T for part in torch.split(self.wrong, size)]
            ).cpu()
            similarity[self.y[self.wrong][:, None] == self.y[some]] = -torch.inf
            value = torch.cat([best[0], similarity], dim=1)
            row = torch.cat([best[1], some.expand(len(self.wrong), -1)], dim=1)
            value, place = value.topk(min(NEGATIVES, value.shape[1]), dim=1)
            best = [value, row.gather(1, place)]
        return best[1]


def calibrations(part: Bundle, shared: Shared) -> Mapping[Key, Calibration | ConfigurationError]:
    """The calibration sets of a seed's configurations, by key; those of ERM are trained side by side.

    In the place of one that cannot be had, why.
    """
    task, y = part.task, shared.y.cpu()
    lrs = sorted({float(config["erm_lr"]) for config in part.configs if config["calibration"] == "erm"})
    form, weights = form_of(task.model.projection())
    zero_shot = ProjectionHead(form, weights, task.text.classes().to(task.device), 1.0)
    models: dict[Key, Predictor] = {("pretrained",): zero_shot}
    if lrs:
        configs = tuple({**part.configs[0], "lr": lr, "weight_decay": WEIGHT_DECAY} for lr in lrs)
        first = Bundle(task, configs, tuple(range(len(lrs))))
        batches = shuffled(len(y), BATCH, task.seed.derive("first model").torch())

        def loss(step: Step) -> torch.Tensor:
            return mean_cross_entropy(step.zero_shot_logits(step.embed(step.batch)), shared.y[step.batch])

        trained = train(first, shared.rows, text_side(first), loss, batches, -(-len(y) // BATCH), [EPOCHS])
        for lr, candidates in zip(lrs, trained, strict=True):
            assert not isinstance(candidates, ConfigurationError)
            models["erm", lr] = candidates[0]
    return {key: _seen(model.logits(task.train), y, shared, task.n_classes) for key, model in models.items()}


def _seen(logits: torch.Tensor, y: torch.Tensor, shared: Shared, n_classes: int) -> Calibration | ConfigurationError:
    if not bool(torch.isfinite(logits).all()):
        return ConfigurationError("the first model diverged: its logits are NaN or infinite")
    correct = logits.argmax(dim=1) == y
    if bool(correct.all()):
        return ConfigurationError("the first model gets every training example right: there is nothing to calibrate")
    return Calibration(shared.rows, y, correct, n_classes)
