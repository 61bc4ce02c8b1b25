"""What photos show: species, place, and how hard they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .animals import SPECIES
from .exact import Ints
from .places import PLACES

NONE = -1
"""In place of a species: no animal."""


@dataclass(frozen=True)
class Difficulty:
    """What makes photos harder. The card of the menagerie's backbones says what each does to their accuracy.

    Attributes:
        size: smallest and largest animal, as its drawing's edge in shares of the photo's.
        occlusion: probability that something stands before the animal.
        camouflage: how far its colours go towards the ground's, 0..1.
        colour: how far colours vary, as a share of each.
        dim: how much darker than full daylight a photo may be.
        haze: how much of the far scenery may vanish in haze.
        grain: strength of the sensor's noise, in grey levels.
    """

    size: tuple[float, float] = (0.75, 1.05)
    occlusion: float = 0.3
    camouflage: float = 0.0
    colour: float = 0.16
    dim: float = 0.4
    haze: float = 0.35
    grain: float = 14.0


AS_USUAL = Difficulty()
"""Of all data sets and of the corpus."""


@dataclass(frozen=True)
class Scenes:
    """What n photos show; everything else about them follows from `seed` and `index`.

    Attributes:
        seed: of the world they are taken in.
        index: (n,) number of each photo in that world.
        species: (n,) index into `animals.SPECIES`, or NONE for a place without an animal.
        place: (n,) index into `places.PLACES`.
        companion: (n,) species of a smaller second animal behind the first, or NONE.
        sticker: (n,) whether a red sticker is stuck on the photo.
        difficulty: of all of them.
        apart: companions stand at the sides of the photos, where the animals hide little of them.
    """

    seed: int
    index: Ints
    species: Ints
    place: Ints
    companion: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sticker: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    difficulty: Difficulty = AS_USUAL
    apart: bool = False

    def __post_init__(self) -> None:
        n = len(self.index)
        if not len(self.companion):
            object.__setattr__(self, "companion", np.full(n, NONE, dtype=np.int64))
        if not len(self.sticker):
            object.__setattr__(self, "sticker", np.zeros(n, dtype=np.bool_))
        for name in ("index", "species", "place", "companion", "sticker"):
            column, kinds = getattr(self, name), "b" if name == "sticker" else "iu"
            if column.shape != (n,):
                raise ValueError(f"{name} must be ({n},), one per photo, not {column.shape}")
            if column.dtype.kind not in kinds:
                raise ValueError(f"{name} must hold {'booleans' if kinds == 'b' else 'integers'}, not {column.dtype}")
        for name, bound in (("species", len(SPECIES)), ("companion", len(SPECIES)), ("place", len(PLACES))):
            column = getattr(self, name)
            if n and (column.min() < (0 if name == "place" else NONE) or column.max() >= bound):
                raise ValueError(f"{name} must lie in 0..{bound - 1}{'' if name == 'place' else ', or be NONE'}")

    def __len__(self) -> int:
        return len(self.index)

    def rows(self, rows: Sequence[int] | Ints | slice) -> Scenes:
        """Some of them."""
        columns = {name: getattr(self, name)[rows] for name in ("index", "species", "place", "companion", "sticker")}
        return replace(self, **columns)
