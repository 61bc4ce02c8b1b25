"""`spurbench discover`: which regions of photos a model leans on where it should not."""

from __future__ import annotations

import io
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import looking, options
from .console import telling
from .looking import OUTPUT, WHAT, Split

if TYPE_CHECKING:
    from rich.console import Console

    from ..discovery import Discoverer, Discovery
    from ..findings.report import DiscoveryReport, Provenance
    from ..findings.sheet import Picture
    from ..seeds import Seed
    from ..session import Session
    from ..study import Study

REPORT, SHEET, PAGE = "report.json", "sheet.png", "index.html"


class Against(str, Enum):
    """What findings can be compared with."""

    groups = "groups"


def discover(
    dataset: looking.Photos,
    backbone: looking.Backbone,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights of your own tuned model, for the backbone's architecture. Example: --checkpoint tuned.pt.",
            rich_help_panel=WHAT,
            show_default="the backbone's own weights",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Tune the backbone first, by a method that trains it. Example: --method erm_finetune.",
            autocompletion=options.complete_methods,
            rich_help_panel=WHAT,
            show_default="none, zero-shot",
        ),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option(
            help="Which regions: quadrants, gridR (R x R), boxes (the data set's), boxes:FILE, proposalsN. "
            "Example: --regions grid4.",
            rich_help_panel=WHAT,
            show_default="the data set's, mostly grid3",
        ),
    ] = None,
    discoverer: Annotated[
        str,
        typer.Option(
            help="Who looks (`spurbench list discoverers` shows all). Example: --discoverer domino.",
            autocompletion=options.complete_discoverers,
            rich_help_panel=WHAT,
        ),
    ] = "ravl",
    against: Annotated[
        Against | None,
        typer.Option(
            help="Compare with the spurious attribute that the data set knows; the discoverer never sees it. "
            "Example: --against groups.",
            rich_help_panel=WHAT,
            show_default="nothing",
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Whose photos. Example: --split test.", rich_help_panel=WHAT)
    ] = Split.val,
    seed: Annotated[int, typer.Option(help="Of all that is random. Example: --seed 1.", rich_help_panel=WHAT)] = 0,
    top: Annotated[
        int, typer.Option(min=1, max=50, help="Findings to show. Example: --top 3.", rich_help_panel=OUTPUT)
    ] = 5,
    crops: Annotated[
        int, typer.Option(min=1, max=48, help="Regions of each finding. Example: --crops 24.", rich_help_panel=OUTPUT)
    ] = 12,
    out: Annotated[Path | None, looking.folder_option("discovery", (REPORT, SHEET, PAGE), "found")] = None,
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
    """Find regions of photos that a model leans on where it should not, without being told what is spurious.

    Writes a page with pictures (index.html), a contact sheet and a report with every number.

    Example: [bold]spurbench discover menagerie-sticker --backbone menagerie-rn --against groups[/bold]
    """
    from ..errors import UsageError
    from ..files import bytes_of, default_cache, default_data_root
    from ..regions.spec import parse
    from ..session import Session

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
    room = bytes_of(memory_limit)
    # Whatever is wrong with the call is told before torch is imported and data is looked at.
    if checkpoint is not None and method is not None:
        raise UsageError("--checkpoint is a model that is tuned already, --method tunes one; give one of them")
    if checkpoint is not None and not checkpoint.is_file():
        raise UsageError(f"there is no checkpoint file {checkpoint}")
    session.registries.discoverers.origin(discoverer)
    if regions is not None:
        parse(regions)
    if method is not None:
        session.registries.methods.origin(method)
    # A data set that is broken says so itself.
    card = session.registries.datasets.get(dataset).card
    if card.own_features:
        raise UsageError(f"data set '{dataset}' brings its own features: it has no photos whose regions could be found")
    folder = looking.folder_for("discovery", card.name, out, as_json)
    _ = session.torch_device

    from rich.console import Console

    from ..findings.account import make_report
    from ..seeds import Seed
    from ..study import study

    console, messages = Console(), Console(stderr=True)
    looker = session.registries.discoverers.get(discoverer)
    with telling(messages) as listen:
        studied = study(
            session, dataset, backbone, checkpoint=checkpoint, method=method, regions=regions, split=split.value,
            seed=seed, memory_limit=room, listen=listen,
        )  # fmt: skip
        listen(f"{discoverer} looks at {len(studied.evidence.image_of):,} regions")
        found = _looked(looker, studied, Seed(("discover", seed)))
        origin = _provenance(session, studied, backbone, looker, checkpoint, method, seed)
        report = make_report(studied, found, looker.card, origin, top=top, examples=crops, against=against is not None)
    if studied.split != split.value:
        typer.echo(f"{dataset} has no {split.value} photos; these are from {studied.split}", err=True)
    if folder is not None:
        _write(report, studied, folder)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        _print(report, dataset, backbone, folder, session, console)


def _looked(looker: Discoverer, studied: Study, seed: Seed) -> Discovery:
    """What the discoverer finds; whatever it raises that is not meant for the user is told as its own fault."""
    from ..errors import MethodError, SpurbenchError

    try:
        return looker.discover(studied.evidence, seed)
    except SpurbenchError:
        raise
    except Exception as error:
        message = f"discoverer '{looker.card.name}' raised {type(error).__name__}: {error}; --debug shows where"
        raise MethodError(message) from error


def _provenance(
    session: Session,
    studied: Study,
    backbone: str,
    looker: object,
    checkpoint: Path | None,
    method: str | None,
    seed: int,
) -> Provenance:
    from ..backbones import resolve
    from ..findings.report import Provenance
    from ..provenance import environment, source_hash

    hashes = session.setting.hashes
    fingerprints = {
        "data": studied.examples.fingerprint(studied.card, hashes),
        "backbone": resolve(session.registries.backbones, backbone, session.setting).fingerprint,
        "discoverer": source_hash(looker),
    }
    if checkpoint is not None:
        fingerprints["checkpoint"] = hashes.file(checkpoint)
    if method is not None:
        fingerprints["method"] = source_hash(session.registries.methods.get(method))
    return Provenance(seed=seed, fingerprints=fingerprints, environment=environment(session.torch_device))


def _write(report: DiscoveryReport, studied: Study, folder: Path) -> None:
    from ..files import write_atomic
    from ..findings.sheet import discovery_sheet, open_pictures
    from ..render.discovery_page import to_html

    assert studied.examples.photos is not None
    pictures: list[list[Picture]] = open_pictures(studied.examples.photos, report)
    sheet = io.BytesIO()
    discovery_sheet(report, pictures).save(sheet, "PNG")
    write_atomic(folder / SHEET, sheet.getvalue())
    write_atomic(folder / PAGE, to_html(report, pictures).encode())
    # Last: where there is a report, there is what it goes with.
    write_atomic(folder / REPORT, report.to_json().encode())


def _print(
    report: DiscoveryReport, dataset: str, backbone: str, folder: Path | None, session: Session, console: Console
) -> None:
    from ..render.discovery_terminal import print_discovery

    print_discovery(report, console)
    console.print()
    if folder is not None:
        _say(console, f"written to {folder}: {PAGE}, {SHEET}, {REPORT}")
    mitigation = report.discoverer.name.partition(":")[0]
    if report.findings and mitigation in session.registries.methods.names():
        call = f"spurbench run --methods {mitigation} --datasets {dataset} --backbones {backbone}"
        _say(console, f"to train the model out of it: {call}")


def _say(console: Console, text: str) -> None:
    from ..errors import plain

    # Lines that are copied from a terminal are not broken there.
    console.print(plain(text), markup=False, highlight=False, soft_wrap=True)
