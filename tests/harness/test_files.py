"""Safe names, atomic writes, canonical hashes, and hashes that are remembered without being wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spurbench.files as files
from spurbench.cards import check_name
from spurbench.errors import UsageError
from spurbench.files import (
    HashCache,
    bytes_of,
    canonical_json,
    default_cache,
    default_data_root,
    digest,
    inside,
    original_name,
    safe_name,
    sha256_of,
    write_atomic,
)

# Written from Microsoft's "Naming Files, Paths, and Namespaces", not from the source under test.
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.builds(
    lambda stem, rest: stem + rest,
    st.sampled_from(["con", "Aux", "NUL", "com1", "LPT9", ".", "..", "-", "%", "%41"]),
    st.text("./%: aé\0", max_size=4),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("512M", 512 * 2**20),
        ("2G", 2 * 2**30),
        ("1.5GiB", 3 * 2**29),
        ("16m", 2**24),
        ("16384K", 2**24),
        (" 1 gb ", 2**30),
        ("0.5t", 2**39),
    ],
)
def test_sizes_are_written_as_people_write_them(size: str, expected: int) -> None:
    assert bytes_of(size) == expected


@pytest.mark.parametrize(
    "size",
    ["", "G", "2", "2000000000", "-2G", "2 G G", "2GG", "two G", "1,5G", "1e3M", "nanG", ".5G", "2X", "15M", "0G"],
)
def test_what_is_no_size_or_too_small_a_one_is_a_wrong_call_that_says_what_to_write(size: str) -> None:
    with pytest.raises(UsageError, match=r"is not a size of 16M or more; write for example 512M or 2G") as caught:
        bytes_of(size)
    assert f"'{size}'" in str(caught.value)


@given(NAMES)
def test_safe_names_can_be_turned_back(name: str) -> None:
    assert original_name(safe_name(name)) == name


@given(NAMES)
def test_safe_names_are_valid_on_every_file_system(name: str) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9._+=@,%-]+", safe, flags=re.ASCII)
    assert not safe.startswith(".")
    assert not safe.endswith((".", " "))
    assert safe.split(".")[0].upper() not in WINDOWS_DEVICES
    assert f"{safe}.json".split(".")[0].upper() not in WINDOWS_DEVICES


@given(NAMES, NAMES)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize("name", ["RN50", "dfr_val", "v1+configs=4", "a,b@c-d", "x.y"])
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert safe_name(name) == name


def test_the_longest_allowed_name_fits_into_a_file_name(tmp_path: Path) -> None:
    name = safe_name(check_name("method", "x" + "/" * 79)) + ".json"
    assert len(name) <= 255
    write_atomic(tmp_path / name, b"")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@given(JSON_VALUES)
def test_canonical_json_is_json_of_the_same_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(value).isascii()


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=5))
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, object]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


def test_digests_tell_values_apart_and_refuse_nan() -> None:
    values: list[object] = [1, "1", True, None, [], {}, [1], {"a": 1}, {"a": [1]}, 1.5]
    assert len({digest(value) for value in values}) == len(values)
    with pytest.raises(ValueError, match="JSON"):
        digest(float("nan"))


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_sha256_of_tells_lists_of_bytes_apart(one: list[bytes], other: list[bytes]) -> None:
    assert (sha256_of(one) == sha256_of(other)) == (one == other)


def test_where_bytes_are_cut_matters_to_sha256_of() -> None:
    assert sha256_of([b"ab", b"c"]) != sha256_of([b"a", b"bc"])
    assert sha256_of([b"", b"a"]) != sha256_of([b"a"])


@settings(deadline=None, max_examples=15)
@given(st.binary(max_size=2000))
def test_write_atomic_writes_the_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("atomic") / "deeper" / "file"
    write_atomic(path, content)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_killed_before_it_is_on_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from spurbench.files import write_atomic\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(pathlib.Path(sys.argv[1]), b'new' * 100000)\n"
    )
    source = str(Path(files.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": source}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomic(path, b"newer")
    assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "x\0y"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="leads out"):
        inside(tmp_path, path)


@pytest.mark.parametrize("path", ["x", "a/b.jpg", "a..b/..c", "./x"])
def test_paths_below_are_accepted(tmp_path: Path, path: str) -> None:
    assert inside(tmp_path, path).resolve().is_relative_to(tmp_path.resolve())


def test_the_environment_says_where_data_and_cache_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPURBENCH_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("SPURBENCH_DATA", str(tmp_path / "d"))
    assert (default_cache(), default_data_root()) == (tmp_path / "c", tmp_path / "d")
    monkeypatch.setenv("SPURBENCH_CACHE", "")
    assert default_cache() not in (tmp_path / "c", Path())


@settings(deadline=None, max_examples=15)
@given(st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=50), min_size=1))
def test_hashes_are_those_of_hashlib(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("hashes")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    for cache in (HashCache(None), HashCache(folder / "cache"), HashCache(folder / "cache")):
        assert cache.files({name: folder / name for name in contents}) == expected


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    original = Path.open

    def spy(self: Path, mode: str = "r", *rest: object, **named: object) -> object:
        if "b" in mode and "w" not in mode:
            read.append(self)
        return original(self, mode, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", spy)
    return read


def test_a_file_is_read_once_while_it_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"content")
    read = count_reads(monkeypatch)
    first = HashCache(tmp_path / "cache").file(path)
    assert read.count(path) == 1
    assert HashCache(tmp_path / "cache").file(path) == first
    assert read.count(path) == 1


@pytest.mark.parametrize("content", [b"CONTENT", b"content and more"])
def test_a_changed_file_is_read_again(tmp_path: Path, content: bytes) -> None:
    path, cache = tmp_path / "file", HashCache(tmp_path / "cache")
    path.write_bytes(b"content")
    os.utime(path, ns=(1, 1))
    cache.file(path)
    path.write_bytes(content)
    os.utime(path, ns=(2, 2))
    assert cache.file(path) == hashlib.sha256(content).hexdigest()


def test_names_given_to_files_are_not_mixed_up(tmp_path: Path) -> None:
    cache = HashCache(tmp_path / "cache")
    (tmp_path / "1").write_bytes(b"1")
    (tmp_path / "2").write_bytes(b"2")
    one = cache.files({"a": tmp_path / "1", "b": tmp_path / "2"})
    swapped = cache.files({"a": tmp_path / "2", "b": tmp_path / "1"})
    assert (one["a"], one["b"]) == (swapped["b"], swapped["a"])
    assert one["a"] != one["b"]


@pytest.mark.parametrize("garbage", ["", "{", "{}", "null", "\x00"])
def test_a_broken_cache_entry_is_computed_anew(tmp_path: Path, garbage: str) -> None:
    path, cache = tmp_path / "file", HashCache(tmp_path / "cache")
    path.write_bytes(b"content")
    cache.file(path)
    for entry in (tmp_path / "cache").iterdir():
        entry.write_text(garbage)
    assert cache.file(path) == hashlib.sha256(b"content").hexdigest()


@pytest.mark.parametrize("garbage", ["[]", '["a", "b"]', "[7]"])
def test_a_cache_entry_that_does_not_fit_is_computed_anew(tmp_path: Path, garbage: str) -> None:
    test_a_broken_cache_entry_is_computed_anew(tmp_path, garbage)


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(pipe, [b"one ", b"two"])
        assert os.read(reader, 100) == b"one two"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "new", b"x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask
