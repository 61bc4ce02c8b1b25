"""The house keeps its shape: three roots, arrows one way, no torch where it is not needed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOTS = [ROOT / "benchmark", ROOT / "methods", ROOT / "datasets"]
TORCH_FREE = [
    "registry",
    "record",
    "board",
    "cli",
    "plan",
    "execute",
    "cards",
    "data",
    "metrics",
    "stats",
    "rules",
    "render.site",
]


def sources(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"no sources below {folder}"
    return found


def imported(source: Path) -> Iterator[str]:
    """Top-level names of absolute imports, and of `import_module("...")` and `__import__("...")`."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__"):
                yield str(node.args[0].value).partition(".")[0]


def python(code: str, *, path: list[Path], cwd: Path = ROOT) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_the_three_roots_are_folders_and_not_packages(root: Path) -> None:
    assert root.is_dir()
    assert not (root / "__init__.py").exists()
    assert [path.name for path in root.glob("*.py")] == []


def test_the_scan_sees_every_way_to_import(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    lines = ["import a.b", "from c.d import e", "def f():\n import g", "from . import h", "__import__('i.j')"]
    file.write_text("\n".join([*lines, "importlib.import_module('k')", "importlib.import_module(name)"]))
    assert set(imported(file)) == {"a", "c", "g", "i", "k"}


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("benchmark/spurbench", {"spurbench_methods", "spurbench_datasets", "wilds"}),
        ("methods/spurbench_methods", {"spurbench_datasets"}),
        ("datasets/spurbench_datasets", {"spurbench_methods"}),
    ],
)
def test_imports_go_one_way(folder: str, forbidden: set[str]) -> None:
    wrong = {str(source.relative_to(ROOT)): set(imported(source)) & forbidden for source in sources(ROOT / folder)}
    assert {source: names for source, names in wrong.items() if names} == {}


def test_torch_is_imported_by_none_of_what_can_do_without() -> None:
    """One process for all: who imports one of the heavy packages first is named. `method` shows that it is noticed."""
    code = (
        "import importlib, json, sys\n"
        "heavy, before, found = {'torch', 'open_clip', 'timm', 'wilds'}, set(), {}\n"
        f"for name in {[*TORCH_FREE, 'method']!r}:\n"
        "    importlib.import_module(f'spurbench.{name}')\n"
        "    found[name], before = sorted(heavy & set(sys.modules) - before), heavy & set(sys.modules)\n"
        "print(json.dumps(found))"
    )
    found = json.loads(python(code, path=ROOTS))
    assert "torch" in found.pop("method")
    assert found == {name: [] for name in TORCH_FREE}


def test_the_datasets_folder_does_not_shadow_the_package_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("")
    found = python("import datasets; print(datasets.__file__)", path=[tmp_path])
    assert Path(found) == tmp_path / "datasets" / "__init__.py"


def test_datasets_is_never_a_regular_package_of_this_project() -> None:
    code = "import importlib.util as u\nspec = u.find_spec('datasets')\nprint(spec.origin or '' if spec else '')"
    origin = python(code, path=ROOTS)
    # A virtual environment may well stand in the checkout.
    assert not origin or not any(Path(origin).is_relative_to(root) for root in ROOTS)


def test_every_entry_point_names_something_that_is_written() -> None:
    tomllib = pytest.importorskip("tomllib")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    absent = []
    for group in groups.values():
        for target in group.values():
            module, _, name = target.partition(":")
            files = [r / f"{module.replace('.', '/')}{end}" for r in ROOTS for end in (".py", "/__init__.py")]
            tree = next((ast.parse(file.read_bytes()) for file in files if file.is_file()), None)
            defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} if tree else set()
            absent += [] if name in defined else [target]
    assert absent == []
