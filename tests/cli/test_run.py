"""`spurbench run` as a user sees it: the board, doing nothing twice, staleness, limits, wrong calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spurbench.registry import load_registries

if TYPE_CHECKING:
    from conftest import Spurbench

METHODS = load_registries().methods
HEAD = ("--methods", "erm,dfr_val,zero_shot", "--rules", "quick")


def board(spurbench: Spurbench, *arguments: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(spurbench("export", "--format", "json", *arguments).stdout)
    return rows


def records(root: Path) -> dict[str, Any]:
    """Every record below a results folder, without its times."""
    found = {}
    for path in sorted(root.rglob("*.json")):
        content = json.loads(path.read_text())
        content.pop("times")
        found[str(path.relative_to(root))] = content
    return found


def test_all_methods_on_ones_own_features_end_on_a_ranked_board(
    spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    run = spurbench("run", "--datasets", f"embeddings:{features}", "--methods", "all", "--rules", "quick")
    assert run.returncode == 0, run.stdout + run.stderr
    text = (tmp_path / "leaderboard.md").read_text()
    rows = board(spurbench)
    # The file brings texts of the classes, and nothing that could embed the attribute's; no photos, and no classifier.
    cards = [method.card for method in map(METHODS.get, METHODS.names())]
    installed = {
        card.name
        for card in cards
        if not card.words and not card.supervision.attribute_text and card.track == "head"
        if "classifier" not in card.inputs
    }
    assert {row["method"] for row in rows} == installed
    assert all(method in text for method in installed)
    for track in {row["track"] for row in rows}:
        ranks = [row["rank"] for row in rows if row["track"] == track]
        assert ranks[0] == 1
        assert ranks == sorted(ranks)
        wga = [row["wga"] for row in rows if row["track"] == track]
        assert wga == sorted(wga, reverse=True)
    assert {row["track"] for row in rows} == {"none", "val groups", "train groups"}
    by_method = {row["method"]: row for row in rows}
    assert by_method["dfr_val"]["wga"] > by_method["erm"]["wga"]
    wanted = {
        "rules", "dataset", "backbone", "method", "supervision", "selection", "seeds", "n_configs", "wga", "acc_test",
        "acc_train_weighted", "balanced", "gap", "tier", "status", "wga_std", "wga_low", "wga_high",
    }  # fmt: skip
    for row in rows:
        assert wanted <= row.keys()
        assert row["tier"] == "self-reported"
    groups = board(spurbench, "--what", "groups")
    assert {group["method"] for group in groups} == installed
    assert all(group["accuracy"] == group["correct"] / group["total"] for group in groups)
    assert (groups[0]["class"], groups[0]["attribute"]) == ("cat", "sofa")
    assert by_method["zero_shot"]["supervision"] == "none"
    assert by_method["dfr_val"]["supervision"] == "val groups"


def test_the_same_command_again_computes_nothing_and_changes_nothing(
    spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    command = ("run", "--datasets", f"embeddings:{features}", *HEAD)
    spurbench(*command)
    before = {path: path.read_bytes() for path in tmp_path.glob("results/**/*.*")}
    again = spurbench(*command)
    assert "nothing to compute: 9 cells cached" in again.stdout
    assert {path: path.read_bytes() for path in tmp_path.glob("results/**/*.*")} == before


def test_two_runs_from_nothing_write_the_same_records_and_predictions(
    spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        spurbench("run", "--datasets", f"embeddings:{features}", *HEAD, "--results", f"{name}/results")
    assert records(tmp_path / "one") == records(tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.npz"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    one, two = ((tmp_path / name / "leaderboard.md").read_text().splitlines() for name in ("one", "two"))
    # Time and memory, the last columns but one of a table, are what two runs differ in.
    assert [line.split("|")[:10] for line in one] == [line.split("|")[:10] for line in two]


def test_neither_memory_nor_company_changes_a_number(spurbench: Spurbench, features: Path, tmp_path: Path) -> None:
    """All seeds at once with room to spare, or one alone and then the rest with little."""
    command = ("run", "--datasets", f"embeddings:{features}", "--methods", "group_dro", "--rules", "quick")
    spurbench(*command, "--results", "roomy/results", "--memory-limit", "4G")
    command = (*command, "--results", "narrow/results", "--memory-limit", "16M")
    assert "1 done" in spurbench(*command, "--seeds", "1").stdout
    assert "1 cached" in spurbench(*command).stdout
    assert records(tmp_path / "narrow") == records(tmp_path / "roomy") != {}


def test_changed_code_makes_a_record_stale_and_a_limit_leaves_the_rest(
    spurbench: Spurbench, features: Path, nearest_mean: Path
) -> None:
    command = ("--datasets", f"embeddings:{features}", "--methods", "nearest_mean", "--plugin", nearest_mean)
    command = (*command, "--rules", "quick")
    assert "2 done" in spurbench("run", *command, "--limit", "2").stdout
    assert "1 cells to compute, 2 done" in spurbench("plan", *command).stdout
    nearest_mean.write_text(nearest_mean.read_text().replace("2 * means", "means * 2"))
    plan = spurbench("plan", *command).stdout
    assert "3 stale" in plan
    assert "changed since: method" in plan
    assert "3 cells to compute, 0 done" in plan


def test_more_seeds_add_to_a_record_and_force_does_it_again(
    spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    command = ("run", "--datasets", f"embeddings:{features}", "--methods", "group_dro", "--configs", "2")
    spurbench(*command, "--seeds", "1")
    (path,) = tmp_path.glob("results/v1+configs=2/*/tiny/group_dro.json")
    first = json.loads(path.read_text())
    assert len(first["seeds"]) == 1
    assert len(first["seeds"][0]["configs"]) == 2
    assert {candidate[0] for candidate in first["seeds"][0]["candidates"]} == {0, 1}
    more = spurbench(*command, "--seeds", "3")
    assert "1 cached" in more.stdout
    assert "2 done" in more.stdout
    after = json.loads(path.read_text())
    assert after["seeds"][0] == first["seeds"][0]
    forced = spurbench(*command, "--seeds", "3", "--force")
    assert "0 cached" in forced.stdout
    assert json.loads(path.read_text())["seeds"] == after["seeds"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "drf_val"), "unknown method 'drf_val'; did you mean dfr_val?"),
        (("--methods", "all,!emr"), "did you mean erm?"),
        (("--datasets", "watrebirds"), "did you mean waterbirds?"),
        (("--rules", "v2"), "unknown rules 'v2'"),
        (("--suite", "embeded"), "did you mean embedded?"),
        (("--datasets", "waterbirds"), "needs a backbone"),
        (("--datasets", "embeddings"), "embeddings:FILE"),
        (("--datasets", "embeddings:absent.npz"), "absent.npz"),
        (("--datasets", "folder:absent"), "absent"),
        (("--device", "tpu"), "--device must be one of auto, cpu, cuda"),
        (("--precision", "fp8"), "--precision must be one of fp32, bf16"),
        (("--plugin", "absent.py"), "there is no plugin file absent.py"),
        (("--plugin", "absent_module"), "no plugin file or module called 'absent_module'"),
        (("--methods", ","), "an empty list of names"),
        (("--seeds", "0"), "Invalid value for '--seeds'"),
        (
            ("--datasets", "gaussians", "--memory-limit", "lots"),
            "'lots' is not a size of 16M or more; write for example",
        ),
        (("--datasets", "gaussians", "--memory-limit", "1M"), "'1M' is not a size of 16M or more"),
    ],
)
def test_a_wrong_call_is_one_message_and_status_two(
    arguments: tuple[str, ...], message: str, spurbench: Spurbench, tmp_path: Path
) -> None:
    run = spurbench("run", *arguments)
    assert run.returncode == 2, run.stdout + run.stderr
    assert message in " ".join(run.stderr.replace("│", " ").split())
    assert not (tmp_path / "results").exists()


def test_a_wrong_name_is_told_before_torch_is_imported(environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys; from spurbench.cli import main\n"
        "for option in sys.argv[1:]:\n"
        "    sys.argv = ['spurbench', 'run', *option.split()]\n"
        "    try: main()\n"
        "    except SystemExit as left: assert left.code == 2, option\n"
        "    assert 'torch' not in sys.modules, option\n"
    )
    wrong = ("--methods drf_val", "--datasets watrebirds", "--rules v2", "--suite embeded", "--device tpu")
    subprocess.run([sys.executable, "-c", code, *wrong], env=environment, cwd=tmp_path, check=True)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_broken_feature_files_are_named(content: bytes, spurbench: Spurbench, tmp_path: Path) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    run = spurbench("run", "--datasets", f"embeddings:{path}", "--methods", "erm")
    assert run.returncode == 1
    assert "broken.npz" in run.stdout + run.stderr


def test_pickled_arrays_are_refused_and_nothing_in_them_runs(spurbench: Spurbench, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it ran",))

    np.savez(tmp_path / "evil.npz", x=np.array([Bomb()], dtype=object), y=[0], a=[0], split=[0])
    run = spurbench("run", "--datasets", f"embeddings:{tmp_path / 'evil.npz'}", "--methods", "erm")
    assert run.returncode == 1
    assert not (tmp_path / "it ran").exists()


def test_missing_weights_are_told_once_and_the_rest_goes_on(
    spurbench: Spurbench, features: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            for place in ("lawn", "sofa"):
                (folder / split / label / place).mkdir(parents=True)
                (folder / split / label / place / "1.jpg").write_bytes(b"")
    run = spurbench(
        "run", "--datasets", f"embeddings:{features},folder:{folder}", "--backbones", "RN50", "--methods", "erm,subg"
    )
    assert run.returncode == 1
    assert "20 cells failed" in run.stdout
    assert "weights 'openai' of RN50 are not on this machine" in run.stdout
    assert str(tmp_path / "hf") in run.stdout, "the cache that was looked in"
    assert "RN50=/path/to/checkpoint.pt" in run.stdout
    assert len(list(tmp_path.glob("results/v1/*/tiny/*.json"))) == 2


def test_methods_that_need_what_is_not_there_are_left_out_with_the_reason(
    spurbench: Spurbench, features_without_text: Path
) -> None:
    path = features_without_text
    run = spurbench("run", "--datasets", f"embeddings:{path}", "--methods", "zero_shot,erm", "--rules", "quick")
    assert run.returncode == 0
    assert "left out: zero_shot: needs text features of the classes" in run.stdout


def test_live_progress_and_table_fit_eighty_columns(
    features: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    import pty

    parent, child = pty.openpty()
    command = [str(Path(sys.executable).with_name("spurbench")), "run", "--datasets", f"embeddings:{features}", *HEAD]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**environment, "COLUMNS": "80", "TERM": "xterm"}, stdout=child, stderr=child
    )
    os.close(child)
    output = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:
            break
        if not block:
            break
        output += block
    assert process.wait() == 0
    text = output.decode()
    assert "9 done" in text
    assert "\x1b[" in text, "a live display draws"
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    table = [line for line in plain.splitlines() if line.startswith(("│", "┏", "└"))]
    assert table
    assert max(map(len, table)) <= 80
