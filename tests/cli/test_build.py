"""A data set built from photos by the installed command, and run: what is found is what was planted."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spurbench.builder.output.record import read_build
from spurbench_datasets.menagerie.animals import SPECIES
from spurbench_datasets.menagerie.wild import MenagerieWild

if TYPE_CHECKING:
    from conftest import Spurbench

HABITAT = {species.name: species.habitat for species in SPECIES} | {"dog": "road", "pigeon": "road"}
"""The builder calls a street a road."""
TOWERS = ("!flyp", "!wise_ft", "!clip_finetune", "!vl_*", "!upsampled_ft", "!contrastive_yang_finetune", "!ravl")
"""Of the methods that train whole towers, one is enough here."""
INSTRUMENT = ("--instrument", "menagerie-rn", "--offline")


@pytest.fixture(scope="module")
def spurbench(module_spurbench: Spurbench) -> Spurbench:
    return module_spurbench


@pytest.fixture(scope="module")
def wild(spurbench: Spurbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered world's photos as plain files, class/place/*.jpg."""
    folder = tmp_path_factory.mktemp("wild") / "photos"
    done = spurbench("show", "menagerie-wild", "--export", folder)
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("*/*/*.jpg"))) == 6_000
    return folder


def rendered(folder: Path, n: int) -> Path:
    """Photos of three species in four places, `n` of each, as class/place/*.jpg."""
    world = MenagerieWild()
    examples = world.load(folder)
    assert examples.photos is not None
    for species in ("duck", "goat", "wolf"):
        for place in ("lake", "mountain", "snow", "forest"):
            y, a = world.card.classes.index(species), world.card.attributes.index(place)
            rows = np.flatnonzero((examples.y == y) & (examples.a == a))[:n].tolist()
            (folder / species / place).mkdir(parents=True)
            for row, image in zip(rows, examples.photos.open(rows), strict=True):
                image.save(folder / species / place / f"{row}.jpg", quality=95)
    return folder


@pytest.mark.slow
def test_habitats_are_found_and_nothing_is_left_where_nothing_is_kept(spurbench: Spurbench, tmp_path: Path) -> None:
    photos, out = rendered(tmp_path / "photos", 50), tmp_path / "built"
    done = spurbench("build", "counteranimal", photos, "--out", out, *INSTRUMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {result.label: result for result in read_build(out / "build.json").found.classes}
    assert {name: result.easy for name, result in found.items()} == {name: HABITAT[name] for name in found}
    # With two other names to choose from, the duck is told everywhere; the other two are lost out of their habitat.
    assert {name for name, result in found.items() if result.kept} == {"goat", "wolf"}
    done = spurbench("build", "counteranimal", photos, "--out", tmp_path / "none", *INSTRUMENT, "--min-drop", "99")
    assert done.returncode == 1
    assert "no class was kept, and nothing is written" in done.stderr
    assert done.stdout.count("not kept: ") == 3
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def built(spurbench: Spurbench, wild: Path) -> Path:
    out = wild.parent / "built"
    done = spurbench("build", "counteranimal", wild, "--out", out, *INSTRUMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 classes kept" in done.stdout
    return out


@pytest.mark.slow
def test_what_is_easy_is_the_habitat_that_was_planted(built: Path) -> None:
    record = read_build(built / "build.json")
    found = {result.label: result for result in record.found.classes}
    assert set(found) == set(HABITAT)
    assert all(result.kept for result in found.values())
    for name, result in found.items():
        assert result.easy == HABITAT[name]
        assert result.hard != HABITAT[name]
        assert result.drop is not None
        assert result.drop.low > 0
    assert record.found.drop is not None
    assert record.found.drop.low < record.found.drop.estimate < record.found.drop.high


@pytest.mark.slow
def test_the_listing_is_of_the_photos_and_of_the_source(built: Path, wild: Path) -> None:
    with (built / "metadata.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    sources = {path.relative_to(wild).as_posix(): path for path in wild.glob("*/*/*.jpg")}
    assert len({row["photo_id"] for row in rows}) == len(rows)
    for row in rows:
        assert (built / row["file_name"]).read_bytes() == sources[row["photo_id"]].read_bytes()
    half = {"train": "discovery", "val": "discovery", "test": "evaluation"}
    assert all(row["half"] == half[row["split"]] for row in rows)
    for name in HABITAT:
        mine = [row["attribute"] for row in rows if row["class"] == name and row["split"] == "train"]
        assert 0 < mine.count("hard") <= 0.08 * len(mine)


@pytest.mark.slow
def test_building_again_gives_the_same_bytes(spurbench: Spurbench, built: Path, wild: Path, tmp_path: Path) -> None:
    again = tmp_path / "built"
    done = spurbench("build", "counteranimal", wild, "--out", again, *INSTRUMENT)
    assert done.returncode == 0, done.stderr
    for path in sorted(built.rglob("*")):
        if path.is_file() and path.name not in ("build.json", "report.html", "README.md"):
            assert path.read_bytes() == (again / path.relative_to(built)).read_bytes(), path
    one, other = (json.loads((folder / "build.json").read_text()) for folder in (built, again))
    assert {key for key in one if one[key] != other[key]} <= {"command"}


@pytest.mark.slow
def test_methods_are_ranked_on_what_was_built(spurbench: Spurbench, built: Path, tmp_path: Path) -> None:
    run = spurbench(
        "run", "--methods", "zero_shot,erm,dfr_val,group_dro", "--datasets", built, "--backbones", "menagerie-rn",
        "--rules", "quick", "--results", tmp_path / "results",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    shown = spurbench("export", "--results", tmp_path / "results", "--format", "json")
    rows = {row["method"]: row for row in json.loads(shown.stdout)}
    assert all(row["rank"] is not None for row in rows.values())
    assert rows["dfr_val"]["wga"] > rows["erm"]["wga"] + 0.2
    drops = {name: row["drop"] for name, row in rows.items()}
    assert drops["dfr_val"] < drops["erm"] < drops["zero_shot"]
    # The instrument's own drop on the evaluation half is what the builder reported.
    record = read_build(built / "build.json")
    assert record.found.drop is not None
    assert drops["zero_shot"] == pytest.approx(record.found.drop.estimate, abs=1e-9)


@pytest.mark.slow
def test_only_photos_that_did_not_choose_are_evaluated_zero_shot(
    spurbench: Spurbench, built: Path, tmp_path: Path
) -> None:
    run = spurbench(
        "run", "--methods", "zero_shot", "--datasets", f"counteranimal:{built}", "--backbones", "menagerie-rn",
        "--rules", "quick", "--seeds", 1, "--results", tmp_path / "results",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    [groups] = [np.load(path)["group"] for path in (tmp_path / "results").rglob("*.npz")]
    with (built / "metadata.csv").open(newline="") as stream:
        test = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    assert len(groups) == len(test)
    refused = spurbench("run", "--methods", "erm", "--datasets", f"counteranimal-ft:{built}", "--backbones", "RN50")
    assert refused.returncode == 2
    assert "was built with splits of its own" in refused.stderr


@pytest.mark.slow
def test_the_published_rule_keeps_more_and_reports_on_what_it_chose_by(spurbench: Spurbench, tmp_path: Path) -> None:
    few = rendered(tmp_path / "few", 24)
    published = ("build", "counteranimal", few, "--out", tmp_path / "p", *INSTRUMENT, "--as-published")
    done = spurbench(*published)
    assert done.returncode == 1
    assert "3 of 3 classes are not among the labels 'imagenet': 'duck'" in done.stderr, "as the paper did"
    done = spurbench(*published, "--labels", "classes")
    assert done.returncode == 0, done.stdout + done.stderr
    record = read_build(tmp_path / "p" / "build.json")
    assert record.found.rule.published
    assert (record.found.rule.min_cell, record.instrument.templates) == (1, ("A photo of {}.",))
    assert record.found.drop is None
    assert all(result.p_value is None and result.drop is None for result in record.found.classes)
    assert [result.kept for result in record.found.classes] == [
        (result.drop_found or 0) > 0.05 for result in record.found.classes
    ]
    # Twelve photos in each half are not enough to say anything: nothing is kept, and that is said.
    done = spurbench("build", "counteranimal", few, "--out", tmp_path / "q", *INSTRUMENT)
    assert done.returncode == 1
    assert "no class was kept, and nothing is written" in done.stderr
    assert "fewer than two backgrounds" in done.stdout or "photos in each half" in done.stdout, done.stdout
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
def test_every_method_runs_on_what_was_built(spurbench: Spurbench, wild: Path, tmp_path: Path) -> None:
    few, out = tmp_path / "few", tmp_path / "built"
    for species in ("duck", "goat", "wolf"):
        for place in (HABITAT[species], "forest"):
            shutil.copytree(wild / species / place, few / species / place)
    done = spurbench("build", "counteranimal", few, "--out", out, *INSTRUMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    run = spurbench(
        "run", "--methods", ",".join(("all", *TOWERS)), "--datasets", out, "--backbones", "menagerie-rn",
        "--rules", "quick", "--seeds", 1, "--configs", 1, "--results", tmp_path / "results",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    shown = spurbench("export", "--results", tmp_path / "results", "--format", "json")
    rows = json.loads(shown.stdout)
    assert {"zero_shot", "erm", "dfr_val", "cfr", "erm_finetune"} <= {row["method"] for row in rows}
    assert not [row["method"] for row in rows if row["failure"]]
