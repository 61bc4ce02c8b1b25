"""Registries: names without imports, entry points, plugin files, did-you-mean, and where each name came from.

Built-in methods, data sets and backbones arrive through the same entry points as anyone else's.
"""

from __future__ import annotations

import copy
import fnmatch
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from .cards import BackboneCard, DatasetCard, DiscovererCard, InferenceCard, MethodCard
from .errors import PluginError, SpurbenchError, UnknownNameError, UsageError

T = TypeVar("T")
OURS = "package spurbench ("
"""How the origin of a thing begins that this distribution ships."""


@dataclass(frozen=True)
class Entry:
    """One registered name: where it came from and how to get the thing itself."""

    origin: str
    load: Callable[[], Any]


class Registry(Generic[T]):
    """Things of one kind by name.

    A registered thing is an object with a `card`, or a class that is called without arguments to make one. A class
    with a `usage` attribute such as `"folder:DIR"` takes what stands behind the colon as its only argument; if that has
    a default, the plain name stands for it.

    Args:
        kind: singular noun for messages, e.g. `method`.
        group: entry-point group, e.g. `spurbench.methods`; empty for none.
        of_folders: the entry that a folder's path stands for: `DIR` is short for `folder:DIR`. A registered name is
            never taken for a folder.
        extras: things that stand behind a plus, as in `group_dro+george`, and `compose.Composed` joins to one of these,
            which are methods: they take pinned hyper-parameters too, as in `group_dro:eta=0.1` (`pinned.Pinned`).
    """

    def __init__(
        self, kind: str, group: str = "", extras: Registry[Any] | None = None, of_folders: str | None = None
    ) -> None:
        self.kind = kind
        self._of_folders = of_folders
        self._extras = extras
        self._entries: dict[str, Entry] = {}
        self._made: dict[str, T] = {}
        if group:
            for point in importlib.metadata.entry_points(group=group):
                package = point.dist.name if point.dist else point.value.partition(":")[0]
                self.add(point.name, f"package {package} ({point.value})", point.load)

    def add(self, name: str, origin: str, load: Callable[[], Any]) -> None:
        """Register `name`. Raises PluginError if it is taken: two things under one name would share their results."""
        taken = self._entries.get(name)
        if taken is not None:
            raise PluginError(
                f"two {self.kind}s are called '{name}': one from {taken.origin}, one from {origin}; rename one"
            )
        self._entries[name] = Entry(origin, load)

    def names(self) -> list[str]:
        """Every registered name, sorted; nothing is imported for it."""
        return sorted(self._entries)

    def origin(self, name: str) -> str:
        """Where `name` was registered."""
        return self._entry(name)[0].origin

    def thing(self, name: str) -> Any:
        """What was registered under `name`, before it is called. Raises PluginError if it cannot be imported."""
        entry, _ = self._entry(name)
        try:
            return entry.load()
        except SpurbenchError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.kind} '{name}' from {entry.origin} cannot be imported: {type(error).__name__}: {error}"
            ) from error

    def get(self, name: str) -> T:
        """The thing called `name`, made once. Raises UnknownNameError, PluginError or UsageError."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def fresh(self, name: str) -> T:
        """A new one, that nobody has used: what it may remember on itself must not pass from one cell to the next."""
        thing = self.thing(name)
        return self._make(name) if inspect.isclass(thing) else copy.deepcopy(self._make(name))

    def _entry(self, name: str) -> tuple[Entry, str | None]:
        """The entry for `name`, and the argument if it is written `entry:argument`."""
        if name in self._entries:
            return self._entries[name], None
        base, plus, extra = name.rpartition("+")
        if plus and self._extras is not None:
            return self._joined(base, extra), None
        prefix, colon, argument = name.partition(":")
        if colon and prefix in self._entries:
            return self._entries[prefix], argument
        if self._is_folder(name):
            return self._entries[self._of_folders or ""], name
        if self._of_folders is not None and ("/" in prefix or prefix.startswith((".", "~"))):
            raise UsageError(f"there is no folder {name}, and no {self.kind} is called so")
        raise UnknownNameError(self.kind, name if self._extras is None else prefix, self._entries)

    def _is_folder(self, name: str) -> bool:
        """Whether a name that is not registered is the path of a folder here, for a registry that opens some."""
        return self._of_folders in self._entries and Path(name).expanduser().is_dir()

    def _joined(self, base: str, extra: str) -> Entry:
        """The entry for two things that are composed; it counts as foreign if one of them is."""
        assert self._extras is not None
        origins = sorted((self.origin(base), self._extras.origin(extra)), key=lambda origin: origin.startswith(OURS))

        def load() -> Any:
            assert self._extras is not None
            # By name: names can be looked up without torch, which composing needs.
            composed = importlib.import_module("spurbench.compose").Composed
            return composed(self.fresh(base), self._extras.fresh(extra))

        return Entry(origins[0], load)

    def _make(self, name: str) -> T:
        _, argument = self._entry(name)
        thing: Any = self.thing(name)
        usage = getattr(thing, "usage", None)
        if usage is not None and not argument and not _has_default(thing):
            raise UsageError(f"{self.kind} '{name}' needs an argument: {usage}")
        pins = usage is None and argument is not None
        if pins and self._extras is None:
            raise UnknownNameError(self.kind, name, self._entries)
        made = thing
        if inspect.isclass(thing):
            try:
                factory: Callable[..., Any] = thing
                made = factory(argument) if argument and not pins else factory()
            except SpurbenchError:
                raise
            except Exception as error:
                raise PluginError(f"{self.kind} '{name}' cannot be made: {type(error).__name__}: {error}") from error
        written = getattr(getattr(made, "card", None), "name", name)
        # What is composed or pinned makes its own name, in which numbers have one spelling.
        registered = name.partition(":")[0] if pins else name
        if usage is None and written != registered and not isinstance(getattr(made, "composed_of", None), tuple):
            raise PluginError(
                f"{self.kind} '{name}' from {self.origin(name)} calls itself '{written}' on its card; "
                "the two must agree, because records go by the card's name"
            )
        # By name, as above.
        return cast("T", importlib.import_module("spurbench.pinned").Pinned(made, argument) if pins else made)

    def select(
        self,
        patterns: Sequence[str],
        *,
        everything: Collection[str] = (),
        matchable: Callable[[], Iterable[str]] = tuple,
        any_name: bool = False,
    ) -> list[str]:
        """The names that a list of patterns stands for, in order, each once.

        `all` is every plain name; globs match plain names; `!pattern` takes away (alone, from all); anything else is a
        name and must exist. Names that need an argument are never part of `all`. Only `all` and globs have everything
        imported, to find out which names those are.

        Args:
            everything: names that `all` means besides the registered ones.
            matchable: further names for globs, asked for only if there is a glob.
            any_name: names that are not registered are kept, for somebody else to judge.
        """
        known = {*self._entries, *everything}

        def plain() -> list[str]:
            return sorted(name for name in known if name in everything or not self.needs_argument(name))

        chosen: dict[str, None] = {}
        for pattern in [p for p in patterns if not p.startswith("!")] or ["all"]:
            if pattern == "all":
                chosen.update(dict.fromkeys(plain()))
            elif self._is_glob(pattern):
                pool = dict.fromkeys([*plain(), *matchable()])
                matched = [name for name in pool if fnmatch.fnmatchcase(name, pattern)]
                if not matched:
                    raise UnknownNameError(self.kind, pattern, pool)
                chosen.update(dict.fromkeys(matched))
            else:
                if pattern not in known and not any_name:
                    self._entry(pattern)
                chosen[pattern] = None
        for pattern in [p[1:] for p in patterns if p.startswith("!")]:
            gone = [name for name in chosen if fnmatch.fnmatchcase(name, pattern) or name == pattern]
            if not gone and not self._is_glob(pattern) and pattern not in known:
                raise UnknownNameError(self.kind, pattern, known)
            for name in gone:
                del chosen[name]
        return list(chosen)

    def _is_glob(self, pattern: str) -> bool:
        """True for a pattern; brackets in an argument, as in `folder:/photos [1]`, are just a name."""
        prefix, colon, _ = pattern.partition(":")
        if (colon and prefix in self._entries) or self._is_folder(pattern):
            return False
        return any(mark in pattern for mark in "*?[")

    def needs_argument(self, name: str) -> bool:
        """True for names written `name:ARGUMENT`. A thing that cannot be imported is kept: its cells say why."""
        try:
            thing = self._entries[name].load()
            return getattr(thing, "usage", None) is not None and not _has_default(thing)
        except (Exception, SystemExit):
            return False


def _has_default(thing: Any) -> bool:
    """Whether a thing with a `usage` can be made without an argument."""
    return all(p.default is not p.empty for p in inspect.signature(thing).parameters.values())


def _card_of(thing: Any) -> Any:
    """Its card, if it has one that can be read."""
    try:
        return getattr(thing, "card", None)
    except Exception:
        return None


def _same(thing: Any) -> Any:
    return thing


@dataclass(frozen=True)
class Registries:
    """The registries of a session, and the plugins that were added to them."""

    methods: Registry[Any]
    datasets: Registry[Any]
    backbones: Registry[Any]
    inferences: Registry[Any]
    discoverers: Registry[Any]
    plugins: tuple[str, ...] = ()


def load_registries(plugins: Sequence[str] = ()) -> Registries:
    """Entry points of every installed package, then each plugin: a Python file, or the name of an importable module.

    A plugin's classes and objects are registered by the kind of their `card`. Raises PluginError or UsageError.
    """
    inferences: Registry[Any] = Registry("group inference", "spurbench.inferences")
    registries = Registries(
        Registry("method", "spurbench.methods", extras=inferences),
        Registry("dataset", "spurbench.datasets", of_folders="folder"),
        Registry("backbone", "spurbench.backbones"),
        inferences,
        Registry("discoverer", "spurbench.discoverers"),
        tuple(plugins),
    )
    by_card: dict[type, Registry[Any]] = {
        MethodCard: registries.methods,
        DatasetCard: registries.datasets,
        BackboneCard: registries.backbones,
        InferenceCard: registries.inferences,
        DiscovererCard: registries.discoverers,
    }
    for plugin in {Path(name).resolve() if name.endswith(".py") else name: name for name in plugins}.values():
        module = import_plugin(plugin)
        found = 0
        for thing in {id(thing): thing for thing in vars(module).values()}.values():
            registry = by_card.get(type(_card_of(thing)))
            owner = thing if inspect.isclass(thing) else type(thing)
            if registry is not None and owner.__module__ == module.__name__:
                registry.add(thing.card.name, f"plugin {plugin}", partial(_same, thing))
                found += 1
        if not found:
            raise PluginError(
                f"plugin {plugin} defines nothing to register: it needs a class or object with a `card` that is a "
                "MethodCard, DatasetCard, BackboneCard, InferenceCard or DiscovererCard"
            )
    return registries


def import_plugin(plugin: str) -> ModuleType:
    """Import a plugin given as a `.py` file or a module name. Raises UsageError if absent, PluginError if it raises."""
    path = Path(plugin)
    try:
        if path.suffix != ".py":
            return importlib.import_module(plugin)
        if not path.is_file():
            raise UsageError(f"there is no plugin file {plugin}")
        name = f"spurbench_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"plugin {plugin} cannot be imported as Python")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except SpurbenchError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (plugin == error.name or plugin.startswith(f"{error.name}.")):
            raise UsageError(f"there is no plugin file or module called '{plugin}'") from error
        raise PluginError(f"plugin {plugin} needs the module '{error.name}', which is not installed") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"plugin {plugin} raised {type(error).__name__} on import: {error}") from error
