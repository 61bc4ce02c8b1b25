"""`counteranimal-ft`: the same photos, split so that methods can be trained on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from spurbench.cards import SPLITS, DatasetCard
from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench.imagenet import distinct
from spurbench.seeds import Seed

from .layout import Layout
from .prompts import prompts
from .published import GROUPS, published_classes
from .source import CITATION, DOWNLOAD, LICENCE, URL, Source, asked, photos_of

SHARES = (0.5, 0.2, 0.3)
"""Of the photos of each class and group, for train, val and test."""
HARD = "0.05"
ALL = "all"
UNUSED = -1
"""In place of a split."""


class CounterAnimalFinetune:
    """CounterAnimal (Wang et al. 2024, arXiv 2403.11497), split for training: y is the animal, a is easy or hard.

    The animals that there are photos of, 45 in the official archive, are told apart from each other. Of each class's
    easy and of its hard photos, half are for training, a fifth for validation, the rest for test, chosen by hashes of
    their ids: by nothing that changes from one machine to the next. Observations are not known, so photos of one animal
    may be in two splits.

    Training is mostly easy, as hard photos are rare where nobody looked for them: a share `hard` (0.05) of each class's
    training photos is hard, at least one photo, and what is left over is not used. `hard=all` uses every one.

    Read as `counteranimal` is, `counteranimal-ft:DIR` from a folder elsewhere. What `spurbench build` made has splits
    of its own, that part no observation and keep photos that chose the backgrounds out of test: `folder:DIR` has these.

    Backgrounds are the classes' own: what is easy for one is hard for another, so no words are given for them.

    Args:
        argument: what stands behind the colon.

    Raises:
        UsageError: no such folder, or no such option.
        DataError: a folder that does not hold such photos; says why.
    """

    usage = "counteranimal-ft[:DIR][:hard=0.05]"
    card: DatasetCard

    def __init__(self, argument: str = "") -> None:
        folder, options = asked("counteranimal-ft", argument, {"hard": HARD})
        self._source = Source(folder)
        self._hard = _share(options["hard"])
        if self._source.tested is not None:
            raise UsageError(f"{folder} was built with splits of its own; to train on it, write --datasets {folder}")
        given = self._source.given
        official = {number: one.name for number, one in published_classes().items()}
        self.card = self._card(self._source.names(given) if given is not None else official)

    def prepare(self, root: Path, *, download: bool) -> None:
        """Find the photos, or an archive of them placed by hand, or fetch it if `download`: all, or nothing is left.

        Raises:
            DataError: they are not there and cannot be got; says how to supply them by hand.
        """
        self._source.prepare(root, download=download)

    def load(self, root: Path) -> Examples:
        """List the photos that are used, in the order of their paths. The classes that there are are put on the card.

        Raises:
            DataError: says what does not fit, and where.
        """
        layout = self._source.layout(root)
        self.card = self._card(self._source.names(layout))
        self._source.check(layout)
        split = np.array(split_photos(layout, self._hard), dtype=np.int64)
        rows = np.flatnonzero(split != UNUSED)
        place = {number: y for y, number in enumerate(layout.names)}
        used = layout.only(rows.tolist())
        return Examples(
            ids=used.ids,
            y=np.array([place[number] for number in used.classes], dtype=np.int64),
            a=np.array(used.groups, dtype=np.int64),
            split=split[rows],
            n_classes=len(layout.names),
            n_attributes=len(GROUPS),
            photos=photos_of(used),
        )

    def _card(self, names: dict[int, str]) -> DatasetCard:
        """The card, of classes by their number."""
        said = tuple(names.values())
        own = bool(self._source.labels)
        hard = "" if self._hard == float(HARD) else ALL if self._hard is None else repr(self._hard)
        return DatasetCard(
            name=self._source.name("counteranimal-ft", *((f"hard={hard}",) if hard else ())),
            title="CounterAnimal, split for training",
            classes=distinct(said, tuple(names)),
            attributes=GROUPS,
            licence=LICENCE,
            url=URL,
            citation=CITATION,
            prompts=prompts(said, synsets=not own),
            imagenet=() if own else tuple(names),
            download=DOWNLOAD if self._source.folder is None else "",
        )


def split_photos(layout: Layout, hard: float | None) -> list[int]:
    """The split of each photo, by its place in `SPLITS`, or UNUSED; a photo's place in the listing does not matter.

    Args:
        hard: share of hard photos in each class's training photos; None: as many as there are.

    Raises:
        DataError: a class with fewer than three photos of one group.
    """
    from spurbench.builder.splits import by_name

    cells = list(zip(layout.classes, layout.groups, strict=True))
    for (number, group), n in sorted(Counter(cells).items()):
        if n < len(SPLITS):
            raise DataError(
                f"{layout.folder}: class {number} has {n} {GROUPS[group]} photos; to be split it needs three"
            )
    seed = Seed(("counteranimal-ft",))
    split = by_name(layout.ids, cells, SHARES, seed.derive("splits"))
    train = split == SPLITS.index("train")
    if hard is None:
        return [int(part) for part in split]
    for number in layout.names:
        easy, rows = (
            np.flatnonzero(train & [cell == (number, group) for cell in cells]) for group in range(len(GROUPS))
        )
        kept = max(1, min(len(rows), round(len(easy) * hard / (1 - hard))))
        shares = (kept / len(rows), 1 - kept / len(rows))
        names = [layout.ids[row] for row in rows]
        left = by_name(names, [number] * len(rows), shares, seed.derive("hard photos")) == 1
        split[rows[left]] = UNUSED
    return [int(part) for part in split]


def _share(written: str) -> float | None:
    """The share of hard photos in training; None for all that there are. Raises UsageError."""
    if written == ALL:
        return None
    try:
        share = float(written)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError(f"counteranimal-ft: hard must lie between 0 and 1, or be {ALL}, not '{written}'")
    return share
