"""`spurbench candidates`: which few labels photos of a class are told apart from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def candidates(
    dataset: Annotated[
        str,
        typer.Argument(
            help="A data set with photos, e.g. counteranimal or counteranimal:DIR.",
            autocompletion=options.complete_datasets,
            show_default=False,
        ),
    ],
    backbone: Annotated[
        str,
        typer.Option(
            help="The model that names them. Example: --backbone ViT-B/32:laion400m_e31.",
            autocompletion=options.complete_backbones,
            show_default=False,
        ),
    ],
    size: Annotated[int, typer.Option(help="Labels per class, itself among them. Example: --size 20.")] = 20,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Example: --out mine.json.", show_default="where the data set looks for it"),
    ] = None,
    data_root: options.DataRoot = None,
    cache: options.Cache = None,
    plugin: options.Plugin = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    offline: options.Offline = False,
) -> None:
    """Name, for each class, the labels that a model finds most similar to its photos, for a label space of few.

    Example: [bold]spurbench candidates counteranimal --backbone ViT-B/32:laion400m_e31[/bold]
    """
    from ..errors import UsageError
    from ..files import default_cache, default_data_root, write_atomic
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
    if out is None:
        named = session.registries.datasets.get(dataset)
        if not hasattr(named, "candidates_file"):
            raise UsageError(f"data set '{dataset}' looks for candidates nowhere; say where to write them: --out FILE")
        out = named.candidates_file(session.data_root, size)
    # Told before photos are encoded for an hour.
    if out.is_dir():
        raise UsageError(f"--out names a file; {out} is a folder")

    from rich.console import Console
    from rich.progress import Progress

    from ..candidates.ranking import name_candidates
    from .console import show_log

    messages = Console(stderr=True)
    show_log(messages)
    with Progress(console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("encoding photos", total=None)

        def listen(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        found = name_candidates(session, dataset, backbone, size, listen)
    write_atomic(out, found.model_dump_json().encode() + b"\n")
    typer.echo(f"{size} candidates for each of {len(found.candidates)} classes are in {out}")
