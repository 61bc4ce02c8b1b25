"""Records of what nobody ran, from counts or from right and wrong answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spurbench.attention import MEASURES, UNIT, Attention, attention_name
from spurbench.files import digest
from spurbench.record import GROUPS, Record, array_hash, predictions_name, record_path, write_record


@pytest.fixture(scope="session")
def easy_hard_record() -> Callable[..., Record]:
    """Build a complete record of a data set of easy and hard photos, from counts per group."""

    def make(correct: Sequence[Any], total: Sequence[int], **changes: Any) -> Record:
        """`correct`: counts, or counts of each seed."""
        per_seed = [correct] if isinstance(correct[0], int) else correct
        n_classes = len(total) // 2
        seeds = [
            {
                "seed": seed,
                "status": "ok",
                "selection_total": [0] * len(total),
                "test_total": list(total),
                "configs": [{}],
                "candidates": [[0, 0, [0] * len(total), list(counts)]],
                "selected": {"worst_group": {"candidate": 0, "test": list(counts), "predictions": ""}},
            }
            for seed, counts in enumerate(per_seed)
        ]
        return Record.model_validate(
            {
                "rules": "v1",
                "dataset": "animals",
                "backbone": "RN50",
                "method": "zero_shot",
                "key": digest({}),
                "key_parts": {},
                "title": "t",
                "paper": "",
                "supervision": [],
                "trains": "nothing",
                "refit": False,
                "prompts": "synset",
                "classes": [f"c{k}" for k in range(n_classes)],
                "attributes": ["easy", "hard"],
                "train_total": [0] * len(total),
                "budget": {"seeds": len(seeds), "configurations": 1},
                "confidence": 0.95,
                "test_groups": "",
                "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {}},
                "seeds": seeds,
                **changes,
            }
        )

    return make


CENTRE = {"aiou": 0.5, "pointing": 0.6, "energy": 0.3}
"""What a blob in the middle gets, in made-up attention."""


def attention_of(
    record: Record, groups: Any, seed: int = 0, *, photos: Sequence[int] = (4, 3, 2, 5), **changes: Any
) -> tuple[Attention, dict[str, npt.NDArray[np.int16]]]:
    """Made-up attention of every selected model of a record, and its arrays.

    Args:
        groups: (n_test,) of the test examples.
        seed: of the numbers.
        photos: the first so many of each group were looked at.
        changes: of the attention's other fields.
    """
    rng, groups = np.random.default_rng(seed), np.asarray(groups)
    looked = np.zeros(len(groups), bool)
    for group, count in enumerate(photos):
        looked[np.flatnonzero(groups == group)[:count]] = True
    arrays: dict[str, npt.NDArray[np.int16]] = {}
    seeds: dict[str, Any] = {}
    for result in record.done:
        for rule in result.selected:
            # (n, 3 thresholds), whose mean is what is kept of each photo.
            shares = rng.random((len(groups), 3)) * (0.5 + rng.random() / 2)
            curve = [
                [float(shares[looked & (groups == g), t].mean()) if n else 0.0 for g, n in enumerate(photos)]
                for t in range(3)
            ]
            own = (shares.mean(axis=1), rng.integers(0, 2, len(groups)), rng.random(len(groups)))
            hashes = {}
            for measure, values in zip(MEASURES, own, strict=True):
                array = np.where(looked, np.rint(UNIT * values), -1).astype(np.int16)
                arrays[attention_name(result.seed, rule, measure)] = array
                hashes[measure] = array_hash(array)
            seen = {"arrays": hashes, "iou": curve, "aiou": curve, "changed": 0}
            seeds.setdefault(str(result.seed), {})[rule] = seen
    made = {
        "code": "c",
        "kind": "grad-cam",
        "layer": "layer4",
        "score": "odds",
        "objects": "masks",
        "masks": "m",
        "thresholds": [0.25, 0.5, 0.75],
        "photos": list(photos),
        "area": [0.2 if n else 0.0 for n in photos],
        "centre": {name: [share if n else 0.0 for n in photos] for name, share in CENTRE.items()},
        "seeds": seeds,
    }
    return Attention.model_validate({**made, **changes}), arrays


@pytest.fixture(scope="session")
def make_attention() -> Callable[..., tuple[Attention, dict[str, npt.NDArray[np.int16]]]]:
    """Build attention of a record."""
    return attention_of


@pytest.fixture(scope="session")
def write_outcomes() -> Callable[..., Record]:
    """Write a record and its predictions into a results folder, from what each seed got right."""

    def write(results: Path, method: str, right: Any, groups: Any, **changes: Any) -> Record:
        """`right` (S, n) bool, or one such matrix for each selection rule; `groups` (n,) of 2 classes x 2 values.

        `looked`: keywords of `attention_of`; without it, nobody has looked into the models.
        """
        looked = changes.pop("looked", None)
        groups = np.asarray(groups, np.int16)
        chosen = {rule: np.asarray(some) for rule, some in (right if isinstance(right, dict) else {}).items()}
        chosen = chosen or dict.fromkeys(("worst_group", "worst_class", "average"), np.asarray(right))
        arrays, seeds = {GROUPS: groups}, []
        for seed in range(len(next(iter(chosen.values())))):
            candidates, selected = [], {}
            for rule, some in chosen.items():
                predicted = np.where(some[seed], groups // 2, 1 - groups // 2).astype(np.int16)
                counts = [int(some[seed][groups == g].sum()) for g in range(4)]
                arrays[predictions_name(seed, rule)] = predicted
                selected[rule] = {
                    "candidate": len(candidates), "test": counts, "predictions": array_hash(predicted)
                }  # fmt: skip
                candidates.append([len(candidates), 0, [1, 1, 1, 1], counts])
            seeds.append(
                {
                    "seed": seed,
                    "status": "ok",
                    "selection_total": [10] * 4,
                    "test_total": [int((groups == g).sum()) for g in range(4)],
                    "configs": [{"C": float(i)} for i in range(len(candidates))],
                    "candidates": candidates,
                    "selected": selected,
                }
            )
        parts = changes.pop("key_parts", {})
        record = Record.model_validate(
            {
                "rules": "v1",
                "dataset": "birds",
                "backbone": "RN50",
                "method": method,
                "key": digest(parts),
                "key_parts": parts,
                "title": method,
                "paper": "",
                "supervision": [],
                "trains": "linear head",
                "refit": False,
                "prompts": "",
                "classes": ["landbird", "waterbird"],
                "attributes": ["land", "water"],
                "train_total": [70, 5, 5, 20],
                "budget": {"seeds": len(seeds), "configurations": 8},
                "confidence": 0.95,
                "test_groups": array_hash(groups),
                "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {"0": 1.5}},
                "seeds": seeds,
                **changes,
            }
        )
        if looked is not None:
            attention, more = attention_of(record, groups, **looked)
            record, arrays = record.model_copy(update={"attention": attention}), arrays | more
        path = record_path(results, record.rules, record.dataset, record.backbone, record.method)
        write_record(path, record, arrays)
        return record

    return write
