"""`spurbench build`: data sets out of photos of one's own."""

from __future__ import annotations

import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .build_backgrounds import backgrounds as draft_backgrounds
from .console import say, show_log, telling

if TYPE_CHECKING:
    from ..builder.build import Order
    from ..session import Session

app = typer.Typer(help="Build data sets out of photos of your own.", no_args_is_help=True)
app.command("backgrounds")(draft_backgrounds)
WHAT, RULE, TIDY, OUTPUT = "Which photos, and who judges them", "What is kept", "Cleaning", "What to write"


class Form(str, Enum):
    """Further forms of the data set."""

    huggingface = "huggingface"
    webdataset = "webdataset"


class SplitBy(str, Enum):
    """What halves and splits never part."""

    observation = "observation"
    photographer = "photographer"


@app.command("counteranimal")
def counteranimal(
    photos: Annotated[
        Path,
        typer.Argument(help="Folder of photos, as class/background/*.jpg; it is only read.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to make. Example: --out mine.", rich_help_panel=OUTPUT, show_default=False)
    ],
    instrument: Annotated[
        str,
        typer.Option(
            help="The zero-shot model that says which photos are hard: a backbone, as `run` takes them. The pairs hang "
            "on it. Example: --instrument ViT-B/32:laion2b_s34b_b79k, or menagerie-rn for its rendered photos.",
            autocompletion=options.complete_backbones,
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ],
    listing: Annotated[
        Path | None,
        typer.Option(
            help="Table of the photos (CSV, TSV, parquet), such as an export of iNaturalist's or GBIF's: photo or "
            "file, class, background, observation, photographer, licence. Example: --listing observations.csv.",
            rich_help_panel=WHAT,
            show_default="folders say it",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="What photos are told apart into: classes (those at hand), imagenet (1,000, WordNet's names), "
            "imagenet-openai (OpenAI's names), or a file with one per line. Example: --labels imagenet.",
            rich_help_panel=WHAT,
            show_default="classes; imagenet with --as-published",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="How a label is said; may be repeated. Example: --template 'A photo of {}'.",
            rich_help_panel=WHAT,
            show_default="a photo of a {}.; A photo of {}. with --as-published",
        ),
    ] = None,
    synonyms: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of words for one background, added to those that are known (grass: \\[lawn, green]). "
            "Example: --synonyms words.yaml.",
            rich_help_panel=WHAT,
            show_default="grass, water, ground, ...",
        ),
    ] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            help="Sheet of drafted backgrounds (`spurbench build backgrounds`), for photos that have none. "
            "Example: --backgrounds drafts/backgrounds.csv.",
            rich_help_panel=WHAT,
            show_default="none",
        ),
    ] = None,
    min_drop: Annotated[
        float,
        typer.Option(
            min=0, max=100, help="Least drop of a class, in points. Example: --min-drop 10.", rich_help_panel=RULE
        ),
    ] = 5.0,
    min_cell: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Photos that a class needs before a background, in each half. Example: --min-cell 30.",
            rich_help_panel=RULE,
            show_default="20; 1 with --as-published",
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            min=0.0001,
            max=0.5,
            help="Chance of keeping any class whose backgrounds are equally hard. Example: --alpha 0.01.",
            rich_help_panel=RULE,
        ),
    ] = 0.05,
    split_by: Annotated[
        SplitBy,
        typer.Option(help="What halves and splits never part. Example: --split-by photographer.", rich_help_panel=RULE),
    ] = SplitBy.observation,
    as_published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="Do what the paper did: tell photos apart into ImageNet's 1,000 labels, choose and report on the same "
            "photos, keep whatever drops by more than --min-drop, test nothing. Example: --as-published.",
            rich_help_panel=RULE,
        ),
    ] = False,
    min_side: Annotated[
        int, typer.Option(min=1, help="Pixels of the shorter side. Example: --min-side 128.", rich_help_panel=TIDY)
    ] = 64,
    distance: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="Bits of 64 by which perceptual hashes of near-duplicates differ at most. Example: --distance 2.",
            rich_help_panel=TIDY,
        ),
    ] = 4,
    per_observation: Annotated[
        int,
        typer.Option(
            min=1,
            help="Photos of one observation before one background. Example: --per-observation 3.",
            rich_help_panel=TIDY,
        ),
    ] = 1,
    train_easy: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.99, help="Share of easy photos in train. Example: --train-easy 0.9.", rich_help_panel=OUTPUT
        ),
    ] = 0.95,
    form: Annotated[
        list[Form] | None,
        typer.Option(help="A further form; may be repeated. Example: --form webdataset.", rich_help_panel=OUTPUT),
    ] = None,
    title: Annotated[
        str,
        typer.Option(
            help="Of the data set. Example: --title 'Birds of Iceland'.", rich_help_panel=OUTPUT, show_default="PHOTOS"
        ),
    ] = "",
    link: Annotated[
        bool, typer.Option("--link", help="Hard links, no copies. Example: --link.", rich_help_panel=OUTPUT)
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace a data set built there before. Example: --replace.", rich_help_panel=OUTPUT
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all that is random. Example: --seed 1.", rich_help_panel=RULE)] = 0,
    cache: options.Cache = None,
    plugin: options.Plugin = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    offline: options.Offline = False,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Find which background makes each class hard for a zero-shot model, and make a data set of easy and hard photos.

    One half of the photos chooses each class's pair of backgrounds, and a test tells it from luck; the other half says
    how large the drop is. Writes photos as CounterAnimal has them, with manifest, cards and a report (report.html).

    Example: [bold]spurbench build counteranimal photos --out mine --instrument ViT-B/32:laion2b_s34b_b79k[/bold]
    """
    from ..builder.build import PHOTO, PUBLISHED, Order
    from ..builder.cleaning import Cleaning
    from ..builder.label_spaces import CLASSES, IMAGENET
    from ..builder.output.whole import check_place
    from ..builder.table import Rule
    from ..errors import UsageError
    from ..files import default_cache
    from ..session import Session

    if not photos.is_dir():
        raise UsageError(f"there is no folder of photos {photos}")
    for option, file in (("--listing", listing), ("--synonyms", synonyms), ("--backgrounds", backgrounds)):
        if file is not None and not file.is_file():
            raise UsageError(f"{option}: there is no file {file}")
    check_place(photos, out, replace)
    session = Session(
        cache=cache or default_cache(),
        device=device,
        precision=precision,
        plugins=tuple(plugin or ()),
        fetch=not offline,
    )
    order = Order(
        photos=photos,
        instrument=instrument,
        labels=labels or (IMAGENET if as_published else CLASSES),
        templates=tuple(template or (PUBLISHED if as_published else PHOTO,)),
        listing=listing,
        synonyms=synonyms,
        confirmed=backgrounds,
        rule=Rule(
            min_drop=min_drop / 100,
            min_cell=min_cell or (1 if as_published else Rule.min_cell),
            alpha=alpha,
            published=as_published,
            split_by=split_by.value,
        ),
        cleaning=Cleaning(min_side, distance, per_observation),
        easy_share=train_easy,
        seed=seed,
        title=title,
        command=_command(sys.argv[1:]),
    )
    _build(order, session, out, [item.value for item in form or ()], link=link, replace=replace)


def _command(words: list[str]) -> str:
    """What was typed, without what is no part of what is built: the same photos give the same bytes anywhere."""
    kept = ["spurbench"]
    for before, word in zip(["", *words], words, strict=False):
        if word not in ("--replace", "--cache") and before != "--cache" and not word.startswith("--cache="):
            kept.append(word)
    return shlex.join(kept)


def _build(order: Order, session: Session, out: Path, forms: list[str], *, link: bool, replace: bool) -> None:
    from rich.console import Console

    from ..builder.build import build
    from ..builder.output.whole import write
    from ..errors import DataError
    from ..render.build_page import to_html
    from ..render.build_terminal import print_build

    console, messages = Console(), Console(stderr=True)
    show_log(messages)
    with telling(messages) as tell:

        def listen(what: str, done: int, total: int) -> None:
            tell(f"{what} {done:,}/{total:,}" if total else what)

        built = build(order, session, listen)
    print_build(built, console)
    if not built.found.kept:
        raise DataError(
            "no class was kept, and nothing is written. More photos before each background help most; --min-cell asks "
            "for fewer, --min-drop for a smaller drop"
        )
    with telling(messages) as tell:
        write(built, out, report=to_html, forms=forms, link=link, replace=replace, progress=listen)  # type: ignore[arg-type]
    console.print()
    say(console, f"written to {out}; look at {out / 'report.html'}")
    call = f"spurbench run --methods all --datasets {shlex.quote(str(out))} --backbones {built.instrument.backbone}"
    say(console, f"to compare methods on it: {call}")
