"""Which photos of a built data set its report shows, and those as small pictures, of bounded size all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..builder.cleaning import account
from ..builder.output import Built
from ..builder.table import ClassResult
from ..contact_sheet import fitted
from ..errors import DataError
from ..files import inside
from ..images import open_tolerant
from ..seeds import Seed
from . import pages

if TYPE_CHECKING:
    import pandas as pd

SIZE, QUALITY = 128, 78
"""Pixels of a picture's longer side, and its quality as JPEG counts it."""
MOST_CLASSES, MOST_PICTURES, PER_SIDE, PER_REASON = 60, 480, 6, 4
"""Classes with pictures, pictures of them all, of one background of a class, and pairs of one reason to leave out."""
ROOM = 6_500_000
"""Characters that all pictures of a page may take; the last ones are left out where photos are as good as noise."""


@dataclass(frozen=True)
class Photo:
    """A photo in the report.

    Attributes:
        uri: the picture as part of the page; empty where it cannot be shown.
        size: of the picture, in pixels.
    """

    path: str
    label: str
    background: str
    predicted: str
    correct: bool
    uri: str
    size: tuple[int, int]


@dataclass(frozen=True)
class LeftOut:
    """What cleaning left out for one reason: how many photos, and some of them, each with what it repeats."""

    status: str
    count: int
    pairs: Sequence[tuple[Photo, Photo | None]]


@dataclass(frozen=True)
class Pictures:
    """The photos of the report: of each class that has any, by background; and of what was left out."""

    classes: Mapping[str, Mapping[str, Sequence[Photo]]]
    left_out: Sequence[LeftOut]


def make_pictures(built: Built) -> Pictures:
    """Choose photos and open them, several at once. What cannot be opened is there without a picture."""
    shown = built.found.kept[:MOST_CLASSES]
    each = max(1, min(PER_SIDE, MOST_PICTURES // max(1, 2 * len(shown))))
    of_class = {
        result.label: {name: _drawn(built, result, name, each) for name in (result.easy, result.hard)}
        for result in shown
    }
    reasons = [(reason, _repeated(built.photos, reason.examples)) for reason in account(built.photos, PER_REASON)]
    wanted = [rows for sides in of_class.values() for rows in sides.values()]
    wanted += [rows for reason, twins in reasons for rows in (reason.examples, twins)]
    small = _small(built.folder_of_photos, Counter(path for rows in wanted for path in rows["path"].tolist()))

    def photos(rows: pd.DataFrame) -> list[Photo]:
        right = rows["correct"].astype("boolean").fillna(False).tolist()
        columns = (rows[name].tolist() for name in ("path", "label", "background", "predicted"))
        return [
            Photo(path, label, background, predicted, correct, *small[path])
            for path, label, background, predicted, correct in zip(*columns, right, strict=True)
        ]

    classes = {label: {name: photos(rows) for name, rows in sides.items()} for label, sides in of_class.items()}
    left_out = []
    for reason, twins in reasons:
        by_id = dict(zip(twins["photo_id"], photos(twins), strict=True))
        pairs = zip(photos(reason.examples), reason.examples["twin"], strict=True)
        left_out.append(LeftOut(reason.status, reason.count, [(photo, by_id.get(twin)) for photo, twin in pairs]))
    return Pictures(classes, left_out)


def _drawn(built: Built, result: ClassResult, background: str, most: int) -> pd.DataFrame:
    """Some photos of a class before a background, at random from those that its accuracy is reported on."""
    photos = built.photos
    half = "" if built.found.rule.published else "evaluation"
    mine = photos[
        (photos["label"] == result.label)
        & (photos["background"] == background)
        & (photos["status"] == "")
        & (photos["half"] == half if half else True)
    ].sort_values("path")
    chosen = Seed(("report", built.seed, result.label, background)).numpy().permutation(len(mine))[:most]
    drawn: pd.DataFrame = mine.iloc[chosen]
    return drawn


def _repeated(photos: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """The photos that some others repeat."""
    twins: pd.DataFrame = photos[photos["photo_id"].isin(set(examples["twin"]) - {""})]
    return twins


def _small(root: Path, times: Counter[str]) -> dict[str, tuple[str, tuple[int, int]]]:
    """Each photo's picture and its size, until there is no more room; `times` is how often each is on the page."""

    def small(path: str) -> tuple[str, tuple[int, int]]:
        try:
            image = fitted(open_tolerant(inside(root, path))[0], SIZE)
        except DataError:
            return "", (SIZE, SIZE)
        return pages.uri(image, QUALITY), image.size

    found = {}
    room = ROOM
    with ThreadPoolExecutor() as pool:
        for path, (uri, size) in zip(times, pool.map(small, times), strict=True):
            room -= times[path] * len(uri)
            found[path] = (uri if room >= 0 else "", size)
    return found
