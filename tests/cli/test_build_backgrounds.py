"""`spurbench build backgrounds`, from photos to a sheet and a page."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from spurbench.cli.build_backgrounds import backgrounds
from spurbench.errors import DataError, SpurbenchError, UsageError

Draft = Callable[..., str]
app = typer.Typer()
app.command()(backgrounds)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos of each of two classes, one of them with a background, one tiny."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for number in range(3):
            file = tmp_path / "photos" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(file)
    (tmp_path / "photos/cat/lawn").mkdir()
    (tmp_path / "photos/cat/0.png").rename(tmp_path / "photos/cat/lawn/0.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "photos/cat/tiny.png")
    return tmp_path / "photos"


@pytest.fixture
def draft(tmp_path: Path, photos: Path) -> Draft:
    """Call the command; what it prints. Raises what it raises."""

    def call(*arguments: object, out: str = "out", backbone: str = "menagerie-vit") -> str:
        fixed = ["--with", backbone, "--out", tmp_path / out, "--cache", tmp_path / "cache", "--offline"]
        done = CliRunner().invoke(app, [str(item) for item in (photos, *fixed, *arguments)])
        if isinstance(done.exception, SpurbenchError):
            raise done.exception
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    return call


def test_photos_without_a_background_are_drafted(draft: Draft, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("meadow\nsea\nforest\n")
    told = draft("--words", words)
    assert "left out: 1 tiny" in told
    assert "5 photos drafted by menagerie-vit" in told
    with (tmp_path / "out/backgrounds.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["file"] for row in rows) == [
        f"{name}.png" for name in ("cat/1", "cat/2", "dog/0", "dog/1", "dog/2")
    ]
    assert {row["guess"] for row in rows} | {row["second"] for row in rows} <= {"meadow", "sea", "forest"}
    assert {row["confirmed"] for row in rows} == {""}
    assert (tmp_path / "out/backgrounds.html").read_text().count("<img ") == 5


def test_what_people_wrote_in_a_sheet_is_not_written_over_unasked(draft: Draft, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    sheet = tmp_path / "out/backgrounds.csv"
    sheet.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        draft()
    assert sheet.read_text() == "mine"
    draft("--force")
    assert sheet.read_text().startswith("file,")


def test_wrong_calls_leave_nothing_behind(draft: Draft, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--out names a folder"):
        draft(out="file")
    with pytest.raises(UsageError, match="no file .*none.csv that lists photos"):
        draft("--listing", tmp_path / "none.csv")
    with pytest.raises(DataError, match="none.yaml: cannot be read"):
        draft("--synonyms", tmp_path / "none.yaml")
    with pytest.raises(SpurbenchError, match="nothing-like-it"):
        draft(backbone="nothing-like-it")
    with pytest.raises(UsageError, match="no text tower"):
        draft("--plugin", blind(tmp_path), backbone="blind")
    assert not (tmp_path / "out").exists()


def blind(tmp_path: Path) -> Path:
    """A plugin with a backbone that reads nothing."""
    path = tmp_path / "blind.py"
    path.write_text(
        "from spurbench.cards import BackboneCard\n\n\n"
        "class Blind:\n"
        "    card = BackboneCard('blind', 'Blind', 'none', has_text=False)\n"
        "    fingerprint = '0'\n\n"
        "    def load(self, device):\n"
        "        raise AssertionError\n"
    )
    return path
