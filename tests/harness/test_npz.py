"""Predictions from files that anybody may have written: no more is unpacked than there can be."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from spurbench.errors import DataError
from spurbench.npz import read_arrays
from spurbench.record import GROUPS, Record, array_hash, predictions_name, read_predictions, recount, write_record

from .test_board_tracks import made

ARRAY = np.arange(1000, dtype=np.int16)


def packed(file: Path, content: bytes, name: str = "group.npy", compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, content)


def as_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_arrays_are_those_that_numpy_wrote_and_others_are_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    for save in (np.savez, np.savez_compressed):
        save(file, group=ARRAY, other=ARRAY + 1)
        found = read_arrays(file, ["group", "absent"], len(ARRAY))
        assert list(found) == ["group"]
        np.testing.assert_array_equal(found["group"], ARRAY)


@pytest.mark.parametrize("size", [10**6, 10**8])
def test_what_unpacks_to_more_than_the_examples_is_refused_unread(tmp_path: Path, size: int) -> None:
    file = tmp_path / "bomb.npz"
    packed(file, bytes(size))
    with pytest.raises(DataError, match=r"'group\.npy' is larger than|bomb\.npz is \d+ bytes long"):
        read_arrays(file, ["group"], len(ARRAY))


def test_a_size_that_the_archive_lies_about_is_no_way_around(tmp_path: Path) -> None:
    file = tmp_path / "lie.npz"
    packed(file, bytes(10**6))
    content = file.read_bytes().replace((10**6).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    file.write_bytes(content)
    with pytest.raises(DataError, match="is not a readable npz file"):
        read_arrays(file, ["group"], len(ARRAY))


def test_other_compressions_objects_and_what_is_no_archive_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    packed(file, as_npy(ARRAY), compression=zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="packed in an unknown way"):
        read_arrays(file, ["group"], len(ARRAY))
    np.savez(file, group=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_arrays(file, ["group"], len(ARRAY))
    file.write_bytes(as_npy(ARRAY))
    with pytest.raises(DataError, match="is not a readable npz file: File is not a zip file; restore it"):
        read_arrays(file, ["group"], len(ARRAY))


def test_a_file_larger_than_its_arrays_and_a_pipe_are_refused(tmp_path: Path) -> None:
    file, pipe = tmp_path / "large.npz", tmp_path / "pipe.npz"
    with file.open("wb") as stream:
        stream.truncate(10**11)
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="is 100000000000 bytes long"):
        read_arrays(file, ["group"], len(ARRAY))
    with pytest.raises(DataError, match="is a folder, a pipe or a device"):
        read_arrays(pipe, ["group"], None)


def rewritten(path: Path, record: Record, groups: np.ndarray, arrays: dict[str, np.ndarray]) -> Record:
    """The record with other groups of its test examples, and counts and hashes that fit them."""
    document = record.model_dump(mode="json")
    document["test_groups"] = array_hash(groups)
    for seed in document["seeds"]:
        for rule, selected in seed["selected"].items():
            selected["test"] = recount(groups, arrays[predictions_name(seed["seed"], rule)], record)[:4]
            selected["scores"] = None
            seed["candidates"][selected["candidate"]][3] = selected["test"]
    changed = Record.model_validate(document)
    write_record(path, changed, {**arrays, GROUPS: groups})
    return changed


def test_test_examples_are_in_groups_that_there_are_and_as_many_as_is_said(tmp_path: Path) -> None:
    """Hashes and counts fit; only the groups do not."""
    record, arrays = made("erm", 0.8, 0)
    path = tmp_path / "erm.json"
    wrong = np.flatnonzero(arrays["0.worst_group"] != arrays[GROUPS] // 2)[:1]
    for value, message in ((-1, "outside of the 4 groups"), (30000, "outside of the 4 groups"), (3, "examples per")):
        groups = arrays[GROUPS].copy()
        assert groups[0] != 3
        groups[wrong if value == 30000 else 0] = value
        others = {name: array.copy() for name, array in arrays.items()}
        for name in others:
            if name != GROUPS:
                others[name][groups != arrays[GROUPS]] = 7
        document = record.model_dump(mode="json")
        for seed in document["seeds"]:
            for rule, selected in seed["selected"].items():
                selected["predictions"] = array_hash(others[predictions_name(seed["seed"], rule)])
        changed = rewritten(path, Record.model_validate(document), groups, others)
        with pytest.raises(DataError, match=message):
            read_predictions(path, changed)
