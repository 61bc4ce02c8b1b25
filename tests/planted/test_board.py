"""The tables of planted records, against loops over the records."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from scipy import stats

from spurbench.planted.board import KS, MODEL, THRESHOLDS, make_planted_board
from spurbench.planted.record import PlantedRecord

from .conftest import TOTAL, MakeRecord, MakeSeed


@pytest.fixture
def several(record: MakeRecord, model: MakeSeed) -> list[PlantedRecord]:
    """Four settings of one base and one of another, each with two models; one setting is not valid."""
    rng = random.Random(0)
    made = []
    for number, (base, strength) in enumerate([("s", 0.7), ("s", 0.9), ("s", 0.9), ("s", 0.9), ("d", 0.9)]):
        image = [12, 10, 20, 3] if number != 2 else [18, 10, 20, 10]
        seeds = [
            model(
                seed,
                image=image,
                hits={name: [rng.randint(0, 1) for _ in range(50)] for name in ("ravl", "random")},
                label=number % 2,
                mitigated={"mend": ([10, 9, 18, 8 - seed], [5, 6, 7, 8])} if number == 0 else None,
            )
            for seed in range(2)
        ]
        made.append(record(*seeds, base=base, strength=strength, dataset=f"{base}-{number}"))
    return made


def precision(record: PlantedRecord, name: str, k: int) -> float:
    return fmean(sum(result.found[name].hits[:k]) / k for result in record.seeds)


def test_precision_is_a_mean_over_valid_settings_with_their_t_interval(several: list[PlantedRecord]) -> None:
    board = make_planted_board(several)
    assert (board.tried, board.valid, board.models) == (5, 4, 8)
    valid = [made for number, made in enumerate(several) if number != 2]
    for row in board.finders:
        here = [made for made in valid if made.base == row.base]
        values = [precision(made, row.discoverer, 10) for made in here]
        assert row.precision.mean == pytest.approx(fmean(values))
        if len(values) > 1:
            low, high = stats.t.interval(0.95, len(values) - 1, loc=fmean(values), scale=stats.sem(values))
            assert (row.precision.low, row.precision.high) == (pytest.approx(low), pytest.approx(high))
        for strength, mean, n in row.by_strength:
            some = [precision(made, row.discoverer, 10) for made in here if made.strength == strength]
            assert n == len(some)
            assert mean == (pytest.approx(fmean(some)) if some else None)
        assert row.named == fmean(result.found[row.discoverer].label == 0 for made in here for result in made.seeds)


def test_curves_over_k_and_threshold(several: list[PlantedRecord]) -> None:
    board = make_planted_board(several)
    valid = [made for number, made in enumerate(several) if number != 2]
    for trend in board.by_k:
        assert [k for k, _, _ in trend.points] == list(KS)
        for k, found, n in trend.points:
            assert found is not None
            assert found.mean == pytest.approx(fmean(precision(made, trend.discoverer, int(k)) for made in valid))
            assert n == 4
    for trend in board.by_threshold:
        counts = {threshold: n for threshold, _, n in trend.points}
        # Every valid one gains exactly 40 points.
        assert counts == {threshold: 4 if threshold < 0.4 else 0 for threshold in THRESHOLDS}


def test_mitigations_are_compared_on_the_same_models(several: list[PlantedRecord]) -> None:
    rows = {row.method: row for row in make_planted_board(several).mended}
    assert set(rows) == {MODEL, "mend"}
    assert rows["mend"].image_worst.mean == pytest.approx(fmean([min(10 / 20, 8 / 10), min(10 / 20, 7 / 10)]))
    assert rows["mend"].image_overall.mean == pytest.approx(fmean([45, 44]) / sum(TOTAL))
    assert rows["mend"].region_worst.mean == pytest.approx(5 / 20)
    assert rows[MODEL].image_worst.mean == pytest.approx(3 / 10)
    assert (rows["mend"].settings, rows["mend"].models) == (1, 2)


def test_the_order_of_records_does_not_matter(several: list[PlantedRecord]) -> None:
    shuffled = several[:]
    random.Random(1).shuffle(shuffled)
    assert make_planted_board(shuffled) == make_planted_board(several)


def test_nothing_valid_is_nothing_to_show(record: MakeRecord, model: MakeSeed) -> None:
    board = make_planted_board([record(model(image=TOTAL))])
    assert (board.tried, board.valid, board.finders, board.by_k) == (1, 0, (), ())
    assert make_planted_board([]).tried == 0
