"""Write all of a data set or nothing: it is made beside its place and takes it when it is whole."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import DataError, UsageError
from ...files import readable_name
from ..file_names import METADATA, RECORD
from .built import Built, Form, Progress, silent
from .card import CROISSANT, README, REPORT, readme
from .croissant import croissant
from .folder import blocks, copy_photos, placed, sha256_of_blocks
from .folder_card import CARD, card_yaml
from .huggingface import write_huggingface
from .manifest import write_lists
from .record import make_record, read_build, to_json
from .webdataset_form import write_webdataset


def write(
    built: Built,
    out: Path,
    *,
    report: Callable[[Built], str],
    forms: Collection[Form] = (),
    link: bool = False,
    replace: bool = False,
    progress: Progress = silent,
) -> None:
    """Write the data set to the folder `out`, which appears when everything is in it. The source is only read.

    Args:
        report: gives the report as a page of HTML (`render.build_page.to_html`).
        forms: what to write beside the folder of photos.
        link: make hard links to the photos where that can be, rather than copies.
        replace: take the place of a data set that was built there before.

    Raises:
        UsageError: there is something at `out` already, or it lies within the photos or they within it, or it can never
            be made; or another build is writing to it.
        DataError: a photo cannot be read or is not the one that was looked at, or the disk is full.
    """
    place = out.expanduser().resolve()
    check_place(built.folder_of_photos, place, replace)
    try:
        with _whole(place) as folder:
            _write(built, folder, out, report, forms, link, progress)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from error


def check_place(photos: Path, out: Path, replace: bool) -> None:
    """Raises UsageError where `write` would: call it before hours of work are done."""
    out, photos = out.expanduser().resolve(), photos.resolve()
    if out.is_relative_to(photos) or photos.is_relative_to(out):
        raise UsageError(f"the data set {out} and the photos {photos} must lie apart; name another --out")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out names a folder; {out} is a file")
    above = next(folder for folder in out.parents if folder.exists())
    if not above.is_dir():
        raise UsageError(f"{out} cannot be made, for {above} is a file; name another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{out} cannot be made, for nothing can be written to {above}; name another --out")
    if out.is_mount():
        raise UsageError(f"{out} is where a disk is mounted, which nothing can take the place of; name a folder in it")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not replace:
        raise UsageError(f"{out} is not empty; name another --out, or say --replace if it is a data set built before")
    try:
        read_build(out / RECORD)
    except DataError as error:
        raise UsageError(f"{out} is not replaced: it is no data set that spurbench built ({error})") from error


def _write(
    built: Built,
    folder: Path,
    out: Path,
    report: Callable[[Built], str],
    forms: Collection[Form],
    link: bool,
    progress: Progress,
) -> None:
    rows = placed(built)
    copy_photos(built, rows, folder, link, progress)
    write_lists(built, rows, folder)
    if len(rows) and "huggingface" in forms:
        write_huggingface(rows, folder, progress)
    if len(rows) and "webdataset" in forms:
        write_webdataset(built, rows, folder, progress)
    record = make_record(built, rows, sha256_of_blocks(blocks(folder / METADATA)))
    written = forms if len(rows) else ()
    texts = {
        RECORD: to_json(record),
        CARD: card_yaml(built, rows),
        README: readme(built, record, rows, out, written),
        CROISSANT: croissant(record, rows),
        REPORT: report(built),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` to be filled; it takes the place of `out`, or is gone if anything goes wrong.

    What builds that were killed left beside `out` is removed: their unfinished folders at once, what was to be replaced
    when there is something in its place.

    Raises:
        UsageError: another build is writing to `out`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    name = f".{readable_name(out.name, 80)}"
    lock = FileLock(out.parent / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"another build is writing to {out}; wait until it is done, or name another --out") from error
    try:
        _remove_left(out.parent, name, "part")
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{name}.", suffix=".part"))
        former = folder.with_suffix(".former")
        try:
            folder.chmod(0o755)
            yield folder
            if out.exists():
                out.rename(former)
            folder.rename(out)
        except BaseException:
            if former.exists() and not out.exists():
                former.rename(out)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _remove_left(out.parent, name, "former")
    finally:
        # While it is held, or the next build's would be removed; where a file in use cannot be, it stays.
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _remove_left(folder: Path, name: str, kind: str) -> None:
    """Remove the folders that builds to one place made beside it, whoever made them."""
    left = re.compile(rf"{re.escape(name)}\.[^.]{{8}}\.{kind}")
    for path in folder.iterdir():
        if left.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
