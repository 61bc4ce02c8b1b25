"""`counteranimal`: the photos as they are evaluated, told apart among all labels or among a few."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spurbench.candidates import read_candidates
from spurbench.cards import SPLITS, DatasetCard
from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench.imagenet import SIZE, distinct

from .._columns import located
from .prompts import prompts
from .published import GROUPS
from .source import CITATION, DOWNLOAD, LICENCE, URL, Source, asked, photos_of

_FEW = re.compile(r"1v([1-9][0-9]{0,3})")


class CounterAnimal:
    """CounterAnimal (Wang et al. 2024, arXiv 2403.11497): y is the animal, a is whether its background is easy or hard.

    45 animals of ImageNet-1K, each before a background that CLIP models find easy and one that they find hard, told
    apart among ImageNet's 1000 classes. There are test photos only. What the paper reports are means over classes:
    easy, hard, and their difference, the drop.

    Read from `ROOT/counteranimal/LAION-final/`, `ROOT/LAION-final/` or `ROOT/counteranimal/`: folders
    `<index> <synset>`, in them `common-*` with easy and `counter-*` with hard photos. An archive in
    `ROOT/counteranimal/` is unpacked, or else one is fetched. Ids are paths below the folder of the classes.

    `counteranimal:DIR` reads a folder elsewhere, such as one that `spurbench build` made; where it has
    `DIR/label_names.txt`, with lines of a number, a tab and a name, these labels stand for ImageNet's, and of what was
    built only the test photos, in `metadata.csv`, are evaluated: the others chose the backgrounds.

    `labels=1v20` tells each photo apart among 20 labels only, which depend on its class: those in
    `candidates-20.json` in `ROOT/counteranimal/` or DIR, which `spurbench candidates` makes (another number likewise).

    Backgrounds are the classes' own: what is easy for one is hard for another, so no words are given for them.

    Args:
        argument: what stands behind the colon.

    Raises:
        UsageError: no such folder, or no such option.
        DataError: a folder that does not hold such photos; says why.
    """

    usage = "counteranimal[:DIR][:labels=1v20]"
    card: DatasetCard

    def __init__(self, argument: str = "") -> None:
        folder, options = asked("counteranimal", argument, {"labels": ""})
        self._source = Source(folder)
        self._few = _few(options["labels"])
        given = self._source.given
        self.card = self._card(self._source.names(given) if given is not None else {})

    def prepare(self, root: Path, *, download: bool) -> None:
        """Find the photos, or an archive of them placed by hand, or fetch it if `download`: all, or nothing is left.

        Raises:
            DataError: they are not there and cannot be got; says how to supply them by hand.
        """
        self._source.prepare(root, download=download)

    def load(self, root: Path) -> Examples:
        """List the photos, in the order of their paths; they are opened later, those cut short as far as they go.

        Numbers of photos and names of classes other than published are warned about, not refused. How folders call
        their classes is put on the card, for prompts.

        Raises:
            DataError: says what does not fit, and where; or that there are no candidates.
        """
        layout = self._source.evaluated(root)
        self.card = self._card(self._source.names(layout))
        self._source.check(layout)
        n_classes = len(self.card.classes)
        candidates = None
        if self._few is not None:
            path = self.candidates_file(root, self._few)
            if not path.is_file():
                what = "counteranimal" + ("" if self._source.folder is None else f":{self._source.folder}")
                size = "" if self._few == 20 else f" --size {self._few}"
                raise DataError(
                    f"there are no candidates in {path}; make them once as the paper did, by "
                    f"`spurbench candidates {what} --backbone ViT-B/32:laion400m_e31{size}`"
                )
            with located(path):
                found = read_candidates(path)
                if found.size != self._few:
                    raise DataError(f"has {found.size} candidates for each class, not {self._few}")
                candidates = found.among(n_classes, layout.names)
        return Examples(
            ids=layout.ids,
            y=np.array(layout.classes, dtype=np.int64),
            a=np.array(layout.groups, dtype=np.int64),
            split=np.full(len(layout.ids), SPLITS.index("test"), dtype=np.int64),
            n_classes=n_classes,
            n_attributes=len(GROUPS),
            photos=photos_of(layout),
            candidates=candidates,
        )

    def candidates_file(self, root: Path, size: int) -> Path:
        """Where the labels are looked for that each class is told apart among, so many of them."""
        return self._source.beside(root) / f"candidates-{size}.json"

    def _card(self, said: Mapping[int, str]) -> DatasetCard:
        """The card.

        Args:
            said: how prompts say some of the classes, by number; the others are said as expected.
        """
        own = self._source.labels
        expected = own or tuple(self._source.expected(number) for number in range(SIZE))
        names = tuple(said.get(number, name) for number, name in enumerate(expected))
        few = () if self._few is None else (f"labels=1v{self._few}",)
        return DatasetCard(
            name=self._source.name("counteranimal", *few),
            title="CounterAnimal" + (f", each photo told apart among {self._few} labels" if self._few else ""),
            classes=distinct(expected, range(len(expected))),
            attributes=GROUPS,
            licence=LICENCE,
            url=URL,
            citation=CITATION,
            prompts=prompts(names, synsets=not own),
            imagenet=() if own else tuple(range(SIZE)),
            download=DOWNLOAD if self._source.folder is None else "",
        )


def _few(labels: str) -> int | None:
    """How many labels a photo is told apart among; None for all. Raises UsageError."""
    match = _FEW.fullmatch(labels)
    if labels and (match is None or int(match[1]) < 2):
        raise UsageError(f"counteranimal: labels must be 1vN, such as 1v20, not '{labels}'")
    return None if match is None or int(match[1]) == SIZE else int(match[1])
