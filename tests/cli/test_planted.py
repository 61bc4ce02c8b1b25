"""`spurbench planted` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spurbench.planted.record import read_all_planted

from .conftest import Spurbench


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--family", "smal"), "unknown family 'smal'; did you mean small?"),
        (("--bases", "stickers"), "unknown base 'stickers'; did you mean sticker?"),
        (("--labels", "cow"), "no setting is left; the family's labels are"),
        (("--strengths", "0.9,2"), "--strengths takes numbers from 0 to 1, not '2'"),
        (("--discoverers", "raval"), "unknown discoverer 'raval'; did you mean ravl?"),
        (("--backbones", "menagerie-rm"), "unknown backbone"),
        (("--memory-limit", "much"), "'much' is not a size"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(spurbench: Spurbench, arguments: tuple[str, ...], message: str) -> None:
    refused = spurbench("planted", *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_planted_sticker_is_found_kept_and_shown(spurbench: Spurbench, tmp_path: Path) -> None:
    call = ("planted", "--bases", "sticker", "--labels", "dog", "--strengths", "0.95", "--seeds", "1")
    done = spurbench(*call, "--discoverers", "ravl,random", "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 settings valid, 1 models" in done.stdout
    (record,) = read_all_planted(tmp_path / "results")
    (model,) = record.seeds
    assert model.least is not None
    assert model.least > 0.1
    # Half of the photos have one sticker in one of four quadrants: chance is 1 in 8.
    assert model.found["ravl"].precision_at(10) >= 0.5
    assert record.classes[record.label] == "dog"
    board = (tmp_path / "leaderboard.md").read_text()
    assert "## Discovery" in board
    assert "1 of 1 settings valid, 1 models" in board
    again = spurbench(*call, "--discoverers", "ravl,random")
    assert "nothing to compute: 1 models cached" in again.stdout
    assert spurbench("leaderboard", "--check").returncode == 0
    # Somebody else is asked about the same model: what ravl found stays.
    more = spurbench(*call, "--discoverers", "ravl,george")
    assert more.returncode == 0, more.stdout + more.stderr
    (extended,) = read_all_planted(tmp_path / "results")
    assert extended.seeds[0].found["ravl"] == model.found["ravl"]
    assert extended.seeds[0].judged == model.judged
    assert "george" in extended.seeds[0].found
