"""`spurbench show`: the photos of a data set, as a picture and in the terminal."""

from __future__ import annotations

import io
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import telling

if TYPE_CHECKING:
    from rich.console import Console

    from ..cards import DatasetCard
    from ..contact_sheet import Tiles
    from ..data import Examples

SMALLEST, LARGEST = 16, 24
"""Pixels of a photo in the terminal, where a character is one pixel wide: below nothing can be recognised."""
MOST_ROWS = 12
"""Rows shown in the terminal; the file has all."""


class Split(str, Enum):
    """The parts of a data set."""

    train = "train"
    val = "val"
    test = "test"


def show(
    dataset: Annotated[
        str,
        typer.Argument(
            help="A data set with photos: NAME, or folder:DIR for your own.",
            autocompletion=options.complete_datasets,
            show_default=False,
        ),
    ],
    groups: Annotated[
        bool, typer.Option("--groups", help="A row for each group, with its name and counts. Example: --groups.")
    ] = False,
    per_group: Annotated[
        int | None,
        typer.Option(min=1, help="Photos of each group. Example: --groups --per-group 12.", show_default="8"),
    ] = None,
    photos: Annotated[
        int | None,
        typer.Option(min=1, help="Photos in all, without --groups. Example: --photos 96.", show_default="48"),
    ] = None,
    split: Annotated[Split, typer.Option(help="Where the photos are from. Example: --split train.")] = Split.test,
    seed: Annotated[int, typer.Option(help="Another seed shows other photos. Example: --seed 1.")] = 0,
    size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels of a photo. Example: --size 160.")] = 96,
    output: Annotated[
        Path | None,
        typer.Option(
            help="PNG file to write. Example: --output birds.png.",
            show_default="the data set's name, in the current folder",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write all photos of the split as JPEG files below this folder, class/attribute/*.jpg, in place of a "
            "picture of some. Example: --export photos.",
            show_default="none",
        ),
    ] = None,
    data_root: options.DataRoot = None,
    plugin: options.Plugin = None,
    offline: options.Offline = False,
) -> None:
    """Show photos of a data set: a contact sheet as a PNG file and, in a terminal with colours, a smaller one there.

    Example: [bold]spurbench show waterbirds --groups[/bold]
    """
    from rich.console import Console

    from ..contact_sheet import any_rows, contact_sheet, group_rows, nearest_split, open_rows
    from ..errors import UsageError
    from ..files import default_data_root, safe_name, write_atomic
    from ..keys import read_data
    from ..registry import load_registries

    if (per_group and not groups) or (photos and groups):
        raise UsageError("--per-group goes with --groups, and --photos goes without")
    if export is not None and (groups or photos or output or export.is_file()):
        raise UsageError("--export names a folder, and goes without --groups, --photos and --output")
    if output is not None and (output.suffix.lower() != ".png" or output.is_dir()):
        raise UsageError(f"--output names a PNG file, such as sheet.png; {output} does not")
    registries = load_registries(plugin or ())
    data, examples = read_data(registries, dataset, data_root or default_data_root(), download=not offline)
    if examples.photos is None:
        raise UsageError(f"data set '{dataset}' has no photos to show: it brings its own features")
    found = nearest_split(examples, split.value)
    if export is not None:
        _export(examples, data.card, found, export)
        return
    if groups:
        rows = group_rows(examples, data.card, found, per_group or 8, seed)
    else:
        rows = any_rows(examples, data.card, found, photos or 48, seed)
    tiles = open_rows(examples.photos, rows, size)
    picture = io.BytesIO()
    contact_sheet(tiles, size).save(picture, "PNG")
    path = output or Path(f"{safe_name(data.card.name)}.png")
    write_atomic(path, picture.getvalue())
    console = Console()
    if _shows_pictures(console):
        _print(tiles, console)
    if found != split.value:
        typer.echo(f"{data.card.name} has no {split.value} photos; these are from {found}", err=True)
    typer.echo(f"written: {path} ({sum(len(shown) for _, shown in rows)} {found} photos)")


def _export(examples: Examples, card: DatasetCard, split: str, folder: Path) -> None:
    from rich.console import Console

    from ..photo_folder import write_photos

    messages = Console(stderr=True)
    with telling(messages) as tell:
        count = write_photos(examples, card, split, folder, lambda done, total: tell(f"writing {done:,}/{total:,}"))
    typer.echo(f"written: {count:,} {split} photos below {folder}, as class/attribute/*.jpg")


def _shows_pictures(console: Console) -> bool:
    """Whether half blocks become a picture there: they say nothing without colours, and need Unicode."""
    coloured = console.color_system in ("256", "truecolor") and not console.no_color
    return console.is_terminal and coloured and not console.options.ascii_only


def _print(tiles: Tiles, console: Console) -> None:
    """The rows in half blocks, as many of each row's photos as the terminal is wide enough for."""
    from rich.cells import cell_len
    from rich.text import Text
    from rich_pixels import Pixels

    from ..contact_sheet import shortened, strip
    from ..errors import plain

    columns = min(max(len(images) for _, images in tiles), max(1, (console.width + 1) // (SMALLEST + 1)))
    size = min(LARGEST, (console.width + 1) // columns - 1)
    for label, images in tiles[:MOST_ROWS]:
        for number, line in enumerate(plain(label).splitlines()):
            console.print(Text(shortened(line, console.width, cell_len), style="dim" if number else "bold"))
        if images:
            console.print(Pixels.from_image(strip(images[:columns], size)))
    if len(tiles) > MOST_ROWS:
        console.print(Text(f"and {len(tiles) - MOST_ROWS} more rows in the file", style="dim"))
