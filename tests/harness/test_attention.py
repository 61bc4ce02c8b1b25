"""Attention in records: exact round trips, arrays that cannot be swapped, and what stays when a record grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import ValidationError

import spurbench.record
from spurbench.amending import changing, sound, with_attention
from spurbench.attention import MEASURES, UNIT, Attention, attention_name
from spurbench.errors import DataError
from spurbench.record import (
    Record,
    array_hash,
    read_predictions,
    read_record,
    record_path,
    to_json,
    write_record,
)

Arrays = dict[str, NDArray[np.int16]]
MakeAttention = Callable[..., tuple[Attention, Arrays]]
SIZES = (6, 4, 3, 7)
GROUPS = np.repeat(np.arange(4), SIZES)


@pytest.fixture
def record(write_outcomes: Callable[..., Record], tmp_path: Path) -> Record:
    """Three seeds, into whose models nobody has looked, in `tmp_path`."""
    return write_outcomes(tmp_path, "erm", np.random.default_rng(0).random((3, len(GROUPS))) < 0.7, GROUPS)


def path_of(record: Record, results: Path) -> Path:
    return record_path(results, record.rules, record.dataset, record.backbone, record.method)


def rewritten(record: Record, results: Path, attention: Attention, arrays: Arrays) -> tuple[Path, Record]:
    """The record with attention, written as anybody could."""
    path = path_of(record, results)
    held = read_predictions(path, record)
    made = record.model_copy(update={"attention": attention})
    write_record(path, made, held | arrays)
    return path, made


def changed(attention: Attention, **changes: Any) -> dict[str, Any]:
    return {**attention.model_dump(mode="json"), **changes}


def test_it_comes_back_exactly_with_a_line_for_each_model(
    record: Record, tmp_path: Path, make_attention: MakeAttention
) -> None:
    attention, arrays = make_attention(record, GROUPS)
    path, made = rewritten(record, tmp_path, attention, arrays)
    assert read_record(path) == made
    assert json.loads(path.read_text()) == json.loads(made.model_dump_json())
    back = read_predictions(path, made)
    assert all(np.array_equal(back[name], array) for name, array in arrays.items())
    lines = path.read_text().splitlines()
    assert sum('{"arrays": {"aiou": ' in line for line in lines) == 9
    alone = to_json(record).splitlines()
    assert len(lines) - len(alone) == 9 + 2 * 3 + 4 + len(Attention.model_fields) - 1


def test_a_record_without_it_is_the_file_it_was(record: Record, tmp_path: Path) -> None:
    assert "attention" not in path_of(record, tmp_path).read_text()
    assert read_record(path_of(record, tmp_path)) == record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photos": [0, 0, 0, 0]}, "no photo was looked at"),
        ({"photos": [4, 3, 2]}, "does not fit 3 groups"),
        ({"photos": [4, 3, 2, 0]}, "of which no photo was looked at"),
        ({"photos": [-1, 3, 2, 5]}, "photos.0"),
        ({"area": [0.2, 0.2, 0.2]}, "area does not fit 4 groups"),
        ({"area": [1.2, 0.2, 0.2, 0.2]}, "area.0"),
        ({"centre": {"aiou": [0.5] * 4}}, "centre must be of aiou, pointing, energy"),
        ({"centre": {name: [0.5] * 3 for name in MEASURES}}, "centre's aiou does not fit 4 groups"),
        ({"centre": {name: [1.5] * 4 for name in MEASURES}}, "centre.aiou.0"),
        ({"thresholds": []}, "thresholds must ascend"),
        ({"thresholds": [0.25, 0.25, 0.5]}, "thresholds must ascend"),
        ({"thresholds": [0.0, 0.25, 0.5]}, "thresholds must ascend"),
        ({"thresholds": [0.25, 0.5, 1.0]}, "thresholds must ascend"),
        ({"thresholds": [0.25, 0.5]}, "does not fit 2 thresholds"),
        ({"seeds": {}}, "none of any model"),
        ({"seeds": {"0": {}}}, "none of any model"),
        ({"seeds": {"0": {"oracle": {}}}}, "oracle"),
        ({"kind": "saliency"}, "kind"),
        ({"more": 1}, "more"),
    ],
)
def test_what_contradicts_itself_is_refused(
    record: Record, make_attention: MakeAttention, changes: dict[str, Any], message: str
) -> None:
    attention, _ = make_attention(record, GROUPS)
    with pytest.raises(ValidationError, match=message):
        Attention.model_validate(changed(attention, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrays": {"aiou": "a", "pointing": "b"}}, "arrays must be of aiou, pointing, energy"),
        ({"arrays": {"aiou": "a", "pointing": "b", "energy": "c", "more": "d"}}, "arrays must be of"),
        ({"changed": 15}, "more predictions have changed"),
        ({"iou": [[0.1] * 4] * 2}, "does not fit 3 thresholds"),
        ({"aiou": [[0.1] * 4] * 4}, "does not fit 3 thresholds"),
        ({"aiou": [[0.1] * 3] * 3}, "does not fit 4 groups"),
        ({"iou": [[1.1] * 4] * 3}, "iou"),
    ],
)
def test_a_model_that_contradicts_the_others_is_refused(
    record: Record, make_attention: MakeAttention, changes: dict[str, Any], message: str
) -> None:
    document = make_attention(record, GROUPS)[0].model_dump(mode="json")
    document["seeds"]["1"]["average"] |= changes
    with pytest.raises(ValidationError, match=message):
        Attention.model_validate(document)


def test_it_must_be_of_the_records_groups_examples_seeds_and_choices(
    record: Record, make_attention: MakeAttention
) -> None:
    attention, _ = make_attention(record, GROUPS)
    known = dict(record)
    Record.model_validate({**known, "attention": attention})
    some = attention.seeds["0"]
    for wrong, message in (
        (attention.model_copy(update={"seeds": {"3": some}}), "3.worst_group is no model"),
        (attention.model_copy(update={"seeds": {"00": some}}), "00.worst_group is no model"),
        (attention.model_copy(update={"photos": [7, 3, 2, 5]}), "do not fit test totals"),
        (make_attention(record, GROUPS, photos=(4, 3, 2, 5, 0))[0], "do not fit 4 groups"),
    ):
        with pytest.raises(ValidationError, match=message):
            Record.model_validate({**known, "attention": wrong})
    alone = record.seeds[0].model_copy(update={"selected": {"average": record.seeds[0].selected["average"]}})
    with pytest.raises(ValidationError, match=r"0\.worst_group is no model"):
        Record.model_validate({**known, "seeds": [alone, *record.seeds[1:]], "attention": attention})


def rehashed(attention: Attention, arrays: Arrays) -> Attention:
    """With the hashes of these arrays, as somebody would write who changes both files."""
    document = attention.model_dump(mode="json")
    for seed, rules in document["seeds"].items():
        for rule, seen in rules.items():
            seen["arrays"] = {m: array_hash(arrays[attention_name(seed, rule, m)]) for m in MEASURES}
    return Attention.model_validate(document)


def put(place: int, value: int) -> Callable[[NDArray[np.int16]], NDArray[np.int16]]:
    def change(array: NDArray[np.int16]) -> NDArray[np.int16]:
        array = array.copy()
        array[place] = value
        return array

    return change


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(0, UNIT + 1), "values that are no shares"),
        (put(0, -2), "values that are no shares"),
        (put(0, -1), "not of the photos that the others are of"),
        (put(5, 100), "not of the photos that the others are of"),
        (lambda array: array[:-1], "19 values for 20 test examples"),
    ],
)
def test_arrays_that_contradict_the_record_are_refused(
    record: Record, tmp_path: Path, make_attention: MakeAttention, change: Any, message: str, measure: str
) -> None:
    attention, arrays = make_attention(record, GROUPS)
    name = attention_name(2, "average", measure)
    arrays[name] = change(arrays[name])
    path, made = rewritten(record, tmp_path, rehashed(attention, arrays), arrays)
    with pytest.raises(
        DataError, match=rf"erm\.npz, of the attention in .*: the array '2\.average\.{measure}'.*{message}"
    ):
        read_predictions(path, made)


def test_photos_of_other_groups_and_another_curve_are_refused(
    record: Record, tmp_path: Path, make_attention: MakeAttention
) -> None:
    attention, arrays = make_attention(record, GROUPS)
    moved = {name: np.roll(array, 3) for name, array in arrays.items()}
    path, made = rewritten(record, tmp_path, rehashed(attention, moved), moved)
    with pytest.raises(DataError, match="not of as many photos of each group"):
        read_predictions(path, made)
    better = {name: np.where(array >= 0, UNIT, -1).astype(np.int16) for name, array in arrays.items()}
    path, made = rewritten(record, tmp_path, rehashed(attention, better), better)
    with pytest.raises(DataError, match=r"the curve of '0\.worst_group' is not that of its array"):
        read_predictions(path, made)


def test_a_changed_or_missing_array_is_named(record: Record, tmp_path: Path, make_attention: MakeAttention) -> None:
    attention, arrays = make_attention(record, GROUPS)
    name = attention_name(1, "average", "pointing")
    path, made = rewritten(record, tmp_path, attention, {**arrays, name: arrays[name][::-1].copy()})
    with pytest.raises(DataError, match=r"does not hold the array '1\.average\.pointing'"):
        read_predictions(path, made)
    del arrays[name]
    write_record(path, made, read_predictions(path, record) | arrays)
    with pytest.raises(DataError, match=r"does not hold the array '1\.average\.pointing'"):
        read_predictions(path, made)


def test_it_is_added_to_what_is_there(record: Record, tmp_path: Path, make_attention: MakeAttention) -> None:
    path = path_of(record, tmp_path)
    before = read_predictions(path, record)
    attention, arrays = make_attention(record, GROUPS)
    first, second = attention.of({"0", "2"}), attention.of({"1"})
    assert first is not None
    assert second is not None
    made = with_attention(path, record, first, arrays, locks=tmp_path / "locks")
    assert made is not None
    assert made == read_record(path)
    assert made.attention == first
    made = with_attention(path, record, second, arrays, locks=tmp_path / "locks")
    assert made is not None
    assert made.attention == attention
    assert list(made.attention.seeds) == ["0", "1", "2"]
    held = read_predictions(path, made)
    assert held.keys() == before.keys() | arrays.keys()
    assert made.model_copy(update={"attention": None}) == record


def test_rules_of_a_seed_come_one_by_one_and_newer_ones_win(
    record: Record, tmp_path: Path, make_attention: MakeAttention
) -> None:
    path, locks = path_of(record, tmp_path), tmp_path / "locks"
    (old, arrays), (new, others) = make_attention(record, GROUPS, 0), make_attention(record, GROUPS, 1)
    by_average = new.model_copy(update={"seeds": {"1": {"average": new.seeds["1"]["average"]}}})
    with_attention(path, record, old, arrays, locks=locks)
    only = {name: array for name, array in others.items() if name.startswith("1.average.")}
    joined = with_attention(path, record, by_average, only, locks=locks)
    assert joined is not None
    made = joined.attention
    assert made is not None
    assert made.seeds["1"]["average"] == new.seeds["1"]["average"]
    assert made.seeds["1"]["worst_group"] == old.seeds["1"]["worst_group"]
    assert made.seeds["0"] == old.seeds["0"]


def replaced(path: Path, record: Record, attention: Attention, arrays: Any, **how: Any) -> Record | None:
    """The record with other attention, whose arrays are then the only ones beside it."""
    made = with_attention(path, record, attention, arrays, **how)
    if made is not None:
        assert made.attention == attention
        with np.load(path.with_suffix(".npz")) as held:
            assert {name for name in held.files if name.count(".") == 2} == set(attention.arrays())
    return made


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "relevance"},
        {"layer": "layer3"},
        {"score": "logit"},
        {"masks": "other"},
        {"centre": {name: [0.25] * 4 for name in MEASURES}},
        {"objects": "boxes"},
        {"thresholds": [0.2, 0.5, 0.75]},
    ],
)
def test_what_was_measured_otherwise_is_replaced_only_if_that_is_asked_for(
    record: Record, tmp_path: Path, make_attention: MakeAttention, change: dict[str, Any]
) -> None:
    path, locks = path_of(record, tmp_path), tmp_path / "locks"
    with_attention(path, record, *make_attention(record, GROUPS), locks=locks)
    attention, arrays = make_attention(record, GROUPS, 1, **change)
    other = attention.of({"2"})
    assert other is not None
    before = path.read_bytes(), path.with_suffix(".npz").read_bytes()
    assert replaced(path, record, other, arrays, locks=locks) is None
    assert (path.read_bytes(), path.with_suffix(".npz").read_bytes()) == before
    assert replaced(path, record, other, arrays, locks=locks, replace=True) is not None


def test_what_other_code_measured_is_replaced(record: Record, tmp_path: Path, make_attention: MakeAttention) -> None:
    path, locks = path_of(record, tmp_path), tmp_path / "locks"
    with_attention(path, record, *make_attention(record, GROUPS), locks=locks)
    attention, arrays = make_attention(record, GROUPS, 1, code="other", layer="layer3")
    other = attention.of({"2"})
    assert other is not None
    assert replaced(path, record, other, arrays, locks=locks) is not None


@pytest.mark.parametrize("kill", range(4))
def test_whenever_it_is_killed_nothing_of_the_record_is_lost(
    record: Record, tmp_path: Path, make_attention: MakeAttention, monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    path, locks = path_of(record, tmp_path), tmp_path / "locks"
    with_attention(path, record, *make_attention(record, GROUPS), locks=locks)
    attention, arrays = make_attention(record, GROUPS, 1, layer="layer3")
    calls: list[Path] = []
    write = spurbench.record.write_atomic

    def killed(file: Path, content: bytes) -> None:
        if len(calls) == kill:
            raise KeyboardInterrupt
        calls.append(file)
        write(file, content)

    monkeypatch.setattr(spurbench.record, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        with_attention(path, record, attention, arrays, locks=locks, replace=True)
    left = read_record(path)
    assert left is not None
    assert left.model_copy(update={"attention": None}) == record
    assert left.attention in (None, make_attention(record, GROUPS)[0])
    assert read_predictions(path, left).keys() >= read_predictions(path, record).keys()


def test_a_record_whose_attention_alone_is_broken_is_sound_without_it(
    record: Record, tmp_path: Path, make_attention: MakeAttention
) -> None:
    path = path_of(record, tmp_path)
    before = read_predictions(path, record)
    attention, arrays = make_attention(record, GROUPS)
    path, made = rewritten(record, tmp_path, attention, {})
    with pytest.raises(DataError):
        read_predictions(path, made)
    found, held = sound(path, made)
    assert found == record
    assert held.keys() == before.keys()
    write_record(path, record, {name: array[::-1].copy() for name, array in before.items()})
    with pytest.raises(DataError):
        sound(path, made)
    del arrays


def test_a_record_that_was_made_again_meanwhile_is_left_alone(
    record: Record, tmp_path: Path, make_attention: MakeAttention, write_outcomes: Callable[..., Record]
) -> None:
    path, locks = path_of(record, tmp_path), tmp_path / "locks"
    attention, arrays = make_attention(record, GROUPS)
    right = np.random.default_rng(1).random((3, len(GROUPS))) < 0.7
    for again in ({"key_parts": {"protocol": 2}}, {}):
        write_outcomes(tmp_path, "erm", right, GROUPS, **again)
        text = path.read_bytes()
        with pytest.raises(DataError, match=r"erm\.json is not the record any more.*look into its models once more"):
            with_attention(path, record, attention, arrays, locks=locks)
        assert path.read_bytes() == text
    path.unlink()
    with pytest.raises(DataError, match="not the record any more"):
        with_attention(path, record, attention, arrays, locks=locks)
    assert not path.exists()


def test_a_seed_that_the_record_gained_meanwhile_stays(
    record: Record, tmp_path: Path, make_attention: MakeAttention, write_outcomes: Callable[..., Record]
) -> None:
    attention, arrays = make_attention(record, GROUPS)
    right = np.random.default_rng(0).random((4, len(GROUPS))) < 0.7
    grown = write_outcomes(tmp_path, "erm", right, GROUPS)
    assert grown.seeds[:3] == record.seeds
    made = with_attention(path_of(record, tmp_path), record, attention, arrays, locks=tmp_path / "locks")
    assert made is not None
    assert (made.seeds, made.attention) == (grown.seeds, attention)


def test_arrays_that_do_not_fit_are_not_written(record: Record, tmp_path: Path, make_attention: MakeAttention) -> None:
    path = path_of(record, tmp_path)
    before = path.read_bytes(), path.with_suffix(".npz").read_bytes()
    attention, arrays = make_attention(record, GROUPS)
    name = attention_name(0, "average", "energy")
    wrong = {**arrays, name: put(0, UNIT + 1)(arrays[name])}
    for some, others in (
        (attention, wrong),
        (attention, {key: array for key, array in arrays.items() if key != name}),
        (rehashed(attention, wrong), wrong),
    ):
        with pytest.raises(ValueError, match="attention: the array '0.average.energy'"):
            with_attention(path, record, some, others, locks=tmp_path / "locks")
    assert (path.read_bytes(), path.with_suffix(".npz").read_bytes()) == before


def test_nobody_changes_a_record_while_another_does(record: Record, tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    with changing(path_of(record, tmp_path), locks):
        (lock,) = locks.iterdir()
        with pytest.raises(Timeout):
            FileLock(lock, timeout=0).acquire()
    with FileLock(lock, timeout=0) as again:
        assert again.is_locked
