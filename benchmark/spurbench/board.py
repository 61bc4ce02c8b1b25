"""Records -> `Board`: rows with numbers, ranked within (rules, data set, backbone). A column of the board is data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from statistics import fmean
from typing import Any, Literal

from . import metrics
from .easy_hard import ATTRIBUTES, EasyHard, easy_hard
from .record import Record, SeedResult
from .rules import Selection
from .stats import Estimate, estimate


@dataclass(frozen=True)
class Group:
    """One group on the test split, summed over seeds."""

    group: str
    correct: int
    total: int
    accuracy: float


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
class BoardRow:
    """One method on one data set under one backbone, as one selection rule sees it.

    `rank` is None while seeds are missing or failed: a mean over fewer seeds is not compared with one over more. It is
    by `wga`, or by class-averaged accuracy on hard photos where a data set of easy and hard ones has no training split.
    `groups` are those with test examples.
    """

    rules: str
    dataset: str
    backbone: str
    method: str
    title: str
    supervision: str
    selection: str
    prompts: str
    seeds: int
    seeds_expected: int
    n_configs: int
    budget: str
    n_candidates: int
    wga: Estimate | None
    acc_test: Estimate | None
    acc_train_weighted: Estimate | None
    balanced: Estimate | None
    gap: Estimate | None
    easy_hard: EasyHardCell | None
    ranked_by: Literal["wga", "hard"]
    groups: tuple[Group, ...]
    seconds: float
    tier: str
    status: str
    failure: str
    rank: int | None = None

    @property
    def score(self) -> Estimate | None:
        """What it is ranked by."""
        if self.ranked_by == "wga":
            return self.wga
        return self.easy_hard.hard if self.easy_hard else None


@dataclass(frozen=True)
class Board:
    """Every row, ranked, for one selection rule."""

    selection: str
    rows: tuple[BoardRow, ...]

    def tables(self) -> list[tuple[tuple[str, str, str], list[BoardRow]]]:
        """Rows by (rules, data set, backbone), in a stable order."""
        return [(where, list(rows)) for where, rows in groupby(self.rows, _where)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows as JSON-like dictionaries."""
        return [asdict(row) for row in self.rows]


def make_board(records: Iterable[Record], selection: Selection = "worst_group") -> Board:
    """The board of some records under one selection rule. The order depends on the records' content alone.

    All methods of a table are shown over the same seeds: those that every complete one has, at least the budget's.
    """
    tables: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        tables.setdefault((record.rules, record.dataset, record.backbone), []).append(record)
    rows: list[BoardRow] = []
    for where in sorted(tables):
        common = min((n for n in map(_leading, tables[where]) if n), default=0)
        table = sorted((_row(record, selection, common) for record in tables[where]), key=_order)
        means = [row.score.mean for row in table if row.score is not None and row.status == "complete"]
        for row in table:
            ranked = row.score is not None and row.status == "complete"
            better = sum(mean > row.score.mean for mean in means) if row.score is not None else 0
            rows.append(replace(row, rank=better + 1 if ranked else None))
    return Board(selection, tuple(rows))


def _where(row: BoardRow) -> tuple[str, str, str]:
    return row.rules, row.dataset, row.backbone


def _leading(record: Record) -> int:
    """How many seeds 0, 1, ... have a result without a gap; 0 if fewer than the budget asks for."""
    done = {result.seed for result in record.done}
    n = next(n for n in range(len(done) + 1) if n not in done)
    return n if n >= record.budget.seeds else 0


def _order(row: BoardRow) -> tuple[Any, ...]:
    return row.status != "complete", -(row.score.mean if row.score else -1.0), row.method


def _row(record: Record, selection: Selection, common: int) -> BoardRow:
    complete = _leading(record) > 0
    shown = [result for result in record.seeds if not complete or result.seed < common]
    results = [result for result in shown if selection in result.selected]
    failures = [result.failure.message for result in shown if result.failure is not None]
    expected = max(common, record.budget.seeds)

    def over_seeds(measure: Callable[[Sequence[int], Sequence[int]], float | None]) -> Estimate | None:
        values = [measure(result.selected[selection].test, result.test_total) for result in results]
        known = [value for value in values if value is not None]
        return estimate(known, record.confidence) if known and len(known) == len(values) else None

    of_easy_and_hard = tuple(record.attributes) == ATTRIBUTES
    status = "complete" if complete else "partial" if results else "failed"
    return BoardRow(
        rules=record.rules,
        dataset=record.dataset,
        backbone=record.backbone,
        method=record.method,
        title=record.title,
        supervision=" + ".join(word.replace("_", " ") for word in record.supervision) or "none",
        selection=selection,
        prompts=record.prompts,
        seeds=len(results),
        seeds_expected=expected,
        n_configs=_configurations(results),
        budget=f"{record.budget.seeds} seeds x {record.budget.configurations} configurations",
        n_candidates=max((len(result.candidates) for result in results), default=0),
        wga=over_seeds(metrics.worst_group_accuracy),
        acc_test=over_seeds(metrics.accuracy),
        acc_train_weighted=over_seeds(lambda c, t: metrics.train_weighted_accuracy(c, t, record.train_total)),
        balanced=over_seeds(metrics.balanced_accuracy),
        gap=over_seeds(lambda c, t: metrics.accuracy(c, t) - metrics.worst_group_accuracy(c, t)),
        easy_hard=_easy_hard(record, results, selection) if of_easy_and_hard else None,
        ranked_by="hard" if of_easy_and_hard and not any(record.train_total) else "wga",
        groups=_groups(record, results, selection),
        seconds=round(sum(record.times.seconds.values()), 1),
        tier=record.tier,
        status=status,
        failure=failures[0] if failures else "",
    )


def _configurations(results: Sequence[SeedResult]) -> int:
    """Configurations tried per seed; the largest number where seeds differ."""
    return max((len({candidate.config for candidate in result.candidates}) for result in results), default=0)


def _easy_hard(record: Record, results: Sequence[SeedResult], selection: Selection) -> EasyHardCell | None:
    found = [easy_hard(result.selected[selection].test, result.test_total) for result in results]
    known = [item for item in found if item is not None]
    if not known:
        return None

    def over_seeds(measure: Callable[[EasyHard], float]) -> Estimate:
        return estimate([measure(item) for item in known], record.confidence)

    bounds = [item.interval(record.confidence) for item in known]
    return EasyHardCell(
        easy=over_seeds(lambda item: item.easy),
        hard=over_seeds(lambda item: item.hard),
        drop=over_seeds(lambda item: item.drop),
        easy_images=over_seeds(lambda item: item.easy_images),
        hard_images=over_seeds(lambda item: item.hard_images),
        drop_images=over_seeds(lambda item: item.drop_images),
        drop_low=fmean(low for low, _ in bounds),
        drop_high=fmean(high for _, high in bounds),
        classes=len(known[0].classes),
        left_out=known[0].left_out,
        negative=fmean(item.negative for item in known),
    )


def _groups(record: Record, results: Sequence[SeedResult], selection: Selection) -> tuple[Group, ...]:
    names = (f"{label}/{value}" for label in record.classes for value in record.attributes)
    groups = []
    for index, name in enumerate(names if results else ()):
        correct = sum(result.selected[selection].test[index] for result in results)
        total = sum(result.test_total[index] for result in results)
        if total:
            groups.append(Group(name, correct, total, correct / total))
    return tuple(groups)
