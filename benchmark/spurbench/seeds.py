"""Randomness as a value: a seed is a path of names, and its bits are the sha256 of that path."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Seed:
    """A named seed. Two seeds with the same path give the same numbers, with different paths unrelated ones.

    >>> Seed(("v1", 0)).derive("batches") == Seed(("v1", 0, "batches"))
    True
    """

    path: tuple[str | int, ...]

    def __post_init__(self) -> None:
        for part in self.path:
            if type(part) not in (str, int):
                raise TypeError(f"a seed's path is made of str and int, not {type(part).__name__} ({part!r})")

    def derive(self, *names: str | int) -> Seed:
        """The sub-seed for one purpose, e.g. `seed.derive("balanced subset", 3)`."""
        return Seed((*self.path, *names))

    def integer(self) -> int:
        """63 bits of the hash of the path, as a non-negative int."""
        return int.from_bytes(hashlib.sha256(json.dumps(self.path).encode()).digest()[:8], "little") >> 1

    def numpy(self) -> np.random.Generator:
        """A NumPy generator started from this seed."""
        return np.random.default_rng(self.integer())

    def torch(self) -> torch.Generator:
        """A torch generator (on the CPU) started from this seed."""
        import torch

        return torch.Generator().manual_seed(self.integer())
