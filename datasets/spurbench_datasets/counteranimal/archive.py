"""Unpacking an archive that somebody placed by hand or that was downloaded: photos in folders, and nothing else."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from spurbench.errors import DataError, UsageError
from spurbench.files import inside

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
GROWTH, ALLOWANCE = 4, 2**30
"""Photos are compressed already: what unpacks to more than so many times the archive and so many bytes is a bomb."""
MOST = 1_000_000
"""Members that an archive may have."""
_DAMAGE = (
    OSError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True)
class _Member:
    """What an archive holds under one name; `kind` is `file`, `folder`, or what else it is, in words."""

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's files below a folder, under their own paths; hidden ones and `__MACOSX` are left out.

    Args:
        archive: zip or tar, compressed or not, whatever its name.
        folder: exists, and is the caller's to remove if this fails half-way.

    Raises:
        DataError: it is neither, is damaged or encrypted, has a member that is absolute, leads out by `..`, is a link
            or a device, or is there twice; or it would unpack to far more than photos can be compressed by.
    """
    try:
        room = GROWTH * archive.stat().st_size + ALLOWANCE
        for number, member in enumerate(_members(archive)):
            room -= member.size
            if room < 0 or number >= MOST:
                raise DataError("it would unpack to far more than it can hold of photos")
            _write(member, folder)
    except (DataError, *_DAMAGE) as error:
        raise DataError(f"{archive} is not unpacked: {error}; put one from its authors in its place") from error


def _write(member: _Member, folder: Path) -> None:
    # Archives made on Windows may have its separators.
    name = member.name.replace("\\", "/")
    try:
        path = inside(folder, name)
    except UsageError:
        raise DataError(f"its member {member.name!r} would be written outside of the folder") from None
    if member.kind not in ("file", "folder"):
        raise DataError(f"its member {member.name!r} is a {member.kind}, not a file")
    if member.kind == "folder" or any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        target = path.open("xb")
    except FileExistsError:
        raise DataError(f"its member {member.name!r} is there twice") from None
    source = member.open()
    assert source is not None
    with target, source:
        shutil.copyfileobj(source, target, 1 << 20)


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                yield _Member(info.filename, info.file_size, _kind(info), lambda info=info: packed.open(info))  # type: ignore[misc]
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for entry in tar:
                kind = "folder" if entry.isdir() else "file" if entry.isreg() else "link or a device"
                yield _Member(entry.name, entry.size, kind, lambda entry=entry: tar.extractfile(entry))  # type: ignore[misc]
    else:
        raise DataError("it is neither a zip nor a tar archive")


def _kind(info: zipfile.ZipInfo) -> str:
    """What a zip's member is: archives made on Unix keep its mode, others keep none."""
    mode = info.external_attr >> 16
    if info.is_dir():
        return "folder"
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "link or a device"
