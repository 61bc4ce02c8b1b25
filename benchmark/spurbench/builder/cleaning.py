"""What should not be in a benchmark: photos that show nothing, or show it again, or stand in two places at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from . import twins
from .looking import look_at
from .table import CLEANED, STATUSES

LOOKS = "looks"
"""Folder of the cache with what was seen of photos, so that an interrupted build goes on, and drafts help it."""


@dataclass(frozen=True)
class Cleaning:
    """What is sorted out.

    Attributes:
        min_side: pixels that the shorter side must have.
        distance: bits of 64 in which the perceptual hashes of near-duplicates differ at most.
        per_observation: photos of one observation that are kept, for each class and background.
    """

    min_side: int = 64
    distance: int = 4
    per_observation: int = 1


@dataclass(frozen=True)
class LeftOut:
    """Photos that are left out for one reason.

    Attributes:
        status: one of `table.STATUSES`.
        count: how many.
        examples: some of their rows, of as many classes as there are.
    """

    status: str
    count: int
    examples: pd.DataFrame


def clean(
    folder: Path, photos: pd.DataFrame, settings: Cleaning, work: Path, progress: Callable[[int, int], None]
) -> pd.DataFrame:
    """The photos with the columns CLEANED: what each is, and whether and why it is left out. No file is changed.

    The first of these reasons that holds: it cannot be shown (`unreadable`); it is too small (`tiny`); the same photo,
    or nearly the same, stands under another class or another background (`conflict`, all of them); it has no background
    (`no_background`); the same file stands before it (`duplicate`); nearly the same photo stands before it and is kept
    (`near_duplicate`); enough photos of its observation stand before it (`burst`). `twin` is the photo meant.

    Args:
        folder: that paths are below.
        photos: with the columns READ, in the order of `path`; backgrounds had better been given their one name before
            (`backgrounds.named`), or a photo under two words for one background is a conflict.
        work: folder for what was seen of photos, so that the next call need not look again.
        progress: told (photos looked at, photos in all).

    Raises:
        DataError: a photo that is not there any more.
    """
    seen = look_at(folder, photos["path"].tolist(), work, progress)
    status, twin = _judged(photos, seen, settings)
    added = seen[list(CLEANED[:4])].assign(status=status, twin=twin)
    added.index = photos.index
    cleaned: pd.DataFrame = photos.drop(columns=list(CLEANED), errors="ignore").join(added)
    return cleaned


def counts(photos: pd.DataFrame) -> pd.DataFrame:
    """How many photos of each class (rows, by name) are kept, and left out by status (columns `kept` and STATUSES)."""
    by_status = pd.crosstab(photos["label"], photos["status"].replace("", "kept"))
    table: pd.DataFrame = by_status.reindex(columns=["kept", *STATUSES], fill_value=0)
    return table


def account(photos: pd.DataFrame, examples: int = 12) -> list[LeftOut]:
    """What is left out, by reason in the order of STATUSES; reasons that hold for no photo are not there.

    Args:
        examples: rows of each reason at most.
    """
    found = []
    for status in STATUSES:
        rows = photos[photos["status"] == status]
        if len(rows):
            # The first of every class, then the second of every class.
            turn = rows.groupby("label").cumcount()
            chosen = rows.loc[turn.sort_values(kind="stable").index[:examples]]
            found.append(LeftOut(status, len(rows), chosen))
    return found


def _judged(photos: pd.DataFrame, seen: pd.DataFrame, settings: Cleaning) -> tuple[list[str], list[str]]:
    """Status and twin of each photo."""
    n = len(photos)
    ids, places = photos["photo_id"].tolist(), list(zip(photos["label"], photos["background"], strict=True))
    status, twin = [""] * n, [""] * n
    side = seen[["width", "height"]].min(axis=1).to_numpy()
    for row in np.flatnonzero(side < settings.min_side).tolist():
        status[row] = "tiny" if side[row] else "unreadable"
    rows = np.flatnonzero(side >= settings.min_side)
    hashes = seen["phash"].to_numpy(dtype=np.uint64)[rows]
    thumbnails = np.frombuffer(b"".join(seen["thumbnail"].iloc[rows]), np.uint8).reshape(-1, twins.SIDE**2)
    found = twins.find(hashes, thumbnails, settings.distance)
    for row, other in _conflicts(rows.tolist(), places, found):
        status[row], twin[row] = "conflict", ids[other]
    shown: dict[str, int] = {}
    kept: dict[int, int] = {}
    together: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    files, observations = seen["sha256"].tolist(), photos["observation"].tolist()
    for place, row in enumerate(rows.tolist()):
        if status[row]:
            continue
        label, background = places[row]
        if not background:
            status[row] = "no_background"
            continue
        same = shown.setdefault(files[row], row)
        near = next((kept[look] for look in found.around(place) if look in kept), None)
        unit = together[label, background, observations[row]] if observations[row] else []
        if same != row:
            status[row], twin[row] = "duplicate", ids[same]
        elif near is not None:
            status[row], twin[row] = "near_duplicate", ids[near]
        elif len(unit) >= settings.per_observation:
            status[row], twin[row] = "burst", ids[unit[0]]
        else:
            kept[found.look[place]] = row
            unit.append(row)
    return status, twin


def _conflicts(rows: list[int], places: list[tuple[str, str]], found: twins.Twins) -> Iterable[tuple[int, int]]:
    """Photos of which one that is nearly the same stands elsewhere, and the first such one."""
    first: dict[int, dict[tuple[str, str], int]] = defaultdict(dict)
    for place, row in enumerate(rows):
        first[found.look[place]].setdefault(places[row], row)
    for place, row in enumerate(rows):
        others = [
            other
            for look in found.around(place)
            for where, other in first[look].items()
            if _contradict(where, places[row])
        ]
        if others:
            yield row, min(others)


def _contradict(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a photo cannot be of both; where no background is known, any may be right."""
    return one[0] != other[0] or ("" not in (one[1], other[1]) and one[1] != other[1])
