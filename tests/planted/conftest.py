"""Planted records that are made up, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from spurbench.files import digest
from spurbench.planted.record import Found, Judged, Mitigated, PlantedRecord, PlantedSeed
from spurbench.planted.validity import effects
from spurbench.record import Times

TOTAL = [20, 10, 20, 10]
USES_IT = [12, 10, 20, 3]
"""Correct per group: class 0 gains 40 points by the feature, class 1 loses 70."""
MakeSeed = Callable[..., PlantedSeed]
MakeRecord = Callable[..., PlantedRecord]


@pytest.fixture
def model() -> MakeSeed:
    """One model; `hits` by discoverer, `mitigated` by method as (image, region) counts."""

    def make(
        seed: int = 0,
        image: Sequence[int] = USES_IT,
        hits: dict[str, list[int]] | None = None,
        mitigated: dict[str, tuple[list[int], list[int]]] | None = None,
        label: int | None = None,
    ) -> PlantedSeed:
        e = effects(image, TOTAL, 0)
        return PlantedSeed(
            seed=seed,
            status="ok",
            judged=Judged(image=list(image), region=list(image)),
            gained=e.gained,
            lost=e.lost,
            found={
                name: Found(key="k", findings=1, hits=some, label=label)  # type: ignore[arg-type]
                for name, some in (hits or {}).items()
            },
            mitigated={
                name: Mitigated(key="k", judged=Judged(image=pair[0], region=pair[1]))
                for name, pair in (mitigated or {}).items()
            },
        )

    return make


@pytest.fixture
def record(model: MakeSeed) -> MakeRecord:
    """One record with two classes, the feature planted with the first."""

    def make(*seeds: PlantedSeed, **changes: Any) -> PlantedRecord:
        parts = {"what": "made up"}
        content: dict[str, Any] = {
            "base": "sticker",
            "dataset": "sticker:strength=0.9",
            "backbone": "tiny",
            "model": "clip_finetune",
            "label": 0,
            "strength": 0.9,
            "region_spec": "quadrants",
            "key": digest(parts),
            "key_parts": parts,
            "classes": ["cat", "dog"],
            "attributes": ["without", "with"],
            "train_total": TOTAL,
            "test_total": TOTAL,
            "seeds": list(seeds) or [model()],
            "times": Times(updated="2026-01-01T00:00:00+00:00", seconds={}),
        }
        return PlantedRecord(**{**content, **changes})

    return make
