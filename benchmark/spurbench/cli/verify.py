"""`spurbench verify-published`: whether published numbers hold against each other, and against models on the data."""

from __future__ import annotations

import json
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from ..jobs import Event
    from ..plan import Row
    from ..published import Published, PublishedClass
    from ..session import Session
    from ..verify import Check


class Part(str, Enum):
    """What can be verified."""

    aggregation = "aggregation"
    data = "data"


def verify_published(
    dataset: Annotated[
        str,
        typer.Argument(help="A data set of which class-wise tables are printed: counteranimal.", show_default=False),
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, max=100, help="Points that a model may be off. Example: --tolerance 0.5.")
    ] = 0.3,
    only: Annotated[
        Part | None,
        typer.Option(
            help="aggregation: the tables alone, which needs neither data nor weights; data: photos and models alone. "
            "Example: --only aggregation.",
            show_default="both",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every check as JSON. Example: --json.")] = False,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which to keep the records, and to use those that are there. Example: --results results.",
            rich_help_panel=options.PLACES,
            show_default="a temporary one",
        ),
    ] = None,
    data_root: options.DataRoot = None,
    cache: options.Cache = None,
    plugin: options.Plugin = None,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help="Fetch data and weights that are not here. Example: --fetch.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    device: options.Device = "auto",
) -> None:
    """Check published numbers: tables against each other, and models run on the data against what is printed of them.

    Exit status 0 if all that could be checked agrees, or is off in a way that is known; 1 if anything else is off.

    Example: [bold]spurbench verify-published counteranimal --only aggregation[/bold]
    """
    from rich.console import Console

    from ..errors import UnknownNameError
    from ..files import default_cache, default_data_root, safe_name
    from ..published import CLASSES, packaged, read_classes, read_published
    from ..session import Session

    folder = packaged()
    known = [path.stem.removesuffix(CLASSES) for path in folder.glob(f"*{CLASSES}.csv")]
    if safe_name(dataset) not in known:
        raise UnknownNameError("data set with class-wise tables", dataset, known)
    values = [value for value in read_published(folder) if value.dataset == dataset]
    classes = read_classes(folder, dataset)
    with tempfile.TemporaryDirectory(prefix="spurbench-verify-") as temporary:
        session = Session(
            rules_name="v1",
            data_root=data_root or default_data_root(),
            results=results or Path(temporary),
            cache=cache or default_cache(),
            device=device,
            plugins=tuple(plugin or ()),
            fetch=fetch,
        )
        checks = list(_checks(session, dataset, values, classes, tolerance, only))
    if as_json:
        from dataclasses import asdict

        rows = [{**asdict(check), "difference": check.difference} for check in checks]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        from ..render.verify_terminal import print_checks

        print_checks(checks, Console())
    if any(check.status == "off" for check in checks):
        raise typer.Exit(1)


def _checks(
    session: Session,
    dataset: str,
    values: Sequence[Published],
    classes: Sequence[PublishedClass],
    tolerance: float,
    only: Part | None,
) -> Iterator[Check]:
    if only is not Part.data:
        from ..verify.tables import table_checks

        yield from table_checks(values, classes)
    if only is Part.aggregation:
        return
    from rich.console import Console

    from ..verify import Check
    from ..verify.models import MODELS, data_checks, model_checks
    from .console import show_log

    messages = Console(stderr=True)
    show_log(messages)
    with messages.status("looking at the data"):
        found, here = data_checks(session, dataset, classes)
    yield from found
    if here:
        yield from model_checks(session, dataset, values, tolerance, _Telling(messages))
    else:
        yield Check("models", ", ".join(name for _, name in MODELS[dataset]), "unchecked", reason="there are no photos")


class _Telling:
    """Says once which model is being run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.told = ""

    def __call__(self, row: Row, event: Event) -> None:  # noqa: ARG002 - what of it is being done is no news
        if row.backbone != self.told:
            self.told = row.backbone
            typer.echo(f"running {row.backbone}, {row.method}", err=True)
