"""Records that cannot stand in one table: which are left out, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spurbench.board.agreement import strangers
from spurbench.board.kept import make_table
from spurbench.record import Record, record_path, write_record

from .test_board_tracks import made

V1 = ({"seeds": 10, "configurations": 16}, {"seeds": 5, "configurations": 8}, {"seeds": 3, "configurations": 4})


def table(*changes: dict[str, Any], **shared: Any) -> list[tuple[Path, Record]]:
    """Records of one table, each with its own changes."""
    return [(Path(f"{i}.json"), made(f"m{i}", 0.8, i, **{**shared, **own})[0]) for i, own in enumerate(changes)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["waterbird", "landbird"]}, "classes"),
        ({"attributes": ["easy", "hard"]}, "values of the attribute"),
        ({"test_groups": "0" * 64}, "test examples"),
        ({"train_total": [0, 0, 0, 0]}, "training examples"),
        ({"confidence": 0.5}, "confidence of intervals"),
        ({"classes": ["a", "b"], "confidence": 0.5}, "classes, confidence of intervals"),
    ],
)
def test_who_differs_from_most_is_left_out_wherever_it_stands(change: dict[str, Any], words: str) -> None:
    for place in range(3):
        some = table(*(change if i == place else {} for i in range(3)))
        found = strangers(some)
        assert list(found) == [Path(f"{place}.json")]
        assert found[Path(f"{place}.json")].startswith(f"{place}.json has other {words} than the rest of its table")


def test_of_two_the_first_counts() -> None:
    assert list(strangers(table({"confidence": 0.9}, {"confidence": 0.95}))) == [Path("1.json")]
    assert strangers([]) == {}


def test_a_budget_that_the_rules_give_nobody_is_left_out() -> None:
    budgets = [{"budget": budget} for budget in (*V1, {"seeds": 1, "configurations": 16})]
    found = strangers(table(*budgets))
    assert list(found) == [Path("3.json")]
    assert (
        "3.json has a budget of 1 seeds and 16 configurations, where the rules 'v1' give 10 seeds"
        in found[Path("3.json")]
    )
    assert strangers(table(*budgets, rules="v1+configs=16")) == {}


def test_a_table_is_made_of_those_that_agree(tmp_path: Path) -> None:
    files = []
    for i, method in enumerate(("a", "b", "evil")):
        record, arrays = made(method, 0.5 + 0.1 * i, i, confidence=0.5 if method == "evil" else 0.95)
        files.append(record_path(tmp_path, "v1", "birds", "RN50", method))
        write_record(files[-1], record, arrays)
    made_table = make_table(files)
    assert sorted(row.method for row in made_table.rows["worst_group"]) == ["a", "b"]
    (message,) = made_table.broken
    assert message.startswith(f"{files[2]} has other confidence of intervals than the rest")
