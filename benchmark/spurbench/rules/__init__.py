"""The rules of evaluation, versioned; and the suites, named lists of what to run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..attribute_text import AttributeText
from ..cards import Track
from ..errors import UnknownNameError, UsageError

M = TypeVar("M", bound=BaseModel)
Selection = Literal["worst_group", "worst_class", "average"]


class Strict(BaseModel):
    """Unknown keys are errors, and values do not change after they were read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(Strict):
    """How much every method of one track may try."""

    seeds: int = Field(ge=1, le=10**6)
    configurations: int = Field(ge=1, le=10**6)


class Found(Strict):
    """How words for an attribute were found, for the record."""

    report: str
    """sha256 of the report that names them."""
    split: str
    """Whose photos and classes they were found on."""
    model: str
    """Whose errors they go with."""
    backbone: str
    seen_by: str
    words: str
    """sha256 of the vocabulary."""
    permutations: int
    chosen: list[str]
    """The words themselves."""


class ToldAttribute(Strict):
    """The spurious attribute of one data set as somebody other than its author puts it."""

    dataset: str
    """As its card names it."""
    data: str
    """Fingerprint of the photos and labels that the words were found in."""
    source: str
    """Who, and a hash of what they said, e.g. `suspects@1a2b3c4d`."""
    found: Found
    text: AttributeText


class Rules(Strict):
    """One version of the rules."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.+=@-]*$")
    description: str
    protocol: int
    tracks: dict[Track, Budget]
    selection: list[Selection] = Field(min_length=1)
    validation_fit_share: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    prompts: str | None = None
    """The prompt set in use; None is each data set's own headline set."""
    attribute: ToldAttribute | None = None
    """The words for the spurious attribute; None is each data set's own."""

    def variant(
        self, configurations: int | None = None, prompts: str | None = None, attribute: ToldAttribute | None = None
    ) -> Rules:
        """The same rules with another budget, prompt set or words for the attribute, under a name of their own, so that
        records stay apart.
        """
        rules = self
        if configurations is not None and {b.configurations for b in self.tracks.values()} != {configurations}:
            tracks = {
                track: Budget(seeds=budget.seeds, configurations=configurations)
                for track, budget in self.tracks.items()
            }
            rules = rules.model_copy(update={"name": f"{rules.name}+configs={configurations}", "tracks": tracks})
        if prompts is not None:
            rules = rules.model_copy(update={"name": f"{rules.name}+prompts={prompts}", "prompts": prompts})
        if attribute is not None:
            name = f"{rules.name}+attributes={attribute.source}"
            rules = rules.model_copy(update={"name": name, "attribute": attribute})
        return rules


@dataclass(frozen=True)
class Named:
    """What the name of some rules says of them.

    Attributes:
        base: name of the rules that they are a variant of.
        configurations, prompts: as `Rules.variant` was given them.
        attributes: who named the spurious attribute, which does not say how.
    """

    base: str
    configurations: int | None = None
    prompts: str | None = None
    attributes: str | None = None


_VARIANT = re.compile(
    r"(?P<base>[^+]*)(\+configs=(?P<configurations>[1-9]\d{0,5}))?(\+prompts=(?P<prompts>.*?))?"
    r"(\+attributes=(?P<attributes>suspects@[0-9a-f]{8}))?",
    re.DOTALL,
)


def named(rules: str) -> Named:
    """The parts of which `Rules.variant` makes a name; a name that is made otherwise is its own base."""
    found = _VARIANT.fullmatch(rules)
    if found is None:
        return Named(rules)
    configurations = found["configurations"]
    return Named(found["base"], int(configurations) if configurations else None, found["prompts"], found["attributes"])


class Suite(Strict):
    """What to run when the command line does not say."""

    description: str
    datasets: list[str]
    backbones: list[str]
    methods: list[str]
    tracks: dict[Track, list[str]] = Field(default_factory=dict)
    """Tracks that take long: on which of the data sets their methods run when neither is named; others run on all."""


def load_rules(name: str = "v1") -> Rules:
    """The named rules. Raises UnknownNameError."""
    return _load(Rules, "rules", "rules", name)


def load_suite(name: str = "embedded") -> Suite:
    """The named suite. Raises UnknownNameError."""
    return _load(Suite, "suites", "suite", name)


def names_in(folder: str) -> list[str]:
    """Names of the YAML files that the package ships in `rules` or `suites`."""
    files = (resources.files("spurbench") / folder).iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".yaml"))


def _load(model: type[M], folder: str, kind: str, name: str) -> M:
    known = names_in(folder)
    if name not in known:
        raise UnknownNameError(kind, name, known)
    text = (resources.files("spurbench") / folder / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return model.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise UsageError(f"{folder}/{name}.yaml does not hold valid {folder}: {error}") from error
