"""A harness module imports only what stands above it; the list is the one in DESIGN and CONTRIBUTING, spelled out."""

from __future__ import annotations

import ast
from pathlib import Path

import spurbench

ORDER = [
    "errors", "marking", "narrowing", "files", "attribute_text", "imagenet", "cards", "registry", "data", "seeds",
    "space", "metrics", "localisation", "stats", "easy_hard", "rules", "attention", "calibration", "reading", "npz",
    "published", "record_text", "record", "amending", "provenance", "images", "backbones", "encode", "features",
    "regions", "text_space", "model_space", "scratch", "parallel", "solvers", "method", "compose", "pinned", "heads",
    "projections", "finetuning", "explanation", "discovery", "isolation", "tasks", "judge", "evaluation", "remade",
    "texts", "keys", "masks", "plan", "jobs", "workbench", "executors", "execute", "work", "session", "building",
    "board", "beside", "robustness", "verify", "builder", "photo_folder", "contact_sheet", "study", "findings",
    "explained", "suspects", "planted", "comparison", "render", "leaderboard", "frames", "history", "operands",
    "candidates", "listing", "progress", "cli",
]  # fmt: skip
ROOT = Path(spurbench.__file__).parent


def imported(path: Path) -> set[str]:
    package = ("spurbench", *path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            names = [(*module, alias.name) for alias in node.names] if len(module) == 1 else [module]
            found |= {name[1] for name in names if name[0] == "spurbench" and len(name) > 1}
    return found & set(ORDER)


def test_every_module_has_its_place() -> None:
    modules = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert modules - {"__init__", "suites"} == set(ORDER)


def test_imports_point_upwards_only() -> None:
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        below = [name for name in imported(path) if ORDER.index(name) > ORDER.index(own)]
        assert not below, f"{path.relative_to(ROOT)} imports {below}, which stand below {own}"
