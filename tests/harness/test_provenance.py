"""A method's source hash changes with its code and what it is built of, and with nothing else."""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import spurbench
from spurbench import provenance
from spurbench.provenance import environment, harness_hash, source_hash
from spurbench.registry import load_registries

FILES = {
    "__init__.py": "",
    "method.py": "from .near import f\nimport PACKAGE.far, json\nfrom PACKAGE import third\nclass Method: pass\n",
    "near.py": "from .deep import er\nf = 1\n",
    "far.py": "x = 1\n",
    "third.py": "x = 1\n",
    "deep/__init__.py": "from . import er\n",
    "deep/er.py": "from .. import parent\nfrom ..uncle import *\n",
    "parent.py": "x = 1\n",
    "uncle.py": "x = 1\n",
    "lazy.py": "x = 1\n",
    "unrelated.py": "x = 1\n",
}
BUILT_OF = sorted(set(FILES) - {"unrelated.py", "lazy.py", "__init__.py"})


class Package:
    """A package on disk whose files can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, code in FILES.items():
            self.write(name, code)

    def write(self, name: str, code: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code.replace("PACKAGE", self.folder.name))

    def change(self, name: str) -> None:
        with (self.folder / name).open("a") as stream:
            stream.write("# changed\n")

    def method(self) -> type:
        found: type = importlib.import_module(f"{self.folder.name}.method").Method
        return found


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    name = "spurtest_package"
    monkeypatch.syspath_prepend(tmp_path)
    yield Package(tmp_path / name)
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.mark.parametrize("name", BUILT_OF)
def test_the_hash_changes_with_every_module_the_method_is_built_of(package: Package, name: str) -> None:
    before = source_hash(package.method())
    package.change(name)
    assert source_hash(package.method()) != before


def test_the_hash_does_not_change_with_an_unrelated_module(package: Package) -> None:
    before = source_hash(package.method())
    package.change("unrelated.py")
    assert source_hash(package.method()) == before


def test_imports_inside_functions_count(package: Package) -> None:
    package.write("method.py", "class Method:\n    def fit(self):\n        from .lazy import x\n        return x\n")
    before = source_hash(package.method())
    package.change("lazy.py")
    assert source_hash(package.method()) != before


def test_modules_that_import_each_other_end(package: Package) -> None:
    package.write("near.py", "from . import method\nf = 1\n")
    importlib.invalidate_caches()
    package.write("method.py", "class Method: pass\nfrom . import near\n")
    assert len(source_hash(package.method())) == 64


def test_a_class_and_its_object_have_the_same_hash(package: Package) -> None:
    assert source_hash(package.method()) == source_hash(package.method()())


def test_the_hash_changes_when_two_modules_swap_their_code(package: Package) -> None:
    package.write("far.py", "x = 2\n")
    before = source_hash(package.method())
    package.write("far.py", "x = 1\n")
    package.write("third.py", "x = 2\n")
    assert source_hash(package.method()) != before


METHOD = 'from spurbench.cards import MethodCard\n{more}class Mine:\n    card = MethodCard("spurtest_hash", "", "")\n'


def plugin_hash(folder: Path, code: str, name: str = "plugin.py") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(code)
    return source_hash(load_registries([str(folder / name)]).methods.get("spurtest_hash"))


def test_the_hash_of_a_plugin_file_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    one, other = (
        plugin_hash(tmp_path / "a", METHOD.format(more="")),
        plugin_hash(tmp_path / "b", METHOD.format(more="")),
    )
    assert one == other
    assert plugin_hash(tmp_path / "c", METHOD.format(more="# another\n")) != one


def test_what_a_plugin_file_imports_from_its_own_folder_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "beside")
    (tmp_path / "beside").mkdir()
    for module in ("spurtest_used", "spurtest_deeper", "spurtest_unused"):
        (tmp_path / "beside" / f"{module}.py").write_text("x = 1\n")
    (tmp_path / "beside" / "spurtest_used.py").write_text("import spurtest_deeper\n")
    code = METHOD.format(more="import spurtest_used\n")
    hashes = [plugin_hash(tmp_path / "beside", code)]
    for module in ("spurtest_unused", "spurtest_used", "spurtest_deeper"):
        with (tmp_path / "beside" / f"{module}.py").open("a") as stream:
            stream.write("# changed\n")
        hashes.append(plugin_hash(tmp_path / "beside", code))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Stands a changed copy of one module in the place of its file."""

    def change(module: str) -> None:
        original = provenance._source_file
        path = original(module)
        assert path is not None
        copy = tmp_path / "changed" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes() + b"# changed\n")
        monkeypatch.setattr(provenance, "_source_file", lambda name: copy if name == module else original(name))

    return change


@pytest.mark.parametrize("module", ["dfr", "group_dro"])
def test_what_a_method_uses_of_the_methods_we_ship_counts(
    changed: Callable[[str], None], tmp_path: Path, module: str
) -> None:
    code = METHOD.format(more="import spurbench_methods.dfr\n")
    before = plugin_hash(tmp_path / "mine", code)
    changed(f"spurbench_methods.{module}")
    assert (plugin_hash(tmp_path / "mine", code) != before) == (module == "dfr")


def test_the_modules_that_decide_numbers_all_exist() -> None:
    assert {"heads", "solvers", "evaluation", "judge", "tasks", "data", "metrics", "seeds"} <= set(provenance.NUMERIC)
    assert all(provenance._source_file(f"spurbench.{name}") for name in provenance.NUMERIC)


@pytest.mark.parametrize("name", provenance.NUMERIC)
def test_the_harness_hash_changes_with_every_module_that_decides_numbers(
    changed: Callable[[str], None], name: str
) -> None:
    before = harness_hash()
    assert harness_hash() == before
    changed(f"spurbench.{name}")
    assert harness_hash() != before


def test_records_of_heads_do_not_depend_on_what_trains_towers(changed: Callable[[str], None]) -> None:
    methods = load_registries().methods
    names = ("erm", "cfr", "group_dro+george", "erm_finetune", "wise_ft", "ravl:epochs=1")
    before = {name: harness_hash(methods.get(name)) for name in names}
    changed("spurbench.finetuning")
    after = {name: harness_hash(methods.get(name)) for name in names}
    assert [name for name in names if after[name] != before[name]] == ["erm_finetune", "wise_ft", "ravl:epochs=1"]
    changed("spurbench.evaluation")
    assert all(harness_hash(methods.get(name)) != after[name] for name in names)


def test_whoever_takes_photos_or_regions_depends_on_what_trains_towers() -> None:
    methods = load_registries().methods
    for name in methods.names():
        method = methods.get(name)
        assert provenance.uses_towers(method) or not {"images", "regions"} & set(method.card.inputs)


def package_files() -> list[str]:
    """Every file of the packages that decide numbers, below the harness's own folder."""
    root = Path(spurbench.__file__).parent
    packages = [root / name for name in provenance.NUMERIC if (root / name).is_dir()]
    return sorted(file.relative_to(root).as_posix() for package in packages for file in package.rglob("*.py"))


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the harness's source that hashes are taken of: its files can be changed."""
    root = tmp_path / "spurbench"
    shutil.copytree(Path(spurbench.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))

    def source_file(module: str) -> Path | None:
        place = root.joinpath(*module.split(".")[1:])
        found = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        return found if found.is_file() else None

    monkeypatch.setattr(provenance, "_source_file", source_file)
    return root


def test_the_packages_that_decide_numbers_have_files_of_their_own() -> None:
    found = package_files()
    assert {"heads/__init__.py", "heads/linear.py", "heads/descent.py", "heads/adapter.py"} <= set(found)
    assert any(name.startswith("solvers/") for name in found)


@pytest.mark.parametrize("name", package_files())
def test_the_harness_hash_changes_with_every_file_of_a_package_that_decides_numbers(copied: Path, name: str) -> None:
    before = harness_hash()
    with (copied / name).open("a") as stream:
        stream.write("# changed\n")
    assert harness_hash() != before


def test_the_harness_hash_notices_a_file_that_comes_goes_or_moves(copied: Path) -> None:
    hashes = [harness_hash()]
    (copied / "heads" / "deeper").mkdir()
    (copied / "heads" / "deeper" / "more.py").write_text("x = 1\n")
    hashes.append(harness_hash())
    (copied / "heads" / "deeper" / "more.py").rename(copied / "heads" / "more.py")
    hashes.append(harness_hash())
    (copied / "heads" / "more.py").unlink()
    assert len(set(hashes)) == 3
    assert harness_hash() == hashes[0]


def test_the_harness_hash_is_of_source_and_not_of_what_python_makes_of_it(copied: Path) -> None:
    before = harness_hash()
    cache = copied / "heads" / "__pycache__"
    cache.mkdir()
    (cache / "linear.cpython-311.pyc").write_bytes(b"compiled")
    assert harness_hash() == before


@pytest.mark.parametrize("name", ["board", "cli", "render", "progress"])
def test_the_harness_hash_does_not_change_with_what_only_shows_numbers(
    changed: Callable[[str], None], name: str
) -> None:
    before = harness_hash()
    changed(f"spurbench.{name}")
    assert harness_hash() == before


@pytest.mark.parametrize(
    "how", ["from spurbench import heads", "import spurbench.heads", "from spurbench.heads import *"]
)
def test_the_shared_solvers_are_the_harness_and_not_the_method(
    tmp_path: Path, changed: Callable[[str], None], how: str
) -> None:
    code = METHOD.format(more=f"{how}\n")
    before = plugin_hash(tmp_path / "mine", code), harness_hash()
    changed("spurbench.heads")
    after = plugin_hash(tmp_path / "mine", code), harness_hash()
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_the_hash_changes_with_a_base_class_of_another_package(package: Package, tmp_path: Path) -> None:
    package.method()
    inherits = METHOD.format(more="from spurtest_package.method import Method\n").replace(
        "class Mine:", "class Mine(Method):"
    )
    (tmp_path / "plugin.py").write_text(inherits)
    method = load_registries([str(tmp_path / "plugin.py")]).methods.get("spurtest_hash")
    before = source_hash(method)
    package.change("method.py")
    assert source_hash(method) != before


def test_the_hash_is_the_same_in_another_process(package: Package) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from spurtest_package.method import Method\n"
        "from spurbench.provenance import source_hash\n"
        "print(source_hash(Method))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == source_hash(package.method())


def test_the_environment_names_versions_and_the_device() -> None:
    found = environment("cuda:0")
    assert found["numpy"] == np.__version__
    assert found["python"] == platform.python_version()
    assert found["device"] == "cuda:0"
    assert all(isinstance(value, str) and value for value in found.values())


def test_an_absent_package_is_said_to_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spurbench.provenance.PACKAGES", ("spurtest-no-such-package",))
    assert environment("cpu")["spurtest-no-such-package"] == "absent"


def test_a_virtual_environment_below_a_plugin_is_not_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / ".venv" / "lib"
    site.mkdir(parents=True)
    (site / "installed_elsewhere.py").write_text("SIGN = 1\n")
    (tmp_path / "beside_the_plugin.py").write_text("SIGN = 1\n")
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import installed_elsewhere, beside_the_plugin\nfrom spurbench.cards import MethodCard\n"
        "class Mine:\n    card = MethodCard(name='mine', title='', paper='')\n    space = {}\n"
        "    def fit(self, task, config): ...\n"
    )
    for folder in (site, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    thing = load_registries([str(plugin)]).methods.get("mine")
    before = source_hash(thing)
    (site / "installed_elsewhere.py").write_text("SIGN = -1\n")
    assert source_hash(thing) == before
    (tmp_path / "beside_the_plugin.py").write_text("SIGN = -1\n")
    assert source_hash(thing) != before
