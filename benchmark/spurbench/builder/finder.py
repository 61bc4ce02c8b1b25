"""Which photo a listing means: by path, by the name of a file, by a number, or by the address that it came from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import DataError, UsageError
from ..files import inside
from .exports import Listing

_INATURALIST = re.compile(r"/photos/([0-9]+)/[a-z]+\.[a-z]+$", re.IGNORECASE)
"""The end of an iNaturalist photo's address, in which every file is called after its size."""


class Finder:
    """Where listed photos are.

    Args:
        paths: of all photos, with /.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = frozenset(paths)
        self._named: dict[str, list[str]] = defaultdict(list)
        self._numbered: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            name = path.rpartition("/")[2]
            self._named[name].append(path)
            self._numbered[name.rpartition(".")[0]].append(path)

    def files(self, listing: Listing, ids: Sequence[str]) -> list[str]:
        """The path of each row's photo, "" where it is not there. Raises DataError where it is not clear which."""
        cells = zip(*map(listing.column, ("file", "extension", "source_url")), ids, strict=True)
        return [self._at(file) if file else self._downloaded(i, suffix, url) for file, suffix, url, i in cells]

    def _at(self, file: str) -> str:
        # Windows' separators become the common ones; a leading ./ says nothing.
        path = file.replace("\\", "/").removeprefix("./")
        if path in self._paths:
            return path
        try:
            inside(Path(), re.sub("^[A-Za-z]:", "/", path))
        except UsageError as error:
            raise DataError(f"the file {file!r} leads out of the folder; only paths below it are accepted") from error
        return "" if "/" in path else self._one(self._named.get(path, []))

    def _downloaded(self, photo_id: str, suffix: str, url: str) -> str:
        numbered = self._numbered.get(photo_id, []) if photo_id else []
        if numbered or not url or _id_in(url):
            exact = [path for path in numbered if suffix and path.endswith(f".{suffix}")]
            return self._one(exact or numbered)
        return self._one(self._named.get(_path_of(url).rpartition("/")[2], []))

    def _one(self, found: Sequence[str]) -> str:
        if len(found) > 1:
            raise DataError(f"a listed photo may be any of {', '.join(found[:5])}; add a column `file` with its path")
        return found[0] if found else ""


def ids_of(listing: Listing) -> list[str]:
    """The photos' ids by row, also those that are told by an address of iNaturalist's only; "" where there is none."""
    given = zip(listing.column("photo_id"), listing.column("source_url"), strict=True)
    return [photo_id or _id_in(url) for photo_id, url in given]


def _id_in(url: str) -> str:
    """The number of an iNaturalist photo in its address, or ""."""
    match = _INATURALIST.search(_path_of(url)) if "inaturalist" in url.lower() else None
    return match[1] if match else ""


def _path_of(url: str) -> str:
    """The path of an address, as text; "" where it is none."""
    try:
        return unquote(urlsplit(url).path)
    except ValueError:
        return ""
