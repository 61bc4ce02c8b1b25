"""The folder that --out names: told to be of no use before anything is computed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spurbench.cli.app import app
from spurbench.cli.looking import check_writable, folder_named
from spurbench.errors import UsageError


def test_a_folder_that_serves_is_as_it_was(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "c")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept.txt").touch()
    check_writable(tmp_path / "a")
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "kept.txt"]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    with pytest.raises(UsageError, match=f"^--out names a folder; {file} is a file$"):
        check_writable(file)
    with pytest.raises(UsageError, match=f"nothing can be written into {file}/x .Not a directory.; name another"):
        check_writable(file / "x")
    with pytest.raises(UsageError, match="nothing can be written into .* .File name too long."):
        check_writable(tmp_path / "new" / ("x" * 300))
    assert list(tmp_path.iterdir()) == [file]
    gone = tmp_path / "gone"
    gone.symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(UsageError, match=f"nothing can be written into {gone} "):
        check_writable(gone)
    assert gone.is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="where even root cannot write")
@pytest.mark.parametrize("folder", ["/proc", "/proc/looked"])
def test_a_folder_that_cannot_be_written_into_is_refused(folder: str) -> None:
    with pytest.raises(UsageError, match=rf"^nothing can be written into {folder} \(.+\); name another folder: --out"):
        check_writable(Path(folder))


@pytest.mark.parametrize("command", ["explain", "suspects", "discover"])
def test_an_empty_name_is_none(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = [command, "menagerie-birds", "--backbone", "menagerie-rn", "--out", ""]
    refused = CliRunner().invoke(app, call)
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception).startswith("--out takes the name of a folder, not an empty one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [
        ("menagerie-birds", "looked-menagerie-birds"),
        ("folder:my-photos@14d2a669", "looked-my-photos"),
        ("folder:a@b@14d2a669", "looked-a@b"),
        ("folder:..@14d2a669", "looked-%2E%2E"),
        ("menagerie-birds:0.9", "looked-menagerie-birds-0.9"),
        ("folder:photos", "looked-folder-photos"),
        ("odd/../../name", "looked-odd%2F..%2F..%2Fname"),
    ],
)
def test_folders_are_named_after_what_people_call_their_data(dataset: str, folder: str) -> None:
    assert str(folder_named("looked", dataset)) == folder
