"""`Examples` checks its columns and knows when it changed; a `View` shows what was declared and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spurbench.cards import DatasetCard, MethodCard, Supervision
from spurbench.data import Examples, Ints, OwnFeatures, View
from spurbench.errors import DataError, MethodError, SupervisionError
from spurbench.evaluation import evaluate
from spurbench.executors.inline import InlineExecutor
from spurbench.files import HashCache, digest
from spurbench.images import PhotoFiles
from spurbench.jobs import Event, Finished, Job
from spurbench.keys import key_parts, load_data
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.tasks import Prepared
from spurbench.workbench import Features

N, K, A = 60, 2, 3
CARD = DatasetCard("toy", "Toy", ("no", "yes"), ("red", "green", "blue"), "MIT")


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def own(n: int = 4, **changes: object) -> OwnFeatures:
    embeddings = np.arange(n * 2, dtype=np.float32).reshape(n, 2)
    given: dict[str, object] = {"backbone": "toy", "embeddings": embeddings, **changes}
    return OwnFeatures(**given)  # type: ignore[arg-type]


def examples(**changes: object) -> Examples:
    given: dict[str, object] = {
        "ids": ["a", "b", "c", "d"],
        "y": ints(0, 1, 0, 1),
        "a": ints(2, 0, 1, 2),
        "split": ints(0, 0, 1, 2),
        "n_classes": K,
        "n_attributes": A,
        "features": own(),
    }
    return Examples(**{**given, **changes})  # type: ignore[arg-type]


def nan_in(shape: tuple[int, int]) -> NDArray[np.float32]:
    array = np.zeros(shape, np.float32)
    array[-1, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": ints(0, 1, 0)}, "'y' has shape"),
        ({"a": ints(0, 1, 0, 1)[:, None]}, "'a' has shape"),
        ({"y": ints(0, 1, 2, 1)}, r"'y' must lie in 0\.\.1; row 2 has 2"),
        ({"a": ints(0, -1, 0, 1)}, r"'a' must lie in 0\.\.2; row 1 has -1"),
        ({"split": ints(0, 1, 2, 3)}, r"'split' must lie in 0\.\.2; row 3"),
        ({"ids": ["a", "b", "a", "b"]}, "'a' occurs more than once"),
        ({"features": None}, "either"),
        ({"photos": PhotoFiles([Path("x")] * 4)}, "either"),
        ({"features": None, "photos": PhotoFiles([Path("x")] * 3)}, "3 photos for 4"),
        ({"features": own(3)}, r"embeddings must be \(n, d\)"),
        ({"features": own(embeddings=np.zeros(4, np.float32))}, r"embeddings must be \(n, d\)"),
        (
            {"features": own(embeddings=nan_in((4, 2)))},
            "embeddings has NaN or infinite values in 1 rows, the first is row 3",
        ),
        ({"features": own(embeddings=np.full((4, 2), np.inf, np.float32))}, "in 4 rows, the first is row 0"),
        ({"features": own(class_text=np.zeros((A, 2), np.float32))}, "class_text"),
        ({"features": own(class_text=np.zeros((K, 3), np.float32))}, "class_text"),
        ({"features": own(attribute_text=np.zeros((K, 2), np.float32))}, "attribute_text"),
        ({"features": own(attribute_text=nan_in((A, 2)))}, "attribute_text has NaN"),
    ],
)
def test_broken_columns_are_refused_and_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        examples(**changes)


def test_labels_that_are_not_integers_are_refused() -> None:
    with pytest.raises(DataError, match="y"):
        examples(y=np.array([0.5, 1.0, 0.0, 1.0]))


def test_groups_do_not_overflow_in_small_integer_types() -> None:
    made = examples(y=np.array([99, 0, 0, 0], np.uint8), a=np.array([2, 0, 0, 0], np.uint8), n_classes=100)
    assert made.groups[0] == 99 * A + 2


COLUMNS = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, A - 1), st.integers(0, 2)), min_size=1, max_size=30)


@given(COLUMNS)
def test_groups_rows_and_totals_equal_brute_force(rows: list[tuple[int, int, int]]) -> None:
    y, a, split = (ints(*column) for column in zip(*rows, strict=True))
    made = examples(ids=[str(i) for i in range(len(rows))], y=y, a=a, split=split, features=own(len(rows)))
    assert len(made) == len(rows)
    assert made.groups.tolist() == [label * A + value for label, value, _ in rows]
    for number, name in enumerate(("train", "val", "test")):
        members = [i for i, row in enumerate(rows) if row[2] == number]
        assert made.rows(name).tolist() == members
        groups = [rows[i][0] * A + rows[i][1] for i in members]
        assert made.group_totals(name) == [groups.count(group) for group in range(K * A)]


def test_an_unknown_split_is_an_error() -> None:
    with pytest.raises(ValueError, match="no split 'trian'"):
        examples().rows("trian")


def photos(folder: Path) -> Examples:
    paths = [folder / f"{name}.jpg" for name in "abcd"]
    for path in paths:
        path.write_bytes(path.stem.encode() * 10)
    return examples(features=None, photos=PhotoFiles(paths))


def test_the_fingerprint_ignores_times_places_and_the_cache(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    made, moved = photos(tmp_path / "one"), photos(tmp_path / "other")
    cache = HashCache(tmp_path / "cache")
    fingerprint = made.fingerprint(CARD, cache)
    os.utime(tmp_path / "one" / "a.jpg", ns=(1, 1))
    for examples_ in (made, moved):
        for hashes in (cache, HashCache(None)):
            assert examples_.fingerprint(CARD, hashes) == fingerprint


@given(
    st.sampled_from(["id", "y", "a", "split", "photo", "class", "attribute", "swap"]),
    st.integers(0, 3),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=40)
def test_the_fingerprint_changes_with_any_one_thing(
    tmp_path_factory: pytest.TempPathFactory, what: str, row: int, byte: int
) -> None:
    made, card = photos(tmp_path_factory.mktemp("photos")), CARD
    before = made.fingerprint(card, HashCache(None))
    assert isinstance(made.photos, PhotoFiles)
    paths = list(made.photos.paths)
    if what == "id":
        made = replace(made, ids=[*made.ids[:row], "new", *made.ids[row + 1 :]])
    elif what in ("y", "a", "split"):
        column = getattr(made, what).copy()
        column[row] = (column[row] + 1) % {"y": K, "a": A, "split": 3}[what]
        made = replace(made, **{what: column})
    elif what == "photo":
        content = bytearray(paths[row].read_bytes())
        content[byte] ^= 1
        paths[row].write_bytes(content)
    elif what == "swap":
        paths[row], paths[row - 1] = paths[row - 1], paths[row]
        made = replace(made, photos=PhotoFiles(paths))
    elif what == "class":
        card = replace(CARD, classes=("no", "yes!"))
    else:
        card = replace(CARD, attributes=("red", "green", "violet"))
    assert made.fingerprint(card, HashCache(None)) != before


@given(st.sampled_from(["embeddings", "class_text", "attribute_text"]), st.integers(0, 2), st.integers(0, 1))
def test_the_fingerprint_changes_with_any_one_feature(what: str, row: int, column: int) -> None:
    texts = {"class_text": np.ones((K, 2), np.float32), "attribute_text": np.ones((A, 2), np.float32)}
    made = examples(features=own(**texts))
    array = getattr(made.features, what).copy()
    array[row % len(array), column] += 1
    changed = examples(features=own(**{**texts, what: array}))
    without = examples(features=own(**{**texts, what: None})) if what != "embeddings" else changed
    fingerprints = [each.fingerprint(CARD, HashCache(None)) for each in (made, changed, without)]
    assert fingerprints[0] not in fingerprints[1:]


def test_ids_from_file_names_in_another_encoding_have_a_fingerprint() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert examples(ids=[name, "b", "c", "d"]).fingerprint(CARD, HashCache(None))


@dataclass
class Source:
    """Features as the contract says: a fresh tensor each time."""

    x: torch.Tensor = field(default_factory=lambda: torch.arange(N * 2.0).reshape(N, 2))

    def features(self, kind: str, rows: Ints) -> torch.Tensor:
        return self.x[torch.from_numpy(rows)]

    def images(self, rows: Ints) -> Any:
        return ("images", rows.tolist())


def view(**changes: object) -> View:
    given: dict[str, Any] = {
        "method": "mine",
        "inputs": ("embeddings",),
        "n_attributes": A,
        "y": ints(1, 0, 1),
        **changes,
    }
    return View(given.pop("split", "train"), ints(5, 3, 9), Source(), **given)


def test_a_view_shows_its_rows_in_its_order() -> None:
    seen = view(a=ints(2, 0, 1), inputs=("embeddings", "penultimate", "images"))
    assert len(seen) == 3
    assert seen.embeddings().tolist() == seen.penultimate().tolist() == [[10, 11], [6, 7], [18, 19]]
    assert seen.images() == ("images", [5, 3, 9])
    assert (seen.y.tolist(), seen.a.tolist(), seen.groups.tolist()) == ([1, 0, 1], [2, 0, 1], [5, 0, 4])
    assert {seen.y.dtype, seen.a.dtype, seen.groups.dtype} == {torch.int64}


@pytest.mark.parametrize("what", ["a", "groups"])
@pytest.mark.parametrize(("split", "word"), [("train", "train_groups"), ("val", "val_groups")])
def test_an_undeclared_attribute_names_the_word_to_declare(split: str, word: str, what: str) -> None:
    with pytest.raises(SupervisionError, match=rf"'mine' reads {split}\.{what} .*Supervision\({word}=True\)"):
        getattr(view(split=split), what)
    assert hasattr(Supervision(), word)


@pytest.mark.parametrize("what", ["y", "a", "groups"])
def test_a_predictors_view_carries_no_labels(what: str) -> None:
    with pytest.raises(SupervisionError, match=f"predictor's view for {what}"):
        getattr(view(y=None), what)


@pytest.mark.parametrize("kind", ["embeddings", "penultimate", "images"])
def test_an_undeclared_input_says_what_to_write(kind: str) -> None:
    with pytest.raises(MethodError, match=rf"uses {kind} .*inputs=\('text', '{kind}'\)"):
        getattr(view(inputs=("text",)), kind)()


@pytest.mark.parametrize("name", ["ids", "photos", "split", "rows", "examples", "__dict__"])
def test_a_view_has_nothing_that_gives_labels_away(name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(view(), name)
    with pytest.raises(AttributeError):
        view().note = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["y", "a", "groups", "embeddings", "penultimate"])
def test_changing_what_a_view_gave_does_not_change_what_it_gives_next(what: str) -> None:
    seen = view(a=ints(2, 0, 1), inputs=("embeddings", "penultimate"))

    def get() -> torch.Tensor:
        given = getattr(seen, what)
        tensor: torch.Tensor = given() if callable(given) else given
        return tensor

    before = get().clone()
    get().add_(7)
    assert torch.equal(get(), before)


def test_a_view_does_not_change_the_columns_it_was_made_of() -> None:
    y, a = ints(1, 0, 1), ints(2, 0, 1)
    seen = view(y=y, a=a)
    seen.y.zero_()
    seen.a.zero_()
    seen.groups.zero_()
    assert (y.tolist(), a.tolist()) == ([1, 0, 1], [2, 0, 1])


class Spy:
    """A method that keeps whatever it is given."""

    def __init__(self, supervision: Supervision) -> None:
        self.card = MethodCard("spy", "", "", supervision)
        self.space: dict[str, Any] = {}
        self.given: list[Any] = []

    def fit(self, task: Any, config: Any) -> Sequence[Any]:
        self.given.append(task)
        return [self]

    def logits(self, seen: View) -> torch.Tensor:
        self.given.append(seen)
        return torch.zeros(len(seen), K)


def reachable(thing: object, seen: dict[int, object]) -> Iterator[NDArray[Any]]:
    """Every array reached from a thing through attributes, slots, containers, closures, bound methods and `base`."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type)):
        return
    seen[id(thing)] = thing
    if isinstance(thing, torch.Tensor):
        yield thing.numpy()
    if isinstance(thing, np.ndarray):
        yield thing
        yield from reachable(thing.base, seen)
    parts: list[object] = [getattr(thing, name, None) for kind in type(thing).__mro__ for name in slots(kind)]
    parts += list(getattr(thing, "__dict__", {}).values())
    parts += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    parts.append(getattr(thing, "__self__", None))
    if isinstance(thing, dict):
        parts += list(thing.values())
    elif isinstance(thing, (list, tuple, set)):
        parts += list(thing)
    for part in parts:
        yield from reachable(part, seen)


def slots(kind: type) -> tuple[str, ...]:
    return tuple(kind.__dict__.get("__slots__", ()))


def contains(arrays: list[NDArray[Any]], column: Ints) -> bool:
    return any(array.shape == column.shape and np.array_equal(array, column) for array in arrays)


def orders(given: Sequence[Any], rows: Ints) -> list[Ints]:
    """The rows in the file's order, and in every order in which a view shows them."""
    views = [
        view for thing in given for view in (thing, getattr(thing, "train", None), getattr(thing, "val_view", None))
    ]
    shown = [view._rows for view in views if isinstance(view, View)]
    return [rows, *(each for each in shown if sorted(each.tolist()) == rows.tolist())]


def holds(arrays: list[NDArray[Any]], column: Ints, given: Sequence[Any], rows: Ints) -> bool:
    return any(contains(arrays, column[order]) for order in orders(given, rows))


@pytest.mark.parametrize(
    "words", [(), ("train_groups",), ("val_groups",), ("val_labels",), ("train_groups", "val_groups")]
)
def test_what_is_not_declared_cannot_be_reached_from_what_a_method_gets(words: tuple[str, ...]) -> None:
    generator = np.random.default_rng(0)
    made = examples(
        ids=[str(i) for i in range(N)],
        y=generator.integers(0, K, N),
        a=generator.integers(0, A, N),
        split=np.repeat(ints(0, 1, 2), N // 3),
        features=own(N),
    )
    spy = Spy(Supervision(**dict.fromkeys(words, True)))
    assert made.features is not None
    source = Features({"embeddings": torch.from_numpy(made.features.embeddings)}, None, None)
    prepared = Prepared(CARD, made, source, None, ("toy", "own"), torch.device("cpu"))
    evaluate(spy, prepared, load_rules("quick"), [0])
    arrays = list(reachable(spy.given, {}))
    train, val, test = (made.rows(split) for split in ("train", "val", "test"))
    assert len(orders(spy.given, train)) > 1
    assert len(orders(spy.given, test)) > 1
    assert holds(arrays, made.y, spy.given, train)
    assert holds(arrays, made.a, spy.given, train) == ("train_groups" in words)
    assert not holds(arrays, made.groups, spy.given, train)
    for column in (made.y, made.a, made.groups):
        assert not contains(arrays, column)
        assert not holds(arrays, column, spy.given, test)
        assert not holds(arrays, column, spy.given, val)
    val_views = [task.val_view for task in spy.given if getattr(task, "val_view", None) is not None]
    assert bool(val_views) == bool({"val_groups", "val_labels"} & {*words})
    for view in val_views:
        # Nor in the half that a method is given.
        assert (contains(arrays, made.a[view._rows]), contains(arrays, made.y[view._rows])) == (
            "val_groups" in words,
            True,
        )


PLUGIN = """
import numpy as np, torch
from spurbench.cards import DatasetCard, MethodCard
from spurbench.data import Examples, OwnFeatures

class Data:
    card = DatasetCard("spurtest_toy", "", ("a", "b"), ("x", "y"), "MIT", own_features=True)
    def prepare(self, root, *, download): pass
    def load(self, root):
        draw = np.random.default_rng(0)
        y, a, split = draw.integers(0, 2, 60), draw.integers(0, 2, 60), np.repeat(np.arange(3), 20)
        features = OwnFeatures("toy", draw.random((60, 2), dtype=np.float32))
        return Examples([str(i) for i in range(60)], y, a, split, 2, 2, features=features)

class Spy:
    card = MethodCard("spurtest_spy", "", "")
    space = {}
    given = []
    def fit(self, task, config):
        self.given.append(task)
        return [self]
    def logits(self, view):
        self.given.append(view)
        return torch.zeros(len(view), 2)
"""


def test_what_a_run_hands_to_a_method_does_not_lead_to_the_labels_of_test(tmp_path: Path) -> None:
    (tmp_path / "spy.py").write_text(PLUGIN)
    registries = load_registries([str(tmp_path / "spy.py")])
    events: list[Event] = []
    rules = load_rules("quick")
    data = load_data(registries, "spurtest_toy", tmp_path, HashCache(None), download=False)
    key = digest(key_parts(registries.methods.get("spurtest_spy"), data, None, rules))
    job = Job(
        key=key,
        dataset="spurtest_toy",
        backbone="own features",
        method="spurtest_spy",
        seeds=(0,),
        rules=rules,
        data_root=tmp_path,
        cache=tmp_path,
        device="cpu",
        precision="fp32",
        memory_limit=2**30,
        isolated=False,
    )
    InlineExecutor(registries).run(job, events.append)
    assert [event.result.failure for event in events if isinstance(event, Finished)] == [None]
    made = data.examples
    given = registries.methods.get("spurtest_spy").given
    arrays = list(reachable(given, {}))
    assert {type(thing._source) for thing in given if isinstance(thing, View)} == {Features}
    assert holds(arrays, made.y, given, made.rows("train"))
    for column in (made.y, made.a, made.groups):
        assert not contains(arrays, column)
        for split in ("val", "test"):
            assert len(orders(given, made.rows(split))) > 1
            assert not holds(arrays, column, given, made.rows(split))


def test_a_job_whose_key_is_not_that_of_what_is_here_fails(tmp_path: Path) -> None:
    (tmp_path / "spy.py").write_text(PLUGIN)
    registries = load_registries([str(tmp_path / "spy.py")])
    events: list[Event] = []
    job = Job(
        "f" * 64, "spurtest_toy", "own features", "spurtest_spy", (0, 1), load_rules("quick"), tmp_path, tmp_path,
        "cpu", "fp32", 2**30, isolated=False,
    )  # fmt: skip
    InlineExecutor(registries).run(job, events.append)
    failures = [event.result.failure for event in events if isinstance(event, Finished)]
    assert len(failures) == 2
    assert all(failure and "changed while this was running" in failure.message for failure in failures)
    assert registries.methods.get("spurtest_spy").given == []
