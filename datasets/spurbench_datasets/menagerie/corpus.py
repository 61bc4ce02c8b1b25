"""The corpus that the menagerie's CLIPs are pre-trained on, and the fresh photos that they are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .animals import SPECIES
from .exact import Draws, Ints
from .places import NAMES as PLACE_NAMES
from .places import STUDIO
from .scenes import AS_USUAL, NONE, Difficulty, Scenes

HABITAT = np.array([PLACE_NAMES.index(species.habitat) for species in SPECIES], dtype=np.int64)
"""(species,) index of each one's habitat."""
PRETRAINING_WORLD, JUDGING_WORLD = 1, 2
"""Seeds of worlds. Photo i of world s takes the draws of photo s of world i: at most two photos of a pair of worlds."""


@dataclass(frozen=True)
class Corpus:
    """How photos for pre-training are taken.

    Attributes:
        photos: their number.
        correlation: probability that an animal is photographed in its habitat; otherwise any other place is as likely
            as another. 1/8 makes all places alike: no shortcut.
        empty: share of photos without an animal.
        studio: share of photos taken before a plain backdrop, where only the animal tells what the caption says.
    """

    photos: int
    correlation: float
    empty: float = 0.05
    studio: float = 0.3

    def scenes(self) -> Scenes:
        """What the photos show."""
        index = np.arange(self.photos, dtype=np.int64)
        draws = Draws(PRETRAINING_WORLD, index)
        species = draws.below("species", len(SPECIES))
        at_home = draws.chance("at home", self.correlation)
        place = np.where(at_home, HABITAT[species], elsewhere(draws, species))
        empty = draws.chance("empty", self.empty)
        place = np.where(draws.chance("studio", self.studio) & ~empty, STUDIO, place)
        species = np.where(empty, NONE, species)
        return Scenes(PRETRAINING_WORLD, index, species, place)


def elsewhere(draws: Draws, species: Ints) -> Ints:
    """(n,) a place other than the habitat, each as likely."""
    return (HABITAT[species] + 1 + draws.below("elsewhere", len(PLACE_NAMES) - 1)) % len(PLACE_NAMES)


def balanced_scenes(per_group: int, difficulty: Difficulty = AS_USUAL, world: int = JUDGING_WORLD) -> Scenes:
    """`per_group` photos of every species in its habitat (the first half), and as many of it elsewhere."""
    species = np.tile(np.repeat(np.arange(len(SPECIES)), per_group), 2)
    index = np.arange(len(species), dtype=np.int64)
    home = index < len(species) // 2
    place = np.where(home, HABITAT[species], elsewhere(Draws(world, index), species))
    return Scenes(world, index, species, place, difficulty=difficulty)
