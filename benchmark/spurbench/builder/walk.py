"""Every photo below a folder, and no file of elsewhere: links are looked at before they are followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from ..images import SUFFIXES


def photos_below(root: Path, below: str = "") -> Iterator[str]:
    """Paths below `root`, with /, of all files that are photos by their suffix; hidden files and folders do not count.

    Args:
        root: without links in it.
        below: what to look at, "" or ending with /.

    Raises:
        DataError: a link to a folder, to nothing or, for photos, out of `root`; a name that is no valid Unicode.
    """
    with os.scandir(root / below) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        path = f"{below}{entry.name}"
        photo = os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122
        if entry.is_symlink():
            _check_link(root, path, photo)
        if entry.is_dir():
            yield from photos_below(root, f"{path}/")
        elif photo and entry.is_file():
            try:
                path.encode()
            except UnicodeEncodeError as error:
                raise DataError(f"{root}: the name {path!r} is not valid Unicode; rename it") from error
            yield path


def _check_link(root: Path, path: str, photo: bool) -> None:
    """Refuse links to folders, to what is not there, and, for photos, out of the folder."""
    link = root / path
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{link} is a link that leads nowhere or in a circle; remove it") from error
    if not target.is_relative_to(root) and (photo or target.is_dir()):
        raise DataError(f"{link} is a link that leads out of the folder; put the photos themselves there")
    if target.is_dir():
        why = "in a circle" if link.is_relative_to(target) else "to photos that are there already"
        raise DataError(f"{link} is a link that leads {why}; remove it")
