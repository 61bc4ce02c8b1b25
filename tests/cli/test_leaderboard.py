"""`spurbench leaderboard`: regenerated from records alone, checked, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spurbench.board import make_board
from spurbench.record import read_records

if TYPE_CHECKING:
    from conftest import Spurbench

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the committed records."""
    import shutil

    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(REPOSITORY / "results", folder / "results")
    return folder / "results"


def test_the_committed_leaderboard_is_what_the_committed_records_say(module_spurbench: Spurbench) -> None:
    run = module_spurbench("leaderboard", "--check", "--results", REPOSITORY / "results")
    assert run.returncode == 0, run.stdout


def test_check_fails_with_the_difference_and_writes_nothing(module_spurbench: Spurbench, done: Path) -> None:
    module_spurbench("leaderboard", "--results", done)
    path = done.parent / "leaderboard.md"
    good = path.read_text()
    assert module_spurbench("leaderboard", "--check", "--results", done).returncode == 0
    changed = good.replace("dfr_val", "dfr_best")
    path.write_text(changed)
    run = module_spurbench("leaderboard", "--check", "--results", done)
    assert run.returncode == 1
    assert "-" in run.stdout
    assert "+" in run.stdout
    assert "dfr_best" in run.stdout
    assert path.read_text() == changed
    path.unlink()
    assert module_spurbench("leaderboard", "--check", "--results", done).returncode == 1


def test_selection_changes_what_is_shown(module_spurbench: Spurbench, done: Path) -> None:
    by = {}
    for rule in ("worst_group", "average"):
        by[rule] = module_spurbench("leaderboard", "--results", done, "--selection", rule, "--output", "-").stdout
        assert f"Selected by `{rule}`" in by[rule]
    assert by["worst_group"] != by["average"]


def test_no_results_is_a_wrong_call(spurbench: Spurbench) -> None:
    run = spurbench("leaderboard", "--results", "absent")
    assert run.returncode == 2
    assert "there is no results folder absent" in run.stderr


def test_results_are_read_and_rendered_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from spurbench.board import make_board;"
        "from spurbench.record import read_records; from spurbench.render.markdown import to_markdown;"
        f"text = to_markdown(make_board(read_records(Path({str(REPOSITORY / 'results')!r}))));"
        "assert 'WGA' in text; heavy = {'torch', 'open_clip', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("some", "backbones"),
    [
        # One method of each kind: converged, trained, averaged over subsets, two-layered, of text alone.
        ({"erm", "group_dro", "dfr_val", "erm_adapter", "roboshot"}, {"menagerie-rn", "menagerie-vit"}),
        # With text in training, and with a stage before; an attention pool takes minutes.
        ({"contrastive_yang", "cfr"}, {"menagerie-vit"}),
    ],
)
def test_the_committed_records_are_reproduced_from_nothing(
    spurbench: Spurbench, tmp_path: Path, some: set[str], backbones: set[str]
) -> None:
    run = spurbench(
        "run", "--datasets", "menagerie-birds", "--methods", ",".join(some), "--backbones", ",".join(backbones)
    )
    assert run.returncode == 0, run.stdout + run.stderr
    ours, committed = (
        {
            (row["backbone"], row["method"]): row
            for row in json.loads(spurbench("export", "--results", root, "--format", "json").stdout)
            if row["dataset"] == "menagerie-birds"
            and row["rules"] == "v1"
            and row["method"] in some
            and row["backbone"] in backbones
        }
        for root in (tmp_path / "results", REPOSITORY / "results")
    )
    assert ours.keys() == committed.keys()
    for cell, row in committed.items():
        # Bit for bit on one machine; another processor may tip single test examples.
        assert ours[cell]["wga"] == pytest.approx(row["wga"], abs=0.02), cell


def test_the_committed_board_tells_methods_apart() -> None:
    records = read_records(REPOSITORY / "results")
    board = [record for record in records if (record.dataset, record.rules) == ("menagerie-birds", "v1")]
    worst = {(row.backbone, row.method): row.wga.mean for row in make_board(board).rows if row.wga is not None}
    for backbone in ("menagerie-rn", "menagerie-vit"):
        erm = worst[backbone, "erm"]
        assert 0.35 <= erm <= 0.85
        assert worst[backbone, "dfr_val"] >= erm + 0.10
        assert worst[backbone, "group_dro"] >= erm + 0.10
        assert all(0.0 < wga <= 0.97 for (own, _), wga in worst.items() if own == backbone)
