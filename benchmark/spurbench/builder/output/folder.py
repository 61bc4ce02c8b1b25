"""The photos in the official layout: `<number> <class>/common-<background>/` for the easy ones, `counter-<background>/`
for the hard ones (Wang et al. 2024, arXiv 2403.11497; the folders are called as in its archive).
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...errors import DataError
from ...files import inside, readable_name
from .built import Built, Progress, said

if TYPE_CHECKING:
    import pandas as pd

PREFIX = {"easy": "common", "hard": "counter"}
BATCH = 512
"""Photos under way at once, so that an interruption is heard soon."""


def placed(built: Built) -> pd.DataFrame:
    """The photos of the data set, those with a split, in the order of their places.

    Beside the columns of the table: `file_name`, below the data set's folder; `class_idx`, the class's place in the
    instrument's labels; `class`, as `said`.

    Raises:
        DataError: a photo's class is none of what the instrument tells photos apart into.
    """
    number = {label: place for place, label in enumerate(built.instrument.labels)}
    names = said(built.instrument)
    rows: pd.DataFrame = built.photos[built.photos["split"] != ""].sort_values("path", kind="stable")
    strange = sorted(set(rows["label"]) - set(number))
    if strange:
        raise DataError(f"class {strange[0]!r} is not among the {len(number):,} that photos are told apart into")
    rows = rows.assign(class_idx=[number[label] for label in rows["label"]])
    rows["class"] = [names[place] for place in rows["class_idx"]]
    cells = zip(rows["class_idx"], rows["class"], rows["group"], rows["background"], strict=True)
    folders = [_folder(*cell) for cell in cells]
    rows["file_name"] = _file_names(folders, rows["path"].tolist(), rows["sha256"].tolist())
    ordered: pd.DataFrame = rows.sort_values(["class_idx", "group", "file_name"], kind="stable", ignore_index=True)
    return ordered


@lru_cache(4096)
def _folder(place: int, name: str, group: str, background: str) -> str:
    return f"{place} {readable_name(name, 180)}/{readable_name(f'{PREFIX[group]}-{background}')}"


def _file_names(folders: list[str], paths: list[str], hashes: list[str]) -> list[str]:
    """A place for each photo under its own name; where that is taken, its hash is put behind it.

    Names that differ in case only are the same file on many systems.
    """
    plain = [f"{folder}/{_named(path)}" for folder, path in zip(folders, paths, strict=True)]
    often = Counter(name.casefold() for name in plain)
    taken = {name for name, count in often.items() if count == 1}
    tried: Counter[str] = Counter()
    names = []
    for folder, path, sha256, name in zip(folders, paths, hashes, plain, strict=True):
        mark, place = f"-{sha256[:8]}", name
        wanted = f"{folder}/{_named(path, mark)}".casefold()
        while often[place.casefold()] > 1 or (place != name and place.casefold() in taken):
            tried[wanted] += 1
            count = f"-{tried[wanted]}" if tried[wanted] > 1 else ""
            place = f"{folder}/{_named(path, mark + count)}"
        taken.add(place.casefold())
        names.append(place)
    return names


def _named(path: str, mark: str = "") -> str:
    file = PurePosixPath(path)
    return f"{readable_name(file.stem, 120)}{mark}{file.suffix}"


def copy_photos(built: Built, rows: pd.DataFrame, folder: Path, link: bool, progress: Progress) -> None:
    """Put every photo of `rows` (see `placed`) at its place below `folder`.

    Args:
        link: make hard links where the file system can, which takes no room; the files are then the source's own.

    Raises:
        DataError: a photo is gone, leads out of the folder of photos, or is another than when it was looked at.
    """
    root = built.folder_of_photos.resolve()
    for place in sorted({str(PurePosixPath(name).parent) for name in rows["file_name"]}):
        (folder / place).mkdir(parents=True)

    def put(photo: tuple[str, str, str]) -> None:
        path, sha256, name = photo
        try:
            source = inside(root, path).resolve()
            if not source.is_relative_to(root):
                raise DataError(f"{path} leads out of {root}; put the photo itself there")
            found = _linked(source, folder / name) if link else _copied(source, folder / name)
        except OSError as error:
            raise DataError(f"the photo {path} cannot be put into the data set: {error.strerror or error}") from error
        if found != sha256:
            raise DataError(f"the photo {path} changed while the data set was built; build it again")

    photos = list(zip(rows["path"], rows["sha256"], rows["file_name"], strict=True))
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(photos), BATCH):
            progress("copying photos", start, len(photos))
            for _ in pool.map(put, photos[start : start + BATCH]):
                pass
    progress("copying photos", len(photos), len(photos))


def _linked(source: Path, target: Path) -> str:
    """A hard link, or a copy where there can be none; sha256 (hex) of what it holds."""
    try:
        os.link(source, target)
    except OSError:
        return _copied(source, target)
    return sha256_of_blocks(blocks(target))


def _copied(source: Path, target: Path) -> str:
    """A copy; sha256 (hex) of what was read."""
    with target.open("wb") as stream:
        return sha256_of_blocks(block for block in blocks(source) if stream.write(block))


def blocks(path: Path) -> Iterator[bytes]:
    """A file's content, piece by piece."""
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def sha256_of_blocks(content: Iterable[bytes]) -> str:
    """sha256 (hex) of pieces, as of the whole."""
    state = hashlib.sha256()
    for block in content:
        state.update(block)
    return state.hexdigest()
