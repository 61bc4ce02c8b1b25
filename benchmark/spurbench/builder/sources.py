"""Anyone's photos as one table: sorted into folders of classes and backgrounds, or listed in a file."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..errors import DataError, UsageError
from .exports import Listing, read_listing
from .finder import Finder, ids_of
from .synonyms import folded
from .table import READ
from .walk import photos_below

log = logging.getLogger("spurbench")
LAYOUT = "class/background/*.jpg"


def read_photos(folder: Path, listing: Path | None = None) -> pd.DataFrame:
    """The photos below a folder, with the columns READ of `table`, in the order of `path`. No photo is opened.

    Args:
        folder: `class/background/*.jpg`; photos that lie in `class/` itself have the background "". Hidden files and
            files that are no photos by their suffix are passed over.
        listing: a CSV, tab-separated or parquet file that says what the photos are (`exports`): which photo a row is by
            `file`, a path below `folder` or the bare name of a file anywhere in it, else by `photo_id` or address.
            Photos that it does not list are left out. What it does not say of class and background is taken from
            folders.

    Raises:
        UsageError: there is no such folder, or no such listing.
        DataError: there are no photos, they lie elsewhere than they should, links lead out of the folder or in circles,
            names that no folder can have, two classes of one name, or a listing that does not fit; says what to do.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder} to read photos from")
    if listing is not None and not listing.is_file():
        raise UsageError(f"there is no file {listing} that lists photos")
    paths = sorted(photos_below(folder.resolve()))
    if not paths:
        raise DataError(f"{folder}: no photos; put them in as {LAYOUT}")
    if listing is None:
        photos = _from_folders(folder, paths)
    else:
        listed = read_listing(listing)
        try:
            photos = _from_listing(listed, paths)
        except DataError as error:
            raise DataError(f"{listing}: {error}") from error
    _check_names(photos)
    ordered: pd.DataFrame = photos.sort_values("path", ignore_index=True)
    return ordered


def _from_folders(folder: Path, paths: Sequence[str]) -> pd.DataFrame:
    parts = [path.split("/") for path in paths]
    beside = [path for path, part in zip(paths, parts, strict=True) if len(part) == 1]
    if beside:
        none = "there are no class folders" if len(beside) == len(paths) else "photos must lie in a class's folder"
        raise DataError(f"{folder}: {len(beside)} photos lie beside the folders, first {beside[0]}; {none} ({LAYOUT})")
    deeper = [path for path, part in zip(paths, parts, strict=True) if len(part) > 3]
    if deeper:
        raise DataError(f"{folder}: {len(deeper)} photos lie too deep, first {deeper[0]}; they must lie in {LAYOUT}")
    rows = {"path": paths, "photo_id": paths, "label": [part[0] for part in parts]}
    return _table({**rows, "background": [part[1] if len(part) == 3 else "" for part in parts]})


def _from_listing(listing: Listing, paths: Sequence[str]) -> pd.DataFrame:
    """The listed photos that are there. Raises DataError where none is, or one is listed twice."""
    ids = ids_of(listing)
    found = Finder(paths).files(listing, ids)
    rows = [row for row, path in enumerate(found) if path]
    missing = [row for row, path in enumerate(found) if not path]
    if missing:
        first = ", ".join(_called(listing, ids, row) for row in missing[:5]) + (", ..." if len(missing) > 5 else "")
        told = f"{len(missing)} of {listing.rows} photos that it lists are not in the folder: {first}"
        if not rows:
            raise DataError(f"{told}; give the folder that they were downloaded to")
        log.warning("%s; they are left out", told)
    _refuse_repeated([found[row] for row in rows], "files are listed")
    _refuse_repeated([ids[row] for row in rows if ids[row]], "photo ids stand")
    taken = {role: [cells[row] for row in rows] for role, cells in listing.columns.items() if role in READ}
    taken["path"] = [found[row] for row in rows]
    taken["photo_id"] = [ids[row] or found[row] for row in rows]
    parts = [path.split("/") for path in taken["path"]]
    if "label" not in taken:
        beside = [path for path, part in zip(taken["path"], parts, strict=True) if len(part) == 1]
        if beside:
            raise DataError(
                f"no column names classes (label, class or species), and {beside[0]} lies in no class's folder"
            )
        taken["label"] = [part[0] for part in parts]
    # A folder is the background only below its class: elsewhere it may be anything, such as a number of a download.
    told_by_folders = [
        part[1] if len(part) == 3 and folded(part[0]) == folded(label) else ""
        for part, label in zip(parts, taken["label"], strict=True)
    ]
    given = taken.get("background", told_by_folders)
    taken["background"] = [a or b for a, b in zip(given, told_by_folders, strict=True)]
    if listing.export.page and "source_url" not in taken:
        taken["source_url"] = [listing.export.page.format(ids[row]) for row in rows]
    return _table(taken)


def _check_names(photos: pd.DataFrame) -> None:
    """Names become folders of the data set; those that differ in little only are a slip of the pen."""
    for column in ("label", "background"):
        for name in photos[column].unique():
            # The last four are how formulas begin, which a spreadsheet runs when it opens the lists.
            if not name.isprintable() or re.search(r"[/\\]|^[.=+@-]", name):
                raise DataError(
                    f"the {column} {name!r} cannot be a folder's name: it holds / or what cannot be printed, or begins "
                    "with . = + - or @; rename it"
                )
    spellings: dict[str, str] = {}
    for name in sorted(photos["label"].unique()):
        other = spellings.setdefault(folded(name), name)
        if other != name:
            raise DataError(
                f"the classes '{other}' and '{name}' differ in case, spaces, _ or - only; give both the same name, or "
                "names that differ in more"
            )


def _refuse_repeated(names: Sequence[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} {what} more than once, first {twice[0]}")


def _called(listing: Listing, ids: Sequence[str], row: int) -> str:
    return listing.column("file")[row] or ids[row] or listing.column("source_url")[row] or f"row {row + 1}"


def _table(columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    n = len(columns["path"])
    table: pd.DataFrame = pd.DataFrame({name: columns.get(name) or [""] * n for name in READ})
    return table
