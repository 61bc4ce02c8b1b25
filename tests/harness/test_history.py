"""Results of a commit: as they were, byte for byte, and nothing else is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from spurbench.errors import DataError, UsageError
from spurbench.history import Repository, repository_of


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with two commits of `nested/results`, and a work tree that is neither."""
    top = tmp_path / "repository"
    folder = top / "nested" / "results" / "v1"
    folder.mkdir(parents=True)
    git(top, "init")
    (top / ".gitattributes").write_text("nested/results export-ignore\n*.json text eol=crlf\n")
    (folder / "a.json").write_bytes(b"one\n")
    (folder / "b [x].npz").write_bytes(bytes(range(256)) + b"\n")
    (top / "nested" / "resultsother.json").write_bytes(b"no result\n")
    git(top, "add", "--all")
    git(top, "commit", "-m", "first")
    git(top, "tag", "v-first")
    (folder / "a.json").write_bytes(b"two\n")
    git(top, "commit", "-am", "second")
    (folder / "a.json").write_bytes(b"not committed\n")
    (folder / "c.json").write_bytes(b"nor this\n")
    return top


def found(top: Path) -> Repository:
    repository = repository_of(top / "nested" / "results")
    assert repository is not None
    return repository


def test_a_commits_results_are_written_as_they_were(top: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    repository = found(top)
    assert repository == Repository(top.resolve(), "nested/results")
    for revision, content in (("v-first", b"one\n"), ("HEAD", b"two\n"), ("HEAD~1", b"one\n"), ("main", b"two\n")):
        commit = repository.commit(revision)
        assert commit == git(top, "rev-parse", f"{revision}^{{commit}}")
        place = repository.extract(commit, tmp_path / revision)
        assert place == tmp_path / revision / "nested" / "results"
        files = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert files == {"v1/a.json": content, "v1/b [x].npz": bytes(range(256)) + b"\n"}
        assert not (tmp_path / revision / "nested" / "resultsother.json").exists()
    assert {path: path.read_bytes() for path in top.rglob("*") if path.is_file()} == before


def test_results_that_are_gone_from_the_work_tree_are_still_in_commits(top: Path, tmp_path: Path) -> None:
    (top / "nested").rename(tmp_path / "elsewhere")
    repository = found(top)
    commit = repository.commit("main")
    assert commit is not None
    assert (repository.extract(commit, tmp_path / "out") / "v1" / "a.json").read_bytes() == b"two\n"


def test_a_commit_without_results_has_none(top: Path, tmp_path: Path) -> None:
    git(top, "rm", "-rq", "--cached", "nested/results")
    git(top, "commit", "-m", "removed")
    repository = found(top)
    commit = repository.commit("main")
    assert commit is not None
    assert list(repository.extract(commit, tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "revision",
    [
        "",
        "absent",
        "--help",
        "-h",
        "--output=x",
        "HEAD:nested",
        "main; touch x",
        "$(id)",
        "^HEAD",
        "HEAD^!",
        "HEAD~1..HEAD",
    ],
)
def test_what_is_no_commit_is_none_and_never_an_option(revision: str, top: Path) -> None:
    assert found(top).commit(revision) is None
    assert not (top / "x").exists()


def test_a_link_in_the_results_is_refused(top: Path, tmp_path: Path) -> None:
    (top / "nested" / "results" / "v1" / "link.json").symlink_to("/etc/passwd")
    git(top, "add", "--all")
    git(top, "commit", "-m", "link")
    commit = found(top).commit("main")
    assert commit is not None
    with pytest.raises(DataError, match=r"nested/results/v1/link\.json in commit \w{12} is a link or a submodule"):
        found(top).extract(commit, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_path_that_leads_out_is_refused(top: Path, tmp_path: Path) -> None:
    """Such trees are made by hand, not by `git add`."""
    blob = git(top, "hash-object", "-w", ".gitattributes")

    def tree(kind: str, name: str, path: str) -> str:
        entry = f"{kind} {name}\t{path}"
        made = subprocess.run(["git", "-C", top, "mktree"], input=entry, check=True, capture_output=True, text=True)
        return made.stdout.strip()

    made = tree("100644 blob", blob, "escaped.json")
    for folder in ("..", "..", "..", "results", "nested"):
        made = tree("040000 tree", made, folder)
    commit = git(top, "commit-tree", made, "-m", "hostile")
    with pytest.raises(UsageError, match="leads out of"):
        found(top).extract(commit, tmp_path / "out")
    assert not list(tmp_path.rglob("escaped.json"))


def test_outside_of_a_repository_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert repository_of(tmp_path / "results") is None


def test_without_git_there_is_no_repository(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert repository_of(top / "nested" / "results") is None


def hostile(top: Path, marker: Path) -> Path:
    """A results folder that is itself a bare repository, whose one remote is a program that leaves a mark."""
    program = top.parent / "program.sh"
    program.write_text(f"#!/bin/sh\necho ran >> {marker}\nexit 1\n")
    program.chmod(0o755)
    results = top / "results"
    commit = git(top, "rev-parse", "HEAD")
    for folder in ("objects", "refs/heads"):
        (results / folder).mkdir(parents=True)
    (results / "HEAD").write_text("ref: refs/heads/main\n")
    (results / "refs" / "heads" / "main").write_text(f"{commit}\n")
    promised = '[extensions]\n\tpartialClone = evil\n[remote "evil"]\n\tpromisor = true\n\turl = /nowhere\n'
    (results / "config").write_text(
        f"[core]\n\trepositoryformatversion = 1\n\tbare = false\n\tworktree = .\n\tfsmonitor = {program}\n"
        f"{promised}\tuploadpack = {program}\n"
    )
    return results


def test_results_that_look_like_a_repository_run_nothing(top: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    results = hostile(top, marker)
    asked = ["git", "-C", str(results), "rev-parse", "--verify", "main^{commit}"]
    subprocess.run(asked, check=False, capture_output=True)
    assert "ran" in marker.read_text(), "git left to itself runs the program"
    marker.unlink()
    repository = repository_of(results)
    assert repository == Repository(top.resolve(), "results")
    assert repository.commit("HEAD") == git(top, "rev-parse", "HEAD")
    assert Repository(results, "").commit("main") is None
    assert not marker.exists()


def test_a_repository_that_lacks_objects_fetches_none(top: Path, tmp_path: Path) -> None:
    """The same settings, in the repository's own `.git/config`."""
    marker = tmp_path / "ran"
    (top / ".git" / "config").write_text((hostile(top, marker) / "config").read_text().replace("\tworktree = .\n", ""))
    blob = git(top, "rev-parse", "HEAD:nested/results/v1/a.json")
    (top / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    repository = found(top)
    commit = repository.commit("HEAD")
    assert commit is not None
    with pytest.raises(DataError, match=r"nested/results/v1/a\.json in commit \w{12} is not in this repository"):
        repository.extract(commit, tmp_path / "out")
    assert repository.commit("0" * 39 + "1") is None
    assert not marker.exists()


def test_a_variable_that_names_another_repository_is_not_followed(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init")
    commit = git(top, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert found(top).commit("HEAD") == commit


def test_a_folder_called_git_that_holds_no_repository_is_none(top: Path) -> None:
    (top / "nested" / ".git").mkdir()
    assert repository_of(top / "nested" / "results") is None


@pytest.mark.parametrize("place", ["nested", "nested/results"])
def test_results_that_are_no_folder_in_a_commit_are_refused(place: str, top: Path, tmp_path: Path) -> None:
    git(top, "rm", "-rq", "--cached", "nested")
    (top / "nested").rename(top / "aside")
    (top / place).parent.mkdir(exist_ok=True)
    (top / place).symlink_to(top / "aside")
    git(top, "add", place)
    git(top, "commit", "-m", "link")
    repository = Repository(top, "nested/results")
    commit = repository.commit("main")
    assert commit is not None
    with pytest.raises(DataError, match=rf"{place} in commit \w{{12}} is a file, a link or a submodule; results are a"):
        repository.extract(commit, tmp_path / "out")


def test_a_file_beyond_all_measure_is_refused(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spurbench.history.MOST_BYTES", 100)
    repository = found(top)
    commit = repository.commit("main")
    assert commit is not None
    with pytest.raises(DataError, match=r"b \[x\]\.npz in commit \w{12} has 257 bytes; files of results have at most"):
        repository.extract(commit, tmp_path / "out")
