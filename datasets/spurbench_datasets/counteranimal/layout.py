"""CounterAnimal's folders: `<index> <synset>/common-*` with easy photos, `<index> <synset>/counter-*` with hard."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spurbench.errors import DataError
from spurbench.images import SUFFIXES

from .published import GROUPS

log = logging.getLogger("spurbench")

PREFIXES = ("common", "counter")
"""How folders of easy and of hard photos begin. What follows is the background, which folders and paper spell apart."""
PLACES = ("counteranimal/LAION-final", "LAION-final", "counteranimal")
"""Where the class folders are below the data root."""

_CLASS = re.compile(r"([0-9]{1,9})(\s.*)?", re.DOTALL)
_GROUPS = tuple(re.compile(rf"{prefix}([-_ ].*)?", re.IGNORECASE | re.DOTALL) for prefix in PREFIXES)


@dataclass(frozen=True)
class Layout:
    """What the folders hold, in sorted order.

    Attributes:
        folder: that with the class folders.
        names: what stands behind each class's number, by that number, ascending; "" where nothing does.
        ids: (n,) paths of the photos below `folder`, with `/`.
        classes: (n,) number of each photo's class.
        groups: (n,) 0 easy, 1 hard.
    """

    folder: Path
    names: Mapping[int, str]
    ids: tuple[str, ...]
    classes: tuple[int, ...]
    groups: tuple[int, ...]

    @property
    def counts(self) -> dict[int, tuple[int, int]]:
        """Easy and hard photos of each class, by its number."""
        totals = {number: [0, 0] for number in self.names}
        for number, group in zip(self.classes, self.groups, strict=True):
            totals[number][group] += 1
        return {number: (easy, hard) for number, (easy, hard) in totals.items()}

    def only(self, rows: Sequence[int]) -> Layout:
        """Some of the photos."""
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            classes=tuple(self.classes[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
        )


def found_below(root: Path) -> Path | None:
    """The folder with the class folders, of a data root; None where there is none."""
    folders = [root / place for place in PLACES]
    # The folder itself is taken for the data root as readily as its parent.
    folders += [root] if root.name in ("counteranimal", "LAION-final") else []
    return next((folder for folder in folders if has_classes(folder)), None)


def has_classes(folder: Path) -> bool:
    """Whether a folder has class folders in it, complete or not."""
    if not folder.is_dir():
        return False
    return any(_CLASS.fullmatch(entry.name) and entry.is_dir() for entry in _entries(folder))


def read_layout(folder: Path) -> Layout:
    """Read the class folders. Files that are no photos, hidden ones and `__MACOSX` are passed over.

    Raises:
        DataError: no classes, two of one number, one without a number or without both groups, names that are not
            valid Unicode, or links that lead out of the folder, to folders, or nowhere.
    """
    ids: list[str] = []
    classes: list[int] = []
    groups: list[int] = []
    unknown: list[str] = []
    found = _classes(folder)
    for number, entry in found.items():
        before = len(ids)
        for inner in _folders(folder, Path(entry.path)):
            group = _group(inner.name)
            if group is None:
                unknown.append(f"{entry.name}/{inner.name}")
                continue
            photos = list(_photos(folder, Path(inner.path)))
            ids += photos
            groups += [group] * len(photos)
        classes += [number] * (len(ids) - before)
        for group, prefix in enumerate(PREFIXES):
            if group not in groups[before:]:
                raise DataError(
                    f"{folder}: class {entry.name!r} has no {GROUPS[group]} photos; they belong into a folder "
                    f"{prefix}-BACKGROUND in it"
                )
    if unknown:
        log.warning("%s: folders that are neither common-* nor counter-* are left out: %s", folder, ", ".join(unknown))
    names = {number: " ".join(found[number].name.split()[1:]) for number in sorted(found)}
    return Layout(folder, names, tuple(ids), tuple(classes), tuple(groups))


def _classes(folder: Path) -> dict[int, os.DirEntry[str]]:
    """The folders of the classes by their numbers, in the order of their names."""
    found: dict[int, os.DirEntry[str]] = {}
    for entry in _folders(folder, folder):
        match = _CLASS.fullmatch(entry.name)
        if match is None:
            if any(_group(inner.name) is not None for inner in _folders(folder, Path(entry.path))):
                raise DataError(
                    f"{folder}: the folder {entry.name!r} has no number in front; "
                    "classes are called like '9 ostrich, Struthio camelus'"
                )
            continue
        number = int(match[1])
        if number in found:
            raise DataError(f"{folder}: two folders are class {number}: {found[number].name!r} and {entry.name!r}")
        found[number] = entry
    if not found:
        raise DataError(f"{folder} has no folders of classes, such as '9 ostrich, Struthio camelus'")
    return found


def _group(name: str) -> int | None:
    return next((group for group, pattern in enumerate(_GROUPS) if pattern.fullmatch(name)), None)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; DataError where that cannot be read or written down."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    for entry in found:
        try:
            entry.name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{folder}: the name {entry.name!r} is not valid Unicode; rename it") from error
    return [entry for entry in found if not entry.name.startswith((".", "__MACOSX"))]


def _folders(root: Path, folder: Path) -> Iterator[os.DirEntry[str]]:
    """The folders in a folder, by name."""
    for entry in _entries(folder):
        # Below the root a link could only repeat photos that are there, lead out, or never end.
        if entry.is_symlink() and not _is_file(root, entry):
            raise DataError(f"{entry.path} is a link to a folder; put the folder itself there")
        if entry.is_dir():
            yield entry


def _photos(root: Path, folder: Path) -> Iterator[str]:
    """The photos in a folder and in folders below it, as paths below the root."""
    for entry in _entries(folder):
        if Path(entry.name).suffix.lower() in SUFFIXES and _is_file(root, entry):
            yield Path(entry.path).relative_to(root).as_posix()
    for inner in _folders(root, folder):
        yield from _photos(root, Path(inner.path))


def _is_file(root: Path, entry: os.DirEntry[str]) -> bool:
    """Whether it is a file; DataError for a link that leads out of the root, in a circle, or nowhere."""
    if not entry.is_symlink():
        return entry.is_file()
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{entry.path} is a link that cannot be followed; put the photo itself there") from error
    if not target.is_relative_to(root.resolve()):
        raise DataError(f"{entry.path} is a link that leads out of {root}; put the photo itself there")
    return target.is_file()
