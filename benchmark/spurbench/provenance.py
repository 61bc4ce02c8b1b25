"""What a result came from: the method's source, the software, the machine."""

from __future__ import annotations

import ast
import importlib.util
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__
from .files import sha256_of

NUMERIC = (
    "attribute_text", "backbones.roi", "backbones.spatial", "calibration", "compose", "data", "discovery", "evaluation",
    "finetuning", "heads", "isolation", "judge", "method", "metrics", "model_space", "parallel", "pinned",
    "projections", "regions", "seeds", "solvers", "space", "tasks", "text_space", "texts",
)  # fmt: skip
"""Harness modules whose code decides numbers: a change of any makes every record stale that depends on it."""
TOWERS = ("backbones.roi", "backbones.spatial", "discovery", "finetuning", "regions")
"""Those of them that work on whole towers and on regions: records of methods that use none of them do not depend on
them."""
PLUGIN = "spurbench_plugin_"
PACKAGES = ("torch", "open_clip_torch", "timm", "numpy", "scipy", "scikit-learn")


def source_hash(thing: object) -> str:
    """sha256 over the source of a method's module and of every module of its own package that it imports, at any depth.

    A change of any of them makes the method's records stale. A composed method is what it is composed of.
    """
    parts = getattr(thing, "composed_of", ())
    if parts:
        return sha256_of(source_hash(part).encode() for part in parts)
    # A plugin file's module name holds a hash of its path, which is not what it does.
    own = {("plugin" if name.startswith(PLUGIN) else name): code for name, code in _sources(thing)[0].items()}
    return sha256_of(part for name in sorted(own) for part in (name.encode(), own[name]))


def uses_towers(thing: object) -> bool:
    """Whether a method's sources, as `source_hash` follows them, import any of TOWERS."""
    parts = getattr(thing, "composed_of", ())
    if parts:
        return any(uses_towers(part) for part in parts)
    places = tuple(f"spurbench.{name}." for name in TOWERS)
    return any(f"{imported}.".startswith(places) for imported in _sources(thing)[1])


def _sources(thing: object) -> tuple[dict[str, bytes], set[str]]:
    """The code of each module that `source_hash` is over, and the names of all that these import."""
    kind = thing if isinstance(thing, type) else type(thing)
    # Base classes count wherever they come from: a method may inherit its `fit` from another package's.
    bases = {base.__module__ for base in kind.__mro__} - {"builtins", "typing", "abc"}
    packages = {kind.__module__.partition(".")[0], "spurbench_methods"} - {"spurbench"}
    beside = {path.parent for name in bases if name.startswith(PLUGIN) and (path := _source_file(name))}
    sources: dict[str, bytes] = {}
    imports: set[str] = set()
    waiting = sorted(bases)
    while waiting:
        name = waiting.pop()
        path = _source_file(name)
        if name in sources or path is None:
            continue
        sources[name] = path.read_bytes()
        followed = name.partition(".")[0] in packages or _lies_beside(name, beside) or name.startswith(PLUGIN)
        for imported in _imports(sources[name], name, path) if followed else ():
            imports.add(imported)
            if imported.partition(".")[0] in packages or _lies_beside(imported, beside):
                waiting.append(imported)
    return sources, imports


def _lies_beside(module: str, folders: set[Path]) -> bool:
    """Whether a module's package stands beside a plugin file: it is part of the plugin then.

    Looked up by name, in the folder alone: a plugin often lies above a virtual environment with all of torch in it.
    """
    top = module.partition(".")[0]
    return top != "spurbench" and any(
        (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file() for folder in folders
    )


def modules_hash(names: Iterable[str]) -> str:
    """sha256 over the source of some of the harness's modules; of a package, over every file of it."""
    parts: list[bytes] = []
    for name in names:
        path = _source_file(f"spurbench.{name}")
        if path is not None:
            files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
            for file in files:
                parts += [f"{name}/{file.relative_to(path.parent).as_posix()}".encode(), file.read_bytes()]
    return sha256_of(parts)


def harness_hash(thing: object | None = None) -> str:
    """`modules_hash` of the harness's own numeric modules that a method depends on; of all without a method."""
    left_out = () if thing is None or uses_towers(thing) else TOWERS
    return modules_hash(name for name in NUMERIC if name not in left_out)


def environment(device: str) -> dict[str, str]:
    """Versions and hardware, for the record."""
    versions = {"python": platform.python_version(), "spurbench": __version__}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {**versions, "system": f"{platform.system()} {platform.machine()}", "device": device}


def _source_file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        file = spec.origin if spec else None
    path = Path(file) if file and file.endswith(".py") else None
    return path if path is not None and path.is_file() else None


def _imports(code: bytes, module: str, path: Path) -> list[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names
