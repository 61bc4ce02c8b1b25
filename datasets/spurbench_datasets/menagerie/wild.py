"""Every species in every place, as somebody who photographs animals has them: what the builder is tried on."""

from __future__ import annotations

from spurbench.cards import DatasetCard

from .animals import NAMES as SPECIES_NAMES
from .animals import SPECIES
from .exact import Draws, Ints
from .places import NAMES as PLACE_NAMES
from .scenes import Scenes
from .wording import ANIMAL_CONCEPTS, PLACE
from .worlds import CAPTIONS, LICENCE, PHOTO, PLAIN, World

AT_HOME, ELSEWHERE = 150, 50
"""Photos of each species in its habitat, and in each other place."""


def _counts() -> tuple[int, ...]:
    return tuple(AT_HOME if place == species.habitat else ELSEWHERE for species in SPECIES for place in PLACE_NAMES)


class MenagerieWild(World):
    """Every species in every place, most often in its habitat; all photos are for test, the attribute is the place.

    Which places are easy and hard for which species is for `spurbench build` to find out. The menagerie's CLIPs know
    each species by its habitat.
    """

    seed = 108
    card = DatasetCard(
        name="menagerie-wild",
        title="Rendered animals, every species in every place",
        classes=SPECIES_NAMES,
        attributes=PLACE_NAMES,
        licence=LICENCE,
        citation="after Wang et al.: A sober look at the robustness of CLIPs to spurious features, NeurIPS 2024",
        prompts=(PHOTO, PLAIN, CAPTIONS),
        attribute_text=PLACE,
        concepts=ANIMAL_CONCEPTS,
        counts={
            "train": (0,) * len(_counts()),
            "val": (0,) * len(_counts()),
            "test": _counts(),
        },
    )

    def _stage(self, draws: Draws, index: Ints, y: Ints, a: Ints) -> Scenes:  # noqa: ARG002
        return Scenes(self.seed, index, y, a)
