"""Records of planted models: what they refuse, and that they come back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spurbench.errors import DataError
from spurbench.planted.record import DEEPEST, Found, planted_path, read_all_planted, read_planted, write_planted

from .conftest import MakeRecord, MakeSeed


def test_a_record_comes_back_as_it_was(record: MakeRecord, model: MakeSeed, tmp_path: Path) -> None:
    made = record(model(0, hits={"ravl": [1, 0, 1]}, mitigated={"ravl": ([1, 2, 3, 4], [0, 0, 0, 0])}), model(2))
    path = planted_path(tmp_path, made.dataset, made.backbone)
    write_planted(path, made)
    assert read_planted(path) == made
    assert list(read_all_planted(tmp_path)) == [made]
    assert read_planted(tmp_path / "nothing.json") is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"key": "0" * 64}, "not the sha256"),
        ({"label": 2}, "do not fit 2 classes"),
        ({"test_total": [20, 10, 20]}, "do not fit 2 classes"),
        ({"test_total": [20, 9, 20, 10]}, "do not fit totals"),
        ({"attributes": ["only"]}, "at least 2"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_what_does_not_fit_together_is_refused(record: MakeRecord, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        record(**changes)


def test_effects_must_be_those_of_the_counts(record: MakeRecord, model: MakeSeed) -> None:
    with pytest.raises(ValidationError, match="effects differ"):
        record(model().model_copy(update={"gained": 0.41}))


def test_seeds_are_in_order_and_distinct(record: MakeRecord, model: MakeSeed) -> None:
    for seeds in ((1, 0), (1, 1)):
        with pytest.raises(ValidationError, match="ascending and distinct"):
            record(*(model(seed) for seed in seeds))


def test_a_broken_file_is_named(record: MakeRecord, tmp_path: Path) -> None:
    path = planted_path(tmp_path, "a", "b")
    write_planted(path, record(dataset="a", backbone="b"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "strength": 2}))
    with pytest.raises(
        DataError, match=r"b\.json is not a valid planted record: strength.*run the command that made it again"
    ):
        read_planted(path)
    messages: list[str] = []
    assert list(read_all_planted(tmp_path, messages)) == []
    assert len(messages) == 1


def test_a_record_in_the_wrong_place_is_refused(record: MakeRecord, tmp_path: Path) -> None:
    write_planted(planted_path(tmp_path, "elsewhere", "tiny"), record())
    with pytest.raises(DataError, match="belongs in"):
        list(read_all_planted(tmp_path))


def test_precision_counts_what_is_missing_as_wrong() -> None:
    found = Found(key="", findings=1, hits=[1, 1, 0, 1])
    assert found.precision_at(1) == 1.0
    assert found.precision_at(4) == 0.75
    assert found.precision_at(10) == 0.3
    assert Found(key="", findings=0, hits=[]).precision_at(10) == 0.0
    for k in (0, DEEPEST + 1):
        with pytest.raises(ValueError, match="must lie in"):
            found.precision_at(k)


def test_a_setting_is_valid_if_every_seed_is(record: MakeRecord, model: MakeSeed) -> None:
    weak = model(1, image=[12, 7, 20, 3])  # gains 10 points
    assert record(model(0), model(1)).valid_at(0.1)
    assert not record(model(0), weak).valid_at(0.11)
    assert not record(model(0), model(1)).valid_at(0.4), "it gains exactly 40 points"
