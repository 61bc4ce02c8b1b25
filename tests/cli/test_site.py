"""`spurbench site`: one file, and what it says of records that it leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ..site.made import made
from ..site.reading import data_of
from .conftest import Spurbench


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for place, method in enumerate(("erm", "dfr_val")):
        made(tmp_path / "results", rng, method, place)
    return tmp_path / "results"


def test_it_writes_one_file_and_says_where(spurbench: Spurbench, results: Path, tmp_path: Path) -> None:
    done = spurbench("site", "--out", "new/site", "--results", results)
    assert (done.returncode, done.stderr) == (0, "")
    file = tmp_path / "new" / "site" / "index.html"
    assert done.stdout == f"written: {file.relative_to(tmp_path)} (2 records)\n"
    assert list(file.parent.iterdir()) == [file]
    first = file.read_bytes()
    assert [story["method"] for story in data_of(first.decode())["records"]] == ["erm", "dfr_val"]
    spurbench("site", "--out", "new/site", "--results", results)
    assert file.read_bytes() == first


def test_a_broken_record_is_named_and_left_out_or_an_error(spurbench: Spurbench, results: Path, tmp_path: Path) -> None:
    broken = results / "v1" / "birds" / "ViT-B%2F16" / "erm.json"
    broken.write_text(broken.read_text()[:500])
    done = spurbench("site", "--out", "site", "--results", results)
    assert done.returncode == 0
    assert done.stderr.startswith(f"left out: {broken} is cut short")
    assert "(1 records)" in done.stdout
    (tmp_path / "site" / "index.html").unlink()
    done = spurbench("site", "--out", "site", "--results", results, "--strict")
    assert done.returncode == 1
    assert f"{broken} is cut short" in done.stderr
    assert not (tmp_path / "site" / "index.html").exists()


def test_wrong_calls_are_told_what_to_do(spurbench: Spurbench, results: Path, tmp_path: Path) -> None:
    done = spurbench("site", "--out", "site", "--results", "nowhere")
    assert (done.returncode, done.stderr) == (
        2, "spurbench: there is no results folder nowhere; `spurbench run` makes one\n",
    )  # fmt: skip
    (tmp_path / "file").write_text("mine")
    done = spurbench("site", "--out", "file", "--results", results)
    assert (done.returncode, done.stderr) == (2, "spurbench: --out takes a folder, and file is a file\n")
    assert (tmp_path / "file").read_text() == "mine"
