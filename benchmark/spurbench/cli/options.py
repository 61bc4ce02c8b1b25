"""The options that several commands share, each documented with an example; and the completion of their names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _complete(group: str, incomplete: str) -> list[str]:
    """Completions of the last name of a comma-separated list, from entry points alone: nothing is imported."""
    from importlib.metadata import entry_points

    before, comma, last = incomplete.rpartition(",")
    bang = "!" if last.startswith("!") else ""
    names = ["all", *sorted(point.name for point in entry_points(group=group))]
    return [f"{before}{comma}{bang}{name}" for name in names if name.startswith(last.removeprefix("!"))]


def complete_methods(incomplete: str) -> list[str]:
    """Method names."""
    return _complete("spurbench.methods", incomplete)


def complete_datasets(incomplete: str) -> list[str]:
    """Data set names."""
    return _complete("spurbench.datasets", incomplete)


def complete_discoverers(incomplete: str) -> list[str]:
    """Discoverer names, one of which can be asked for."""
    return [name for name in _complete("spurbench.discoverers", incomplete) if name != "all"]


def complete_backbones(incomplete: str) -> list[str]:
    """Backbone names: the studied ones and the families."""
    from ..backbones.open_clip import STUDIED

    before, comma, last = incomplete.rpartition(",")
    names = ["all", *STUDIED, "local-dir:", "hf-hub:", "timm:", "torchvision:"]
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def complete_rules(incomplete: str) -> list[str]:
    """Names of the rules."""
    from ..rules import names_in

    return [name for name in names_in("rules") if name.startswith(incomplete)]


def complete_suites(incomplete: str) -> list[str]:
    """Names of the suites."""
    from ..rules import names_in

    return [name for name in names_in("suites") if name.startswith(incomplete)]


def complete_families(incomplete: str) -> list[str]:
    """Names of the families of planted settings."""
    from ..rules import names_in

    return [name for name in names_in("planted/families") if name.startswith(incomplete)]


def names_of(written: str | None) -> list[str] | None:
    """The names of a comma-separated list; None where nothing was written. Raises UsageError for an empty list."""
    from ..errors import UsageError

    if written is None:
        return None
    names = [part.strip() for part in written.split(",") if part.strip()]
    if not names:
        raise UsageError("an empty list of names; leave the option out for all")
    return names


def numbers_of(option: str, written: str | None, low: float, high: float) -> list[float] | None:
    """The numbers of a comma-separated list, each within bounds. Raises UsageError."""
    from ..errors import UsageError

    numbers = []
    for name in names_of(written) or ():
        try:
            number = float(name)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise UsageError(f"{option} takes numbers from {low:g} to {high:g}, not '{name}'")
        numbers.append(number)
    return numbers or None


GRID, PLACES, HOW = "What to run", "Where things are", "How to run"

Methods = Annotated[
    str | None,
    typer.Option(
        help="Methods: names, globs, !exclusions, all; METHOD+INFERENCE infers the groups that a method needs, "
        "METHOD:HYPER-PARAMETER=VALUE pins. Example: --methods 'dfr_*,erm' or --methods 'all,!group_dro' or "
        "--methods group_dro+george,cfr:negatives=nearest.",
        autocompletion=complete_methods,
        rich_help_panel=GRID,
        show_default="the suite's",
    ),
]
Backbones = Annotated[
    str | None,
    typer.Option(
        help="Backbones: NAME, NAME:tag, NAME=checkpoint, local-dir:DIR, hf-hub:ORG/NAME, timm:MODEL, "
        "torchvision:MODEL. "
        "Example: --backbones RN50,ViT-B/16 or --backbones local-dir:/my/model.",
        autocompletion=complete_backbones,
        rich_help_panel=GRID,
        show_default="the suite's",
    ),
]
Datasets = Annotated[
    str | None,
    typer.Option(
        help="Data sets: NAME, a folder (DIR or folder:DIR), embeddings:FILE. "
        "Example: --datasets waterbirds or --datasets /my/photos.",
        autocompletion=complete_datasets,
        rich_help_panel=GRID,
        show_default="the suite's",
    ),
]
Suite = Annotated[
    str | None,
    typer.Option(
        help="A named list of data sets, backbones and methods, for what is not given: embedded, paper. "
        "Example: --suite paper.",
        autocompletion=complete_suites,
        rich_help_panel=GRID,
        show_default="embedded",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Seeds per method; with fewer than the rules ask for, methods stay unranked. Example: --seeds 10.",
        rich_help_panel=GRID,
        show_default="the rules'",
    ),
]
Configs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Configurations per seed, the paper's own first. Records go to rules of their own. Example: --configs 16.",
        rich_help_panel=GRID,
        show_default="the rules'",
    ),
]
RulesName = Annotated[
    str | None,
    typer.Option(
        "--rules",
        help="Version of the evaluation rules: v1, or quick for a smaller budget. Example: --rules quick.",
        autocompletion=complete_rules,
        rich_help_panel=GRID,
        show_default="v1; quick if nothing is named",
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        help="Named prompt set instead of the data set's headline one. Example: --prompts imagenet80.",
        rich_help_panel=GRID,
        show_default="the data set's first",
    ),
]
Attributes = Annotated[
    Path | None,
    typer.Option(
        help="A report of `spurbench suspects`: its words stand for the spurious attribute in the place of the data "
        "set's own, for methods that are told it in words. Records go to rules of their own. "
        "Example: --attributes suspects.json.",
        rich_help_panel=GRID,
        show_default="the data set's own words",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the data sets. Example: --data-root /data (then /data/waterbirds_v1.0).",
        rich_help_panel=PLACES,
        show_default="$SPURBENCH_DATA, or the user's data folder",
    ),
]
Results = Annotated[
    Path,
    typer.Option(
        help="Folder with the records; leaderboard.md stands beside it. Example: --results /tmp/try/results.",
        rich_help_panel=PLACES,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for cached features, hashes and logs. Example: --cache /scratch/spurbench.",
        rich_help_panel=PLACES,
        show_default="$SPURBENCH_CACHE, or the user's cache folder",
    ),
]
Plugin = Annotated[
    list[str] | None,
    typer.Option(
        help="A Python file or module with methods, data sets or backbones; may be repeated. Example: --plugin my.py.",
        rich_help_panel=PLACES,
    ),
]
Device = Annotated[
    str, typer.Option(help="Where to compute. Example: --device cpu.", metavar="auto|cpu|cuda", rich_help_panel=HOW)
]
Precision = Annotated[
    str,
    typer.Option(
        help="Precision of the towers; each has features of its own. Example: --precision bf16.",
        metavar="fp32|bf16",
        rich_help_panel=HOW,
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Compute again what is done. Example: --methods erm --force.", rich_help_panel=HOW),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Compute at most so many cells now, the rest another time. Example: --limit 10.",
        rich_help_panel=HOW,
        show_default="no limit",
    ),
]
CellTimeout = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Seconds one cell may take; it is stopped and recorded as failed. Example: --cell-timeout 600.",
        rich_help_panel=HOW,
        show_default="no limit",
    ),
]
MemoryLimit = Annotated[
    str,
    typer.Option(
        help="Memory that heads fitted at once may take for themselves; results do not depend on it. "
        "Example: --memory-limit 512M.",
        metavar="SIZE",
        rich_help_panel=HOW,
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Fetch neither data nor weights. Example: --offline --data-root /data.", rich_help_panel=HOW
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Run in this process and show full tracebacks. Example: --methods mine --debug.",
        rich_help_panel=HOW,
    ),
]
