"""`--attributes suspects.json` as a user sees it: words found in photos stand in for those of the data set's author."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spurbench.files import HashCache
from spurbench.keys import load_data
from spurbench.registry import load_registries
from spurbench.suspects.report import SuspectsReport

if TYPE_CHECKING:
    from conftest import Spurbench

Suspects = Callable[..., SuspectsReport]
BIRDS = ("--datasets", "menagerie-birds", "--backbones", "menagerie-rn", "--seeds", "1", "--configs", "1")


def written(path: Path, report: SuspectsReport) -> str:
    """The file's name in the rules."""
    path.write_text(report.to_json(), encoding="utf-8")
    return f"suspects@{sha256(path.read_bytes()).hexdigest()[:8]}"


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of the photos and labels of menagerie-birds."""
    root = tmp_path_factory.mktemp("data")
    return load_data(load_registries(), "menagerie-birds", root, HashCache(None), download=False).fingerprint


@pytest.mark.slow
def test_a_record_says_whose_words_its_method_was_told(
    spurbench: Spurbench, make_suspects: Suspects, birds: str, tmp_path: Path
) -> None:
    source = written(tmp_path / "found.json", make_suspects(dataset="menagerie-birds", data=birds))
    told = ("run", *BIRDS, "--methods", "orth_cal,perception_clip,group_prompt", "--attributes", "found.json")
    run = spurbench(*told)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "left out: group_prompt: needs a phrase for each value of the attribute" in run.stdout
    assert f"menagerie-birds in the words of {source} has none" in run.stdout
    own = spurbench("run", *BIRDS, "--methods", "orth_cal")
    assert own.returncode == 0, own.stdout + own.stderr

    def record(rules: str, method: str) -> dict[str, Any]:
        path = tmp_path / "results" / rules / "menagerie-birds" / "menagerie-rn" / f"{method}.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    rules = f"v1+configs=1+attributes={source}"
    ours, theirs = record(rules, "orth_cal"), record("v1+configs=1", "orth_cal")
    assert ours["rules"] == rules
    assert ours["key_parts"]["attribute_text"]["names"] == ["water", "forest"]
    assert ours["key_parts"]["attribute_text"]["values"] == []
    assert ours["key_parts"]["attribute_source"]["report"].startswith(source.partition("@")[2])
    assert ours["key_parts"]["attribute_source"]["chosen"] == ["water", "forest"]
    assert ours["supervision"] == ["attribute_text", "val_labels"]
    assert theirs["supervision"] == ["attribute_text"]
    assert "attribute_source" not in theirs["key_parts"]
    assert theirs["key_parts"]["attribute_text"]["values"] == ["on land", "on the water"]
    assert ours["key"] != theirs["key"]
    assert record(rules, "perception_clip")["key_parts"]["attribute_text"]["contexts"] == [
        "",
        "on water",
        "in a forest",
    ]
    # Two tables, not two rows of one.
    board = (tmp_path / "leaderboard.md").read_text()
    assert rules in board
    assert "- rules **+attributes=suspects@...**: methods are not told the data set's own words" in board
    assert "attribute text + val labels" in board
    rows = json.loads(spurbench("export", "--format", "json").stdout)
    assert {(row["rules"], row["method"]) for row in rows} == {
        (rules, "orth_cal"), (rules, "perception_clip"), ("v1+configs=1", "orth_cal"),
    }  # fmt: skip
    again = spurbench(*told)
    assert "nothing to compute: 2 cells cached" in again.stdout


def test_a_plan_says_what_the_words_are_enough_for(
    spurbench: Spurbench, make_suspects: Suspects, birds: str, tmp_path: Path
) -> None:
    source = written(tmp_path / "found.json", make_suspects(dataset="menagerie-birds", data=birds))
    methods = ("--methods", "contrastive_yang,contrastive_yang_vs,orth_proj,erm")
    plan = spurbench("plan", *BIRDS, *methods, "--attributes", "found.json")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert f"rules v1+configs=1+attributes={source}" in plan.stdout
    for method, state in (("contrastive_yang", "missing"), ("contrastive_yang_vs", "impossible"), ("erm", "missing")):
        assert any(method in line.split() and state in line.split() for line in plan.stdout.splitlines())


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"dataset": "menagerie-animals"}, 2, "are about menagerie-animals, not about menagerie-birds"),
        ({"split": "test"}, 2, "was made on the test photos, on which methods are judged"),
        ({"words": (("water", "on water", 0.2),)}, 2, "names no attribute: No word survives: of the 1,836"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(
    spurbench: Spurbench,
    make_suspects: Suspects,
    birds: str,
    tmp_path: Path,
    change: dict[str, Any],
    status: int,
    says: str,
) -> None:
    written(tmp_path / "found.json", make_suspects(**{"dataset": "menagerie-birds", "data": birds, **change}))
    refused = spurbench("run", *BIRDS, "--methods", "orth_cal", "--attributes", "found.json")
    assert refused.returncode == status
    assert says in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_words_found_in_other_photos_are_told_to_no_method(
    spurbench: Spurbench, make_suspects: Suspects, tmp_path: Path
) -> None:
    source = written(tmp_path / "found.json", make_suspects(dataset="menagerie-birds", data="00" * 32))
    refused = spurbench("run", *BIRDS, "--methods", "orth_cal", "--attributes", "found.json")
    assert refused.returncode == 1
    said = " ".join((refused.stdout + refused.stderr).split())
    assert f"the words of {source} were found in other photos or labels of menagerie-birds than those here" in said
    assert not list((tmp_path / "results").rglob("*.json"))


def test_a_file_that_is_not_there_is_a_wrong_call(spurbench: Spurbench) -> None:
    refused = spurbench("plan", *BIRDS, "--attributes", "nowhere.json")
    assert refused.returncode == 2
    assert "there is no file nowhere.json; `spurbench suspects` makes one" in refused.stderr
