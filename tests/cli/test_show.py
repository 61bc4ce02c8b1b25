"""`spurbench show`: a PNG of the right size, a smaller picture in a terminal that can show it, and clear refusals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from spurbench.contact_sheet import layout

if TYPE_CHECKING:
    from conftest import Spurbench

HEADING = ("title\nsplit", [])
CODES = re.compile(r"\x1b\[[0-9;]*m")


def test_a_row_for_each_group(spurbench: Spurbench, few_photos: Path, tmp_path: Path) -> None:
    shown = spurbench("show", f"folder:{few_photos}", "--groups", "--size", "32", "--output", "sheet.png")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == "written: sheet.png (12 test photos)\n"
    places = layout([HEADING, *[("name\ncounts", range(3))] * 4], 32)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert (sheet.format, sheet.mode, sheet.size) == ("PNG", "RGB", places.size)
        pixels = np.asarray(sheet)
    groups = [f"{label}/{value}" for label in ("cat", "dog") for value in ("lawn", "sofa")]
    for row, group in enumerate(groups, 1):
        found = []
        for column in range(3):
            left, top = places.corner(row, column)
            found.append(pixels[top + 4 : top + 28, left : left + 32].tobytes())
        files = sorted((few_photos / "test" / group).glob("*.png"))
        assert sorted(found) == sorted(np.asarray(Image.open(file)).tobytes() for file in files)


def test_the_file_is_called_as_the_data_set_and_is_the_same_each_time(
    spurbench: Spurbench, few_photos: Path, tmp_path: Path
) -> None:
    command = ("show", f"folder:{few_photos}", "--photos", "5")
    first = spurbench(*command)
    assert first.returncode == 0, first.stderr
    (file,) = tmp_path.glob("*.png")
    assert re.fullmatch(r"folder%3Afew-photos@[0-9a-f]{8}\.png", file.name)
    assert first.stdout == f"written: {file.name} (5 test photos)\n"
    content = file.read_bytes()
    assert spurbench(*command).returncode == 0
    assert file.read_bytes() == content
    assert spurbench(*command, "--seed", "1").returncode == 0
    assert file.read_bytes() != content
    assert not (tmp_path / "cache").exists()


def test_the_folder_of_the_file_is_made(spurbench: Spurbench, few_photos: Path, tmp_path: Path) -> None:
    shown = spurbench("show", f"folder:{few_photos}", "--split", "train", "--output", tmp_path / "new/er/sheet.PNG")
    assert shown.returncode == 0, shown.stderr
    assert "16 train photos" in shown.stdout
    with Image.open(tmp_path / "new/er/sheet.PNG") as sheet:
        assert sheet.format == "PNG"


PLUGIN = """
import numpy as np
from PIL import Image
from spurbench.cards import DatasetCard
from spurbench.data import Examples


class Drawn:
    at_once = 4
    def __len__(self):
        return 12
    def open(self, rows):
        return [Image.new("RGB", (8, 8), (20 * row, 0, 0)) for row in rows]
    def fingerprint(self, ids, hashes):
        raise AssertionError("hashes every photo")


class Untested:
    card = DatasetCard("untested", "No test", ("猫", "dog\\x1b[31m"), ("sofa\\nlawn",), "none")
    def prepare(self, root, *, download): ...
    def load(self, root):
        row = np.arange(12)
        return Examples([str(i) for i in row], row % 2, row * 0, row % 4 // 2, 2, 1, photos=Drawn())
"""


def test_rendered_photos_of_another_split_where_the_one_asked_for_is_empty(
    spurbench: Spurbench, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    shown = spurbench("show", "untested", "--groups", "--plugin", tmp_path / "mine.py")
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == "untested has no test photos; these are from val\n"
    assert shown.stdout == "written: untested.png (6 val photos)\n"
    with Image.open(tmp_path / "untested.png") as sheet:
        assert sheet.size == layout([HEADING, *[("name\ncounts", range(3))] * 2], 96).size


def test_a_broken_photo_is_named(spurbench: Spurbench, few_photos: Path, tmp_path: Path) -> None:
    (few_photos / "test/cat/sofa/1.png").write_bytes(b"")
    shown = spurbench("show", f"folder:{few_photos}", "--groups", "--output", "sheet.png")
    assert shown.returncode == 1
    assert shown.stderr.startswith("spurbench: a photo cannot be read")
    assert shown.stderr.endswith(f"{few_photos / 'test/cat/sofa/1.png'}: empty file\n")
    assert not (tmp_path / "sheet.png").exists()
    assert spurbench("show", f"folder:{few_photos}", "--split", "val").returncode == 0


def test_what_cannot_be_shown_is_a_wrong_call(spurbench: Spurbench, few_photos: Path, features: Path) -> None:
    here = f"folder:{few_photos}"
    for arguments, reason in (
        (("waterbird",), "did you mean waterbirds"),
        (("folder:nowhere",), "no folder nowhere"),
        (("folder",), "folder:DIR"),
        (("gaussians",), "no photos to show: it brings its own features"),
        ((f"embeddings:{features}", "--groups"), "no photos to show"),
        ((here, "--split", "tset"), "tset"),
        ((here, "--size", "0"), "--size"),
        ((here, "--per-group", "3"), "goes with --groups"),
        ((here, "--groups", "--photos", "3"), "goes without"),
        ((here, "--output", "sheet.jpg"), "sheet.jpg"),
        ((here, "--output", few_photos), "names a PNG file"),
        ((here, "--plugin", "absent.py"), "absent.py"),
    ):
        shown = spurbench("show", *arguments)
        assert shown.returncode == 2, (arguments, shown.stdout, shown.stderr)
        assert reason in " ".join(CODES.sub("", shown.stderr).split()), arguments


def test_data_that_is_not_there_and_files_that_cannot_be_written(
    spurbench: Spurbench, few_photos: Path, tmp_path: Path
) -> None:
    absent = spurbench("show", "waterbirds", "--offline")
    assert absent.returncode == 1
    assert "Waterbirds is not at hand" in absent.stderr
    (tmp_path / "file").write_text("not a folder")
    unwritten = spurbench("show", f"folder:{few_photos}", "--output", "file/sheet.png")
    assert unwritten.returncode == 1
    assert re.fullmatch(r"spurbench: .*file\b.*\n", unwritten.stderr)


def test_real_photos(spurbench: Spurbench, shared_data: Path, tmp_path: Path) -> None:
    shown = spurbench("show", "waterbirds", "--groups", "--per-group", "4", "--size", "40", "--data-root", shared_data)
    assert shown.stdout == "written: waterbirds.png (16 test photos)\n", shown.stderr
    with Image.open(tmp_path / "waterbirds.png") as sheet:
        assert sheet.size == layout([HEADING, *[("name\ncounts", range(4))] * 4], 40).size


def terminal(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What the installed command sends to a terminal."""
    import pty

    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("spurbench")), *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        sent = b""
        try:
            while part := os.read(ours, 1 << 16):
                sent += part
        except OSError:  # Linux says so when the other end is closed.
            pass
    os.close(ours)
    assert process.returncode == 0, sent
    return sent.decode().replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
@pytest.mark.parametrize(("columns", "across"), [(80, 3), (40, 2), (10, 1)])
def test_a_terminal_shows_a_sheet_that_fits(
    few_photos: Path, environment: dict[str, str], tmp_path: Path, columns: int, across: int
) -> None:
    more = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    sent = terminal(["show", f"folder:{few_photos}", "--groups"], tmp_path, {**environment, **more})
    *lines, last = CODES.sub("", sent).splitlines()
    assert last.startswith("written: ")
    assert max(map(len, lines)) <= columns
    assert "▄" in sent
    assert "\x1b[38;2;" in sent
    if columns == 80:
        assert [line for line in lines if "/" in line] == ["cat/lawn", "cat/sofa", "dog/lawn", "dog/sofa"]
        assert lines.count("4 train, 1 val, 3 test") == 4
    wide = [line for line in lines if "▄" in line]
    assert {len(line.split()) for line in wide} == {across}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
@pytest.mark.parametrize(
    "poor", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"TERM": "xterm"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_a_terminal_without_colours_or_blocks_is_left_alone(
    few_photos: Path, environment: dict[str, str], tmp_path: Path, poor: dict[str, str]
) -> None:
    environment.pop("COLORTERM", None)
    more = {"TERM": "xterm-256color", **poor}
    sent = terminal(["show", f"folder:{few_photos}", "--output", "sheet.png"], tmp_path, {**environment, **more})
    assert sent == "written: sheet.png (12 test photos)\n"


def test_neither_torch_nor_pandas_is_imported(few_photos: Path, environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys; from spurbench.cli.app import app;"
        "app(['show', sys.argv[1], '--groups'], standalone_mode=False);"
        "heavy = {'torch', 'open_clip', 'sklearn', 'scipy', 'pandas', 'rich_pixels'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code, f"folder:{few_photos}"], cwd=tmp_path, env=environment, check=True, timeout=600
    )
