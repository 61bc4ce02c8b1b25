"""`Pinned`: a method with hyper-parameters set by whoever runs it, as in `group_dro:eta=0.1`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .errors import UsageError
from .method import Fitted, Method, Predictor, Problem, Task, fit_many, fits_many
from .space import Config, Distribution


class Pinned:
    """`base` with some of its hyper-parameters pinned: `NAME=VALUE`, joined by colons.

    Its card is the base's under a name that says what is pinned, in alphabetical order, so that each way of writing the
    same has one record. A `Switch` can only be moved so; of the rest, nothing is searched over any more.

    Raises UsageError for a hyper-parameter that the base has not, a value that it cannot take, or one pinned twice.
    """

    def __init__(self, base: Method, argument: str) -> None:
        self.composed_of = (base,)
        self._base = base
        name = base.card.name
        pins: dict[str, Distribution] = {}
        for part in argument.split(":"):
            parameter, equals, text = part.partition("=")
            if not equals or parameter not in base.space or parameter in pins:
                known = ", ".join(sorted(base.space)) or "it has none"
                raise UsageError(
                    f"'{name}:{argument}': write {name}:HYPER-PARAMETER=VALUE, each once; those of {name}: {known}"
                )
            try:
                pins[parameter] = base.space[parameter].pinned(text)
            except ValueError as error:
                raise UsageError(f"'{name}:{argument}': {parameter} {error}") from error
        said = [f"{parameter}={pins[parameter].first}" for parameter in sorted(pins)]
        self.card = replace(base.card, name=":".join([name, *said]), title=f"{base.card.title}, {', '.join(said)}")
        self.space: Mapping[str, Distribution] = {**base.space, **pins}
        if fits_many(base):
            self.fit_many = self._fit_many

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The base's candidates."""
        return self._base.fit(task, config)

    def _fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        return fit_many(self._base, problems)
