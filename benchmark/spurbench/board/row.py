"""One record -> its row, before it is compared with others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import fmean

from .. import metrics
from ..calibration import auroc, calibration_error
from ..easy_hard import ATTRIBUTES, EasyHard, easy_hard
from ..record import Record, SeedResult, Selected
from ..rules import Selection
from ..stats import Estimate, estimate
from .rows import BoardRow, EasyHardCell, Group
from .tracks import track_of


def leading(record: Record) -> int:
    """How many seeds 0, 1, ... have a result without a gap; 0 if fewer than the budget asks for."""
    done = {result.seed for result in record.done}
    n = next(n for n in range(len(done) + 1) if n not in done)
    return n if n >= record.budget.seeds else 0


def only_seeds(record: Record, seeds: Collection[int]) -> Record:
    """The record as if it had been made with some of its seeds alone."""
    return record.model_copy(update={"seeds": [result for result in record.seeds if result.seed in seeds]})


def make_row(record: Record, selection: Selection, common: int) -> BoardRow:
    """The row of a record, over the seeds before `common` where it is complete; not yet ranked."""
    complete = leading(record) > 0
    shown = [result for result in record.seeds if not complete or result.seed < common]
    results = [result for result in shown if selection in result.selected]
    failures = [result.failure.message for result in shown if result.failure is not None]
    n_classes, width = len(record.classes), len(record.attributes)

    def over_seeds(values: Iterable[float | None]) -> Estimate | None:
        """None unless every seed has one."""
        values = list(values)
        known = [value for value in values if value is not None]
        return estimate(known, record.confidence) if known and len(known) == len(values) else None

    def of_counts(measure: Callable[[Sequence[int], Sequence[int]], float | None]) -> Estimate | None:
        return over_seeds(measure(result.selected[selection].test, result.test_total) for result in results)

    def of_scores(measure: Callable[[SeedResult, Selected], float | None]) -> Estimate | None:
        return over_seeds(measure(result, result.selected[selection]) for result in results)

    def ranking(result: SeedResult, chosen: Selected) -> float | None:
        totals = [sum(result.test_total[k * width : (k + 1) * width]) for k in range(n_classes)]
        return None if chosen.scores is None else auroc(chosen.scores, totals)

    of_easy_and_hard = tuple(record.attributes) == ATTRIBUTES
    status = "complete" if complete else "partial" if results else "failed"
    spent = [record.times.seconds[str(result.seed)] for result in results if str(result.seed) in record.times.seconds]
    held = [record.times.peak_memory.get(str(result.seed), 0) for result in results]
    trained = [result.selected[selection].parameters for result in results]
    return BoardRow(
        rules=record.rules,
        dataset=record.dataset,
        backbone=record.backbone,
        method=record.method,
        title=record.title,
        paper=record.paper,
        supervision=" + ".join(word.replace("_", " ") for word in record.supervision) or "none",
        track=track_of(record.supervision),
        selection=selection,
        prompts=record.prompts,
        seeds=len(results),
        seeds_expected=max(common, record.budget.seeds),
        n_configs=_configurations(results),
        budget=f"{record.budget.seeds} seeds x {record.budget.configurations} configurations",
        n_candidates=max((len(result.candidates) for result in results), default=0),
        wga=of_counts(metrics.worst_group_accuracy),
        worst=None,
        acc_test=of_counts(metrics.accuracy),
        acc_train_weighted=of_counts(lambda c, t: metrics.train_weighted_accuracy(c, t, record.train_total)),
        balanced=of_counts(metrics.balanced_accuracy),
        gap=of_counts(lambda c, t: metrics.accuracy(c, t) - metrics.worst_group_accuracy(c, t)),
        oracle=None if record.refit else over_seeds(map(_oracle, results)),
        calibration_error=of_scores(lambda _, c: None if c.scores is None else calibration_error(c.scores)),
        auroc=of_scores(ranking),
        easy_hard=_easy_hard(record, results, selection) if of_easy_and_hard else None,
        ranked_by="hard" if of_easy_and_hard and not any(record.train_total) else "wga",
        groups=_groups(record, results, selection),
        parameters=max((n for n in trained if n is not None), default=None),
        seconds=round(sum(record.times.seconds.values()), 1),
        seconds_per_seed=round(fmean(spent), 3) if spent else None,
        peak_memory=max(held, default=0) or None,
        tier=record.tier,
        status=status,
        failure=failures[0] if failures else "",
        key=record.key,
    )


def _configurations(results: Sequence[SeedResult]) -> int:
    """Configurations tried per seed; the largest number where seeds differ."""
    return max((len({candidate.config for candidate in result.candidates}) for result in results), default=0)


def _oracle(result: SeedResult) -> float | None:
    known = [candidate.test for candidate in result.candidates if candidate.test is not None]
    return max((metrics.worst_group_accuracy(test, result.test_total) for test in known), default=None)


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
            groups.append(Group(name, correct, total, correct / total, index))
    return tuple(groups)
