"""What A and B of `spurbench compare` are: methods, folders of results, or commits of their repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from .comparison import Results, read_results
from .errors import UnknownNameError, UsageError, plain
from .files import original_name
from .history import Repository, repository_of

Kind = Literal["method", "folder", "commit"]
KINDS: tuple[Kind, ...] = ("method", "folder", "commit")
NOUNS: dict[Kind, str] = {"method": "method of the results", "folder": "folder", "commit": "commit"}


@dataclass(frozen=True)
class Operand:
    """A or B, and what it is; a method has the folder of the results that it is in."""

    kind: Kind
    name: str
    folder: Path | None = None


class Operands:
    """Finds out what A and B are, by what exists, and opens those that are results.

    Args:
        results: the folder whose methods, and in whose repository commits, are meant.
    """

    def __init__(self, results: Path) -> None:
        self.results = results

    def decide(self, a: str, b: str) -> tuple[Operand, Operand]:
        """What both are. Raises UsageError if that is nothing, ambiguous, or a mixture that nobody asked for."""
        could = [self._kinds(written) for written in (a, b)]
        for written, kinds in zip((a, b), could, strict=True):
            if not kinds:
                raise self._unknown(written)
        forced = [_prefixed(written) for written in (a, b)]
        if all(forced):
            first, second = (self._operand(*some) for some in forced if some is not None)
            if (first.kind == "method") == (second.kind == "method"):
                return first, second
        shared = [kind for kind in KINDS if all(kind in kinds for kinds in could)]
        if len(shared) == 1:
            one, other = (self._operand(*(_prefixed(written) or (shared[0], written))) for written in (a, b))
            return one, other
        raise UsageError(_unclear((a, b), could, shared))

    def open(self, operand: Operand, stack: ExitStack, *, strict: bool = False) -> Results:
        """All results of a folder, a method's folder, or a commit, whose stay readable until the stack is closed.

        Raises DataError for a broken file if strict.
        """
        if operand.kind != "commit":
            folder = operand.folder or Path(operand.name)
            return read_results(folder, str(folder), strict=strict)
        place, commit = stack.enter_context(TemporaryDirectory(prefix="spurbench-")), self._commit(operand.name)
        assert self._repository is not None
        assert commit is not None
        label = operand.name if commit.startswith(operand.name) else f"{operand.name} ({commit[:9]})"
        found = read_results(self._repository.extract(commit, Path(place)), label, strict=strict)
        # Nobody has seen the place where they are read.
        shown = tuple(text.replace(f"{place}/", f"{operand.name}:") for text in found.unreadable)
        return replace(found, unreadable=shown)

    def _kinds(self, written: str) -> list[Kind]:
        forced = _prefixed(written)
        if forced is not None:
            return [forced[0]] if self._is(*forced) else []
        return [kind for kind in KINDS if self._is(kind, written)]

    def _is(self, kind: Kind, name: str) -> bool:
        checks: dict[Kind, Callable[[], bool]] = {
            "method": lambda: self._method(name) is not None,
            "folder": lambda: bool(name) and Path(name).is_dir(),
            "commit": lambda: self._commit(name) is not None,
        }
        return checks[kind]()

    def _operand(self, kind: Kind, name: str) -> Operand:
        method = self._method(name) if kind == "method" else None
        return method or Operand(kind, name)

    def _method(self, name: str) -> Operand | None:
        """NAME in the results, or NAME@FOLDER; a name with @ in it is looked for in the results first."""
        if name in methods_of(self.results):
            return Operand("method", name, self.results)
        method, _, folder = name.partition("@")
        return Operand("method", method, Path(folder)) if folder and method in methods_of(Path(folder)) else None

    @cached_property
    def _repository(self) -> Repository | None:
        return repository_of(self.results)

    def _commit(self, revision: str) -> str | None:
        return None if self._repository is None else self._repository.commit(revision)

    def _unknown(self, written: str) -> UsageError:
        kind, name = _prefixed(written) or (None, written)
        method, _, folder = name.partition("@")
        if kind in (None, "method") and folder and (Path(folder).is_dir() or method in methods_of(self.results)):
            if not Path(folder).is_dir():
                return UsageError(f"there is no folder {plain(folder)} for '{plain(name)}', which is METHOD@FOLDER")
            hint = _near(method, Path(folder))
            return UsageError(f"'{plain(method)}' is no method of the folder {plain(folder)}{hint}")
        if kind == "folder":
            return UsageError(f"there is no folder {plain(name)}")
        several = [part.strip() for part in name.split(",")]
        if len(several) > 1 and all(self._method(part) for part in several):
            return UsageError(
                f"A and B are one name each, and '{plain(name)}' is {len(several)}; compare one at a time"
            )
        where = "the repository has no commit, branch or tag of that name"
        if self._repository is None:
            where = f"git is not installed, or finds no repository around {self.results}"
        if kind == "commit":
            return UsageError(f"there is no commit {plain(name)}: {where}")
        what = f"'{plain(name)}' is no method of the folder {self.results}"
        what += "" if kind == "method" else f", no folder, and no commit ({where})"
        if "/" not in name:
            what += f"; methods are those of the folder that --results names, {plain(name)}@FOLDER is one of another"
        return UsageError(f"{what}{_near(name, self.results)}")


def methods_of(folder: Path) -> set[str]:
    """Names of the methods that have files in a results folder; none of them is read for it."""
    found = (path.relative_to(folder) for path in folder.glob("*/*/*/*.json"))
    return {
        original_name(path.stem)
        for path in found
        if path.parts[0] != "published" and not any(part.startswith(".") for part in path.parts)
    }


def _near(method: str, folder: Path) -> str:
    near = UnknownNameError("method", method, methods_of(folder)).suggestions
    return f"; did you mean {' or '.join(map(plain, near))}?" if near else ""


def _prefixed(written: str) -> tuple[Kind, str] | None:
    """The kind that is asked for, and the name behind it."""
    prefix, colon, name = written.partition(":")
    return next(((kind, name) for kind in KINDS if colon and prefix == kind), None)


def _unclear(written: tuple[str, str], could: list[list[Kind]], shared: list[Kind]) -> str:
    def told() -> Iterator[str]:
        for name, kinds in zip(written, could, strict=True):
            yield f"'{plain(name)}' is a {' and a '.join(NOUNS[kind] for kind in kinds)}"

    bare = [forced[1] if (forced := _prefixed(name)) else name for name in written]
    kinds = [(kind, kind) for kind in shared] or [(could[0][0], could[1][0])]
    if shared or "method" not in {kind for pair in kinds for kind in pair}:
        ways = " or ".join(f"{one}:{plain(bare[0])} {other}:{plain(bare[1])}" for one, other in kinds)
        return f"{', '.join(told())}; write {ways}"
    ways = "compare two methods (METHOD@FOLDER is one of another folder), or two of folders and commits"
    return f"{', '.join(told())}; {ways}"
