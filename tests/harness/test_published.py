"""Published numbers: as the sources print them, refused where a hand slipped, shown beside own ones, never ranked."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from spurbench.backbones.open_clip import Catalogue
from spurbench.board import Board, make_board
from spurbench.errors import DataError
from spurbench.leaderboard import read_everything
from spurbench.metrics import accuracy, train_weighted_accuracy
from spurbench.published import EASY_HARD, Published, packaged, published_folder, read_classes, read_published, triples
from spurbench.render.markdown import to_markdown
from spurbench.render.published import beside

PAPER, REPRODUCTION = "arXiv 2403.11497", "meric-karadag/clip_spurious_features"
ROW = {
    "dataset": "animals", "method": "zero_shot", "backbone": "RN50", "model": "RN50", "pretraining": "OpenAI",
    "metric": "easy", "average": "class", "label_space": "1v1000", "prompts": "synset", "split": "test",
    "over": "", "value": "64.02", "std": "", "source": "a paper", "where": "Table 3", "protocol": "",
    "reliable": "yes", "note": "",
}  # fmt: skip
GROUPS = {"average": "", "label_space": "", "prompts": "", "method": "erm", "metric": "wga"}
"""What rows of methods have otherwise."""


def write(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(ROW))
        writer.writeheader()
        writer.writerows(rows)
    return path


def value(**changes: Any) -> Published:
    return Published.model_validate({**ROW, **changes})


@pytest.fixture(scope="module")
def values() -> tuple[Published, ...]:
    return read_published(packaged())


@pytest.fixture(scope="module")
def facts(shared_data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared_data / "published" / "counteranimal.json").read_text())
    return found


TABLES = {
    "Table 3": "t3_clip_1v1000", "Table 10": "t10_clip_1v1000_openai80", "Table 11": "t11_clip_1v1000_micro",
    "Table 13": "t13_clip_1v20", "Table 4": "t4_in_1v1000", "Table 12": "t12_in_1v1000_micro",
    "Table 14": "t14_in_1v20", "Table 5": "lvlm_1v20",
}  # fmt: skip


@pytest.mark.parametrize("where", TABLES)
def test_every_table_is_the_transcribed_one(values: tuple[Published, ...], facts: dict[str, Any], where: str) -> None:
    expected = facts["lvlm_1v20"] if where == "Table 5" else facts["tables"][TABLES[where]]
    found = [triple for triple in triples(values) if triple.first.where == where]
    assert [(t.first.model, t.easy, t.hard, t.drop) for t in found] == [(row[0], *row[-3:]) for row in expected]
    if len(expected[0]) == 5:
        assert [t.first.pretraining for t in found] == [row[1].rstrip("∗") for row in expected]


def test_other_checkpoints_are_those_that_the_main_table_lacks(
    values: tuple[Published, ...], facts: dict[str, Any]
) -> None:
    rows = triples(values)
    main = {(t.first.model, t.easy, t.hard, t.drop) for t in rows if t.first.where == "Table 3"}
    found = {(t.first.model, t.first.pretraining, t.easy, t.hard, t.drop) for t in rows if t.first.where == "Table 9"}
    others = [row for row in facts["table9"] if (row[0], *row[3:]) not in main]
    assert len(others) == 8
    assert found == {(model, f"{data} {tag}", *numbers) for model, data, tag, *numbers in others}


def test_the_reproduction_is_the_transcribed_one(values: tuple[Published, ...], facts: dict[str, Any]) -> None:
    mine = [t for t in triples(values) if t.first.source == REPRODUCTION and t.first.method == "zero_shot"]
    for space, easy, hard in (("1v1000", "easy", "hard"), ("1v20", "easy20", "hard20")):
        found = [(t.first.model, t.easy, t.hard, t.drop) for t in mine if t.first.label_space == space]
        assert found == [(row["model"], row[easy], row[hard], None) for row in facts["reproduction"]]


def test_the_reproduced_supervised_models_are_within_a_point_of_the_paper(values: tuple[Published, ...]) -> None:
    rows = [t for t in triples(values) if t.first.method == "own_head" and t.first.label_space == "1v1000"]
    paper = {t.first.backbone: t for t in rows if t.first.where == "Table 4"}
    again = {t.first.backbone: t for t in rows if t.first.source == REPRODUCTION}
    assert len(paper) == 15
    assert paper.keys() == again.keys()
    for backbone, triple in again.items():
        assert triple.easy == pytest.approx(paper[backbone].easy, abs=1)
        assert triple.hard == pytest.approx(paper[backbone].hard, abs=1)


def test_backbones_are_named_as_this_program_names_them(values: tuple[Published, ...], tmp_path: Path) -> None:
    known = {*Catalogue(tmp_path).names()}
    supervised = {f"torchvision:{name}" for name in torchvision.models.list_models(torchvision.models)}
    for row in values:
        name = row.backbone.replace("-gelu:", ":")
        some = {"zero_shot": known, "own_head": supervised}.get(row.method, known | supervised)
        assert row.method == "lvlm" or name in some, name


def test_methods_are_named_as_this_program_names_them(values: tuple[Published, ...]) -> None:
    names = {*entry_points(group="spurbench.methods").names, "lvlm"}
    assert {row.method for row in values} | {row.over for row in values if row.over} <= names


NOTEBOOK = {
    "erm": (["0.5997 0.6012 0.5872", "0.9617 0.9630 0.9630", "0.7991 0.8029 0.8032"], "0.9917 0.6300 0.5960 0.9434"),
    "erm_adapter": (
        ["0.6492 0.6705 0.7113", "0.9538 0.9569 0.9432", "0.8158 0.8238 0.8341"],
        "0.9729 0.6770 0.7061 0.9403",
    ),
}
"""As the source prints them: WGA, adjusted and plain average of three runs; mean accuracy per group."""
WATERBIRDS_TRAIN, WATERBIRDS_TEST = [3498, 184, 56, 1057], [2255, 2255, 642, 642]


@pytest.mark.parametrize("method", NOTEBOOK)
def test_the_averages_are_what_they_are_called(values: tuple[Published, ...], method: str) -> None:
    """Mean and deviation are those of the printed runs, and both averages those of the printed groups."""
    runs, groups = NOTEBOOK[method]
    found: dict[str, Published] = {
        row.metric: row for row in values if (row.dataset, row.method, row.backbone) == ("waterbirds", method, "RN50")
    }
    for metric, text in zip(("wga", "acc_train_weighted", "acc_test"), runs, strict=True):
        numbers = 100 * np.array(text.split(), dtype=float)
        assert found[metric].value == pytest.approx(numbers.mean(), abs=0.0101)
        assert found[metric].std == pytest.approx(numbers.std(ddof=0), abs=0.0101)
    correct = [round(10_000 * float(share)) for share in groups.split()]
    counts = [share * total for share, total in zip(correct, WATERBIRDS_TEST, strict=True)]
    totals = [10_000 * total for total in WATERBIRDS_TEST]
    assert found["acc_test"].value == pytest.approx(100 * accuracy(counts, totals), abs=0.0101)
    adjusted = train_weighted_accuracy(counts, totals, WATERBIRDS_TRAIN)
    assert adjusted is not None
    assert found["acc_train_weighted"].value == pytest.approx(100 * adjusted, abs=0.0101)


def test_gains_and_training_splits_say_so(values: tuple[Published, ...]) -> None:
    gains = {(row.dataset, row.method, row.backbone): row for row in values if row.metric == "wga_gain"}
    assert {where: (row.value, row.over, row.split) for where, row in gains.items()} == {
        ("waterbirds", "contrastive_yang", "RN50"): (23, "erm_projection", "test"),
        ("waterbirds", "contrastive_yang", "ViT-L/14@336px"): (32, "erm_projection", "test"),
        ("waterbirds", "perception_clip", "ViT-L/14"): (16.5, "zero_shot", "train"),
        ("celeba", "perception_clip", "ViT-L/14"): (3.5, "zero_shot", "train"),
    }
    assert all("training split" in row.protocol for row in values if row.split == "train")


def test_methods_have_worst_groups_or_both_averages_but_no_easy_photos(values: tuple[Published, ...]) -> None:
    """CounterAnimal is told in easy, hard and drop, other data sets in groups."""
    assert {row.dataset for row in values if row.metric in EASY_HARD} == {"counteranimal"}
    assert {row.dataset for row in values if row.metric not in EASY_HARD} == {"waterbirds", "celeba"}


def test_class_wise_tables_are_the_transcribed_ones(facts: dict[str, Any]) -> None:
    classes = read_classes(packaged(), "counteranimal")
    names = {
        "ViT-B-32/laion400m_e31": "ViT-B/32-gelu:laion400m_e31",
        "ViT-B-16/laion400m_e31": "ViT-B/16:laion400m_e31",
        "ViT-L-14/laion400m_e31": "ViT-L/14:laion400m_e31",
        "ViT-B-32/laion2b_s34b_b79k": "ViT-B/32:laion2b_s34b_b79k",
        "ViT-B-32/openai": "ViT-B/32",
    }
    assert len(classes) == 45
    for found, row in zip(classes, facts["classes"], strict=True):
        assert (found.imagenet_idx, found.name) == (row["imagenet_idx"], row["name"])
        assert (found.easy_bg, found.hard_bg) == (row["easy_bg"], row["hard_bg"])
        counts = row["n_easy_fig3"], row["n_easy_inferred"], row["n_hard"]
        assert (found.n_easy_printed, found.n_easy, found.n_hard) == counts
        assert found.accuracies == {names[name]: tuple(pair) for name, pair in row["acc"].items()}


def test_what_is_unreliable_is_marked(values: tuple[Published, ...]) -> None:
    marked = {(row.first.backbone, row.first.where) for row in triples(values) if not row.reliable}
    every = ("Table 3", "Table 10", "Table 11", "Table 13")
    doubtful = ["convnext_base:laion400m_s13b_b51k", "convnext_base_w:laion2b_s13b_b82k", "ViT-B/32-gelu:laion400m_e31"]
    doubtful += ["ViT-B/16:dfn2b", "ViT-L/14:dfn2b", "ViT-H/14:dfn5b", "ViT-H/14-378:dfn5b"]
    expected = {(name, where) for name in doubtful for where in every}
    expected |= {("ViT-bigG/14:laion2b_s39b_b160k", "Table 10"), ("RN50x16", "Table 10")}
    expected |= {("ViT-B/16:laion400m_e31", "Table 10"), ("ViT-g/14:laion2b_s34b_b88k", "Table 10")}
    expected |= {("torchvision:resnet50", "Table 14"), ("ViT-B/32", "Table 11")}
    expected |= {("ViT-L/14:laion400m_e31", "Table 11"), ("ViT-B/32:laion2b_s34b_b79k", "Table 11")}
    expected |= {("ViT-B/32-gelu:laion400m_e32", "Table 9"), ("ViT-B/32:datacomp_s_s13m_b4k", "Table 9")}
    assert marked == expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"value": "sixty"}, "value"),
        ({"value": "nan"}, "value"),
        ({"value": "640.2"}, "value"),
        ({"value": "-3"}, "cannot be -3"),
        ({"metric": "accuracy"}, "metric"),
        ({"metric": "wga"}, "other metrics have neither"),
        ({"average": ""}, "have an average and a label_space"),
        ({"label_space": ""}, "have an average and a label_space"),
        ({"over": "erm"}, "other metrics are over nothing"),
        ({"metric": "wga_gain", "average": "", "label_space": ""}, "says what it is over"),
        ({"std": "-1"}, "std"),
        ({"std": "none"}, "std"),
        ({"method": ""}, "method"),
        ({"average": "median"}, "average"),
        ({"backbone": ""}, "backbone"),
        ({"reliable": "no"}, "note with the reason"),
        ({"note": "looks wrong"}, "note with the reason"),
        ({"dataset": "plants"}, r"a row of 'plants' belongs in .*plants\.csv; move it there"),
    ],
)
def test_a_slip_of_the_hand_is_told_with_file_and_line(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    path = write(tmp_path / "animals.csv", ROW, {**ROW, "metric": "hard", **changes})
    with pytest.raises(DataError, match=f"{re.escape(str(path))}, line 3.*{told}"):
        read_published(tmp_path)


def test_a_repeated_row_is_told_with_both_lines(tmp_path: Path) -> None:
    write(tmp_path / "animals.csv", ROW, {**ROW, "metric": "hard"}, {**ROW, "value": "1"})
    with pytest.raises(DataError, match="line 4 repeats line 2"):
        read_published(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"dataset,method\nanimals\n", b"dataset\nanimals,more\n", b"\xff\xfe", b'dataset\n"open', b"dataset\nanimals\n"],
)
def test_a_broken_file_is_told_or_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "animals.csv").write_bytes(content)
    write(tmp_path / "plants.csv", {**ROW, "dataset": "plants"})
    with pytest.raises(DataError, match=r"animals\.csv"):
        read_published(tmp_path)
    broken: list[str] = []
    assert [row.dataset for row in read_published(tmp_path, broken)] == ["plants"]
    assert len(broken) == 1


def test_class_wise_tables_are_checked(tmp_path: Path) -> None:
    good = (packaged() / "counteranimal-classes.csv").read_text().splitlines()
    path = tmp_path / "counteranimal-classes.csv"
    for lines, told in (
        ([*good, good[1]], "line 47: class 9 stands there twice"),
        ([good[0].replace("ViT-B/32 hard", "ViT-B/32 worse"), *good[1:]], "column 'ViT-B/32 worse'"),
        ([good[0], good[1].replace("79.61", "179.61")], "line 2: accuracies"),
        ([good[0]], "no class"),
    ):
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(DataError, match=told):
            read_classes(tmp_path, "counteranimal")
    path.unlink()
    with pytest.raises(DataError, match="missing"):
        read_classes(tmp_path, "counteranimal")


def test_a_results_folders_own_numbers_are_preferred(tmp_path: Path) -> None:
    assert published_folder(tmp_path) == packaged()
    # Without records of a data set nobody asked for its numbers.
    assert read_everything(tmp_path).published == ()
    (tmp_path / "published").mkdir()
    write(tmp_path / "published" / "animals.csv", ROW)
    assert [row.dataset for row in read_everything(tmp_path, strict=True).published] == ["animals"]
    (tmp_path / "published" / "animals.csv").write_text("dataset\n,,\n")
    assert len(read_everything(tmp_path).broken) == 1


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_section_tells_each_printed_number_once(values: tuple[Published, ...]) -> None:
    text = to_markdown(Board("worst_group", ()), None, values)
    cells = [cell for row in rows_of(text) for cell in row]
    told = [re.match(r"([0-9.]+) / ([0-9.]+)(?: / ([0-9.]+))?", cell) for cell in cells]
    numbers = sorted(number for match in told if match for number in match.groups() if number)
    assert numbers == sorted(f"{row.value:.2f}" for row in values if row.metric in EASY_HARD)
    alone = (re.fullmatch(r"([+-]?[0-9]+\.[0-9]+)(?: ± ([0-9.]+))?(?: \([a-z]\))?", cell) for cell in cells)
    found = sorted((float(match[1]), float(match[2] or -1)) for match in alone if match)
    assert found == sorted(
        (row.value, -1 if row.std is None else row.std) for row in values if row.metric not in EASY_HARD
    )
    for reason in {row.note for row in values if row.note}:
        assert reason.split("; ")[0][:40] in text


def test_marks_lead_to_their_reasons() -> None:
    doubtful = [value(model=f"m{i}", backbone=f"m{i}", reliable="no", note=f"reason {i % 28}") for i in range(30)]
    text = to_markdown(Board("worst_group", ()), None, doubtful)
    marks = {row[0]: row[2].partition("(")[2].rstrip(")") for row in rows_of(text)[2:]}
    for i in range(30):
        assert f"- ({marks[f'm{i}']}) reason {i % 28}" in text.splitlines()
    assert len(set(marks.values())) == 28


def test_names_and_reasons_are_neither_markdown_nor_html() -> None:
    nasty = "<script>a|b</script> [x](y) `c` *d*"
    hostile = [
        value(dataset=nasty, model=nasty, pretraining=nasty, where=nasty, source=nasty, reliable="no", note=nasty)
    ]
    text = to_markdown(Board("worst_group", ()), None, hostile)
    assert "<script" not in text
    section = text.split("\n## ")[1].split("How to read it")[0]
    assert not re.search(r"(?<!\\)[`*\[]", section.replace("**ours**", ""))
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in section.splitlines() if line.startswith("|")} == {4}


EasyHardRecord = Callable[..., Any]


def test_own_records_stand_beside_with_their_difference(easy_hard_record: EasyHardRecord) -> None:
    """7 of 10 easy and 3 of 5 hard photos right, twice: 70 / 60 / 10."""
    printed = [value(metric=metric, value=number) for metric, number in (("easy", 69.5), ("hard", 62.0), ("drop", 7.5))]
    own = easy_hard_record(correct=[7, 3, 7, 3], total=[10, 5, 10, 5], dataset="animals", backbone="RN50")
    text = to_markdown(make_board([own]), None, printed)
    assert "| RN50    | OpenAI       | 69.50 / 62.00 / 7.50 | 70.00 / 60.00 / 10.00 (+0.50 / -2.00) |" in text
    for other in ({"backbone": "RN101"}, {"dataset": "plants"}, {"method": "erm"}, {"prompts": "openai80"}):
        changed = {"dataset": "animals", "backbone": "RN50", **other}
        elsewhere = easy_hard_record(correct=[7, 3, 7, 3], total=[10, 5, 10, 5], **changed)
        assert "(+0.50" not in to_markdown(make_board([elsewhere]), None, printed)


def test_after_a_run_each_own_row_is_compared_once(easy_hard_record: EasyHardRecord) -> None:
    """Own numbers are 70 / 60, whatever they are told apart into; those per image, 70 / 60 too, are not compared."""
    printed = [
        value(metric=metric, value=number, average=average, label_space=space, where=where)
        for average, space, where, easy, hard in (
            ("image", "1v1000", "Table 1", 1.0, 2.0),
            ("class", "1v1000", "Table 2", 69.0, 62.0),
            ("class", "1v1000", "Table 3", 3.0, 4.0),
            ("class", "1v20", "Table 4", 72.5, 59.0),
        )
        for metric, number in (("easy", easy), ("hard", hard))
    ]
    counts: dict[str, Any] = {"correct": [7, 3, 7, 3], "total": [10, 5, 10, 5]}
    own = [easy_hard_record(**counts, dataset=name) for name in ("animals", "animals:labels=1v20", "plants")]
    assert beside(printed, make_board(own)) == [
        "RN50, zero_shot: 70.00 / 60.00 / 10.00 (+1.00 / -2.00); a paper, Table 2: 69.00 / 62.00",
        "RN50, zero_shot: 70.00 / 60.00 / 10.00 (-2.50 / +1.00); a paper, Table 4: 72.50 / 59.00",
    ]
    doubtful = [row.model_copy(update={"reliable": False, "note": "miscounted"}) for row in printed]
    assert all(line.endswith("(!); doubtful: miscounted") for line in beside(doubtful, make_board(own)))


def test_own_numbers_of_methods_stand_beside(easy_hard_record: EasyHardRecord) -> None:
    """Two seeds, WGA 0.4 and 0.6, 20 and 24 of 30 right; groups have 0.8, 0.7, 0.6, 0.9, in training 8, 1, 1, 8."""
    own = easy_hard_record(
        correct=[[8, 4, 4, 4], [8, 3, 8, 5]], total=[10, 5, 10, 5], method="erm", attributes=["land", "water"],
        train_total=[8, 1, 1, 8],
    )  # fmt: skip
    printed = [
        value(**{**GROUPS, **changes})
        for changes in (
            {"value": 48.25, "std": 1.5},
            {"metric": "acc_test", "value": 70},
            {"metric": "acc_train_weighted", "value": 80.5, "protocol": "the last epoch"},
            {"metric": "average_unstated", "value": 75},
            {"value": 60, "split": "train"},
        )
    ]
    cells = [row[2:] for row in rows_of(to_markdown(make_board([own]), None, printed).split(", as published")[1])[2:]]
    assert cells == [
        ["WGA", "a paper, Table 3", "48.25 ± 1.5", "50.0 (+1.8)"],
        ["acc_test", "a paper, Table 3", "70.0", "73.3 (+3.3)"],
        ["acc_train_weighted", "a paper, Table 3", "80.5 (a)", "82.8 (+2.3)"],
        ["average, unstated which", "a paper, Table 3", "75.0", ""],
        ["WGA, train split", "a paper, Table 3", "60.0", "50.0"],
    ]


def test_published_numbers_change_no_rank(easy_hard_record: EasyHardRecord, values: tuple[Published, ...]) -> None:
    own = easy_hard_record(correct=[7, 3, 7, 3], total=[10, 5, 10, 5], dataset="counteranimal", backbone="RN50")
    alone, beside = (to_markdown(make_board([own]), None, some) for some in ((), values))
    assert beside.startswith(alone.split("\n## How to read it")[0])


def test_the_package_carries_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tomllib = pytest.importorskip("tomllib")
    root = Path(__file__).parents[2]
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    carried = build["wheel"]["force-include"]["results/published"]
    assert "results/published" in build["sdist"]["include"]
    # As the wheel lays it out.
    installed = tmp_path / carried
    installed.mkdir(parents=True)
    monkeypatch.setattr("spurbench.published.__file__", str(tmp_path / "spurbench" / "published.py"))
    assert packaged() == installed
    monkeypatch.undo()
    assert packaged() == root / "results" / "published"
