"""Families of settings: what is planted where, how strongly, and who is to find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import product

import yaml
from pydantic import Field, ValidationError, model_validator

from ..errors import UnknownNameError, UsageError
from ..rules import Strict, names_in

FOLDER = "planted/families"


class Base(Strict):
    """A data set in which a feature can be planted with any of some classes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    dataset: str
    """Its name, with `{label}` and `{strength}` where these stand."""
    labels: list[str] = Field(min_length=1)
    """Classes that the feature is planted with, one per setting, as the data set's name spells them."""
    model: str
    """The method that fine-tunes the model under study, pins included."""
    mitigations: list[str] = Field(default_factory=list)
    """Methods that start from the same backbone and are to leave the shortcut alone, pins included."""
    strengths: list[float] = Field(default_factory=list)
    """In the place of the family's."""
    backbones: list[str] = Field(default_factory=list)
    """In the place of the family's."""

    @model_validator(mode="after")
    def _placeholders(self) -> Base:
        try:
            text = self.dataset.format(label="l", strength="s")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"dataset {self.dataset!r} has other placeholders than label and strength") from error
        if text == self.dataset or "{strength}" not in self.dataset:
            raise ValueError(f"dataset {self.dataset!r} needs {{strength}}, and {{label}} if there are several labels")
        return self


class Family(Strict):
    """Bases x labels x strengths x backbones x seeds."""

    description: str
    bases: list[Base] = Field(min_length=1)
    strengths: list[float] = Field(min_length=1)
    """Cramer's V between feature and class in training, 0 to 1."""
    backbones: list[str] = Field(min_length=1)
    seeds: int = Field(ge=1)
    discoverers: list[str] = Field(min_length=1)


@dataclass(frozen=True)
class Setting:
    """One planted pair under one backbone: all seeds of it are one record."""

    base: Base
    label: str
    strength: float
    backbone: str

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.base.dataset.format(label=self.label, strength=f"{self.strength:g}")


@dataclass(frozen=True)
class Choice:
    """What the command line takes of a family; None takes all."""

    bases: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    strengths: Sequence[float] | None = None
    backbones: Sequence[str] | None = None

    def settings(self, family: Family) -> list[Setting]:
        """The settings in the family's order, strength varying fastest. Raises UsageError where nothing is left."""
        known = {base.name for base in family.bases}
        for name in self.bases or ():
            if name not in known:
                raise UnknownNameError("base", name, known)
        found = [
            Setting(base, label, strength, backbone)
            for base in family.bases
            if self.bases is None or base.name in self.bases
            for backbone in self.backbones or base.backbones or family.backbones
            for label, strength in product(base.labels, self.strengths or base.strengths or family.strengths)
            if self.labels is None or label in self.labels
        ]
        if not found:
            labels = sorted({label for base in family.bases for label in base.labels})
            raise UsageError(f"no setting is left; the family's labels are {', '.join(labels)}")
        return found


def load_family(name: str) -> Family:
    """A family of the package. Raises UnknownNameError."""
    known = names_in(FOLDER)
    if name not in known:
        raise UnknownNameError("family", name, known)
    text = (resources.files("spurbench") / FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return Family.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise UsageError(f"{FOLDER}/{name}.yaml does not hold a valid family: {error}") from error
