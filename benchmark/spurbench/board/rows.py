"""What a board is made of. Everything in it can be computed again from the record files alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ..stats import Difference, Estimate, WorstGroup
from .attention import AttentionCell
from .tracks import TRACKS, Track


@dataclass(frozen=True)
class Group:
    """One group on the test split, summed over seeds; `number` is its place among all, those without examples too."""

    group: str
    correct: int
    total: int
    accuracy: float
    number: int


@dataclass(frozen=True)
class EasyHardCell:
    """Easy, hard and drop over seeds, of a data set whose attribute is just that (see `easy_hard.EasyHard`).

    Attributes:
        drop_low, drop_high: bounds of the class-averaged drop that another draw of test photos might give: the seeds'
            own intervals, averaged, since all seeds are judged on the same photos.
        classes: with photos in both groups; `left_out`: with photos in one alone.
        negative: classes with a negative drop, averaged over seeds.
    """

    easy: Estimate
    hard: Estimate
    drop: Estimate
    easy_images: Estimate
    hard_images: Estimate
    drop_images: Estimate
    drop_low: float
    drop_high: float
    classes: int
    left_out: int
    negative: float


@dataclass(frozen=True)
class Standing:
    """How a method stands to the best of its track, by a paired test on the same test examples and seeds.

    Attributes:
        best: the method it is compared with.
        difference: its own minus the best's worst-group accuracy.
        adjusted: p-value, by Holm over the track's comparisons.
        tied: the data do not tell the two apart.
    """

    best: str
    difference: Difference
    adjusted: float
    tied: bool


@dataclass(frozen=True)
class BoardRow:
    """One method on one data set under one backbone, as one selection rule sees it.

    `rank` is among the methods of its track, and None while seeds are missing or failed: a mean over fewer seeds is not
    compared with one over more. It is by `wga`, or by class-averaged accuracy on hard photos where a data set of easy
    and hard ones has no training split. `groups` are those with test examples.

    Attributes:
        track: which methods it is ranked among.
        prompts: prompt set; "" where no text is used.
        budget: what every method of its kind may try, in words.
        n_configs, n_candidates: configurations tried per seed; with all snapshots of their training.
        wga, acc_test, acc_train_weighted, balanced, gap: over seeds; shares (0..1).
        worst: worst-group accuracy with what is known of it: bias and an interval over test examples and seeds. None
            where predictions are not at hand.
        oracle: worst-group accuracy of the candidates that are best on test: a diagnostic, never ranked. None where
            what was chosen is fitted once more, for the candidates are not what is judged then.
        calibration_error, auroc: see `calibration`; None where a record does not have them.
        parameters: trained ones, the most of any seed; None where the method does not say.
        seconds: of all seeds together; `seconds_per_seed`: of those shown, on average.
        peak_memory: bytes, the most of any seed; None where nobody looked.
        key: of the record.
        standing: None for the best of the track itself, for what has no rank, and where predictions are not at hand.
        attention: where its models look; None where nobody measured it, and where predictions are not at hand.
        looked: what it is ranked by, over the seeds of `attention` alone.
    """

    rules: str
    dataset: str
    backbone: str
    method: str
    title: str
    paper: str
    supervision: str
    track: Track
    selection: str
    prompts: str
    seeds: int
    seeds_expected: int
    n_configs: int
    budget: str
    n_candidates: int
    wga: Estimate | None
    worst: WorstGroup | None
    acc_test: Estimate | None
    acc_train_weighted: Estimate | None
    balanced: Estimate | None
    gap: Estimate | None
    oracle: Estimate | None
    calibration_error: Estimate | None
    auroc: Estimate | None
    easy_hard: EasyHardCell | None
    ranked_by: Literal["wga", "hard"]
    groups: tuple[Group, ...]
    parameters: int | None
    seconds: float
    seconds_per_seed: float | None
    peak_memory: int | None
    tier: str
    status: str
    failure: str
    key: str
    rank: int | None = None
    standing: Standing | None = None
    attention: AttentionCell | None = None
    looked: Estimate | None = None

    @property
    def score(self) -> Estimate | None:
        """What it is ranked by."""
        if self.ranked_by == "wga":
            return self.wga
        return self.easy_hard.hard if self.easy_hard else None

    @property
    def leads(self) -> bool:
        """Whether it is the best of its track, or the data do not tell it from the best."""
        return self.rank == 1 or (self.standing is not None and self.standing.tied)

    @property
    def where(self) -> tuple[str, str, str]:
        """Its table."""
        return self.rules, self.dataset, self.backbone


@dataclass(frozen=True)
class TrackRanking:
    """The methods of one track across the tables of one version of the rules.

    Only methods complete in every table are ranked; the others are listed with how many they have. Nothing is imputed.

    Attributes:
        tables: (data set, backbone), those in which any of the track's methods is complete.
        methods: ranked ones, by mean rank.
        mean_ranks, low, high: of each, and an interval by bootstrap (see `stats.rank_methods`).
        groups: runs of places in `methods` within which no difference is significant; `critical` difference of Nemenyi.
        friedman_p: that all are equally good.
        pairs: adjusted p-values of Wilcoxon's test, by places in `methods`.
        incomplete: (method, number of tables in which it is complete).
    """

    rules: str
    track: Track
    tables: tuple[tuple[str, str], ...]
    methods: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    groups: tuple[tuple[int, ...], ...]
    critical: float | None
    friedman_p: float | None
    pairs: tuple[tuple[int, int, float], ...]
    incomplete: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Board:
    """Every row, ranked, for one selection rule, table by table, track by track, best first."""

    selection: str
    rows: tuple[BoardRow, ...]
    rankings: tuple[TrackRanking, ...] = ()

    def tables(self) -> list[tuple[tuple[str, str, str], list[BoardRow]]]:
        """Rows by (rules, data set, backbone), in a stable order."""
        return [(where, list(rows)) for where, rows in groupby(self.rows, _where)]

    def of(self, tables: Collection[tuple[str, str, str]]) -> Board:
        """Some of its tables alone; ranks across tables are left out."""
        return Board(self.selection, tuple(row for row in self.rows if row.where in tables))


def by_track(rows: list[BoardRow]) -> list[tuple[Track, list[BoardRow]]]:
    """The rows of one table by track, from the least told to the most; tracks without rows are left out."""
    found = ((track, [row for row in rows if row.track == track]) for track in TRACKS)
    return [(track, some) for track, some in found if some]


def _where(row: BoardRow) -> tuple[str, str, str]:
    return row.where
