"""Own numbers beside printed ones: same data set, backbone, method and metric, and what lies between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .board import BoardRow
from .published import EASY_HARD, Metric, Published
from .stats import Estimate

ALL_LABELS = "1v1000"
EVALUATED = "test"
"""The split that own numbers are of."""
MEASURES: Mapping[Metric, Callable[[BoardRow], Estimate | None]] = {
    "wga": lambda row: row.wga,
    "acc_test": lambda row: row.acc_test,
    "acc_train_weighted": lambda row: row.acc_train_weighted,
    "wga_gain": lambda row: row.wga,
    "easy": lambda row: row.easy_hard.easy if row.easy_hard else None,
    "hard": lambda row: row.easy_hard.hard if row.easy_hard else None,
    "drop": lambda row: row.easy_hard.drop if row.easy_hard else None,
}
"""What a row has for a metric; for a gain, that which rises. An average that the source does not name is not here:
nothing can be compared with it."""


@dataclass(frozen=True)
class Beside:
    """One printed value and what own records say of it.

    Attributes:
        row: the own row that it stands beside; None where there is no complete one.
        own: mean over seeds in the value's unit: percent, or points for gains and drops.
        difference: own less printed, in points; None where `own` is, and where the source evaluated another split.
    """

    printed: Published
    row: BoardRow | None = None
    own: float | None = None
    difference: float | None = None


def beside(values: Iterable[Published], rows: Sequence[BoardRow]) -> list[Beside]:
    """Each printed value with the own one, in the order of the values. Nothing of this enters a rank."""
    return [_beside(value, rows) for value in values]


def own_row(value: Published, rows: Iterable[BoardRow]) -> BoardRow | None:
    """The own row of what is printed, complete, and by the same prompts where they matter; None where there is none.

    Of several, made under rules of their own, it is that of most seeds, then of most configurations. Averages over
    images have none, as own headline numbers are averages over classes. Records of fewer labels than all have the
    label space in the data set's name.
    """
    of_easy_hard = value.metric in EASY_HARD
    if value.metric not in MEASURES or value.average == "image":
        return None
    named = value.label_space not in ("", ALL_LABELS)
    dataset = f"{value.dataset}:labels={value.label_space}" if named else value.dataset
    same = (
        row
        for row in rows
        if (row.dataset, row.method, row.backbone) == (dataset, value.method, value.backbone)
        and (row.prompts == value.prompts or not (of_easy_hard or value.prompts))
        and row.status == "complete" and MEASURES[value.metric](row) is not None
    )  # fmt: skip
    return max(same, key=lambda row: (row.seeds, row.n_configs), default=None)


def _beside(value: Published, rows: Sequence[BoardRow]) -> Beside:
    row = own_row(value, rows)
    own = None if row is None else MEASURES[value.metric](row)
    if row is None or own is None:
        return Beside(value)
    number = 100 * own.mean
    if value.metric == "wga_gain":
        baseline = _baseline(value.over, row, rows)
        if baseline is None:
            return Beside(value)
        number -= 100 * baseline.mean
    return Beside(value, row, number, number - value.value if value.split == EVALUATED else None)


def _baseline(method: str, row: BoardRow, rows: Iterable[BoardRow]) -> Estimate | None:
    """Worst-group accuracy of the method that another is compared with, under the same rules."""
    found = (
        other.wga
        for other in rows
        if (other.rules, other.dataset, other.backbone, other.method) == (row.rules, row.dataset, row.backbone, method)
        and other.status == "complete"
    )
    return next(found, None)
