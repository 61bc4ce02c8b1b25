"""Tables that are kept: the same as made anew, by the content of their files, and never trusted when broken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from spurbench.board.kept import TableRows, kept_tables, make_table
from spurbench.leaderboard import read_everything
from spurbench.record import record_files, record_path, write_record

from .test_board_tracks import made


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three methods on two data sets."""
    folder = tmp_path / "results"
    for t, dataset in enumerate(("birds", "faces")):
        for m, method in enumerate(("a", "b", "c")):
            record, arrays = made(method, 0.9 - 0.1 * m, 10 * t + m, dataset=dataset)
            write_record(record_path(folder, "v1", dataset, "RN50", method), record, arrays)
    return folder


def test_what_was_kept_is_what_is_made_anew(results: Path, tmp_path: Path) -> None:
    anew = kept_tables(results, tmp_path / "one", [])
    assert kept_tables(results, tmp_path / "one", []) == anew == kept_tables(results, tmp_path / "other", [])
    assert len(anew) == 2
    assert len(list((tmp_path / "one").iterdir())) == 2


def test_only_a_table_whose_files_changed_is_made_again(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = kept_tables(results, cache, [])
    made_again: list[list[Path]] = []

    def watched(files: list[Path]) -> TableRows:
        made_again.append(files)
        return first[1]

    monkeypatch.setattr("spurbench.board.kept.make_table", watched)
    kept_tables(results, cache, [])
    assert not made_again
    path = next(path for path in record_files(results) if "faces" in str(path))
    path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes() + b"\0")
    kept_tables(results, cache, [])
    assert [{file.parent for file in files} for files in made_again] == [{path.parent}]
    path.write_bytes(path.read_bytes().replace(b'"tier": "self-reported"', b'"tier": "reproduced"'))
    kept_tables(results, cache, [])
    assert len(made_again) == 2


def test_a_broken_kept_file_is_made_again_and_a_folder_that_cannot_be_written_is_no_matter(
    results: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = kept_tables(results, cache, [])
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert kept_tables(results, cache, []) == first
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    assert kept_tables(results, blocked, []) == first


def test_records_whose_predictions_are_not_theirs_are_named_and_left_out(results: Path) -> None:
    paths = list(record_files(results))
    paths[0].with_suffix(".npz").unlink()
    paths[1].with_suffix(".npz").write_bytes(paths[2].with_suffix(".npz").read_bytes())
    everything = read_everything(results)
    assert [row.method for row in everything.rows() if row.dataset == "birds"] == ["c"]
    assert len(everything.broken) == 2
    assert all(str(path.with_suffix(".npz")) in said for path, said in zip(paths, everything.broken, strict=False))
    assert {(record.dataset, record.method) for record in everything.records} == {
        (row.dataset, row.method) for row in everything.rows()
    }


def test_a_table_that_changed_while_it_was_made_is_not_kept(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's checkout goes by while the files are read, and back again."""
    path = next(record_files(results))
    content = path.read_bytes()

    def meanwhile(files: Sequence[Path]) -> TableRows:
        path.write_bytes(content.replace(b'"tier": "self-reported"', b'"tier": "reproduced"'))
        return make_table(files)

    with monkeypatch.context() as patched:
        patched.setattr("spurbench.board.kept.make_table", meanwhile)
        assert kept_tables(results, tmp_path, [])[0].rows["worst_group"][0].tier == "reproduced"
    path.write_bytes(content)
    assert kept_tables(results, tmp_path, [])[0].rows["worst_group"][0].tier == "self-reported"


def test_a_pipe_in_the_place_of_predictions_is_told_and_waited_for_by_nobody(results: Path, tmp_path: Path) -> None:
    file = next(record_files(results)).with_suffix(".npz")
    file.unlink()
    assert "is missing" in next(iter(kept_broken(results, tmp_path)))
    os.mkfifo(file)
    assert kept_broken(results, tmp_path) == [
        f"{file} is a folder, a pipe or a device, or a link to one; make it a file"
    ]


def kept_broken(results: Path, cache: Path) -> list[str]:
    broken: list[str] = []
    kept_tables(results, cache, broken)
    return broken
