"""Own numbers beside printed ones: which record is compared with what, in which unit, and what with nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spurbench.beside import beside
from spurbench.board import Board, make_board
from spurbench.published import Published
from spurbench.render.published import beside as lines_beside

Make = Callable[..., Any]
TOTAL = [10, 5, 10, 5]


def printed(**changes: Any) -> Published:
    content = {
        "dataset": "birds", "method": "erm", "backbone": "RN50", "model": "ResNet-50", "pretraining": "CLIP",
        "metric": "wga", "prompts": "", "split": "test", "value": 48.0, "source": "a paper", "where": "abstract",
        "reliable": True, "note": "",
    }  # fmt: skip
    return Published.model_validate({**content, **changes})


@pytest.fixture
def own(easy_hard_record: Make) -> Make:
    """A record of a method: `wga` of ten times what was asked for, of every seed."""

    def make(*worst: int, **changes: Any) -> Any:
        content = {"dataset": "birds", "method": "erm", "attributes": ["land", "water"], "train_total": [8, 1, 1, 8]}
        return easy_hard_record([[10, 5, n, 5] for n in worst], TOTAL, **{**content, **changes})

    return make


def test_the_mean_over_seeds_in_the_unit_of_the_value(own: Make) -> None:
    board = make_board([own(4, 6)])
    (found,) = beside([printed()], board.rows)
    assert found.own == pytest.approx(50)
    assert found.difference == pytest.approx(2)
    assert found.row is board.rows[0]


@pytest.mark.parametrize(
    "other",
    [{"dataset": "plants"}, {"backbone": "RN101"}, {"method": "jtt"}, {"budget": {"seeds": 3, "configurations": 1}}],
)
def test_another_row_or_an_incomplete_one_is_not_compared(own: Make, other: dict[str, Any]) -> None:
    value = printed()
    assert [(b.row, b.own, b.difference) for b in beside([value], make_board([own(4, 6, **other)]).rows)] == [
        (None, None, None)
    ]


def test_an_average_that_is_not_named_is_compared_with_nothing(own: Make) -> None:
    (found,) = beside([printed(metric="average_unstated")], make_board([own(4, 6)]).rows)
    assert (found.row, found.own, found.difference) == (None, None, None)


def test_another_split_is_shown_but_not_subtracted(own: Make) -> None:
    (found,) = beside([printed(split="train")], make_board([own(4, 6)]).rows)
    assert found.own == pytest.approx(50)
    assert found.difference is None


def test_prompts_matter_where_the_source_names_them(own: Make) -> None:
    board = make_board([own(4, 6, prompts="photo")])
    values = [printed(prompts=prompts) for prompts in ("", "photo", "openai80")]
    assert [found.own is not None for found in beside(values, board.rows)] == [True, True, False]


def test_a_gain_is_over_the_baseline_of_the_same_rules(own: Make) -> None:
    value = printed(method="afr", metric="wga_gain", over="erm", value=25)
    ours = own(7, 8, method="afr", rules="quick")
    base, elsewhere = own(4, 6, rules="quick"), own(1, 1, rules="v1")
    partial = own(4, 6, rules="quick", budget={"seeds": 3, "configurations": 1})
    assert [found.own for found in beside([value], make_board([ours]).rows)] == [None]
    assert [found.own for found in beside([value], make_board([ours, elsewhere]).rows)] == [None]
    assert [found.own for found in beside([value], make_board([ours, partial]).rows)] == [None]
    (found,) = beside([value], make_board([ours, base, elsewhere]).rows)
    assert found.own == pytest.approx(25)
    assert found.difference == pytest.approx(0, abs=1e-9)
    assert found.row is not None
    assert found.row.method == "afr"


def test_of_several_records_the_largest_is_compared(own: Make) -> None:
    records = [own(4, 6, rules="quick"), own(8, 8, 8, 8, rules="v1"), own(2, 2, rules="w")]
    for some in (records, records[::-1]):
        (found,) = beside([printed()], make_board(some).rows)
        assert found.own == pytest.approx(80)


@pytest.mark.parametrize(("average", "expected"), [("class", 70.0), ("image", None)])
def test_easy_and_hard_are_compared_where_averaged_over_classes(
    easy_hard_record: Make, average: str, expected: float | None
) -> None:
    board = make_board([easy_hard_record([7, 3, 7, 3], TOTAL, dataset="animals:labels=1v20")])
    value = printed(
        dataset="animals", method="zero_shot", metric="easy", average=average, label_space="1v20", prompts="synset"
    )
    (found,) = beside([value], board.rows)
    assert found.own == (None if expected is None else pytest.approx(expected))


def test_without_records_every_value_stands_alone() -> None:
    values = [printed(), printed(metric="acc_test")]
    assert [found.printed for found in beside(values, Board("worst_group", ()).rows)] == values


def test_after_a_run_each_value_with_an_own_number_is_told(own: Make) -> None:
    values = [
        printed(protocol="the last epoch", std=0.5), printed(metric="average_unstated"),
        printed(backbone="RN101"), printed(split="train", reliable=False, note="misprinted"),
    ]  # fmt: skip
    assert lines_beside(values, make_board([own(4, 6)])) == [
        "RN50, erm, WGA: 50.0 (+2.0); a paper, abstract: 48.0 ± 0.5; there: the last epoch",
        "RN50, erm, WGA, train split: 50.0; a paper, abstract: 48.0; there: misprinted",
    ]
