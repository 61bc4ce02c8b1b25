"""The contract of a method: `fit` a `Task` under a configuration, return one or more `Predictor`s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch

from .cards import MethodCard
from .data import View
from .errors import ConfigurationError, MethodError, SupervisionError
from .model_space import ModelSpace
from .scratch import MemoryScratch, Scratch
from .seeds import Seed
from .space import Config, Distribution
from .text_space import TextSpace


class Predictor(Protocol):
    """What `fit` returns: a fitted model, asked for logits on views that carry neither y nor a.

    A predictor may say in an attribute `trained_parameters` how many parameters were trained: the board shows it. A
    class of predictors may also have `logits_many(predictors, view) -> (B, n, K)`, a static method that asks many of
    them at once; each gets the logits that it gives alone.
    """

    def logits(self, view: View) -> torch.Tensor:
        """(n, K) float scores, one row per example of the view, larger meaning more likely."""


@dataclass(frozen=True)
class Task:
    """What one fit is given.

    Attributes:
        train: the training split.
        n_classes, n_attributes: K and A.
        text: the text side.
        model: the backbone's modules, to be trained.
        seed: where all of the fit's randomness comes from.
        device: where to compute.
        val_view: the part of validation that the method may fit on; its classes where its card
            declares `val_labels`, its groups as well where it declares `val_groups`; None where it declares neither.
        memory_limit: bytes that a fit may use for itself; it splits its work, and results do not change.
        scratch: where a long fit keeps what it has reached, so that a killed run goes on from there.
    """

    method: str
    train: View
    n_classes: int
    n_attributes: int
    text: TextSpace
    model: ModelSpace
    seed: Seed
    device: torch.device
    val_view: View | None = None
    memory_limit: int = 2 * 2**30
    scratch: Scratch = field(default_factory=MemoryScratch)

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
                f"write {self.text.supervision.with_word('val_labels')} on its MethodCard, "
                "or val_groups=True to be given its groups as well"
            )
        return self.val_view


@dataclass(frozen=True)
class Problem:
    """One thing to fit: a task, hence a seed, under one configuration."""

    task: Task
    config: Config


class Method(Protocol):
    """A mitigation method. A class of this shape, registered under its card's name, is all a new method needs.

    `fit` returns one or more candidates: a method that stops early returns snapshots along training and leaves the
    choice to the harness, as for any other hyper-parameter. It reads no files, prints nothing and takes its
    randomness from `task.seed`. A method may also define `fit_many(problems) -> list[Fitted]`, which fits all
    configurations of all seeds at once (see `BatchedMethod`); the default calls `fit` for each.
    """

    card: MethodCard
    space: Mapping[str, Distribution]

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """Fit under one configuration."""


Fitted: TypeAlias = "Sequence[Predictor] | ConfigurationError"


class BatchedMethod(ABC):
    """Base of methods that fit many problems in one computation; one problem is a batch of one.

    The tasks of one call differ in seed, and so in what hangs on it: `val`, and groups where they were inferred. Their
    training examples are the same, in the same order. What a problem gives must not depend on its company.
    """

    @abstractmethod
    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Candidates for each problem; a ConfigurationError in the place of one that is lost."""

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """Candidates for one problem. Raises ConfigurationError if it is lost."""
        (fitted,) = self.fit_many([Problem(task, config)])
        if isinstance(fitted, ConfigurationError):
            raise fitted
        return fitted


@dataclass(frozen=True)
class Bundle:
    """The problems of one task: they share its seed and data, and differ in their configuration.

    Attributes:
        places: where the problems stand in the batch that they were taken from.
    """

    task: Task
    configs: tuple[Config, ...]
    places: tuple[int, ...]

    def column(self, name: str) -> torch.Tensor:
        """(C,) float32: one hyper-parameter of every configuration, on the task's device."""
        return torch.tensor([float(config[name]) for config in self.configs], device=self.task.device)


def bundles(problems: Sequence[Problem]) -> list[Bundle]:
    """The problems task by task, in order of first appearance."""
    places: dict[int, list[int]] = {}
    for place, problem in enumerate(problems):
        places.setdefault(id(problem.task), []).append(place)
    return [
        Bundle(problems[where[0]].task, tuple(problems[i].config for i in where), tuple(where))
        for where in places.values()
    ]


def in_place(parts: Sequence[Bundle], results: Sequence[Sequence[Fitted]]) -> list[Fitted]:
    """What was fitted bundle by bundle, in the order of the problems."""
    by_place = {
        place: fitted
        for part, some in zip(parts, results, strict=True)
        for place, fitted in zip(part.places, some, strict=True)
    }
    return [by_place[place] for place in range(len(by_place))]


def fits_many(method: object) -> bool:
    """Whether a method can fit the problems of several seeds in one call."""
    return callable(getattr(method, "fit_many", None))


def fit_many(method: Method, problems: Sequence[Problem]) -> list[Fitted]:
    """Candidates for each problem, by the method's own `fit_many` if it has one.

    A configuration whose fit raises ConfigurationError is lost, and the error stands in its place.
    """
    many = getattr(method, "fit_many", None)
    fitted: list[Fitted] = [_fit(method, problem) for problem in problems] if many is None else list(many(problems))
    if len(fitted) != len(problems):
        raise MethodError(f"fit_many returned {len(fitted)} results for {len(problems)} problems")
    for candidates in fitted:
        if isinstance(candidates, ConfigurationError):
            continue
        if not isinstance(candidates, Sequence) or not candidates:
            raise MethodError(f"fit must return a sequence of one or more predictors, not {type(candidates).__name__}")
    return fitted


def _fit(method: Method, problem: Problem) -> Fitted:
    try:
        return method.fit(problem.task, problem.config)
    except ConfigurationError as error:
        return error
