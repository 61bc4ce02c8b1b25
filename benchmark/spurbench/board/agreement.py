"""What the records of one table must have in common, since their numbers stand side by side and are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..errors import one_line
from ..files import canonical_json
from ..reading import AGAIN
from ..record import Record
from ..rules import Budget, load_rules, names_in

SHARED = {
    "classes": "classes",
    "attributes": "values of the attribute",
    "test_groups": "test examples",
    "train_total": "training examples",
    "confidence": "confidence of intervals",
}
"""Fields of a record that are one and the same for the methods of a table, with what to call each."""


def strangers(files: Sequence[tuple[Path, Record]]) -> dict[Path, str]:
    """Records that cannot stand in a table with the others, each with a message that says why.

    They are those that differ from most in one of `SHARED`, where of values that are equally common the one of the
    first file counts; and, in a table that keeps to rules which come with this program, those with a budget that these
    give to no track.
    """
    usual = {field: _most_common([_value(record, field) for _, record in files]) for field in SHARED}
    budgets = {record.rules: _budgets(record.rules) for _, record in files}
    kept_to = {record.rules for _, record in files if record.budget in budgets[record.rules]}
    found = {}
    for path, record in files:
        other = [word for field, word in SHARED.items() if _value(record, field) != usual[field]]
        if other:
            told = f"{path} has other {', '.join(other)} than the rest of its table, which it cannot be compared with"
            found[path] = one_line(f"{told}; {AGAIN}")
        elif record.rules in kept_to and record.budget not in budgets[record.rules]:
            given = " or ".join(map(_said, budgets[record.rules]))
            told = f"{path} has a budget of {_said(record.budget)}, where the rules '{record.rules}' give {given}"
            found[path] = one_line(f"{told}; {AGAIN}")
    return found


def _value(record: Record, field: str) -> str:
    return canonical_json(getattr(record, field))


def _most_common(values: Sequence[str]) -> str:
    # Of equally common ones `Counter` has the one that it met first.
    return Counter(values).most_common(1)[0][0] if values else ""


@lru_cache
def _budgets(rules: str) -> tuple[Budget, ...]:
    """The budgets that rules of this program give to their tracks; none for rules that it does not know."""
    return tuple(load_rules(rules).tracks.values()) if rules in names_in("rules") else ()


def _said(budget: Budget) -> str:
    return f"{budget.seeds} seeds and {budget.configurations} configurations"
