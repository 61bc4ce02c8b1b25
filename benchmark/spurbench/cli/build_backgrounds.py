"""`spurbench build backgrounds`: drafts of where photos were taken, to be checked by people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Cache, Debug, Device, Offline, Plugin, Precision, complete_backbones

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SHEET, PAGE = "backgrounds.csv", "backgrounds.html"


def backgrounds(
    photos: Annotated[
        Path,
        typer.Argument(
            help="Folder of photos, as class/*.jpg; those in class/background/ keep that background.",
            show_default=False,
        ),
    ],
    backbone: Annotated[
        str,
        typer.Option(
            "--with",
            help="The CLIP that guesses. Not the one that is to say which photos are hard. Example: --with ViT-L/14.",
            autocompletion=complete_backbones,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help=f"Folder for {SHEET} and {PAGE}. Example: --out drafts.", show_default=False)
    ],
    listing: Annotated[
        Path | None,
        typer.Option(
            help="CSV, tab-separated or parquet file that lists the photos, e.g. an export of iNaturalist or GBIF. "
            "Example: --listing observations.csv.",
            show_default="none, classes are folders",
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            help="Text file with the backgrounds to choose from, one a line. Example: --words places.txt.",
            show_default="grass, ground, water, ...",
        ),
    ] = None,
    synonyms: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with names of backgrounds, each with a list of other words for it. "
            "Example: --synonyms words.yaml.",
            show_default="built in",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help=f"Replace a {SHEET} that is there already. Example: --force.")
    ] = False,
    cache: Cache = None,
    plugin: Plugin = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    offline: Offline = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Draft the backgrounds of photos by a CLIP: a sheet to confirm or correct, and a page with the pictures.

    Example: [bold]spurbench build backgrounds my-photos --with ViT-L/14 --out drafts[/bold]
    """
    from ..builder.backgrounds import named
    from ..builder.sources import read_photos
    from ..builder.synonyms import read_words, with_own
    from ..errors import UsageError
    from ..files import default_cache
    from ..session import Session

    where = cache or default_cache()
    session = Session(cache=where, device=device, precision=precision, plugins=tuple(plugin or ()), fetch=not offline)
    # Whatever is wrong with the call or the photos is told before torch is imported.
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out names a folder; {out} is a file")
    if (out / SHEET).exists() and not force:
        # What people wrote in it is theirs.
        raise UsageError(f"{out / SHEET} is there already; give another --out, or --force to replace what is in it")
    known = with_own(synonyms)
    chosen = known.names if words is None else read_words(words, known)
    table = named(read_photos(photos, listing), known)

    from rich.console import Console

    from ..backbones import resolve
    from ..builder.cleaning import LOOKS, Cleaning, clean, counts
    from ..builder.drafts import draft, write_sheet
    from ..features import FeatureStore
    from ..files import write_atomic
    from ..render.drafts_page import UNSURE, to_html
    from ..workbench import LazyTower
    from .console import say

    console, messages = Console(), Console(stderr=True)
    drafter = resolve(session.registries.backbones, backbone, session.setting)
    with _progress(messages) as bar:
        looked, encoded = bar.add_task("looking at photos"), bar.add_task("guessing", visible=False)

        def look(done: int, total: int) -> None:
            bar.update(looked, completed=done, total=total)

        def encode(done: int, total: int) -> None:
            bar.update(encoded, completed=done, total=total, visible=True)

        table = clean(photos, table, Cleaning(), where / LOOKS, look)
        tower = LazyTower(drafter, session.torch_device)
        store = FeatureStore(where / "features")
        drafts = draft(
            photos, table, chosen, drafter, tower, store, session.torch_device, encode, session.setting.hashes
        )
    write_atomic(out / PAGE, to_html(drafts, photos, drafter.card.name, SHEET).encode())
    write_sheet(drafts, out / SHEET)
    sums = counts(table).drop(columns=["kept", "no_background"]).sum()
    if sums.any():
        told = ", ".join(f"{n:,} {status}" for status, n in sums.items() if n)
        say(console, f"left out: {told}")
    say(console, f"{len(drafts):,} photos drafted by {drafter.card.name}; written to {out}: {SHEET}, {PAGE}")
    unsure = int((drafts["confidence"] < UNSURE).sum())
    if unsure:
        hint = " This CLIP may not know these words: try --words, or another." if unsure > len(drafts) / 2 else ""
        say(console, f"{unsure:,} of them are toss-ups, below {UNSURE:.0%} sure.{hint}")
    say(
        console,
        f"next: look at {PAGE}; in {SHEET} write yes or no in the column confirmed, or a better word in the column "
        "background; then build with --backgrounds",
    )


def _progress(console: Console) -> Progress:
    """Bars for those who watch, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
