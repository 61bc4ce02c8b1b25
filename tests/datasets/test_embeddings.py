from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spurbench.data import Examples
from spurbench.errors import DataError, SpurbenchError, UsageError
from spurbench.registry import Registry
from spurbench_datasets.embeddings import Embeddings

N, D = 12, 3
Arrays = dict[str, Any]


def arrays(**changes: Any) -> Arrays:
    """A small, complete file; a change to None takes an array away."""
    row = np.arange(N)
    full: Arrays = {
        "x": np.linspace(-2, 2, N * D).reshape(N, D),
        "y": row % 2,
        "a": row // 2 % 2,
        "split": np.repeat([0, 1, 2], N // 3),
        "id": np.array([f"photo {i}" for i in row]),
        "classes": np.array(["cat", "dog"]),
        "attributes": np.array(["day", "night"]),
        "backbone": np.array("ViT-B/16:laion2b"),
        "class_text": np.eye(2, D),
        "attribute_text": -np.eye(2, D),
    }
    return {name: array for name, array in (full | changes).items() if array is not None}


def write_npz(path: Path, content: Arrays) -> Path:
    path = path.with_suffix(".npz")
    np.savez(path, **content)
    return path


def write_safetensors(path: Path, content: Arrays) -> Path:
    from safetensors.numpy import save_file

    path = path.with_suffix(".safetensors")
    words = {name: json.dumps(array.tolist()) for name, array in content.items() if array.dtype.kind == "U"}
    save_file({k: np.ascontiguousarray(v) for k, v in content.items() if k not in words}, path, metadata=words)
    return path


def write_parquet(path: Path, content: Arrays, *, wide: bool = False) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = path.with_suffix(".parquet")
    columns: dict[str, Any] = {k: v.tolist() for k, v in content.items() if k in ("y", "a", "split", "id")}
    if wide:
        # Text order puts x10 before x2: columns are shuffled on purpose.
        columns |= {f"x{j}": content["x"][:, j] for j in reversed(range(content["x"].shape[1]))}
    else:
        columns["x"] = content["x"].tolist()
    extra = {k: v.tolist() for k, v in content.items() if k not in ("x", "y", "a", "split", "id")}
    table = pa.table(columns).replace_schema_metadata({"spurbench": json.dumps(extra)})
    pq.write_table(table, path)
    return path


def write_wide(path: Path, content: Arrays) -> Path:
    return write_parquet(path, content, wide=True)


WRITERS = [write_npz, write_safetensors, write_parquet, write_wide]
Writer = Callable[[Path, Arrays], Path]


def load(path: Path) -> Examples:
    data = Embeddings(str(path))
    data.prepare(Path("unused"), download=False)
    return data.load(Path("unused"))


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_the_same_columns(tmp_path: Path, write: Writer) -> None:
    content = arrays(x=np.arange(N * 12.0).reshape(N, 12), class_text=None, attribute_text=None)
    path = write(tmp_path / "my file", content)
    examples = load(path)
    assert examples.features is not None
    assert examples.features.embeddings.dtype == np.float32
    assert np.array_equal(examples.features.embeddings, content["x"])
    for name in ("y", "a", "split"):
        assert np.array_equal(getattr(examples, name), content[name])
    assert list(examples.ids) == content["id"].tolist()
    assert examples.features.backbone == "ViT-B/16:laion2b"
    card = Embeddings(str(path)).card
    assert (card.classes, card.attributes) == (("cat", "dog"), ("day", "night"))
    assert card.own_features
    assert card.name == f"embeddings:my-file@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


@pytest.mark.parametrize("write", WRITERS)
def test_text_features(tmp_path: Path, write: Writer) -> None:
    own = load(write(tmp_path / "f", arrays())).features
    assert own is not None
    assert own.class_text is not None
    assert own.attribute_text is not None
    assert np.array_equal(own.class_text, np.eye(2, D))
    assert np.array_equal(own.attribute_text, -np.eye(2, D))
    assert own.class_text.dtype == np.float32


@pytest.mark.parametrize("write", WRITERS)
def test_what_is_optional_may_be_absent(tmp_path: Path, write: Writer) -> None:
    absent = dict.fromkeys(("id", "classes", "attributes", "backbone", "class_text", "attribute_text"))
    path = write(tmp_path / "RN50 features", arrays(**absent))
    examples = load(path)
    card = Embeddings(str(path)).card
    assert card.classes == ("class 0", "class 1")
    assert card.attributes == ("attribute 0", "attribute 1")
    assert list(examples.ids) == [str(i) for i in range(N)]
    assert examples.features is not None
    assert examples.features.backbone == "RN50-features"
    assert examples.features.class_text is None


@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", "f4", ">f4", "f8", "?"])
def test_any_real_type_becomes_native_float32(tmp_path: Path, dtype: str) -> None:
    x = (np.arange(N * D).reshape(N, D) % 7).astype(dtype)
    own = load(write_npz(tmp_path / "f", arrays(x=x))).features
    assert own is not None
    assert own.embeddings.dtype == np.dtype("=f4")
    assert own.embeddings.dtype.isnative
    assert np.array_equal(own.embeddings, x.astype(float))


@pytest.mark.parametrize("write", [write_npz, write_parquet])
def test_split_names(tmp_path: Path, write: Writer) -> None:
    names = np.repeat(["train", "val", "test"], N // 3)
    assert np.array_equal(load(write(tmp_path / "f", arrays(split=names))).split, arrays()["split"])


def test_byte_strings_and_whole_floats(tmp_path: Path) -> None:
    content = arrays(classes=np.array([b"cat", b"dog"]), split=np.repeat([b"train", b"val", b"test"], 4))
    content |= {"y": content["y"].astype(float), "id": np.arange(N)}
    path = write_npz(tmp_path / "f", content)
    assert Embeddings(str(path)).card.classes == ("cat", "dog")
    assert load(path).ids[3] == "3"


def test_another_content_is_another_data_set(tmp_path: Path) -> None:
    one = Embeddings(str(write_npz(tmp_path / "f", arrays()))).card.name
    two = Embeddings(str(write_npz(tmp_path / "f", arrays(x=np.zeros((N, D)))))).card.name
    assert one != two


def test_a_file_that_changes_while_in_use(tmp_path: Path) -> None:
    data = Embeddings(str(write_npz(tmp_path / "f", arrays())))
    write_npz(tmp_path / "f", arrays(x=np.zeros((N, D + 1))))
    with pytest.raises(DataError, match="changed"):
        data.load(tmp_path)
    (tmp_path / "f.npz").unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        data.prepare(tmp_path, download=False)


@pytest.mark.parametrize("stem", ["..hidden", "ünï cödé", "a" * 200, "a:b@c=d", "___"])
def test_any_file_name_makes_a_valid_card_name(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.npz"
    np.savez(path, **arrays(backbone=None))
    examples = load(path)
    assert examples.features is not None
    assert examples.features.backbone


def test_a_registry_makes_it_by_its_argument(tmp_path: Path) -> None:
    registry: Registry[Any] = Registry("dataset")
    registry.add("embeddings", "test", lambda: Embeddings)
    path = write_npz(tmp_path / "f", arrays())
    assert registry.get(f"embeddings:{path}").card.name.startswith("embeddings:f@")
    assert registry.select(["all"]) == []
    with pytest.raises(UsageError, match="embeddings:FILE"):
        registry.get("embeddings")


def test_wrong_calls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        Embeddings(str(tmp_path / "absent.npz"))
    (tmp_path / "f.csv").write_text("x")
    with pytest.raises(UsageError, match=r"\.npz, \.safetensors, \.parquet"):
        Embeddings(str(tmp_path / "f.csv"))


BROKEN: list[tuple[Arrays, str]] = [
    ({"y": None}, r"no y; found .*attributes"),
    ({"x": None, "split": None}, "no x, split"),
    ({"y": np.arange(N - 1) % 2}, r"'a' has 12 rows but 'y' has 11"),
    ({"x": np.zeros((N + 1, D))}, "'x' has 13 rows but 'y' has 12"),
    ({"id": np.array(["a", "b"])}, "'id' has 2 rows"),
    ({"id": np.array(["a"] * N)}, "occurs more than once"),
    ({"split": np.zeros(3, int)}, "'split' has 3 rows"),
    ({"x": np.zeros(N)}, r"'x' must be \(n, d\)"),
    ({"x": np.zeros((N, 0))}, r"'x' must be \(n, d\)"),
    ({"x": np.full((N, D), np.nan)}, "embeddings has NaN or infinite values in 12 rows, the first is row 0"),
    ({"x": np.full((N, D), 1e300)}, "NaN or infinite"),
    ({"x": np.zeros((N, D), complex)}, "real numbers, not complex128"),
    ({"x": np.full((N, D), "a")}, "real numbers"),
    ({"y": np.arange(N) / 2}, r"'y' must hold whole numbers; row 1 has '0\.5'"),
    ({"y": np.array([np.nan] * N)}, "whole numbers"),
    ({"y": np.array(["cat", "dog"] * 6)}, "whole numbers; row 0 has 'cat'"),
    ({"y": np.arange(N) % 2 - 1, "a": None}, "no a"),
    ({"y": np.where(np.arange(N) == 5, -1, np.arange(N) % 2)}, r"column 'y' must lie in 0\.\.1; row 5 has -1"),
    ({"y": np.arange(N) % 3}, r"column 'y' must lie in 0\.\.1; row 2 has 2"),
    ({"y": np.zeros((N, 1), int)}, r"'y' must have one dimension, not shape \(12, 1\)"),
    ({"y": np.zeros(N, int), "classes": None}, "one class only"),
    ({"y": np.arange(N) * 10**12, "classes": None}, "number the values from 0"),
    ({"a": np.full(N, 10**15), "attributes": None}, "column 'a' has value 10+ but there are 12 examples"),
    ({"split": np.full(N, 3)}, "unknown split '3'"),
    ({"split": np.array(["train", "valid"] * 6)}, "row 1: unknown split 'valid'; did you mean val"),
    ({"classes": np.array(["cat", "cat"])}, "distinct names"),
    ({"class_text": np.zeros((2, D + 1))}, r"class_text must be \(2, 3\), not \(2, 4\)"),
    ({"attribute_text": np.full((2, D), np.inf)}, "attribute_text has NaN"),
    ({"class_texts": np.zeros((2, D)), "class_text": None}, "unknown array 'class_texts'; did you mean class_text"),
    ({name: arrays()[name][:0] for name in ("x", "y", "a", "split", "id")} | {"classes": None}, "has no examples"),
]


@pytest.mark.parametrize(("changes", "match"), BROKEN)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, changes: Arrays, match: str) -> None:
    path = write_npz(tmp_path / "f", arrays(**changes))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=match) as caught:
            load(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == 1


def test_an_unrelated_array_is_left_alone(tmp_path: Path) -> None:
    assert len(load(write_npz(tmp_path / "f", arrays(logit_scale=np.array(100.0))))) == N


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for name in ("x", "y", "classes"):
        path = write_npz(tmp_path / "f", arrays(**{name: np.array([Trap(), Trap()], dtype=object)}))
        with pytest.raises(DataError, match=f"'{name}' holds Python objects"):
            load(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 50, b"\xff" * 8, b"PK\x03\x04" + b"0" * 100])
def test_garbage_is_a_data_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"f{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        Embeddings(str(path))


@pytest.mark.parametrize("write", WRITERS)
def test_damage_is_a_data_error(tmp_path: Path, write: Writer) -> None:
    whole = write(tmp_path / "f", arrays()).read_bytes()
    suffix = write(tmp_path / "f", arrays()).suffix
    random = np.random.default_rng(0)
    for trial in range(60):
        path = tmp_path / f"g{suffix}"
        damaged = bytearray(whole[: random.integers(1, len(whole))] if trial % 2 else whole)
        for place in random.integers(0, len(damaged), size=8):
            damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            load(path)
        except SpurbenchError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_parquet_oddities(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    base: dict[str, Any] = {name: arrays()[name] for name in ("y", "a", "split")}
    x = arrays()["x"]
    path = tmp_path / "f.parquet"

    def refused(columns: dict[str, Any], match: str, extra: str = "{}") -> None:
        pq.write_table(pa.table(columns).replace_schema_metadata({"spurbench": extra}), path)
        with pytest.raises(DataError, match=match):
            load(path)

    refused(base | {"x0": x[:, 0], "x2": x[:, 2]}, "x1 is missing")
    refused(base | {"x0": x[:, 0], "x": x.tolist()}, "both")
    refused(base | {"x": [[1.0]] * (N - 1) + [[1.0, 2.0]]}, "different lengths")
    refused(base | {"x": [[1.0]] * (N - 1) + [None]}, "'x' is empty in 1 rows")
    refused(base | {"x": x.tolist(), "y": [None, *[0, 1] * 5, 0]}, "'y' is empty in 1 rows")
    refused(base | {"x": x.tolist()}, "unknown key 'class'; did you mean classes", '{"class": ["a", "b"]}')
    refused(base | {"x": x.tolist()}, "JSON object", "[]")
    refused(base | {"x": x.tolist()}, "cannot be read", "{")
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), D)
    pq.write_table(pa.table(base | {"x": fixed}), path, row_group_size=5)
    own = load(path).features
    assert own is not None
    assert np.array_equal(own.embeddings, x.astype(np.float32))


def test_parquet_as_pandas_writes_it(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({name: arrays()[name] for name in ("y", "a", "id")} | {"x": list(arrays()["x"])})
    frame["split"] = pd.Categorical(np.repeat(["train", "val", "test"], 4))
    frame.index = pd.Index([f"row {i}" for i in range(N)])
    frame.to_parquet(tmp_path / "f.parquet")
    examples = load(tmp_path / "f.parquet")
    assert np.array_equal(examples.split, arrays()["split"])
    assert list(examples.ids) == arrays()["id"].tolist()


def test_safetensors_words(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = {name: arrays()[name] for name in ("x", "y", "a", "split")}
    path = tmp_path / "f.safetensors"
    save_file(tensors, path, metadata={"backbone": "RN50", "format": "pt", "classes": '["cat", "dog"]'})
    own = load(path).features
    assert own is not None
    assert own.backbone == "RN50"
    save_file(tensors, path, metadata={"class": '["cat", "dog"]'})
    with pytest.raises(DataError, match="did you mean classes"):
        Embeddings(str(path))
    for wrong in ('{"0": "cat"}', "[0, 1]", "cat, dog"):
        save_file(tensors, path, metadata={"classes": wrong})
        with pytest.raises(DataError, match="classes"):
            Embeddings(str(path))


def test_a_type_that_numpy_lacks_is_refused_with_a_remedy(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    path = tmp_path / "f.safetensors"
    tensors = {name: torch.from_numpy(arrays()[name]) for name in ("y", "a", "split")}
    save_file(tensors | {"x": torch.zeros(N, D, dtype=torch.bfloat16)}, path)
    with pytest.raises(DataError, match=r"array 'x' has a type unknown to NumPy .*; save it as float32"):
        load(path)


def test_importing_is_light() -> None:
    code = (
        "import sys; sys.path[:0] = %r; import spurbench_datasets.embeddings, spurbench_datasets.folder; "
        "assert not {'torch', 'pandas', 'pyarrow', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code % sys.path], check=True)


def test_the_shared_file(shared_data: Path) -> None:
    path = shared_data / "waterbirds_mobilenet_v1.npz"
    data = Embeddings(str(path))
    examples = data.load(shared_data)
    assert data.card.name == f"embeddings:waterbirds_mobilenet_v1@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    assert data.card.groups == ("landbird/land", "landbird/water", "waterbird/land", "waterbird/water")
    assert examples.group_totals("train") == [3498, 184, 56, 1057]
    assert examples.group_totals("val") == [467, 466, 133, 133]
    assert examples.group_totals("test") == [2255, 2255, 642, 642]
    with np.load(path) as raw:
        assert examples.features is not None
        assert np.array_equal(examples.features.embeddings, raw["x"].astype(np.float32))
        assert list(examples.ids) == raw["id"].tolist()
