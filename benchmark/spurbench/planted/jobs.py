"""What is asked of a worker, and the events that it answers with, as plain picklable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..jobs import Job
from .record import Found, PlantedSeed


@dataclass(frozen=True)
class PlantedJob:
    """One model: fine-tune it, then ask everybody who has not been asked.

    Attributes:
        job: data set, backbone, the method that fine-tunes the model, one seed, and how to compute.
        label: the class that the feature is planted with.
        discoverers, mitigations: by name, the key that their results have.
        enough: Precision@10 of the first discoverer above which mitigations are run.
        before: what is known of this seed already; what has the right key is kept.
    """

    job: Job
    label: int
    discoverers: tuple[tuple[str, str], ...]
    mitigations: tuple[tuple[str, str], ...]
    enough: float
    before: PlantedSeed | None = None

    @property
    def seed(self) -> int:
        """The seed."""
        (seed,) = self.job.seeds
        return seed

    def missing(self, threshold: float) -> bool:
        """Whether anything is left to do for a model that is made.

        Args:
            threshold: effects up to which a model does not use the shortcut, and nobody is asked.
        """
        before = self.before
        if before is None or before.least is None:
            return True
        if before.least <= threshold:
            return False
        if any(name not in before.found or before.found[name].key != key for name, key in self.discoverers):
            return True
        return self.succeeded(before.found) and any(
            name not in before.mitigated or before.mitigated[name].key != key for name, key in self.mitigations
        )

    def succeeded(self, found: Mapping[str, Found]) -> bool:
        """Whether the first discoverer found what was planted."""
        name = self.discoverers[0][0]
        return name in found and found[name].precision_at(10) > self.enough


@dataclass(frozen=True)
class Doing:
    """What is being done now, for a person to read."""

    text: str


@dataclass(frozen=True)
class Done:
    """A model has been asked everything, or failed."""

    result: PlantedSeed
    seconds: float


PlantedEvent: TypeAlias = "Doing | Done"
