"""`Composed`: a method that needs group labels, given inferred ones instead, as in `group_dro+george`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch

from .cards import InferenceCard, MethodCard, Supervision
from .errors import ConfigurationError, MethodError, UsageError
from .method import BatchedMethod, Fitted, Method, Problem, Task, bundles, fit_many
from .space import Config, Distribution


class GroupInference(Protocol):
    """Guesses groups of training examples. A class of this shape, registered under its card's name, is all it takes.

    It is bound by a method's rules: randomness from `task.seed`, no files, no more supervision than its card declares.
    """

    card: InferenceCard
    space: Mapping[str, Distribution]

    def infer(self, task: Task, config: Config) -> torch.Tensor:
        """(n,) int64 pseudo-attribute of the training examples, from 0: with the class it makes the pseudo-group."""


class Composed(BatchedMethod):
    """`base` on the training split with the groups that `inference` guesses, anew for each seed and configuration.

    Its card declares what the inference declares, not the training groups that the base would have needed. Its space is
    both spaces; the inference's hyper-parameters carry its name in front, as in `george.clusters`.

    Raises UsageError if the base takes no training groups: there is nothing to infer for.
    """

    def __init__(self, base: Method, inference: GroupInference) -> None:
        self.composed_of = (base, inference)
        self._base, self._inference = base, inference
        own, other = base.card, inference.card
        if not own.supervision.train_groups:
            raise UsageError(
                f"'{own.name}+{other.name}': {own.name} takes no groups of training examples; there is nothing to infer"
            )
        self.card = MethodCard(
            name=f"{own.name}+{other.name}",
            title=f"{own.title}, groups: {other.title}",
            paper=f"{own.paper}; groups {other.paper}",
            supervision=Supervision(
                val_groups=own.supervision.val_groups,
                val_labels=own.supervision.val_labels,
                attribute_text=own.supervision.attribute_text or other.supervision.attribute_text,
            ),
            inputs=tuple(dict.fromkeys((*own.inputs, *other.inputs))),
            words=own.words,
            trains=own.trains,
            track=own.track,
            refit=own.refit,
        )
        self._prefix = f"{other.name}."
        self.space: Mapping[str, Distribution] = {
            **base.space,
            **{self._prefix + name: values for name, values in inference.space.items()},
        }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """The base's candidates for each problem."""
        given: list[Problem | ConfigurationError] = list(problems)
        for part in bundles(problems):
            known: dict[tuple[tuple[str, object], ...], Task | ConfigurationError] = {}
            for place, config in zip(part.places, part.configs, strict=True):
                guess = {n.removeprefix(self._prefix): v for n, v in config.items() if n.startswith(self._prefix)}
                key = tuple(sorted(guess.items()))
                if key not in known:
                    try:
                        known[key] = self._with_groups(part.task, guess)
                    except ConfigurationError as error:
                        known[key] = error
                task = known[key]
                rest = {n: v for n, v in config.items() if not n.startswith(self._prefix)}
                given[place] = task if isinstance(task, ConfigurationError) else Problem(task, rest)
        fitted = iter(fit_many(self._base, [item for item in given if isinstance(item, Problem)]))
        return [item if isinstance(item, ConfigurationError) else next(fitted) for item in given]

    def _with_groups(self, task: Task, config: Config) -> Task:
        """The task with inferred groups on its training split."""
        guess = self._inference.infer(_narrowed(task, self._inference.card), config)
        whole = isinstance(guess, torch.Tensor) and not guess.is_floating_point() and not guess.is_complex()
        if not whole or guess.shape != (len(task.train),) or (len(guess) and int(guess.min()) < 0):
            raise MethodError(
                f"group inference '{self._inference.card.name}' must return whole numbers from 0, one for each of the "
                f"{len(task.train)} training examples"
            )
        n_attributes = int(guess.max()) + 1 if len(guess) else 1
        train = task.train.with_groups(guess.cpu().numpy(), n_attributes)
        return replace(task, train=train, n_attributes=n_attributes)


def _narrowed(task: Task, card: InferenceCard) -> Task:
    """The task as far as an inference's own card opens it; the base may have declared more."""
    text = "text" in card.inputs
    named = card.supervision.attribute_text
    space = replace(
        task.text,
        method=card.name,
        supervision=card.supervision,
        class_vectors=task.text.class_vectors if text else None,
        attribute_vectors=task.text.attribute_vectors if named else None,
        encoder=task.text.encoder if text else None,
        prompted=task.text.prompted if text else None,
        templates=task.text.templates if text else (),
        class_names=task.text.class_names if text else (),
        words=(),
        attribute_text=None,
        concept_pairs=None,
    )
    train = task.train.narrowed(card.name, card.inputs, card.supervision)
    model = replace(task.model, method=card.name, inputs=card.inputs)
    return replace(task, method=card.name, train=train, text=space, model=model, val_view=None)
