"""Predictions of records: whose they are, which seed's, and of which photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench.record import Record
from spurbench.suspects.cell import check_backbone, check_dataset, check_examples, read_cell

GROUPS = np.array([0, 3, 1, 2, 2, 0, 3, 3])
RIGHT = np.array([[1, 1, 0, 1, 0, 1, 1, 1], [0, 1, 1, 0, 0, 1, 0, 1]], dtype=bool)
PARTS = {"data": "d" * 64, "backbone": "b" * 64}


@pytest.fixture
def path(tmp_path: Path, write_outcomes: Callable[..., Record]) -> Path:
    average = np.zeros_like(RIGHT)
    chosen = {"worst_group": RIGHT, "average": average}
    write_outcomes(tmp_path, "erm", chosen, GROUPS, key_parts=PARTS)
    return tmp_path / "v1/birds/RN50/erm.json"


def examples(test: Any = GROUPS) -> Examples:
    groups = np.concatenate([[1, 2], test])
    split = np.repeat([0, 2], [2, len(test)])
    photos: Any = [None] * len(groups)
    return Examples([f"p{i}" for i in range(len(groups))], groups // 2, groups % 2, split, 2, 2, photos=photos)


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(("asked", "seed"), [(None, 0), (0, 0), (1, 1)])
def test_predictions_are_of_the_model_that_worst_groups_chose(path: Path, asked: int | None, seed: int) -> None:
    cell = read_cell(path, asked)
    assert cell.seed == seed
    assert cell.predicted.dtype == np.int64
    assert np.array_equal(cell.predicted == GROUPS // 2, RIGHT[seed])


def test_the_first_seed_with_a_result_is_taken(path: Path) -> None:
    second = json.loads(path.read_text())["seeds"][1]
    failed = {"seed": 0, "status": "failed", "failure": {"message": "out of memory"}}
    rewrite(path, seeds=[failed, second])
    assert read_cell(path, None).seed == 1
    with pytest.raises(UsageError, match="no result of seed 0; --cell-seed takes 1$"):
        read_cell(path, 0)
    rewrite(path, seeds=[failed, {**failed, "seed": 1}])
    with pytest.raises(UsageError, match="erm has no result there"):
        read_cell(path, None)


def test_a_record_that_is_absent_or_broken_is_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no record .*absent.json"):
        read_cell(tmp_path / "absent.json", None)
    with pytest.raises(UsageError, match="no result of seed 5; --cell-seed takes 0, 1$"):
        read_cell(path, 5)
    path.with_suffix(".npz").unlink()
    with pytest.raises(DataError, match="erm.npz is missing"):
        read_cell(path, None)
    path.write_text("{")
    with pytest.raises(DataError, match="erm.json"):
        read_cell(path, None)


def test_a_cell_fits_its_own_data_and_weights_only(path: Path) -> None:
    cell = read_cell(path, None)
    check_dataset(cell, "birds")
    check_backbone(cell, "RN50", "b" * 64)
    check_examples(cell, examples(), "d" * 64)
    with pytest.raises(UsageError, match="is of data set 'birds', not 'waterbirds'"):
        check_dataset(cell, "waterbirds")
    with pytest.raises(UsageError, match="is of backbone 'RN50', not 'RN101'"):
        check_backbone(cell, "RN101", "b" * 64)
    with pytest.raises(UsageError, match="other weights or settings of RN50"):
        check_backbone(cell, "RN50", "c" * 64)
    for others, fingerprint in ((examples(), "e" * 64), (examples(GROUPS[::-1]), "d" * 64)):
        with pytest.raises(UsageError, match="other photos or labels of birds"):
            check_examples(cell, others, fingerprint)
