"""What there is: cards as rows of a table, and whether data or weights are on this machine."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import SpurbenchError, UsageError
from .registry import Registries
from .space import Choice, Switch

Row = dict[str, Any]
KINDS = ("methods", "datasets", "backbones", "inferences", "discoverers")


def list_kind(kind: str, registries: Registries, data_root: Path, cache: Path) -> list[Row]:
    """Rows for `spurbench list KIND`. Raises UsageError for another kind."""
    rows: dict[str, Callable[[], list[Row]]] = {
        "methods": lambda: list_methods(registries),
        "datasets": lambda: list_datasets(registries, data_root),
        "backbones": lambda: list_backbones(registries, cache),
        "inferences": lambda: list_inferences(registries),
        "discoverers": lambda: list_discoverers(registries),
    }
    if kind not in rows:
        raise UsageError(f"there are no '{kind}' to list; write one of {', '.join(KINDS)}")
    return rows[kind]()


def list_methods(registries: Registries) -> list[Row]:
    """A row per method; one that cannot be imported says why."""
    rows = []
    for name in registries.methods.names():
        try:
            method = registries.methods.get(name)
        except SpurbenchError as error:
            rows.append({"name": name, "title": str(error), "origin": registries.methods.origin(name)})
            continue
        card = method.card
        rows.append(
            {
                "name": name,
                "title": card.title,
                "supervision": str(card.supervision),
                "inputs": ", ".join(card.inputs),
                "trains": card.trains,
                "track": card.track,
                "configurations": _size(method.space),
                "paper": card.paper,
                "origin": registries.methods.origin(name),
            }
        )
    return rows


def list_inferences(registries: Registries) -> list[Row]:
    """A row per group inference; one that cannot be imported says why."""
    rows = []
    for name in registries.inferences.names():
        origin = registries.inferences.origin(name)
        try:
            inference = registries.inferences.get(name)
        except SpurbenchError as error:
            rows.append({"name": name, "title": str(error), "origin": origin})
            continue
        card = inference.card
        rows.append(
            {
                "name": name,
                "title": card.title,
                "usage": f"--methods group_dro+{name}",
                "supervision": str(card.supervision),
                "inputs": ", ".join(card.inputs),
                "configurations": _size(inference.space),
                "paper": card.paper,
                "origin": origin,
            }
        )
    return rows


def list_discoverers(registries: Registries) -> list[Row]:
    """A row per discoverer; one that cannot be imported says why."""
    rows = []
    for name in registries.discoverers.names():
        origin = registries.discoverers.origin(name)
        try:
            thing = registries.discoverers.get(name)
        except SpurbenchError as error:
            rows.append({"name": name, "title": str(error), "origin": origin})
            continue
        usage = getattr(thing, "usage", name)
        rows.append(
            {"name": name, "title": thing.card.title, "usage": usage, "paper": thing.card.paper, "origin": origin}
        )
    return rows


def list_datasets(registries: Registries, data_root: Path) -> list[Row]:
    """A row per data set."""
    rows = []
    for name in registries.datasets.names():
        try:
            thing = registries.datasets.thing(name)
            if registries.datasets.needs_argument(name):
                title = _first_line(thing)
                rows.append(
                    {"name": thing.usage, "title": title, "here": "yours", "origin": registries.datasets.origin(name)}
                )
                continue
            dataset = registries.datasets.get(name)
        except SpurbenchError as error:
            rows.append({"name": name, "title": str(error), "origin": registries.datasets.origin(name)})
            continue
        card = dataset.card
        rows.append(
            {
                "name": name,
                "usage": getattr(thing, "usage", name),
                "title": card.title,
                "classes": ", ".join(card.classes),
                "attributes": ", ".join(card.attributes),
                "prompts": ", ".join(prompts.name for prompts in card.prompts),
                "licence": card.licence,
                "here": "yes" if _is_here(dataset, data_root) else f"no: {card.download}".removesuffix(": "),
                "origin": registries.datasets.origin(name),
            }
        )
    return rows


def list_backbones(registries: Registries, cache: Path) -> list[Row]:
    """The families that take an argument, plugins' backbones, the CLIPs that `all` means, and others that are here."""
    from .backbones.open_clip import STUDIED, Catalogue

    rows: list[Row] = []
    for name in registries.backbones.names():
        thing = registries.backbones.thing(name)
        origin = registries.backbones.origin(name)
        if getattr(thing, "usage", None) is not None:
            rows.append({"name": thing.usage, "title": _first_line(thing), "here": "depends", "origin": origin})
        else:
            card = registries.backbones.get(name).card
            rows.append({"name": name, "title": card.title, "licence": card.licence, "here": "yes", "origin": origin})
    catalogue = Catalogue(cache)
    here = catalogue.available()
    origin = registries.backbones.origin("open_clip")
    for name in dict.fromkeys([*STUDIED, *here]):
        rows.append(
            {
                "name": name,
                "title": "open_clip weights",
                "licence": "MIT (OpenAI)" if ":" not in name else "see the weights' publisher",
                "here": "yes" if name in here else "no: fetched when first used",
                "origin": origin,
            }
        )
    return rows


def _is_here(dataset: Any, root: Path) -> bool:
    try:
        dataset.prepare(root, download=False)
    except SpurbenchError:
        return False
    return True


def _size(space: Any) -> str:
    searched = [item for item in space.values() if not isinstance(item, Switch)]
    sizes = [len(item.values) if isinstance(item, Choice) else None for item in searched]
    return "unbounded" if None in sizes else str(math.prod(size for size in sizes if size is not None))


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
