"""Whether the models that are looked into are those that records tell of, and those that predict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data import Examples, Ints
from ..errors import MethodError
from ..explanation import Maps
from ..provenance import environment
from .models import Recorded

STRANGE = 0.02
"""Share of predictions that may differ where maps are drawn: features are kept in half precision elsewhere."""


def doubts(some: Recorded, maps: Sequence[Maps], looked: Ints, examples: Examples, device: str) -> list[str]:
    """What a reader should know where models are not what they seem.

    Raises MethodError where maps are of another model than the one that predicts.
    """
    notes, name, n = [], some.row.method, len(some.models)
    changed = sum(int((model.recorded != model.predicted).sum()) for model in some.models)
    if changed:
        before = next(result for result in some.record.done if result.seed == some.models[0].seed).environment
        here = environment(device)
        other = [
            f"{part} {before[part]}, now {here[part]}" for part in here if before.get(part, "") not in ("", here[part])
        ]
        why = f"other versions: {', '.join(other)}" if other else "the versions are the same, the machine may not be"
        notes.append(
            f"{name}: fitted once more, it predicts another class for {changed:,} test photos of {n} models ({why})"
        )
    test = examples.rows("test")
    at = np.searchsorted(test, looked)
    strange = sum(
        int((predicted(one, looked, examples) != model.predicted[at]).sum())
        for one, model in zip(maps, some.models, strict=True)
    )
    if strange > STRANGE * n * len(looked):
        raise MethodError(
            f"method '{name}' predicts otherwise where gradients are asked for, on {strange:,} of {n * len(looked):,} "
            "photos: maps would be of another model. Logits must be one function of a photo, `module()` the same"
        )
    if strange:
        notes.append(f"{name}: where maps are drawn, {strange:,} of {n * len(looked):,} predictions differ by rounding")
    return notes


def predicted(maps: Maps, rows: Ints, examples: Examples) -> Ints:
    """(n,) classes that a model predicts for the photos of rows where its maps are drawn."""
    logits = maps.logits
    if examples.candidates is not None:
        logits = np.where(examples.candidates[examples.y[rows]], logits, -np.inf)
    classes: Ints = logits.argmax(axis=1).astype(np.int64)
    return classes
