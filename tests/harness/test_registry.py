"""Names without imports, collisions that are errors, suggestions, patterns, and plugins of every broken kind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from spurbench.cards import MethodCard
from spurbench.errors import DataError, PluginError, SpurbenchError, UnknownNameError, UsageError
from spurbench.registry import Registry, import_plugin, load_registries

METHOD = 'from spurbench.cards import MethodCard\nclass {name}:\n    card = MethodCard("{card}", "", "")\n'


class Folder:
    usage = "folder:DIR"

    def __init__(self, argument: str) -> None:
        self.argument = argument


class Plain:
    card = MethodCard("plain", "", "")


def registry(*names: str) -> Registry[Any]:
    made: Registry[Any] = Registry("method")
    for name in names:
        made.add(name, "here", lambda: Plain)
    return made


def install(site: Path, package: str, entry_points: str, source: str) -> None:
    """What `pip install` leaves behind."""
    (site / f"{package}.py").write_text(source)
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def plugin(folder: Path, source: str, name: str = "mine.py") -> str:
    (folder / name).write_text(source)
    return str(folder / name)


def test_installed_packages_are_listed_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = "[spurtest.things]\nfirst = spurtest_lazy:First\nsecond = spurtest_lazy:Second\n"
    install(tmp_path, "spurtest_lazy", group, "class First: pass\nclass Second: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    found: Registry[Any] = Registry("thing", "spurtest.things")
    assert found.names() == ["first", "second"]
    assert found.origin("first") == "package spurtest_lazy (spurtest_lazy:First)"
    assert "spurtest_lazy" not in sys.modules
    assert type(found.get("second")).__name__ == "Second"
    assert "spurtest_lazy" in sys.modules


def test_an_installed_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "spurtest_broken", "[spurtest.broken]\nx = spurtest_broken:X\n", "1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    found: Registry[Any] = Registry("thing", "spurtest.broken")
    with pytest.raises(PluginError, match=r"thing 'x' from package spurtest_broken .*ZeroDivisionError"):
        found.get("x")


def test_an_installed_package_that_exits_on_import_is_an_error() -> None:
    made = registry("fine")
    made.add("exits", "elsewhere", lambda: sys.exit(3))
    assert made.select(["fine"]) == ["fine"]


def test_two_packages_cannot_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("spurtest_one", "spurtest_two"):
        install(tmp_path, package, f"[spurtest.clash]\nerm = {package}:X\n", "class X: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"(?s)called 'erm'.*spurtest_one.*spurtest_two|spurtest_two.*spurtest_one"):
        Registry("thing", "spurtest.clash")


def test_the_same_plugin_may_be_named_twice(tmp_path: Path) -> None:
    path = plugin(tmp_path, METHOD.format(name="Mine", card="spurtest_named_twice"))
    assert "spurtest_named_twice" in load_registries([path, path]).methods.names()


def test_names_written_out_are_chosen_without_an_import() -> None:
    made = registry("fine", "other")
    made.add("heavy", "elsewhere", lambda: pytest.fail("it was imported"))
    assert made.select(["fine", "heavy", "!other"]) == ["fine", "heavy"]
    with pytest.raises(UnknownNameError, match="did you mean fine"):
        made.select(["heavy", "fien"])


def test_names_are_sorted_whatever_the_order_of_registration() -> None:
    assert registry("c", "a", "b").names() == ["a", "b", "c"]


def test_things_are_made_once() -> None:
    made = registry("plain")
    assert made.get("plain") is made.get("plain")
    assert isinstance(made.get("plain"), Plain)


def test_an_object_is_given_as_it_is() -> None:
    made = registry()
    thing = Plain()
    made.add("plain", "here", lambda: thing)
    assert made.get("plain") is thing


@pytest.mark.parametrize(
    ("typed", "meant"), [("gruop_dro", "group_dro"), ("ERM", "erm"), ("dfr_vla", "dfr_val"), ("Group-DRO", "group_dro")]
)
def test_an_unknown_name_comes_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown method '{typed}'; did you mean {meant}") as caught:
        registry("erm", "group_dro", "dfr_val").get(typed)
    assert caught.value.suggestions[0] == meant
    assert caught.value.exit_status == 2


def test_a_name_like_no_other_comes_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="known: dfr_val, erm"):
        registry("erm", "dfr_val").get("zzzzzz")


def with_folder() -> Registry[Any]:
    made = registry("gaussians", "waterbirds")
    made.add("folder", "here", lambda: Folder)
    return made


def test_what_stands_behind_the_colon_is_the_argument() -> None:
    assert with_folder().get("folder:/data/a:b").argument == "/data/a:b"


class Sticker:
    """A data set with a parameter that has a default."""

    usage = "sticker[:strength=0.9]"

    def __init__(self, argument: str = "strength=0.9") -> None:
        self.argument = argument


def test_an_argument_with_a_default_may_be_left_out() -> None:
    made = with_folder()
    made.add("sticker", "here", lambda: Sticker)
    assert made.get("sticker").argument == "strength=0.9"
    assert made.get("sticker:strength=0.5").argument == "strength=0.5"
    assert made.select(["all"]) == ["gaussians", "sticker", "waterbirds"]
    assert made.select(["stick*"]) == ["sticker"]
    assert made.needs_argument("folder")
    assert not made.needs_argument("sticker")


@pytest.mark.parametrize("name", ["folder", "folder:"])
def test_a_missing_argument_is_asked_for(name: str) -> None:
    with pytest.raises(UsageError, match="needs an argument: folder:DIR"):
        with_folder().get(name)


def test_a_name_that_takes_no_argument_refuses_one() -> None:
    with pytest.raises(UnknownNameError, match="gaussians:3"):
        with_folder().get("gaussians:3")


def test_an_error_made_for_the_user_passes_through() -> None:
    def load() -> object:
        raise DataError("say this")

    made = registry()
    made.add("x", "here", load)
    with pytest.raises(DataError, match=r"^say this$"):
        made.get("x")


def test_a_class_that_cannot_be_made_is_named() -> None:
    class Broken:
        def __init__(self) -> None:
            raise ValueError("boom")

    made = registry()
    made.add("broken", "here", lambda: Broken)
    with pytest.raises(PluginError, match="'broken' cannot be made: ValueError: boom"):
        made.get("broken")


def test_a_class_that_cannot_be_made_with_its_argument_is_named() -> None:
    class Broken(Folder):
        def __init__(self, argument: str) -> None:
            raise ValueError("boom")

    made = registry()
    made.add("folder", "here", lambda: Broken)
    with pytest.raises(PluginError, match="folder:x"):
        made.get("folder:x")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["all"], ["dfr_train", "dfr_val", "erm"]),
        ([], ["dfr_train", "dfr_val", "erm"]),
        (["erm", "dfr_val"], ["erm", "dfr_val"]),
        (["erm", "all"], ["erm", "dfr_train", "dfr_val"]),
        (["erm", "erm"], ["erm"]),
        (["dfr_*"], ["dfr_train", "dfr_val"]),
        (["dfr_*", "!dfr_train"], ["dfr_val"]),
        (["!erm"], ["dfr_train", "dfr_val"]),
        (["!dfr_*"], ["erm"]),
        (["!dfr_train", "erm", "dfr_train"], ["erm"]),
        (["e?m"], ["erm"]),
        (["[de]*"], ["dfr_train", "dfr_val", "erm"]),
    ],
)
def test_patterns_choose_names_in_order(patterns: list[str], expected: list[str]) -> None:
    assert registry("erm", "dfr_val", "dfr_train").select(patterns) == expected


@pytest.mark.parametrize("pattern", ["emr", "x*", "!emr", "ERM", "E*"])
def test_patterns_that_match_nothing_are_errors(pattern: str) -> None:
    with pytest.raises(UnknownNameError):
        registry("erm", "dfr_val").select([pattern])


def test_all_leaves_out_what_needs_an_argument() -> None:
    assert with_folder().select(["all"]) == ["gaussians", "waterbirds"]
    assert with_folder().select(["folder:/x", "all"]) == ["folder:/x", "gaussians", "waterbirds"]


def test_arguments_may_hold_what_looks_like_a_glob() -> None:
    assert with_folder().select(["folder:/data [1]"]) == ["folder:/data [1]"]


def test_all_keeps_what_cannot_be_imported_so_that_its_cells_say_why() -> None:
    made = registry("erm")
    made.add("broken", "here", lambda: 1 / 0)
    assert made.select(["all"]) == ["broken", "erm"]


def test_a_plugin_file_registers_both_kinds_it_defines(tmp_path: Path) -> None:
    source = METHOD.format(name="Mine", card="spurtest_mine") + (
        "from spurbench.cards import DatasetCard\n"
        'class Data:\n    card = DatasetCard("spurtest_data", "", ("a", "b"), ("x",), "MIT")\n'
    )
    path = plugin(tmp_path, source)
    registries = load_registries([path])
    assert registries.methods.get("spurtest_mine").card.name == "spurtest_mine"
    assert registries.datasets.get("spurtest_data").card.classes == ("a", "b")
    assert "spurtest_data" not in registries.methods.names()
    assert registries.methods.origin("spurtest_mine") == f"plugin {path}"
    assert registries.plugins == (path,)


def test_a_plugin_may_be_an_importable_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, METHOD.format(name="Mine", card="spurtest_module"), "spurtest_module_plugin.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert "spurtest_module" in load_registries(["spurtest_module_plugin"]).methods.names()


def test_what_a_plugin_only_imports_is_not_registered_again(tmp_path: Path) -> None:
    plugin(tmp_path, METHOD.format(name="Base", card="spurtest_base"), "spurtest_base.py")
    importer = "import sys\nsys.path.insert(0, {!r})\nfrom spurtest_base import Base\nsys.path.pop(0)\n"
    path = plugin(tmp_path, importer.format(str(tmp_path)))
    with pytest.raises(PluginError, match="defines nothing to register"):
        load_registries([path])


def test_two_plugin_files_of_one_stem_are_two_modules(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(plugin(tmp_path / name, METHOD.format(name="Mine", card=f"spurtest_{name}")))
    assert {"spurtest_one", "spurtest_two"} <= set(load_registries(paths).methods.names())


def test_two_plugins_cannot_share_a_name(tmp_path: Path) -> None:
    paths = [plugin(tmp_path, METHOD.format(name="Mine", card="spurtest_same"), f"{n}.py") for n in ("one", "two")]
    with pytest.raises(PluginError, match=r"(?s)called 'spurtest_same'.*one\.py.*two\.py"):
        load_registries(paths)


@pytest.mark.parametrize("base", ["", "(First)"])
def test_two_methods_of_one_plugin_cannot_share_a_name(tmp_path: Path, base: str) -> None:
    card = "" if base else '    card = MethodCard("spurtest_twice", "", "")\n'
    source = METHOD.format(name="First", card="spurtest_twice") + f"class Second{base}:\n    steps = 2\n{card}"
    with pytest.raises(PluginError, match="spurtest_twice"):
        load_registries([plugin(tmp_path, source)])


def test_a_thing_registered_under_another_name_than_its_cards_is_refused() -> None:
    made = registry("not_plain")
    with pytest.raises(PluginError, match="plain"):
        made.get("not_plain")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "defines nothing to register"),
        ("class Method:\n    card = 'a string'\n", "defines nothing to register"),
        ("raise RuntimeError('boom')\n", "raised RuntimeError on import: boom"),
        ("import sys\nsys.exit('bye')\n", "raised SystemExit on import: bye"),
        ("def broken(:\n", "raised SyntaxError"),
        ("\0", "raised"),
        ("import spurtest_absent_module\n", "needs the module 'spurtest_absent_module'"),
        (METHOD.format(name="Bad", card="bad name!"), "raised ValueError on import: bad method name"),
    ],
)
def test_a_broken_plugin_file_is_named_with_the_reason(tmp_path: Path, source: str, message: str) -> None:
    path = plugin(tmp_path, source)
    with pytest.raises(PluginError, match=message) as caught:
        load_registries([path])
    assert path in str(caught.value)


def test_a_plugin_that_failed_is_tried_again(tmp_path: Path) -> None:
    path = plugin(tmp_path, "1 / 0\n")
    with pytest.raises(PluginError):
        import_plugin(path)
    plugin(tmp_path, METHOD.format(name="Mine", card="spurtest_again") + "# mended\n")
    assert import_plugin(path) is import_plugin(path)


@pytest.mark.parametrize("name", ["absent.py", "spurtest_absent"])
def test_an_absent_plugin_is_a_wrong_call(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        load_registries([str(tmp_path / name) if name.endswith(".py") else name])


def test_an_absent_dotted_module_is_a_wrong_call_too() -> None:
    with pytest.raises(UsageError, match="there is no plugin file or module"):
        import_plugin("spurtest_absent.module")


def test_a_plugin_cannot_be_interrupted_into_an_error(tmp_path: Path) -> None:
    path = plugin(tmp_path, "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        import_plugin(path)


def test_every_error_of_a_registry_is_meant_for_the_user() -> None:
    assert all(issubclass(error, SpurbenchError) for error in (PluginError, UnknownNameError, UsageError))


def test_a_folder_stands_for_the_entry_that_opens_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Registry[Any] = Registry("dataset", of_folders="folder")
    made.add("folder", "here", lambda: Folder)
    made.add("plain", "here", lambda: Plain)
    odd = tmp_path / "photos [1]: *"
    odd.mkdir()
    assert made.get(str(odd)).argument == str(odd)
    assert made.select([str(odd), "plain"]) == [str(odd), "plain"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "built").mkdir()
    (tmp_path / "plain").mkdir()
    assert made.get("built").argument == "built"
    assert made.get("./plain").argument == "./plain"
    assert isinstance(made.get("plain"), Plain), "a registered name comes before a folder of that name"
    with pytest.raises(UsageError, match="there is no folder ./biult"):
        made.select(["./biult"])
    with pytest.raises(UnknownNameError, match="did you mean plain"):
        made.select(["plian"])
    with pytest.raises(UnknownNameError):
        registry("a").get("built")
