"""The form for CLIP_benchmark: tar files of the test photos, a data set of its own for each group, as the form has no
place for groups.

Its layout is that of `clip_benchmark.datasets.builder.build_wds_dataset`: test/nshards.txt, test/0.tar, ... with
KEY.jpg and KEY.cls, classnames.txt and zeroshot_classification_templates.txt, which say the class as `{c}`.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...images import open_tolerant
from ..table import GROUPS
from .built import PHOTO, Built, Progress
from .shards import SHARD, shards

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "webdataset"
READABLE = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""What CLIP_benchmark looks for; photos of other kinds are laid in as PNG, pixel by pixel the same."""


def write_webdataset(built: Built, rows: pd.DataFrame, folder: Path, progress: Progress, shard: int = SHARD) -> None:
    """Write `folder`/webdataset/easy and `folder`/webdataset/hard. The same photos give the same bytes.

    Classes are numbered as in the instrument's labels, all of which are in classnames.txt.

    Args:
        rows: the photos of the data set, as `folder.placed` gives them; they are read from below `folder`.
        shard: bytes of photos in a tar file, about.
    """
    test = rows[rows["split"] == "test"]
    done = 0
    for group in GROUPS:
        mine = test[test["group"] == group]
        root = folder / FOLDER / group
        (root / "test").mkdir(parents=True)
        # As they are said in prompts, whether or not two are said alike: a class is its number here.
        names = [" ".join(name.split()) for name in built.instrument.names]
        _write_lines(root / "classnames.txt", names)
        templates = [template.replace("{}", "{c}") for template in built.instrument.templates or (PHOTO,)]
        _write_lines(root / "zeroshot_classification_templates.txt", templates)
        files = [folder / name for name in mine["file_name"]]
        labels = mine["class_idx"].tolist()
        parts = shards([file.stat().st_size for file in files], shard)
        _write_lines(root / "test" / "nshards.txt", [str(len(parts))])
        for number, part in enumerate(parts):
            with tarfile.open(root / "test" / f"{number}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for place in part:
                    suffix, content = _photo(files[place])
                    _add(tar, f"s{place:07d}.cls", str(labels[place]).encode())
                    _add(tar, f"s{place:07d}{suffix}", content)
                    done += 1
                    progress("writing the webdataset form", done, len(test))


def _photo(file: Path) -> tuple[str, bytes]:
    """A photo's suffix and bytes, such as CLIP_benchmark reads."""
    suffix = file.suffix.lower()
    if suffix in READABLE:
        return suffix, file.read_bytes()
    stream = io.BytesIO()
    open_tolerant(file)[0].save(stream, "PNG")
    return ".png", stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    # A fresh TarInfo names no owner and no time.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
