"""`spurbench suspects`: which words go with a model's errors."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import looking, options
from .console import say, telling
from .looking import OUTPUT, WHAT, Split

if TYPE_CHECKING:
    from rich.console import Console

    from ..findings.report import Provenance
    from ..session import Session
    from ..suspects.account import Account
    from ..suspects.cell import Cell
    from ..suspects.looking import Look
    from ..suspects.report import SuspectsReport

REPORT, TABLE, PAGE = "suspects.json", "suspects.csv", "index.html"
TAUGHT = "contrastive_yang,orth_cal,perception_clip"
"""Methods that are told the attribute in words."""


def suspects(
    dataset: looking.Photos,
    backbone: looking.Backbone,
    words: Annotated[
        Path | None,
        typer.Option(
            help="Your own words: a line for each, WORD or WORD | PHRASE, such as water | on water. "
            "Example: --words mine.txt.",
            rich_help_panel=WHAT,
            show_default="a list of some 800",
        ),
    ] = None,
    cell: Annotated[
        Path | None,
        typer.Option(
            help="The record of a trained model, whose predictions on test are looked at; with --split val it is "
            "fitted once more to predict validation, and --attributes takes the words. "
            "Example: --cell results/v1/menagerie-birds/menagerie-rn/erm.json.",
            rich_help_panel=WHAT,
            show_default="none, zero-shot",
        ),
    ] = None,
    cell_seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Which of the record's models. Example: --cell-seed 3.",
            rich_help_panel=WHAT,
            show_default="the first",
        ),
    ] = None,
    seen_by: Annotated[
        str | None,
        typer.Option(
            help="The backbone that says which words a photo shows, where the model's own has no texts or small ones. "
            "Example: --seen-by ViT-L/14.",
            autocompletion=options.complete_backbones,
            rich_help_panel=WHAT,
            show_default="the model's",
        ),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="Whose photos. Example: --split train.", rich_help_panel=WHAT, show_default="val; test with --cell"
        ),
    ] = None,
    min_photos: Annotated[
        int,
        typer.Option(
            min=1,
            help="A class is asked about a word if so many of its photos show it, and so many do not. "
            "Example: --min-photos 5.",
            rich_help_panel=WHAT,
        ),
    ] = 10,
    permutations: Annotated[
        int,
        typer.Option(
            min=99,
            max=999_999,
            help="How often right and wrong are shuffled for the p-values. Example: --permutations 99999.",
            rich_help_panel=WHAT,
        ),
    ] = 9_999,
    seed: Annotated[int, typer.Option(help="Of the shuffling. Example: --seed 1.", rich_help_panel=WHAT)] = 0,
    top: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            help="Words to show; page and report have 8 or more. Example: --top 10.",
            rich_help_panel=OUTPUT,
        ),
    ] = 20,
    out: Annotated[Path | None, looking.folder_option("suspects", (REPORT, TABLE, PAGE), "found")] = None,
    as_json: looking.Json = False,
    data_root: options.DataRoot = None,
    cache: options.Cache = None,
    plugin: options.Plugin = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    memory_limit: options.MemoryLimit = "2G",
    offline: options.Offline = False,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Find the words that go with a model's errors: what photos show, apart from their class, when it is wrong.

    Writes a page with the most telling photos (index.html), a table of all words (suspects.csv) and a report of the
    first ones (suspects.json), whose words methods can be told: run --attributes.

    Example: [bold]spurbench suspects menagerie-birds --backbone menagerie-rn[/bold]
    """
    from ..errors import UsageError
    from ..files import bytes_of, default_cache, default_data_root
    from ..session import Session
    from ..suspects.cell import check_dataset, read_cell
    from ..suspects.words import load_words

    session = Session(
        datasets=dataset,
        backbones=backbone,
        data_root=data_root or default_data_root(),
        cache=cache or default_cache(),
        device=device,
        precision=precision,
        plugins=tuple(plugin or ()),
        fetch=not offline,
    )
    # Whatever is wrong with the call is told before torch is imported and data is looked at.
    if cell is None and cell_seed is not None:
        raise UsageError("--cell-seed says which model of a record; give the record, --cell RECORD")
    if cell is not None and split is Split.train:
        raise UsageError("--cell: a model seldom errs on photos that it was fitted on; give --split test or val")
    room = bytes_of(memory_limit)
    vocabulary = load_words(words)
    # A data set that is broken says so itself.
    card = session.registries.datasets.get(dataset).card
    if card.own_features:
        raise UsageError(f"data set '{dataset}' brings its own features: it has no photos to look for words in")
    name = card.name
    trained = None if cell is None else read_cell(cell, cell_seed)
    if trained is not None:
        check_dataset(trained, name)
    folder = looking.folder_for("suspects", name, out, as_json)
    _ = session.torch_device

    from rich.console import Console

    from ..seeds import Seed
    from ..suspects.account import make_report, take_account
    from ..suspects.looking import look

    console, messages = Console(), Console(stderr=True)
    wanted = (split or (Split.val if trained is None else Split.test)).value
    with telling(messages) as listen:
        looked = look(
            session, dataset, backbone, vocabulary, seen_by=seen_by, cell=trained, split=wanted, memory_limit=room,
            listen=listen,
        )  # fmt: skip
        listen(f"asking {len(looked.rows):,} photos about {len(looked.words.entries):,} words")
        account = take_account(looked, Seed(("suspects", seed)), min_photos=min_photos, permutations=permutations)
        report = make_report(account, _provenance(session, looked, trained, seed), top)
    for line in looked.notes:
        typer.echo(line, err=True)
    if looked.split != wanted:
        typer.echo(f"{dataset} has no {wanted} photos; these are from {looked.split}", err=True)
    if folder is not None:
        _write(account, report, folder)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        _print(report, dataset, backbone, folder, console, top)


def _provenance(session: Session, looked: Look, trained: Cell | None, seed: int) -> Provenance:
    from ..findings.report import Provenance
    from ..provenance import environment

    fingerprints = dict(looked.fingerprints)
    if trained is not None:
        fingerprints["cell"] = session.setting.hashes.file(trained.path)
    return Provenance(seed=seed, fingerprints=fingerprints, environment=environment(session.torch_device))


def _write(account: Account, report: SuspectsReport, folder: Path) -> None:
    from ..files import write_atomic
    from ..render.suspects_page import to_html
    from ..suspects.account import to_csv
    from ..suspects.pictures import open_pictures

    assert account.look.examples.photos is not None
    page = to_html(report, open_pictures(account.look.examples.photos, report))
    write_atomic(folder / TABLE, to_csv(account).encode())
    write_atomic(folder / PAGE, page.encode())
    # Last: where there is a report, there is what it goes with.
    write_atomic(folder / REPORT, report.to_json().encode())


def _print(
    report: SuspectsReport, dataset: str, backbone: str, folder: Path | None, console: Console, top: int
) -> None:
    from ..render.suspects_terminal import print_suspects

    print_suspects(report, console, top)
    console.print()
    if folder is None:
        return
    say(console, f"written to {folder}: {PAGE}, {TABLE}, {REPORT}")
    if report.chosen and report.split == "val":
        call = ["spurbench", "run", "--attributes", str(folder / REPORT), "--methods", TAUGHT]
        call += ["--datasets", dataset, "--backbones", backbone]
        say(console, f"to train with these words: {shlex.join(call)}")
