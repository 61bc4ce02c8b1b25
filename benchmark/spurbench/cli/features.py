"""`spurbench features`: build, list, verify and remove cached features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from ..features import FeatureStore

app = typer.Typer(help="Build, list, verify and remove cached features.", no_args_is_help=True)
Keys = Annotated[list[str] | None, typer.Argument(help="Keys, or beginnings of keys, as `features list` shows them.")]


def _store(cache: Path | None) -> FeatureStore:
    from ..features import FeatureStore
    from ..files import default_cache

    return FeatureStore((cache or default_cache()) / "features")


@app.command()
def build(
    backbones: options.Backbones = None,
    datasets: options.Datasets = None,
    kinds: Annotated[
        str, typer.Option(help="embeddings, penultimate, or both. Example: --kinds embeddings,penultimate.")
    ] = "embeddings",
    suite: options.Suite = None,
    data_root: options.DataRoot = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    plugin: options.Plugin = None,
    offline: options.Offline = False,
) -> None:
    """Encode the photos of data sets with backbones, where that is not done yet.

    Example: [bold]spurbench features build --datasets waterbirds --backbones RN50 --kinds embeddings,penultimate[/bold]
    """
    from ..building import build_features
    from ..files import default_cache, default_data_root
    from ..session import Session

    session = Session(
        backbones=backbones,
        datasets=datasets,
        suite=suite,
        data_root=data_root or default_data_root(),
        cache=cache or default_cache(),
        device=device,
        precision=precision,
        plugins=tuple(plugin or ()),
        fetch=not offline,
    )
    for line in build_features(session, kinds):
        typer.echo(line)


@app.command("list")
def list_entries(cache: options.Cache = None) -> None:
    """Show what is cached. Example: [bold]spurbench features list[/bold]"""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    store = _store(cache)
    table = Table()
    for name in ("key", "features", "shape", "MiB", "created"):
        table.add_column(name, overflow="fold")
    size = 0
    for entry in store.entries():
        size += entry.bytes
        shape = "x".join(map(str, entry.shape))
        table.add_row(entry.key[:12], Text(entry.label), shape, f"{entry.bytes / 2**20:.1f}", Text(entry.created[:10]))
    console = Console()
    console.print(table)
    console.print(f"{size / 2**20:.1f} MiB in {store.folder}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def verify(keys: Keys = None, cache: options.Cache = None) -> None:
    """Read every file again and compare it with its hash; exit 1 if any is damaged. They are rebuilt when next needed.

    Example: [bold]spurbench features verify[/bold]
    """
    store = _store(cache)
    damaged = 0
    for key, label in _matching(store, keys):
        entry = next(entry for entry in store.entries() if entry.key == key)
        good = store.verify(entry)
        damaged += not good
        typer.echo(f"{'intact ' if good else 'DAMAGED'} {key[:12]} {label}")
    if damaged:
        typer.echo(f"{damaged} damaged; the next run that needs them builds them again", err=True)
        raise typer.Exit(1)


@app.command()
def remove(
    keys: Keys = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove every entry. Example: features remove --all.")
    ] = False,
    cache: options.Cache = None,
) -> None:
    """Delete cached features. Example: [bold]spurbench features remove 3f9a12cd[/bold]"""
    from ..errors import UsageError

    if not keys and not everything:
        raise UsageError("name the keys to remove, or --all (`spurbench features list` shows them)")
    store = _store(cache)
    for key, label in _matching(store, None if everything else keys):
        store.remove(key)
        typer.echo(f"removed {key[:12]} {label}")


def _matching(store: FeatureStore, keys: list[str] | None) -> list[tuple[str, str]]:
    from ..errors import UsageError

    entries = [(entry.key, entry.label) for entry in store.entries()]
    if keys is None:
        return entries
    for wanted in keys:
        if not any(key.startswith(wanted) for key, _ in entries):
            raise UsageError(f"no cached features have a key that starts with '{wanted}'")
    return [(key, label) for key, label in entries if any(key.startswith(wanted) for wanted in keys)]
