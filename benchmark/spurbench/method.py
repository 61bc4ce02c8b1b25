"""The contract of a method: `fit` a `Task` under a configuration, return one or more `Predictor`s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from .cards import MethodCard
from .data import View
from .errors import ConfigurationError, MethodError, SupervisionError
from .seeds import Seed
from .space import Config, Distribution
from .text_space import TextSpace


class Predictor(Protocol):
    """What `fit` returns: a fitted model, asked for logits on views that carry neither y nor a."""

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) float scores, one row per example of the view, larger meaning more likely."""


@dataclass(frozen=True)
class Task:
    """What one fit is given.

    Attributes:
        train: the training split.
        n_classes, n_attributes: K and A.
        text: the text side.
        seed: where all of the fit's randomness comes from.
        device: where to compute.
        val_view: the part of validation that the method may fit on; None unless its card declares `val_groups`.
    """

    method: str
    train: View
    n_classes: int
    n_attributes: int
    text: TextSpace
    seed: Seed
    device: torch.device
    val_view: View | None = None

    @property
    def n_groups(self) -> int:
        """K*A."""
        return self.n_classes * self.n_attributes

    @property
    def val(self) -> View:
        """The method's part of the validation split; the harness selects on the rest, which the method never sees."""
        if self.val_view is None:
            raise SupervisionError(
                f"method '{self.method}' reads the validation split without declaring it: "
                f"write {self.text.supervision.with_word('val_groups')} on its MethodCard"
            )
        return self.val_view


class Method(Protocol):
    """A mitigation method. A class of this shape, registered under its card's name, is all a new method needs.

    `fit` returns one or more candidates: a method that stops early returns snapshots along training and leaves the
    choice to the harness, as for any other hyper-parameter. It reads no files, prints nothing and takes its
    randomness from `task.seed`. A method may also define `fit_many(task, configs) -> list[Sequence[Predictor]]`,
    which fits all configurations at once; the default calls `fit` for each.
    """

    card: MethodCard
    space: Mapping[str, Distribution]

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """Fit under one configuration."""


Fitted: TypeAlias = "Sequence[Predictor] | ConfigurationError"


def fit_many(method: Method, task: Task, configs: Sequence[Config]) -> list[Fitted]:
    """Candidates for each configuration, by the method's own `fit_many` if it has one.

    A configuration whose fit raises ConfigurationError is lost, and the error stands in its place.
    """
    batched = getattr(method, "fit_many", None)
    fitted = [_fit(method, task, config) for config in configs] if batched is None else list(batched(task, configs))
    if len(fitted) != len(configs):
        raise MethodError(f"fit_many returned {len(fitted)} results for {len(configs)} configurations")
    for candidates in fitted:
        if isinstance(candidates, ConfigurationError):
            continue
        if not isinstance(candidates, Sequence) or not candidates:
            raise MethodError(f"fit must return a sequence of one or more predictors, not {type(candidates).__name__}")
    return fitted


def _fit(method: Method, task: Task, config: Config) -> Fitted:
    try:
        return method.fit(task, config)
    except ConfigurationError as error:
        return error
