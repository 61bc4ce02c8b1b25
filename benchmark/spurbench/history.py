"""Results as they were in a commit, read without touching the work tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import DataError, one_line, plain
from .files import MOST_BYTES, inside

FILES = (b"100644", b"100755")
"""Modes of plain files; links and submodules have others."""
FOLDER = b"040000"
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
ENVIRONMENT = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
"""git fetches what a repository lacks by a command that the repository names; no protocol is allowed for that."""
ELSEWHERE = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX",
}  # fmt: skip
"""Variables by which git, e.g. inside a hook, would look into another repository than the one around the results."""
SETTINGS = ("safe.bareRepository=explicit", "core.fsmonitor=false", "core.hooksPath=/dev/null")
"""Results are anybody's, and files that look like a repository may be among them: nothing of it is run."""


@dataclass(frozen=True)
class Repository:
    """The git repository that holds a results folder.

    Attributes:
        top: its work tree.
        results: the results folder below it, as git writes paths; "" for the work tree itself.
    """

    top: Path
    results: str

    def commit(self, revision: str) -> str | None:
        """The commit (hex) that a branch, tag or other revision names; None if it names none."""
        if not revision or revision.startswith("-"):
            return None
        found = _git(self.top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        commit = found.stdout.decode(errors="replace").strip()
        # `^HEAD` is taken, and is not the name of a commit but of all others.
        return commit if found.returncode == 0 and COMMIT.fullmatch(commit) else None

    def extract(self, commit: str, into: Path) -> Path:
        """Write the results of a commit below a folder, and return theirs; an empty one if it has none.

        Files are written byte for byte: `git archive` leaves out what attributes keep from releases, and may change
        line ends. Raises DataError for anything but plain files of at most `MOST_BYTES`, and for a file that the
        repository lacks, as partial clones do.
        """
        wanted = list(self._files(commit))
        with subprocess.Popen(  # noqa: S603 - no shell
            _command(self.top, "cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(self.top),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for name, path in wanted:
                process.stdin.write(name + b"\n")
                process.stdin.flush()
                size = _size(process.stdout.readline(), f"{plain(path)} in commit {commit[:12]}")
                content = process.stdout.read(size + 1)[:-1]
                target = inside(into, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        place = into / self.results
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _files(self, commit: str) -> Iterator[tuple[bytes, str]]:
        """Object and path of every file of the results in a commit."""
        for folder in reversed(PurePosixPath(self.results, "below").parents[:-1]):
            for mode, _, path in self._entries(commit, str(folder)):
                if mode != FOLDER:
                    what = f"{plain(path)} in commit {commit[:12]}"
                    raise DataError(f"{what} is a file, a link or a submodule; results are a folder")
        for mode, name, path in self._entries(commit, *([f"{self.results}/"] if self.results else []), options=("-r",)):
            if mode not in FILES:
                what = f"{plain(path)} in commit {commit[:12]}"
                raise DataError(f"{what} is a link or a submodule; results are plain files")
            yield name, path

    def _entries(self, commit: str, *paths: str, options: Sequence[str] = ()) -> Iterator[tuple[bytes, bytes, str]]:
        """Mode, object and path of what `git ls-tree` lists."""
        listed = _git(self.top, "ls-tree", "--full-tree", "-z", *options, commit, "--", *paths)
        if listed.returncode:
            raise DataError(f"git cannot list commit {commit[:12]}: {one_line(listed.stderr.decode(errors='replace'))}")
        for entry in listed.stdout.split(b"\0")[:-1]:
            head, _, path = entry.partition(b"\t")
            mode, _, name = head.split(b" ")
            yield mode, name, os.fsdecode(path)


def repository_of(results: Path) -> Repository | None:
    """The repository around a results folder, which need not be there; None where there is none, or no git.

    It is the one whose `.git` stands in the nearest folder above. Files that make the results folder itself look like
    a repository, which anybody can commit, do not count.
    """
    if shutil.which("git") is None:
        return None
    absolute = Path(os.path.realpath(results))
    top = next((folder for folder in (absolute, *absolute.parents) if (folder / ".git").exists()), None)
    if top is None or _git(top, "rev-parse", "--git-dir").returncode:
        return None
    relative = absolute.relative_to(top).as_posix()
    return Repository(top, "" if relative == "." else relative)


def _size(said: bytes, what: str) -> int:
    """Bytes of an object, from the line that `git cat-file --batch` writes before it."""
    parts = said.split()
    if len(parts) != 3:
        raise DataError(f"{what} is not in this repository; `git fetch --refetch` gets what a partial clone left out")
    size = int(parts[2])
    if size > MOST_BYTES:
        raise DataError(f"{what} has {size} bytes; files of results have at most {MOST_BYTES}")
    return size


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - no shell
        _command(folder, *arguments), capture_output=True, check=False, env=_environment(folder)
    )


def _command(folder: Path, *arguments: str) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    # Paths are names, not patterns, whatever characters are in them.
    return ["git", "--literal-pathspecs", *settings, "-C", str(folder), *arguments]


def _environment(folder: Path) -> dict[str, str]:
    # Where a folder's `.git` turns out to be no repository, git does not go on to the folders above.
    own = {**ENVIRONMENT, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | own
