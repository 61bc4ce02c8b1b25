"""Candidates: the few labels that photos of a class are told apart from, in a file beside the data. Needs no torch.

CounterAnimal's second label space (Wang et al. 2024, arXiv 2403.11497, section 2, `1 vs 20`): for each class, the
labels that a named model finds most similar to its photos. The lists depend on that model and on the photos, and were
not released, so they are made once, by `spurbench candidates`, and kept.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ..errors import DataError
from ..rules import Strict


class Candidates(Strict):
    """The labels of each class, and what named them.

    Attributes:
        size: labels per class, the class itself among them.
        backbone: the model's name; `fingerprint`: of it.
        prompts: the prompt set that said the labels.
        data: fingerprint of the data set whose photos were looked at.
        candidates: labels by class, the most similar first.
    """

    size: int = Field(ge=2)
    backbone: str
    fingerprint: str
    prompts: str
    data: str
    candidates: dict[int, tuple[int, ...]] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Candidates:
        for label, among in self.candidates.items():
            if len(set(among)) != self.size or len(among) != self.size:
                raise ValueError(f"class {label} needs {self.size} different candidates, it has {len(set(among))}")
            if label not in among:
                raise ValueError(f"class {label} is not among its own candidates")
        return self

    def among(self, n_classes: int, present: Collection[int]) -> NDArray[np.bool_]:
        """(K, K) bool, as `Examples.candidates`; rows of classes that are not listed have every class.

        Args:
            n_classes: K.
            present: the classes that there are photos of.

        Raises:
            DataError: one of those is not listed, or a label is not in 0..K-1.
        """
        lacking = sorted(set(present) - set(self.candidates))
        if lacking:
            raise DataError(f"there are photos of class {lacking[0]}, but no candidates; make the file anew")
        everything = np.ones((n_classes, n_classes), dtype=bool)
        for label, among in self.candidates.items():
            if min(among) < 0 or max(among) >= n_classes:
                raise DataError(f"the candidates of class {label} must lie in 0..{n_classes - 1}")
            everything[label] = False
            everything[label, list(among)] = True
        return everything


def read_candidates(path: Path) -> Candidates:
    """Read a file that `spurbench candidates` wrote. Raises DataError."""
    try:
        return Candidates.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where + ': ' if where else ''}{first['msg']}; make it anew") from error
