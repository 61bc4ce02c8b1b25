"""Getting CounterAnimal below the data root: folders, a hand-placed archive, or Google Drive, in this order."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from filelock import FileLock, Timeout

from spurbench.errors import DataError

from .._downloads import scratch
from .archive import SUFFIXES, unpack
from .layout import found_below, has_classes, read_layout

log = logging.getLogger("spurbench")

DRIVE_ID = "1SrPF0rgXKy_4z1kXsIYJt-2puM78LbAG"
"""Of the one archive that the authors' page links to; neither its size nor a hash of it is given anywhere."""
LINK = f"https://drive.google.com/file/d/{DRIVE_ID}/view"
PATIENCE = 60.0
"""Seconds without a byte before a download is given up."""
FOLDER, INNER = "counteranimal", "LAION-final"


def at_hand(root: Path) -> bool:
    """Whether the photos are below `root`, or an archive of them that is still to be unpacked. Raises DataError."""
    return found_below(root) is not None or _placed(root) is not None


def ensure(root: Path, *, download: bool) -> Path:
    """The folder with the classes: unpacked from an archive in `ROOT/counteranimal` if need be, fetched if `download`.

    Either all photos arrive, or nothing is left.

    Raises:
        DataError: they are not there and cannot be got; says how to supply them by hand.
    """
    folder = found_below(root)
    if folder is not None:
        return folder
    if not download and _placed(root) is None:
        raise DataError(_absent(root, "`spurbench run` fetches it unless it is offline"))
    try:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        # One at a time: whoever waited here finds the photos when it is let in.
        with FileLock(root / f".{FOLDER}.lock"):
            return found_below(root) or _supplied(root)
    except (OSError, Timeout) as error:
        raise DataError(_absent(root, f"{root} cannot be written to: {error}")) from error


def _absent(root: Path, reason: str) -> str:
    """What to say when there is no data: where it was looked for, and how to supply it by hand."""
    return (
        f"CounterAnimal is not at hand below {root / FOLDER}: {reason}. "
        f"By hand: download {LINK} in a browser and put the archive into {root / FOLDER}, or its folder to "
        f"{root / FOLDER / INNER}"
    )


def _placed(root: Path) -> Path | None:
    """The archive that was put there by hand, if any. Raises DataError for several."""
    folder = root / FOLDER
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in entries if path.name.lower().endswith(SUFFIXES) and path.is_file()]
    if len(found) > 1:
        raise DataError(
            f"{folder} has several archives, {', '.join(path.name for path in found)}; leave one, or unpack it"
        )
    return found[0] if found else None


def _supplied(root: Path) -> Path:
    """Unpack in a scratch folder, move what proves complete into place, and say where that is."""
    target = root / FOLDER / INNER
    if target.exists():
        raise DataError(_absent(root, f"{target} is there but has no folders of classes: move it away, then try again"))
    with scratch(root / f".{FOLDER}.part") as part:
        archive = _placed(root)
        if archive is None:
            archive = part / "archive"
            _fetch(root, archive)
        unpacked = part / "unpacked"
        unpacked.mkdir()
        log.info("CounterAnimal: unpacking %s", archive)
        unpack(archive, unpacked)
        folder = _classes_in(unpacked)
        if folder is None:
            raise DataError(f"{archive} has no folders of classes, such as '9 ostrich, Struthio camelus', in it")
        # What lacks a class's half, or has one twice, is not let in.
        try:
            read_layout(folder)
        except DataError as error:
            # The folder is gone when this is read.
            found = str(error).replace(f"{unpacked}{os.sep}", "").removeprefix(f"{unpacked}: ")
            raise DataError(f"in {archive}: {found}") from error
        return folder.replace(target)


def _classes_in(unpacked: Path) -> Path | None:
    """The folder with the class folders, at most two folders down, where packers put them."""
    level = [unpacked]
    for _ in range(3):
        for folder in level:
            if has_classes(folder):
                return folder
        level = [inner for folder in level for inner in sorted(folder.iterdir()) if inner.is_dir()]
    return None


def _fetch(root: Path, archive: Path) -> None:
    """Download from Google Drive. Raises DataError."""
    import gdown
    import requests

    log.info("CounterAnimal: downloading from Google Drive")
    told = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        step = done * 10 // total if total else done >> 28
        if step > told:
            told = step
            of = f" of {total / 1e6:,.0f}" if total else ""
            log.info("CounterAnimal: %s MB%s", f"{done / 1e6:,.0f}", of)

    try:
        gdown.download(
            id=DRIVE_ID, output=str(archive), quiet=True, use_cookies=False, progress=progress, timeout=PATIENCE
        )
    except (gdown.exceptions.DownloadError, requests.RequestException, OSError, LookupError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            _absent(root, f"Google Drive did not give it (too many downloads on one day are refused): {reason}")
        ) from error
