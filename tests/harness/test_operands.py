"""What A and B are: decided by what exists, and where that does not decide, by who asks, who is told how."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from spurbench.errors import DataError, UsageError
from spurbench.operands import Operand, Operands, methods_of
from spurbench.record import Record

ROWS = np.repeat(np.arange(4), 5)
Write = Callable[..., Record]


@pytest.fixture
def here(tmp_path: Path, write_outcomes: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a branch `main`, results of methods `erm`, `both` and `main`, and folders `old` and `both`."""

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    for method in ("erm", "both", "main", "erm:C=1.0"):
        write_outcomes(tmp_path / "results", method, np.ones((2, 20), bool), ROWS)
    (tmp_path / "both").mkdir()
    write_outcomes(tmp_path / "old", "erm", np.zeros((2, 20), bool), ROWS)
    git("init", "--initial-branch=main")
    git("add", "--all")
    git("commit", "-m", "first")
    git("branch", "both")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def decide(a: str, b: str) -> tuple[Operand, Operand]:
    return Operands(Path("results")).decide(a, b)


@pytest.mark.parametrize(
    ("a", "b", "kinds"),
    [
        ("erm", "erm:C=1.0", ("method", "method")),
        ("old", "results", ("folder", "folder")),
        ("HEAD", "main", ("commit", "commit")),
        # One of them can be several, the other decides.
        ("erm", "main", ("method", "method")),
        ("HEAD", "both", ("commit", "commit")),
        ("old", "both", ("folder", "folder")),
        ("method:both", "main", ("method", "method")),
        ("both", "commit:main", ("commit", "commit")),
        ("folder:old", "folder:both", ("folder", "folder")),
        ("commit:HEAD", "folder:results", ("commit", "folder")),
    ],
)
def test_what_exists_decides(a: str, b: str, kinds: tuple[str, str], here: Path) -> None:
    one, other = decide(a, b)
    assert (one.kind, other.kind) == kinds
    for operand, written in ((one, a), (other, b)):
        assert written in (operand.name, f"{operand.kind}:{operand.name}")


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("both", "main", "write method:both method:main or commit:both commit:main"),
        ("both", "both", "write method:both method:both or folder:both folder:both or commit:both commit:both"),
        (
            "erm",
            "old",
            "'erm' is a method of the results, 'old' is a folder; compare two methods (METHOD@FOLDER is one of",
        ),
        ("old", "HEAD", "'old' is a folder, 'HEAD' is a commit; write folder:old commit:HEAD"),
        ("method:erm", "folder:old", "or two of folders and commits"),
        (
            "ermm",
            "erm",
            "'ermm' is no method of the folder results, no folder, and no commit (the repository has no commit, branch",
        ),
        ("ermm", "erm", "did you mean erm"),
        (
            "method:ermm",
            "erm",
            "'ermm' is no method of the folder results; methods are those of the folder that --results names",
        ),
        ("folder:new", "old", "there is no folder new"),
        (
            "commit:absent",
            "main",
            "there is no commit absent: the repository has no commit, branch or tag of that name",
        ),
        ("commit:--output=x", "main", "there is no commit --output=x"),
        ("", "main", "'' is no method of the folder results, no folder, and no commit"),
        ("folder:", "old", "there is no folder"),
        ("erm,both", "erm", "A and B are one name each, and 'erm,both' is 2"),
        ("ermm@old", "erm", "'ermm' is no method of the folder old; did you mean erm?"),
        ("method:both@old", "erm", "'both' is no method of the folder old"),
        ("erm@absent", "erm", "there is no folder absent for 'erm@absent'"),
        ("mine/reslts", "old", "of that name)"),
        ("HEAD@{x}", "main", "'HEAD@{x}' is no method of the folder results, no folder, and no commit"),
    ],
)
def test_what_does_not_decide_is_a_wrong_call_that_says_how_to_write_it(
    a: str, b: str, message: str, here: Path
) -> None:
    with pytest.raises(UsageError) as error:
        decide(a, b)
    assert message in str(error.value)
    assert error.value.exit_status == 2


def test_a_method_may_be_of_another_folder(here: Path, write_outcomes: Write) -> None:
    for pair in (("erm", "erm@old"), ("method:erm", "method:erm@old")):
        assert decide(*pair) == (Operand("method", "erm", Path("results")), Operand("method", "erm", Path("old")))
    write_outcomes(here / "results", "erm@old", np.ones((2, 20), bool), ROWS)
    assert decide("erm", "erm@old")[1] == Operand("method", "erm@old", Path("results")), "a whole name comes first"
    assert decide("main@{0}", "HEAD")[0] == Operand("commit", "main@{0}")


def test_without_git_methods_and_folders_are_still_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert [operand.kind for operand in decide("erm", "both")] == ["method", "method"]
    assert [operand.kind for operand in decide("old", "results")] == ["folder", "folder"]
    with pytest.raises(UsageError, match=r"git is not installed, or finds no repository around results"):
        decide("HEAD", "main")


def test_a_folder_that_records_are_published_in_names_no_method(here: Path) -> None:
    for place in ("published/a/b", ".hidden/a/b"):
        (here / "results" / place).mkdir(parents=True)
        (here / "results" / place / "ghost.json").write_text("{}")
    assert methods_of(Path("results")) == {"erm", "both", "main", "erm:C=1.0"}


def test_a_commit_is_opened_and_named_and_leaves_nothing_behind(here: Path, write_outcomes: Write) -> None:
    write_outcomes(here / "results", "later", np.ones((2, 20), bool), ROWS)
    operands = Operands(Path("results"))
    with ExitStack() as stack:
        committed = operands.open(Operand("commit", "main"), stack)
        present = operands.open(Operand("folder", "results"), stack)
        assert {record.method for record in committed.records} == {"erm", "both", "main", "erm:C=1.0"}
        assert {record.method for record in present.records} == {"erm", "both", "main", "erm:C=1.0", "later"}
        assert committed.name.startswith("main (")
        arrays = committed.arrays_of(committed.records[0])
        assert arrays is not None
        assert arrays["0.average"].tolist() == (ROWS // 2).tolist()
    assert committed.arrays_of(committed.records[0]) is None, "the copy is gone"


def test_a_broken_file_of_a_commit_is_named_by_the_commit(here: Path) -> None:
    path = here / "results" / "v1" / "birds" / "RN50" / "erm.json"
    path.write_text("{")
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "broken"], cwd=here, check=True
    )
    operands = Operands(Path("results"))
    with ExitStack() as stack:
        (message,) = operands.open(Operand("commit", "main"), stack).unreadable
        assert "main:results/v1/birds/RN50/erm.json" in message
        assert "spurbench-" not in message
        with pytest.raises(DataError, match=r"erm\.json"):
            operands.open(Operand("commit", "main"), stack, strict=True)
