"""What the commands that look into photos share: whose photos and model, and a folder for what they write."""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options

WHAT, OUTPUT = "What to look at", "What to write"


class Split(str, Enum):
    """The parts of a data set."""

    train = "train"
    val = "val"
    test = "test"


Photos = Annotated[
    str,
    typer.Argument(
        help="A data set with photos: NAME, or folder:DIR for your own.",
        autocompletion=options.complete_datasets,
        show_default=False,
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        help="The model's backbone, one of those that --backbones of `run` takes. Example: --backbone ViT-B/16.",
        autocompletion=options.complete_backbones,
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the report as JSON, and nothing else. Example: --json.", rich_help_panel=OUTPUT),
]


def folder_option(what: str, files: tuple[str, str, str], example: str) -> Any:
    """--out: a folder for some files, unless told otherwise WHAT-DATASET in the current one (see `folder_for`)."""
    return typer.Option(
        parser=out_folder,
        metavar="PATH",
        help=f"Folder for {files[0]}, {files[1]} and {files[2]}. Example: --out {example}.",
        rich_help_panel=OUTPUT,
        show_default=f"{what}-DATASET in the current folder; none with --json",
    )


def folder_for(what: str, dataset: str, out: Path | None, as_json: bool) -> Path | None:
    """What --out names or, without --json, WHAT-DATASET, once files can be written there; None: nothing is written.

    Args:
        dataset: its card's name.

    Raises:
        UsageError: they cannot; says why.
    """
    folder = out or (None if as_json else folder_named(what, dataset))
    if folder is not None:
        check_writable(folder)
    return folder


def out_folder(written: str) -> Path:
    """What --out names. Raises UsageError for an empty name, of which pathlib makes the current folder."""
    from ..errors import UsageError

    if not written:
        raise UsageError("--out takes the name of a folder, not an empty one; write . for the current folder")
    return Path(written)


def folder_named(what: str, dataset: str) -> Path:
    """Where a command writes unless told otherwise: WHAT-DATASET in the current folder.

    Args:
        dataset: its card's name; of one with a hash, such as `folder:birds@1a2b3c4d`, what was called birds.
    """
    from ..files import safe_name

    hashed = re.fullmatch(r"[^:]*:(.+)@[0-9a-f]{8}", dataset)
    return Path(f"{what}-{safe_name((hashed[1] if hashed else dataset).replace(':', '-'))}")


def check_writable(folder: Path) -> None:
    """Make sure that files can be written into the folder that --out names, and leave nothing there.

    Raises:
        UsageError: they cannot; says why.
    """
    from ..errors import UsageError

    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--out names a folder; {folder} is a file")
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"nothing can be written into {folder} ({reason}); name another folder: --out DIR") from error
    finally:
        # Whatever fails before there is something to write leaves no empty folder behind.
        for path in made:
            with suppress(OSError):
                path.rmdir()
