"""Animals in a photo: which drawing, where, how large, in which colours."""

from __future__ import annotations

from functools import cache

import numpy as np

from .anatomy import GROUND
from .animals import BLURS, POSES, SPECIES, drawings
from .animals import SIZE as DRAWING
from .exact import Floats, Ints, blend, cosine, sine
from .scenes import NONE
from .view import EDGE, Colours, F, View, col, lay_on

APART = 0.8
"""How near to the edge a companion stands at least that stands apart: 0 for the middle, 1 for the edge itself."""


@cache
def _coats() -> tuple[Colours, Ints]:
    """(species, coats, 4, 3) colours of materials, padded by repetition, and the number of each one's coats."""
    most = max(len(species.coats) for species in SPECIES)
    dark = (26, 24, 26)
    table = [[(*species.coats[i % len(species.coats)], dark) for i in range(most)] for species in SPECIES]
    return np.array(table, dtype=F), np.array([len(species.coats) for species in SPECIES], dtype=np.int64)


class Body:
    """One animal of each photo: which drawing, and the map from the photo's pixels to the drawing's."""

    def __init__(self, view: View, species: Ints, name: str) -> None:
        draws, hard = view.draws, view.difficulty
        self.view, self.name, self.there = view, name, species != NONE
        self.species = np.where(self.there, species, 0)
        low, high = hard.size if name == "animal" else (hard.size[0] * 0.55, hard.size[0] * 0.8)
        size = draws.uniform(f"{name} size", low, high) * F(EDGE)
        self.size = size
        margin = size * F(0.5) - F(EDGE * 0.06)
        aside = np.maximum(F(EDGE / 2) - margin, F(0))
        off = draws.uniform(f"{name} x", -1, 1)
        if name == "companion" and view.apart:
            off = np.where(off < 0, F(-1), F(1)) * (F(APART) + F(1 - APART) * np.abs(off))
        self.x = F(EDGE / 2) + aside * off
        # Feet stand on the ground: below the horizon, and the lower the larger the animal.
        top = np.maximum(view.horizon + F(6), size * F(0.82))
        share = draws.uniform(f"{name} y") if name == "animal" else draws.uniform(f"{name} y", 0, 0.3)
        self.foot = blend(top, np.maximum(top, F(EDGE - 3)), share)
        self.turn = draws.uniform(f"{name} turn", -0.03, 0.03)
        self.mirror = np.where(draws.chance(f"{name} mirror", 0.5), F(-1), F(1))
        self.stretch = draws.uniform(f"{name} stretch", 0.88, 1.12)

    def paint(self, picture: Floats, *, shown: bool) -> Floats:
        """Paint the animals; return their masks (n, EDGE, EDGE) in 0..1."""
        draws, n = self.view.draws, len(self.there)
        if not self.there.any():
            return np.zeros((n, EDGE, EDGE), dtype=F)
        pixels = F(DRAWING) / self.size
        c, s = cosine(self.turn) * pixels, sine(self.turn) * pixels
        dx, dy = self.view.x - col(self.x), self.view.y - col(self.foot)
        across = (dx * col(c * self.mirror / self.stretch) + dy * col(s)) + F(DRAWING / 2)
        down = (dy * col(c) - dx * col(s * self.mirror)) + F(DRAWING * (1 + GROUND) / 2)
        inside = (across >= 0) & (across < F(DRAWING)) & (down >= 0) & (down < F(DRAWING)) & self.there[:, None, None]
        version = np.where(self.size < F(38), 0, np.where(self.size < F(50), 1, 2))
        pose = draws.below(f"{self.name} pose", POSES)
        number = ((self.species * POSES + pose) * len(BLURS) + version).astype(np.int32)[:, None, None]
        flat = (number * np.int32(DRAWING) + down.astype(np.int32)) * np.int32(DRAWING) + across.astype(np.int32)
        table = drawings().view(np.uint64).reshape(-1)
        found = np.where(inside, np.take(table, np.where(inside, flat, 0)), np.uint64(0))
        return lay_on(picture, found, 4, self._colours(), shown=shown)

    def shadow(self, picture: Floats) -> None:
        """Darken the ground under the feet."""
        u = (self.view.x - col(self.x)) / col(self.size * F(0.42))
        v = (self.view.y - col(self.foot)) / col(self.size * F(0.09))
        dark = np.maximum(F(1) - (u * u + v * v), F(0)) * F(0.45) * self.there[:, None, None]
        picture *= F(1) - dark

    def _colours(self) -> Colours:
        """(n, 4, 3) colours of the materials."""
        coats, count = _coats()
        usual = self.view.draws.chance(f"{self.name} usual coat", 0.5)
        number = np.where(usual, 0, self.view.draws.below(f"{self.name} coat", count[self.species]))
        varied = self.view.vary(self.name, coats[self.species, number])
        ground = self.view.tables.ground[self.view.place][:, :1]
        return varied + (ground - varied) * F(self.view.difficulty.camouflage)
