"""`spurbench explain`: what each method's models look at, in pictures and in numbers."""

from __future__ import annotations

import io
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import looking, options
from .console import say, show_log, telling
from .looking import WHAT

if TYPE_CHECKING:
    from ..explained import Explanation
    from ..explained.report import ExplanationReport

REPORT, SHEET, PAGE = "report.json", "sheet.png", "index.html"
RESULTS = Path("results")


class Maps(str, Enum):
    """Kinds of maps."""

    grad_cam = "grad-cam"
    relevance = "relevance"


class Score(str, Enum):
    """What a map is the map of."""

    odds = "odds"
    logit = "logit"


class Selection(str, Enum):
    """How a configuration is chosen from validation."""

    worst_group = "worst_group"
    worst_class = "worst_class"
    average = "average"


def explain(
    dataset: looking.Photos,
    backbone: looking.Backbone,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Whose models, side by side; names as `run` takes them. Those that have no record yet are run first. "
            "Example: --methods zero_shot,erm_projection,contrastive_yang.",
            autocompletion=options.complete_methods,
            rich_help_panel=WHAT,
            show_default="all that have a record",
        ),
    ] = None,
    groups: Annotated[
        str,
        typer.Option(
            help="Groups whose photos are shown, as CLASS/ATTRIBUTE, or all. Example: --groups landbird/water.",
            rich_help_panel=WHAT,
        ),
    ] = "all",
    per_group: Annotated[
        int,
        typer.Option(
            min=0,
            max=48,
            help="Photos shown of each; 0 for numbers alone. Example: --per-group 8.",
            rich_help_panel=WHAT,
        ),
    ] = 4,
    measure: Annotated[
        int,
        typer.Option(
            min=1,
            help="Test photos of each group that the numbers are over, at most. Example: --measure 1000.",
            rich_help_panel=WHAT,
        ),
    ] = 250,
    replace_numbers: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Put the numbers in the place of those that records hold, if these were measured in another way "
            "(--maps, --score, --layer, --measure). Example: --replace.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    maps: Annotated[
        Maps | None,
        typer.Option(
            help="How maps are drawn. Example: --maps grad-cam.",
            rich_help_panel=WHAT,
            show_default="grad-cam for convolutional towers, relevance for transformers",
        ),
    ] = None,
    score: Annotated[
        Score,
        typer.Option(
            help="What of a class is explained: the logarithm of its odds, or its logit as Grad-CAM has it, which "
            "differs between models that predict the same. Example: --score logit.",
            rich_help_panel=WHAT,
        ),
    ] = Score.odds,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Module of the tower at which maps are drawn. Example: --layer layer3.",
            rich_help_panel=WHAT,
            show_default="the last one whose map is fine enough",
        ),
    ] = None,
    selection: Annotated[
        Selection,
        typer.Option(
            help="Which of a record's models: chosen by this rule. Example: --selection average.", rich_help_panel=WHAT
        ),
    ] = Selection.worst_group,
    out: Annotated[Path | None, looking.folder_option("explanation", (REPORT, SHEET, PAGE), "looked")] = None,
    as_json: looking.Json = False,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Models of each method that the numbers are over, of its first seeds; the maps are of the first. "
            "Example: --seeds 5.",
            rich_help_panel=WHAT,
        ),
    ] = 1,
    configs: options.Configs = None,
    rules: options.RulesName = None,
    prompts: options.Prompts = None,
    attributes: options.Attributes = None,
    data_root: options.DataRoot = None,
    results: options.Results = RESULTS,
    cache: options.Cache = None,
    plugin: options.Plugin = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    memory_limit: options.MemoryLimit = "2G",
    offline: options.Offline = False,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Show where the models of several methods look in the same photos, and measure how much of it is the object.

    Each method's model is the one that its record tells of, fitted once more. Writes a page with activation maps side
    by side (index.html), the same as one picture and a report with every number; the numbers enter the records too,
    wherever masks or boxes say where the objects are.

    Example: [bold]spurbench explain menagerie-birds --backbone menagerie-rn --methods zero_shot,erm,dfr_val[/bold]
    """
    from ..errors import UnknownNameError, UsageError
    from ..explained.names import methods_with_records
    from ..files import bytes_of
    from .grid import session_of

    session = session_of(
        methods, backbone, dataset, None, seeds, configs, rules, prompts, attributes, data_root, results, cache,
        device, precision, plugin, force=False, fetch=not offline,
    )  # fmt: skip
    room = bytes_of(memory_limit)
    # Whatever is wrong with the call is told before torch is imported, data is looked at and hours are computed.
    _one("DATASET", session.dataset_names())
    # A data set that is broken says so itself.
    card = session.registries.datasets.get(dataset).card
    if card.own_features:
        raise UsageError(f"data set '{dataset}' brings its own features: it has no photos that could be looked into")
    _one("--backbone", session.backbone_names())
    if methods is None:
        session = replace(session, methods=",".join(methods_with_records(session)))
    names = session.method_names()
    wanted = None if groups == "all" else options.names_of(groups)
    for name in wanted or ():
        if name not in card.groups:
            raise UnknownNameError("group", name, card.groups)
    _ = session.rules
    folder = looking.folder_for("explanation", card.name, out, as_json)
    if folder is not None:
        from ..render.explanation_sheet import refuse_giants

        refuse_giants(len(names), per_group * len(wanted or card.groups))
    _ = session.torch_device

    from rich.console import Console

    from ..explained.explain import explain as look
    from ..explained.report import make_report
    from ..explanation import How
    from ..render.explanation_terminal import print_explanation

    console, messages = Console(), Console(stderr=True)
    show_log(messages)
    with telling(messages) as listen:
        explanation = look(
            session,
            how=How(maps.value if maps else None, score.value, layer),
            selection=selection.value,
            groups=wanted,
            per_group=per_group,
            measure=measure,
            replace=replace_numbers,
            memory_limit=room,
            listen=listen,
        )
        report = make_report(explanation)
        written = [] if folder is None else _write(report, explanation, folder)
    if as_json:
        typer.echo(report.to_json(), nl=False)
        return
    print_explanation(report, console)
    console.print()
    say(console, f"written to {folder}: {', '.join(written)}")


def _one(what: str, names: list[str]) -> None:
    """Raises UsageError for patterns that stand for several names."""
    from ..errors import UsageError

    if len(names) != 1:
        raise UsageError(f"{what} takes one name, not {', '.join(names) or 'none'}")


def _write(report: ExplanationReport, explanation: Explanation, folder: Path) -> list[str]:
    """The names of the files written: the report, and the sheets where photos are shown."""
    from ..files import write_atomic

    written = []
    if report.photos:
        from ..render.explanation_page import to_html
        from ..render.explanation_pictures import open_shown
        from ..render.explanation_sheet import explanation_sheet

        pictures = open_shown(explanation)
        sheet = io.BytesIO()
        explanation_sheet(report, pictures).save(sheet, "PNG")
        write_atomic(folder / SHEET, sheet.getvalue())
        write_atomic(folder / PAGE, to_html(report, pictures).encode())
        written = [PAGE, SHEET]
    # Last: where there is a report, there is what it goes with.
    write_atomic(folder / REPORT, report.to_json().encode())
    return [*written, REPORT]
