"""Easy, hard and drop: brute force over photos, intervals that cover, and the board of such data sets."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import norm

from spurbench.board import Board, make_board
from spurbench.easy_hard import easy_hard
from spurbench.published import packaged, read_classes
from spurbench.record import Record
from spurbench.render.markdown import to_markdown
from spurbench.render.terminal import print_board

CELL = st.integers(0, 12).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
MakeRecord = Callable[..., Record]


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_every_number_equals_a_loop_over_photos(classes: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    correct = [cell[0] for pair in classes for cell in pair]
    total = [cell[1] for pair in classes for cell in pair]
    found = easy_hard(correct, total)

    both = [index for index, (easy, hard) in enumerate(classes) if easy[1] and hard[1]]
    if not both:
        assert found is None
        return
    assert found is not None
    photos = [
        (index, group, int(number < cell[0]))
        for index, pair in enumerate(classes)
        for group, cell in enumerate(pair)
        for number in range(cell[1])
    ]

    def share(group: int, index: int | None = None) -> Fraction:
        mine = [right for at, g, right in photos if g == group and ((index is None and at in both) or at == index)]
        return Fraction(sum(mine), len(mine))

    easy, hard = ([share(group, index) for index in both] for group in (0, 1))
    drops = [e - h for e, h in zip(easy, hard, strict=True)]
    assert found.easy == pytest.approx(float(sum(easy) / len(both)))
    assert found.hard == pytest.approx(float(sum(hard) / len(both)))
    assert found.drop == pytest.approx(float(sum(drops) / len(both)), abs=1e-12)
    assert found.easy_images == pytest.approx(float(share(0)))
    assert found.hard_images == pytest.approx(float(share(1)))
    assert found.drop_images == pytest.approx(float(share(0) - share(1)), abs=1e-12)
    assert [item.index for item in found.classes] == both
    assert [item.drop for item in found.classes] == pytest.approx([float(drop) for drop in drops], abs=1e-12)
    assert found.negative == sum(drop < 0 for drop in drops)
    assert found.left_out == sum((easy[1] > 0) != (hard[1] > 0) for easy, hard in classes)
    variances = [
        p * (1 - p) / len([1 for at, g, _ in photos if (at, g) == (index, group)])
        for group, shares in enumerate((easy, hard))
        for index, p in zip(both, shares, strict=True)
    ]
    low, high = found.interval(0.9)
    half = norm.ppf(0.95) * float(sum(variances)) ** 0.5 / len(both)
    assert (low, high) == (pytest.approx(found.drop - half, abs=1e-9), pytest.approx(found.drop + half, abs=1e-9))


@pytest.mark.parametrize(("correct", "total"), [([1], [1]), ([1, 2], [1, 2, 3]), ([1, 2], [1, 2, 3, 4])])
def test_counts_that_are_no_pairs_are_refused(correct: list[int], total: list[int]) -> None:
    with pytest.raises(ValueError, match="an easy and a hard group per class"):
        easy_hard(correct, total)


def test_the_interval_covers_the_true_drop_as_often_as_it_says() -> None:
    """Binomial photos from known accuracies, 1,000 draws: 95 % of intervals hold the true drop, within 4 deviations."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.9, 40)
    total = rng.integers(40, 120, 40)
    truth = float((p[0::2] - p[1::2]).mean())
    held = 0
    for _ in range(1000):
        found = easy_hard(rng.binomial(total, p).tolist(), total.tolist())
        assert found is not None
        low, high = found.interval()
        held += low <= truth <= high
    assert abs(held / 1000 - 0.95) < 4 * (0.95 * 0.05 / 1000) ** 0.5


def test_on_the_published_class_wise_accuracies_the_drop_is_known_to_four_fifths_of_a_point() -> None:
    """Of the model that chose the photos, 43 of 45 drops are further from 0 than 1.96 of their own standard errors."""
    classes = read_classes(packaged(), "counteranimal")
    for backbone in classes[0].accuracies:
        total = [n for entry in classes for n in (entry.n_easy, entry.n_hard)]
        shares = [share for entry in classes for share in entry.accuracies[backbone]]
        found = easy_hard([round(share * n / 100) for share, n in zip(shares, total, strict=True)], total)
        assert found is not None
        assert 0.006 < found.error < 0.009
        if backbone == "ViT-B/32-gelu:laion400m_e31":
            alone = [easy_hard(*([round(s * n / 100) for s, n in zip(shares[k : k + 2], total[k : k + 2], strict=True)],
                                 total[k : k + 2])) for k in range(0, 90, 2)]  # fmt: skip
            assert sum(item is not None and item.drop > 1.96 * item.error for item in alone) == 43
            assert found.negative == 0


def test_without_training_split_ranks_are_by_hard_accuracy_averaged_over_classes(easy_hard_record: MakeRecord) -> None:
    """`steady` has the better worst group and hard photos per image, `skilled` the better mean over classes."""
    total = [10, 100, 10, 10]
    steady = easy_hard_record([9, 60, 9, 5], total, method="steady")
    skilled = easy_hard_record([9, 40, 9, 10], total, method="skilled")
    made = make_board([steady, skilled])
    assert [(row.method, row.rank, row.ranked_by) for row in made.rows] == [
        ("skilled", 1, "hard"),
        ("steady", 2, "hard"),
    ]
    assert summary(made) == ("animals · RN50 (class-averaged accuracy on hard photos)", "**skilled** 70.0")
    assert "; ranked by class-averaged accuracy on hard photos." in to_markdown(made)
    trained = [
        easy_hard_record(record.seeds[0].selected["worst_group"].test, total, method=record.method, train_total=[1] * 4)
        for record in (steady, skilled)
    ]
    made = make_board(trained)
    assert [(row.method, row.rank, row.ranked_by) for row in made.rows] == [("steady", 1, "wga"), ("skilled", 2, "wga")]
    assert summary(made) == ("animals · RN50", "**steady** 50.0")


def summary(board: Board) -> tuple[str, str]:
    """The first line of the table at the top: what it is of, and who leads among methods told nothing."""
    line = to_markdown(board).splitlines()[4]
    name, leader = (cell.strip() for cell in line.strip("|").split("|"))
    return name, leader


def test_seeds_are_estimated_like_any_other_number(easy_hard_record: MakeRecord) -> None:
    """Hard accuracies 40, 50 and 60 %: deviation 10 points; easy is 80 % in each."""
    per_seed = [[8, hard, 8, hard] for hard in (4, 5, 6)]
    (row,) = make_board([easy_hard_record(per_seed, [10, 10, 10, 10])]).rows
    cell = row.easy_hard
    assert cell is not None
    assert (cell.easy.mean, cell.easy.std) == (pytest.approx(0.8), pytest.approx(0, abs=1e-12))
    assert (cell.hard.mean, cell.hard.std) == (pytest.approx(0.5), pytest.approx(0.1))
    assert (cell.drop.mean, cell.drop.std) == (pytest.approx(0.3), pytest.approx(0.1))
    assert cell.drop_images.mean == pytest.approx(0.3)
    errors = [((0.16 + hard * (1 - hard)) / 10 * 2) ** 0.5 / 2 for hard in (0.4, 0.5, 0.6)]
    assert cell.drop_high - cell.drop_low == pytest.approx(2 * 1.959964 * sum(errors) / 3, abs=1e-6)
    assert (cell.classes, cell.left_out, cell.negative) == (2, 0, 0)


def test_classes_with_one_group_alone_are_left_out_and_counted(easy_hard_record: MakeRecord) -> None:
    (row,) = make_board([easy_hard_record([5, 0, 8, 4, 0, 1], [10, 0, 10, 10, 0, 1])]).rows
    assert row.easy_hard is not None
    assert (row.easy_hard.easy.mean, row.easy_hard.hard.mean) == (pytest.approx(0.8), pytest.approx(0.4))
    assert (row.easy_hard.classes, row.easy_hard.left_out) == (1, 2)
    assert make_board([easy_hard_record([5, 0], [10, 0])]).rows[0].easy_hard is None


def test_other_data_sets_have_none_of_it(easy_hard_record: MakeRecord) -> None:
    made = make_board([easy_hard_record([5, 4, 8, 4], [10, 10, 10, 10], attributes=["hard", "easy"])])
    assert made.rows[0].easy_hard is None
    assert made.rows[0].ranked_by == "wga"
    assert "drop" not in to_markdown(made)


def many(n_classes: int, present: int, **changes: object) -> tuple[list[int], list[int], dict[str, object]]:
    """Counts of data whose first classes alone have photos."""
    total = [10, 10] * present + [0, 0] * (n_classes - present)
    return [8, 4] * present + [0, 0] * (n_classes - present), total, changes


def test_columns_come_first_and_fit_80_characters(easy_hard_record: MakeRecord) -> None:
    correct, total, _ = many(1000, 45)
    made = make_board([easy_hard_record([correct, correct], total, dataset="counteranimal", budget={
        "seeds": 2, "configurations": 1})])  # fmt: skip
    console = Console(width=80, file=io.StringIO(), record=True)
    print_board(made, console)
    shown = console.export_text()
    assert all(len(line) <= 80 for line in shown.splitlines())
    heading = next(line for line in shown.splitlines() if "method" in line)
    assert re.findall(r"[\w#]+", heading) == ["#", "method", "easy", "hard", "drop", "WGA"]
    assert re.search(r"80\.0 │ 40\.0 │ 40\.0 │ 40\.0", shown)
    assert "ranked by class-averaged accuracy on hard" in " ".join(shown.split())


def test_who_was_told_what_can_be_read_in_80_characters_beside_deviations(easy_hard_record: MakeRecord) -> None:
    per_seed = [[8, 4 + seed] * 40 for seed in range(3)]
    record = easy_hard_record(
        per_seed, [10] * 80, method="contrastive_yang_vs", supervision=["train_groups", "attribute_text"]
    )
    console = Console(width=80, file=io.StringIO(), record=True)
    print_board(make_board([record]), console)
    shown = console.export_text()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "…" not in shown
    assert "given train groups:" in shown


def test_a_wide_terminal_shows_the_drops_interval_and_nothing_cut(easy_hard_record: MakeRecord) -> None:
    """Errors: sqrt(40 (0.16 + h (1 - h)) / 10) / 40 for h = 0.4, 0.5, 0.6; 1.96 times their mean are 6.2 points."""
    per_seed = [[8, 4 + seed] * 40 for seed in range(3)]
    record = easy_hard_record(per_seed, [10] * 80, method="contrastive_yang_vs", supervision=["train_groups"])
    console = Console(width=140, file=io.StringIO(), record=True)
    print_board(make_board([record]), console)
    shown = console.export_text()
    assert "…" not in shown
    heading = next(line for line in shown.splitlines() if "method" in line)
    assert [cell.strip() for cell in heading.strip("┃").split("┃")] == [
        "#", "method", "easy", "hard", "drop", "drop interval", "negative", "WGA", "seeds",
    ]  # fmt: skip
    assert re.search(r"50\.0 │ +30\.0 │ +23\.8 to 36\.2 │ +0/40 │", shown)


def test_groups_without_photos_are_nowhere(easy_hard_record: MakeRecord) -> None:
    correct, total, _ = many(1000, 45)
    records = [easy_hard_record(correct, total, method=f"m{i}") for i in range(5)]
    made = make_board(records)
    assert all(len(row.groups) == 90 for row in made.rows)
    text = to_markdown(made)
    assert "c45/easy" not in text
    table = text.split("<details><summary>Accuracy per group")[1].split("</details>")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert "of the best methods" in table
    assert re.findall(r"\w+", lines[0]) == ["group", "m0", "m1", "m2"]
    assert len(lines) == 2 + 90
    assert re.match(r"\| c44/hard +\| +40\.0 \(4/10\) \| +40\.0 \(4/10\) \|", lines[-1])


def test_more_groups_than_anyone_reads_are_left_to_export(easy_hard_record: MakeRecord) -> None:
    correct, total, _ = many(200, 200)
    text = to_markdown(make_board([easy_hard_record(correct, total)]))
    assert "400 groups: `spurbench export --what groups` has the accuracy of each." in text
    assert "c7/easy" not in text.split("400 groups")[1]
