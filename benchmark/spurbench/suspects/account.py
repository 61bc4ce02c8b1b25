"""From counts and p-values to a report, and to a table of every word and class."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..errors import inert, plain
from ..findings.report import Provenance, Tally
from ..seeds import Seed
from .looking import Look
from .placebo import Placebo, placebo
from .presence import Floats, Presence, agreement, presence
from .report import CANDIDATES, LEVEL, ClassRow, Photo, Split, Suspect, SuspectsReport, WordList
from .separation import MIN_PHOTOS, PERMUTATIONS, Separation, separate

EACH = 3
"""Photos of a suspect that show the word or not and are right or wrong, of each."""
DIGITS = 6
"""Of cosines and correlations; further ones differ from machine to machine."""
COLUMNS = (
    "word", "kind", "phrase", "information", "p_value", "placebo", "class", "threshold", "right_with", "with",
    "right_without", "without", "accuracy_with", "accuracy_without", "gap", "class_information", "class_p_value",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Account:
    """All that was counted."""

    look: Look
    presence: Presence
    separation: Separation
    placebo: Placebo
    min_photos: int
    permutations: int

    @property
    def order(self) -> list[int]:
        """The words, the most information first; of equals, as in the list."""
        ranks: list[int] = np.argsort(-self.separation.information, kind="stable").tolist()
        return ranks

    def suspects(self, top: int) -> list[Suspect]:
        """The first `top` words, or the CANDIDATES if these are more."""
        first = self.order[: max(top, CANDIDATES)]
        agreements = agreement(self.presence.present[:, first], self.look.y)
        return [self._suspect(word, rank, agreements[rank - 1, : rank - 1]) for rank, word in enumerate(first, 1)]

    def _suspect(self, word: int, rank: int, agreements: Floats) -> Suspect:
        entry, found = self.look.words.entries[word], self.separation
        return Suspect(
            rank=rank,
            word=entry.word,
            kind=entry.kind,
            phrase=entry.phrase,
            information=float(found.information[word]),
            p_value=float(found.p_value[word]),
            placebo=float(self.placebo.of_words[word]),
            agreement=[round(float(value), DIGITS) for value in agreements],
            classes=[self.row(word, k) for k in np.flatnonzero(found.counts.total).tolist()],
            photos=[self._photo(i, word) for i in self._telling(word)],
        )

    def row(self, word: int, k: int) -> ClassRow:
        """A class's photos with the word and without."""
        found = self.separation
        counts, right_in, total_in = found.counts, found.counts.right_in[k, word], found.counts.total_in[k, word]
        present = Tally(hits=int(right_in), total=int(total_in))
        absent = Tally(hits=int(counts.right[k] - right_in), total=int(counts.total[k] - total_in))
        accuracy, otherwise = present.share, absent.share
        return ClassRow(
            label=valid(self.look.card.classes[k]),
            present=present,
            absent=absent,
            threshold=round(float(self.presence.thresholds[k, word]), DIGITS),
            information=float(found.by_class[k, word]),
            gap=None if accuracy is None or otherwise is None else accuracy - otherwise,
            p_value=float(found.p_by_class[k, word]),
        )

    def _telling(self, word: int) -> list[int]:
        """Photos of the class that says most of the word: first what goes the suspected way, then what does not.

        Of photos with the word, those that show it most; of the others, least.
        """
        found = self.separation
        weight = found.by_class[:, word] * found.counts.total
        if not weight.any():
            return []
        k = int(weight.argmax())
        gap = self.row(word, k).gap or 0.0
        members = np.flatnonzero(self.look.y == k)
        above, right = self.presence.above[members, word], self.look.right[members]
        chosen: list[int] = []
        # Whether the word is present, and whether the photo is right.
        suspected = ((True, False), (False, True)) if gap < 0 else ((False, False), (True, True))
        for there, hit in (*suspected, *((not there, hit) for there, hit in suspected)):
            some = np.flatnonzero(((above > 0) == there) & (right == hit))
            typical = some[np.argsort(-np.abs(above[some]), kind="stable")]
            chosen += members[typical[:EACH]].tolist()
        return chosen

    def _photo(self, i: int, word: int) -> Photo:
        look, above = self.look, float(self.presence.above[i, word])
        row = int(look.rows[i])
        return Photo(
            id=valid(look.examples.ids[row]),
            row=row,
            label=valid(look.card.classes[int(look.y[i])]),
            predicted=valid(look.card.classes[int(look.predicted[i])]),
            presence=round(above, DIGITS),
            present=above > 0,
        )


def take_account(look: Look, seed: Seed, *, min_photos: int = MIN_PHOTOS, permutations: int = PERMUTATIONS) -> Account:
    """Decide which photos show which words, count, test, and compare with directions that mean nothing."""
    n_classes = len(look.card.classes)
    shown = presence(look.scores, look.y, n_classes)
    found = separate(
        shown.present, look.right, look.y, n_classes, seed, min_photos=min_photos, permutations=permutations
    )
    beside = placebo(look.embeddings, look.right, look.y, n_classes, found, seed, min_photos=min_photos)
    return Account(look, shown, found, beside, min_photos, permutations)


def make_report(account: Account, provenance: Provenance, top: int) -> SuspectsReport:
    """The first `top` words, and whatever `top` is, those that are handed on."""
    look, right, beside = account.look, account.look.right, account.placebo
    return SuspectsReport(
        dataset=valid(look.card.name),
        title=valid(look.card.title),
        backbone=valid(look.backbone),
        seen_by=valid(look.seen_by),
        model=valid(look.model),
        split=cast("Split", look.split),
        prompts=look.prompts,
        words=WordList(sha256=look.words.sha256, n=len(look.words.entries)),
        excluded=list(look.excluded),
        indistinct=list(look.indistinct),
        classes=[valid(name) for name in look.card.classes],
        right=Tally(hits=int(right.sum()), total=len(right)),
        min_photos=account.min_photos,
        permutations=account.permutations,
        directions=len(beside.p_value),
        n_directions_below_level=int((beside.p_value <= LEVEL).sum()),
        n_suspects_below_level=int((account.separation.p_value <= LEVEL).sum()),
        n_suspects_beyond_directions=int(((account.separation.p_value <= LEVEL) & (beside.of_words <= LEVEL)).sum()),
        suspects=account.suspects(top),
        notes=list(look.notes),
        provenance=provenance,
    )


def to_csv(account: Account) -> str:
    """A line for every word and class, the most suspected word first; no text is run as a formula by spreadsheets."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for word in account.order:
        entry, found = account.look.words.entries[word], account.separation
        about = [_cell(text) for text in (entry.word, entry.kind, entry.phrase)]
        of_word: list[object] = [*about, float(found.information[word]), float(found.p_value[word])]
        of_word.append(float(account.placebo.of_words[word]))
        for k in np.flatnonzero(found.counts.total).tolist():
            row = account.row(word, k)
            counts = (row.present.hits, row.present.total, row.absent.hits, row.absent.total)
            shares = (row.present.share, row.absent.share, row.gap)
            writer.writerow([*of_word, _cell(row.label), row.threshold, *counts, *shares, row.information, row.p_value])
    return table.getvalue()


def valid(name: str) -> str:
    """A name as valid Unicode: those of files may hold bytes that are not."""
    return name.encode("utf-8", "backslashreplace").decode()


def _cell(text: str) -> str:
    return inert(plain(text))
