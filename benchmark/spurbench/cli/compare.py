"""`spurbench compare`: how two methods, or two sets of results, differ."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .grid import RESULTS
from .show import By

if TYPE_CHECKING:
    from ..comparison import MethodComparison, ResultsComparison


class Form(str, Enum):
    """How a comparison is written."""

    text = "text"
    md = "md"


Datasets = Annotated[
    str | None,
    typer.Option(
        help="Data sets of the results: names, globs, !exclusions. Example: --datasets 'menagerie-*'.",
        show_default="all",
    ),
]
Backbones = Annotated[
    str | None,
    typer.Option(
        help="Backbones of the results: names, globs, !exclusions. Example: --backbones RN50.", show_default="all"
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Fail for a file that cannot be read, rather than warn. Example: --strict.")
]


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="A method of the results (METHOD@FOLDER for one of another folder), a folder of results, or a commit, "
            "branch or tag of the repository that holds them; where a name could be several, write method:NAME, "
            "folder:DIR or commit:REVISION."
        ),
    ],
    b: Annotated[str, typer.Argument(help="Another. Differences are B - A.")],
    results: options.Results = RESULTS,
    selection: Annotated[
        By, typer.Option(help="How configurations are chosen. Example: --selection worst_class.")
    ] = By.worst_group,
    datasets: Datasets = None,
    backbones: Backbones = None,
    form: Annotated[
        Form, typer.Option("--format", help="text, or md for a comment. Example: --format md.")
    ] = Form.text,
    as_json: Annotated[bool, typer.Option("--json", help="Every number, for machines. Example: --json.")] = False,
    strict: Strict = False,
) -> None:
    """Compare two methods, or two sets of results: differences with intervals and paired tests, and changes of rank.

    Example: [bold]spurbench compare erm dfr_val[/bold], [bold]spurbench compare erm mine@mine/results[/bold] or
    [bold]spurbench compare main HEAD[/bold]
    """
    from ..comparison import MethodOf, compare_methods, compare_results
    from ..errors import DataError, UsageError
    from ..narrowing import places
    from ..operands import Operands

    if as_json and form is Form.md:
        raise UsageError("--json and --format md are two forms; choose one")
    operands = Operands(results)
    one, other = operands.decide(a, b)
    patterns = options.names_of(datasets), options.names_of(backbones)
    with ExitStack() as stack:
        found: MethodComparison | ResultsComparison
        if one == other and one.kind == "method":
            raise UsageError(f"'{one.name}' is compared with itself; name two methods")
        opened = [operands.open(one, stack, strict=strict)]
        together = one.folder is not None and one.folder == other.folder
        opened.append(opened[0] if together else operands.open(other, stack, strict=strict))
        if not any(some.places or some.unreadable for some in opened):
            raise DataError(f"neither {one.name} nor {other.name} holds a record; are these the results you mean?")
        shown = places(opened[0].places | opened[1].places, *patterns)
        first, second = (some.within(shown) for some in opened)
        if one.kind == "method":
            found = compare_methods(MethodOf(one.name, first), MethodOf(other.name, second), selection.value)
        else:
            found = compare_results(first, second, selection.value)
    tell(dict.fromkeys(message for some in opened for message in some.unreadable))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, ensure_ascii=False))
    elif form is Form.md:
        from ..render.comparison_markdown import to_markdown

        typer.echo(to_markdown(found), nl=False)
    else:
        from rich.console import Console

        from ..render.comparison_terminal import print_comparison

        print_comparison(found, Console())


def tell(broken: Iterable[str]) -> None:
    """Say which files were left out, and why: once for each fault."""
    from ..comparison import by_fault
    from ..errors import plain

    for message in by_fault(broken):
        typer.echo(f"left out: {plain(message)}", err=True)
