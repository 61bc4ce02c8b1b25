"""A planted second animal, as real photos have things that go together: RaVL's setting on COCO, rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spurbench.cards import DatasetCard
from spurbench.data import Places

from .._boxes import shares, together
from .._planted import group_counts, parameters, share, which
from .._presence import presence, presence_concepts
from .animals import NAMES as SPECIES_NAMES
from .exact import Draws, Ints
from .places import OUTDOORS
from .renderer import boxes
from .scenes import NONE, Scenes
from .view import EDGE
from .wording import STICKER_CONCEPTS
from .worlds import CAPTIONS, LICENCE, PER_CLASS, PHOTO, PLAIN, STICKER_SPECIES, World

COMPANIONS = tuple(name for name in SPECIES_NAMES if name not in STICKER_SPECIES)


class MenagerieCompanion(World):
    """RaVL's co-occurring object (Varma et al. 2024, on COCO): a second animal that goes with one class in training.

    Wolf, dog, goat and sheep, as often in every place. In training a smaller `companion` (duck) behind the animal and
    the class `label` (dog) have Cramer's V `strength` (0.9); in validation and test it is in every second photo of
    every class. Every second photo without it has a companion of another species that is no class: that there are two
    animals is not what is planted.

    Attributes:
        planted_label: the class that the companion goes with in training.
    """

    usage = "menagerie-companion[:strength=0.9:label=dog:companion=duck]"
    seed = 105

    def __init__(self, argument: str = "") -> None:
        name = "menagerie-companion"
        found = parameters(name, argument, {"strength": 0.9, "label": "dog", "companion": "duck"})
        strength = share(name, "strength", found["strength"])
        self.planted_label = which(name, "label", str(found["label"]), STICKER_SPECIES)
        self._companion = which(name, "companion", str(found["companion"]), COMPANIONS)
        companion = COMPANIONS[self._companion]
        self.card = DatasetCard(
            name=f"{name}:{argument}" if argument else name,
            title="Rendered animals, one species with a companion",
            classes=STICKER_SPECIES,
            attributes=(f"no {companion}", companion),
            licence=LICENCE,
            citation="after Varma, Delbrouck, Chaudhari, Langlotz: RaVL, NeurIPS 2024",
            prompts=(PHOTO, PLAIN, CAPTIONS),
            attribute_text=presence(companion, "mammal"),
            concepts=presence_concepts(companion, STICKER_CONCEPTS.accept),
            counts=group_counts(PER_CLASS, len(STICKER_SPECIES), self.planted_label, strength),
            regions="boxes",
        )

    def places(self, root: Path, rows: Ints) -> Places:  # noqa: ARG002
        """Where the animals are, which make the class, and their companions; spurious are those of one species."""
        shown = self._shown(rows)
        animal, second = (shares(boxes(masks), (EDGE, EDGE)) for masks in (shown.animal, shown.companion))
        planted = self.scenes().companion[rows] == SPECIES_NAMES.index(COMPANIONS[self._companion])
        return Places(together(animal, second), animal, np.where(planted[:, None], second, np.float32(np.nan)))

    def _stage(self, draws: Draws, index: Ints, y: Ints, a: Ints) -> Scenes:
        species = np.array([SPECIES_NAMES.index(name) for name in STICKER_SPECIES])[y]
        kinds = np.array([SPECIES_NAMES.index(name) for name in COMPANIONS])
        others = np.delete(kinds, self._companion)
        other = others[draws.below("other companion", len(others))]
        without = np.where(draws.chance("two animals", 0.5), other, NONE)
        companion = np.where(a == 1, kinds[self._companion], without)
        return Scenes(self.seed, index, species, draws.below("place", OUTDOORS), companion, apart=True)
