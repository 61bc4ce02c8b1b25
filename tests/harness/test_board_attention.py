"""Where the models look, on the board: each number again from the arrays, and the same in every form of it."""

from __future__ import annotations

import dataclasses
import io
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import spearmanr

from spurbench.attention import MEASURES
from spurbench.board import AttentionCell, Board, BoardRow, attention_cell, make_board
from spurbench.board.kept import kept_tables
from spurbench.frames import load_results
from spurbench.leaderboard import Everything, read_everything
from spurbench.record import GROUPS, Record, read_predictions, record_path
from spurbench.render.attention import BLOB, EVERYWHERE, TITLE, looks
from spurbench.render.attention_words import correlations
from spurbench.render.latex import to_latex
from spurbench.render.markdown import to_markdown
from spurbench.render.terminal import print_board
from spurbench.stats import group_means, rank_correlation

Write = Callable[..., Record]
SIZES = (20, 10, 8, 30)
ROWS = np.repeat(np.arange(4), SIZES)
PHOTOS = (6, 5, 0, 8)
METHODS = ("a", "b", "c", "d", "e")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path / "cache"))


def fill(
    write: Write, results: Path, methods: Sequence[str] = METHODS, looked: Sequence[str] = METHODS, **changes: Any
) -> Everything:
    """Methods of three seeds each, better from the first to the last; into the models of some somebody has looked."""
    for place, method in enumerate(methods):
        right = np.random.default_rng(place).random((3, len(ROWS))) < 0.5 + 0.08 * place
        more = {"looked": {"seed": place, "photos": PHOTOS, **changes}} if method in looked else {}
        write(results, method, right, ROWS, **more)
    return read_everything(results)


@pytest.fixture
def everything(write_outcomes: Write, tmp_path: Path) -> Everything:
    return fill(write_outcomes, tmp_path / "results")


def arrays_of(record: Record, results: Path) -> dict[str, NDArray[np.int16]]:
    return read_predictions(record_path(results, record.rules, record.dataset, record.backbone, record.method), record)


def by_method(everything: Everything, rule: Any = "worst_group") -> dict[str, BoardRow]:
    return {row.method: row for row in everything.rows(rule)}


def cell_of(row: BoardRow) -> AttentionCell:
    assert row.attention is not None
    return row.attention


@pytest.mark.parametrize("rule", ["worst_group", "average"])
def test_means_are_those_of_plain_loops_over_the_arrays(everything: Everything, tmp_path: Path, rule: Any) -> None:
    for record in everything.records:
        arrays, cell = arrays_of(record, tmp_path / "results"), cell_of(by_method(everything, rule)[record.method])
        assert (cell.seeds, cell.photos, cell.changed) == (3, PHOTOS, 0)
        for measure in MEASURES:
            found, means = getattr(cell, measure), []
            for group in range(4):
                values = [
                    int(value) / 10_000
                    for seed in range(3)
                    for value, member in zip(arrays[f"{seed}.{rule}.{measure}"], ROWS, strict=True)
                    if member == group and value >= 0
                ]
                assert len(values) == 3 * PHOTOS[group]
                assert (found.groups[group] is None) == (not values)
                if values:
                    means.append(statistics.fmean(values))
                    assert found.groups[group].mean == pytest.approx(means[-1])
            assert found.balanced.mean == pytest.approx(statistics.fmean(means))
        assert statistics.fmean(cell.curve) == pytest.approx(cell.aiou.balanced.mean, abs=1e-4)
        assert cell.thresholds == (0.25, 0.5, 0.75)


def test_only_the_seeds_that_are_shown_and_looked_into_count(
    write_outcomes: Write, tmp_path: Path, make_attention: Any
) -> None:
    right = np.random.default_rng(0).random((5, len(ROWS))) < 0.7
    record = write_outcomes(tmp_path, "erm", right, ROWS, budget={"seeds": 3, "configurations": 8})
    attention, more = make_attention(record, ROWS)
    some = record.model_copy(update={"attention": attention.of({"0", "2", "4"})})
    arrays = arrays_of(record, tmp_path) | more
    for below, seeds in ((5, [0, 2, 4]), (4, [0, 2]), (2, [0])):
        cell = attention_cell(some, "average", arrays, below)
        assert cell is not None
        values = np.stack([more[f"{seed}.average.energy"] for seed in seeds])
        seen = values[0] >= 0
        assert (cell.seeds, cell.energy) == (len(seeds), group_means(values[:, seen] / 10_000, ROWS[seen], 4))
    assert attention_cell(some, "average", arrays, 0) is None
    assert attention_cell(some, "average", None, 5) is None
    assert attention_cell(record, "average", arrays, 5) is None
    by_one = some.model_copy(
        update={
            "attention": attention.model_copy(update={"seeds": {"0": {"average": attention.seeds["0"]["average"]}}})
        }
    )
    assert attention_cell(by_one, "worst_group", arrays, 5) is None
    beside = write_outcomes(tmp_path, "dfr", right[:3], ROWS)
    board = make_board([some, beside], "average", lambda one: arrays if one is some else None)
    assert cell_of(next(row for row in board.rows if row.method == "erm")).seeds == 2


def test_a_row_that_has_no_rank_has_it_too(write_outcomes: Write, tmp_path: Path) -> None:
    right = np.random.default_rng(0).random((2, len(ROWS))) < 0.7
    write_outcomes(tmp_path / "results", "erm", right, ROWS, budget={"seeds": 3, "configurations": 8}, looked={})
    (row,) = read_everything(tmp_path / "results").rows()
    assert (row.status, cell_of(row).seeds) == ("partial", 2)


def test_what_was_kept_is_what_is_made_anew(everything: Everything, tmp_path: Path) -> None:
    kept = kept_tables(tmp_path / "results", tmp_path / "one", [])
    assert kept == kept_tables(tmp_path / "results", tmp_path / "one", []) == list(everything.tables)
    assert all(row.attention is not None for table in kept for row in table.rows["average"])


def test_predictions_without_the_arrays_are_left_out_by_name(everything: Everything, tmp_path: Path) -> None:
    path = tmp_path / "results" / "v1" / "birds" / "RN50" / "c.npz"
    with np.load(path) as held:
        some = {name: held[name] for name in held.files if name != "1.average.energy"}
    np.savez_compressed(path, **some)
    again = read_everything(tmp_path / "results")
    assert [row.method for row in again.rows()] == [row.method for row in everything.rows() if row.method != "c"]
    assert len(again.broken) == 1
    assert "c.npz does not hold the array '1.average.energy'" in again.broken[0]


def section(text: str) -> str:
    return text.partition("### Where the models look\n")[2].partition("\n## ")[0]


def lines_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def shown(value: Any) -> str:
    return f"{100 * value.mean:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def test_the_document_has_every_mean_in_the_order_of_the_board(everything: Everything) -> None:
    text = section(everything.document())
    lines = lines_of(text)
    rows = everything.rows()
    assert lines[0] == ["method", "WGA", "AIoU", "pointing", "energy"]
    for row, line in zip(rows, lines[2:7], strict=True):
        cell = cell_of(row)
        assert line[0] == row.method
        assert line[2:] == [shown(getattr(cell, measure).balanced) for measure in MEASURES]
    assert lines[7:9] == [[EVERYWHERE, "-", "50.0", "20.0", "20.0"], [BLOB, "-", "50.0", "60.0", "30.0"]]
    assert "Grad-CAM at layer4 of the odds of the class, on 19 test photos (5 to 8 of each group)" in text
    assert "whose objects are known by masks, with 3 models of each method." in text
    names = ["landbird/land", "landbird/water", "waterbird/water"]
    for place, title in enumerate(("AIoU", "pointing", "energy")):
        table = lines_of(text.partition(f"**{title} per group**")[2])
        assert table[0] == ["method", *names]
        for row, line in zip(rows, table[2:7], strict=True):
            found = getattr(cell_of(row), MEASURES[place]).groups
            assert line == [row.method, *(shown(found[group]) for group in (0, 1, 3))]
        assert table[7] == [EVERYWHERE, *(("50.0", "20.0", "20.0")[place],) * 3]
        assert table[8] == [BLOB, *(("50.0", "60.0", "30.0")[place],) * 3]


def test_methods_that_do_not_beat_a_blob_are_not_said_to(write_outcomes: Write, tmp_path: Path) -> None:
    centre = {"aiou": 0.5, "pointing": 0.9, "energy": 0.35}
    everything = fill(
        write_outcomes,
        tmp_path / "results",
        centre={name: [share if n else 0.0 for n in PHOTOS] for name, share in centre.items()},
    )
    above = [row.method for row in everything.rows() if cell_of(row).energy.balanced.low > 0.35]
    assert 0 < len(above) < 5
    assert all(cell_of(row).pointing.balanced.low <= 0.9 for row in everything.rows())
    assert (
        "A blob in the middle, which knows nothing of the photo, gets 90.0 for pointing (no method is clearly above "
        f"it) and 35.0 for energy (above it with the whole interval: {', '.join(above)})."
    ) in section(everything.document())


def test_the_correlation_is_scipys_and_that_of_gains(everything: Everything) -> None:
    rows = everything.rows()
    text = section(everything.document())
    told = re.findall(
        r"(AIoU|pointing|energy) (-?[0-9.]+) \((-?[0-9.]+) to (-?[0-9.]+)\)", text.partition("Spearman")[2]
    )
    assert "with WGA over 5 methods" in text
    wga = [row.wga.mean for row in rows if row.wga is not None]
    for (_, rho, low, high), measure in zip(told, MEASURES, strict=True):
        means = [getattr(cell_of(row), measure).balanced.mean for row in rows]
        assert float(rho) == pytest.approx(spearmanr(wga, means).statistic, abs=0.0051)
        gains = spearmanr(np.subtract(wga, wga[2]), np.subtract(means, means[2])).statistic
        assert gains == pytest.approx(spearmanr(wga, means).statistic)
        assert -1 <= float(low) <= float(rho) <= float(high) <= 1


def test_methods_that_all_beat_a_blob_are_counted(write_outcomes: Write, tmp_path: Path) -> None:
    low = {name: [0.01 if n else 0.0 for n in PHOTOS] for name in MEASURES}
    text = section(fill(write_outcomes, tmp_path / "results", centre=low).document())
    assert text.count("(above it with the whole interval: 5 of 5 methods)") == 2


def test_fewer_than_four_methods_have_no_correlation(write_outcomes: Write, tmp_path: Path) -> None:
    text = section(fill(write_outcomes, tmp_path / "results", looked=("a", "b", "c")).document())
    assert "Spearman" not in text
    assert "3 complete methods are too few for a correlation with WGA." in text
    assert [line[0] for line in lines_of(text)[2:7]] == ["c", "b", "a", EVERYWHERE, BLOB]


def test_what_was_measured_otherwise_is_told_and_not_correlated(write_outcomes: Write, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    fill(write_outcomes, folder)
    right = np.random.default_rng(9).random((3, len(ROWS))) < 0.9
    write_outcomes(folder, "f", right, ROWS, looked={"photos": PHOTOS, "layer": "layer3", "objects": "boxes"})
    text = section(read_everything(folder).document())
    first, _, second = text.partition(f"{TITLE}, per group")
    methods = [line[0] for line in lines_of(first)]
    assert methods[2:] == ["e", "d", "c", "b", "a", EVERYWHERE, BLOB]
    assert "at layer4 of the odds" in first
    assert "with WGA over 5 methods" in first
    other = second.partition("</details>")[2]
    assert [line[0] for line in lines_of(other)[2:5]] == ["f", EVERYWHERE, BLOB]
    assert re.search(r"at layer3 .*known by boxes, with 3 models of each method\.", other)
    assert "Not to be compared with the first table: measured with other layer, photos or masks." in other
    assert "1 complete methods are too few" not in first


@pytest.mark.parametrize(("change", "what"), [({"code": "d"}, "code"), ({"masks": "n"}, "photos or masks")])
def test_other_code_or_masks_are_no_comparison(
    write_outcomes: Write, tmp_path: Path, change: dict[str, str], what: str
) -> None:
    folder = tmp_path / "results"
    fill(write_outcomes, folder)
    right = np.random.default_rng(9).random((3, len(ROWS))) < 0.9
    write_outcomes(folder, "f", right, ROWS, looked={"photos": PHOTOS, **change})
    main, other = looks(read_everything(folder).rows())
    assert [line[0] for line in main.table.rows[:-2]] == ["e", "d", "c", "b", "a"]
    assert [line[0] for line in other.table.rows[:-2]] == ["f"]
    assert f"Not to be compared with the first table: measured with other {what}." in other.lines


def test_accuracy_is_over_the_seeds_that_were_looked_into_and_others_are_not_correlated(
    write_outcomes: Write, tmp_path: Path, make_attention: Any
) -> None:
    known = {}
    for place, method in enumerate("abcde"):
        right = np.random.default_rng(place).random((3, len(ROWS))) < 0.5 + 0.08 * place
        record = write_outcomes(tmp_path, method, right, ROWS)
        attention, more = make_attention(record, ROWS, place)
        seeds = {"0", "2"} if method == "c" else {"0", "1", "2"}
        made = record.model_copy(update={"attention": attention.of(seeds)})
        known[method] = made, arrays_of(record, tmp_path) | more, right
    board = make_board((made for made, _, _ in known.values()), arrays_of=lambda one: known[one.method][1])
    for row in board.rows:
        right = known[row.method][2]
        worst = [
            min(right[seed][g == ROWS].mean() for g in range(4)) for seed in ((0, 2) if row.method == "c" else range(3))
        ]
        assert row.looked is not None
        assert row.looked.mean == pytest.approx(statistics.fmean(worst))
    (found,) = looks(board.rows)
    assert "With another number of models, and left out of correlations: c 2." in found.lines
    assert any("with WGA over 4 methods, with" in line for line in found.lines)


def test_variants_of_a_method_count_once(everything: Everything) -> None:
    rows = everything.rows()
    pairs = [(row.method, row.wga.mean, cell_of(row)) for row in rows if row.wga is not None]
    twins = [("a" if name == "b" else name, value, cell) for name, value, cell in pairs]
    for measure, found in correlations(twins).items():
        by_name = {name: [n for n, (other, _, _) in enumerate(twins) if other == name] for name in "acde"}
        sides = [
            [statistics.fmean(values[n] for n in places) for places in by_name.values()]
            for values in (
                [value for _, value, _ in twins],
                [getattr(cell, measure.lower()).balanced.mean for _, _, cell in twins],
            )
        ]
        expected = rank_correlation(sides[0], sides[1], 1 - 0.05 / 3)
        assert found == expected
        assert found is not None
        assert found.n == 4


def test_changed_predictions_are_told(write_outcomes: Write, tmp_path: Path, make_attention: Any) -> None:
    record = write_outcomes(tmp_path, "erm", np.ones((2, len(ROWS)), bool), ROWS)
    attention, more = make_attention(record, ROWS)
    document = attention.model_dump(mode="json")
    for seed, count in (("0", 3), ("1", 4)):
        document["seeds"][seed]["worst_group"]["changed"] = count
    made = record.model_copy(update={"attention": type(attention).model_validate(document)})
    board = make_board([made], arrays_of=lambda _: arrays_of(record, tmp_path) | more)
    assert "not those of the record, over all seeds: erm 7." in section(to_markdown(board))


def test_nothing_is_said_where_nobody_looked(write_outcomes: Write, tmp_path: Path) -> None:
    everything = fill(write_outcomes, tmp_path / "results", looked=())
    text = everything.document()
    assert all(word not in text for word in ("models look", "AIoU", "energy"))
    assert looks(everything.rows()) == ()
    assert "AIoU" not in to_latex(everything.board())


def test_it_is_explained_once_in_a_document_that_has_it(everything: Everything) -> None:
    assert everything.document().count("- **AIoU**, **pointing**, **energy**") == 1


def test_a_layer_from_anywhere_is_text(write_outcomes: Write, tmp_path: Path) -> None:
    layer = "<img src=x onerror=alert(1)>|`a`\n## nasty [c](http://d) @e"
    everything = fill(write_outcomes, tmp_path / "results", layer=layer)
    text = section(everything.document())
    assert "<img" not in text
    assert "&lt;img" in text
    assert "\n## nasty" not in everything.document()
    assert "http://" not in text


def many_groups(board: Board) -> list[BoardRow]:
    """Rows as of thirty groups."""
    rows = []
    for row in board.rows:
        cell = cell_of(row)
        means = {
            name: dataclasses.replace(getattr(cell, name), groups=(getattr(cell, name).groups[0],) * 30)
            for name in MEASURES
        }
        groups = tuple(dataclasses.replace(row.groups[0], group=f"g{n}", number=n) for n in range(30))
        centre = dict.fromkeys(MEASURES, (0.3,) * 30)
        wide = dataclasses.replace(cell, photos=(2,) * 30, area=(0.1,) * 30, centre=centre, **means)
        rows.append(dataclasses.replace(row, groups=groups, attention=wide))
    return rows


def test_many_groups_are_left_to_exports(everything: Everything) -> None:
    (found,) = looks(many_groups(everything.board()))
    assert found.by_group == ()
    assert "30 groups: spurbench export --what groups has the numbers of each." in found.lines


def test_a_terminal_shows_the_table_and_what_is_told_of_it(everything: Everything) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    print_board(everything.board(), console)
    text = " ".join(console.export_text().split())
    assert "Where the models look" in text
    assert all(shown(cell_of(row).energy.balanced) in text for row in everything.rows())
    assert "Spearman's rank correlation with WGA over 5 methods" in text


def test_latex_has_a_column_for_each_measure(everything: Everything) -> None:
    text = to_latex(everything.board())
    assert r"gap & AIoU & pointing & energy & seeds \\" in text
    for row in everything.rows():
        means = " & ".join(f"{100 * getattr(cell_of(row), measure).balanced.mean:.1f}" for measure in MEASURES)
        assert f" & {means} & 3 \\\\" in text


def of_attention(table: pd.DataFrame) -> list[str]:
    """The columns of it."""
    found = [name for name in map(str, table) if name.startswith("attention_")]
    assert found
    return found


def test_tables_have_it_unrounded_and_missing_where_nobody_looked(write_outcomes: Write, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    everything = fill(write_outcomes, folder, looked=("b", "d"))
    table = load_results(folder)
    rows = by_method(everything)
    for line in table.to_dict("records"):
        cell = rows[line["method"]].attention
        if cell is None:
            assert all(pd.isna(line[name]) for name in of_attention(table))
            continue
        for measure in MEASURES:
            found = getattr(cell, measure).balanced
            bounds = tuple(line[f"attention_{measure}{part}"] for part in ("", "_low", "_high"))
            assert bounds == (found.mean, found.low, found.high)
        assert (line["attention_area"], line["attention_photos"], line["attention_seeds"]) == (
            pytest.approx(0.2),
            19,
            3,
        )
        assert (line["attention_maps"], line["attention_layer"]) == ("grad-cam", "layer4")
        assert (line["attention_score"], line["attention_objects"], line["attention_changed"]) == ("odds", "masks", 0)


def test_each_groups_means_are_exported_seed_by_seed(write_outcomes: Write, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    everything = fill(write_outcomes, folder, looked=("b", "d"))
    table = load_results(folder, "average", "groups")
    known = {record.method: arrays_of(record, folder) for record in everything.records}
    names = [("landbird", "land"), ("landbird", "water"), ("waterbird", "land"), ("waterbird", "water")]
    for line in table.to_dict("records"):
        group = names.index((line["class"], line["attribute"]))
        if line["method"] not in ("b", "d") or not PHOTOS[group]:
            assert all(pd.isna(line[name]) for name in of_attention(table))
            continue
        assert (line["attention_photos"], line["attention_area"]) == (PHOTOS[group], 0.2)
        for measure in MEASURES:
            array = known[line["method"]][f"{line['seed']}.average.{measure}"]
            expected = [
                int(v) for v, member in zip(array, known["b"][GROUPS], strict=True) if member == group and v >= 0
            ]
            assert line[f"attention_{measure}"] == pytest.approx(statistics.fmean(expected) / 10_000)
    assert len(table) == 5 * 3 * 4
