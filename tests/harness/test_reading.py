"""Results that one cannot trust: each fault is told apart, named on one line with its mending, and left out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench.board import make_board
from spurbench.errors import DataError, one_line, plain
from spurbench.files import digest
from spurbench.leaderboard import difference, read_everything
from spurbench.planted.record import planted_path
from spurbench.reading import files_below, kept_for_good, leaving_out
from spurbench.record import Record, read_record, read_records, record_path, to_json, write_record
from spurbench.render.markdown import to_markdown

from .test_board_tracks import made as with_predictions

Make = Callable[..., Record]
AGAIN = "restore it, or run the command that made it again"
HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "`code`",
    "two\nlines",
    "\u202eright to left",
    "[x](y)",
    "**b**",
    "\x1b[31m",
]


@pytest.fixture
def made(easy_hard_record: Make) -> Record:
    return easy_hard_record([[7, 3, 7, 3], [8, 3, 6, 2]], [10, 5, 10, 5])


def put(results: Path, record: Record, **changes: Any) -> Path:
    """Write a record where it belongs, with changes to the JSON."""
    path = record_path(results, record.rules, record.dataset, record.backbone, record.method)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**json.loads(to_json(record)), **changes}))
    return path


def told(path: Path) -> str:
    """The message of a file that is refused."""
    with pytest.raises(DataError) as caught:
        read_record(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message == one_line(message)
    return message.removeprefix(f"{path} ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf{}", "is not JSON: it begins with a byte order mark"),
        (b'{"rules": "v1", "seeds": [', "is cut short: EOF while parsing a list at line 1 column 26"),
        (b"<<<<<<< HEAD\n{}", "is not JSON: expected value at line 1 column 1"),
        (b"\x89PNG\r\n", "is not JSON"),
        (b'{"rules": "\xff"}', "is not JSON: invalid unicode code point"),
        (b"[" * 100_000, "is not JSON: recursion limit exceeded"),
        (b"[]", "is not a valid record: the file: Input should be an object"),
        (b"null", "is not a valid record: the file"),
        (b'{"schema_version": true}', "is not a valid record: schema_version"),
        (b'{"schema_version": "2"}', "is not a valid record: schema_version"),
    ],
)
def test_what_is_no_record_is_told_apart(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "erm.json"
    path.write_bytes(content)
    assert told(path).startswith(message)
    assert told(path).endswith(AGAIN)


@pytest.mark.parametrize("version", [1, 2, 3, 5, -1, 10**30])
def test_another_version_is_told_with_both_numbers_and_not_to_be_deleted(
    tmp_path: Path, made: Record, version: int
) -> None:
    message = told(put(tmp_path, made, schema_version=version, tiers={"of": "old"}))
    assert f"schema_version is {version}, this one reads 4; run the command that made it again, or install" in message
    assert "delete" not in message


def test_a_planted_record_of_another_version_is_told_likewise(tmp_path: Path) -> None:
    path = planted_path(tmp_path, "birds", "RN50")
    path.parent.mkdir(parents=True)
    path.write_text('{"schema_version": 7}')
    (message,) = read_everything(tmp_path).broken
    assert message.startswith(f"{path} was written by another version of this program: its schema_version is 7")


def by_hand(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Edits that a person may make, each with what is told of it."""
    seeds = document["seeds"]

    def with_seed(**changes: Any) -> dict[str, Any]:
        return {"seeds": [{**seeds[0], **changes}, *seeds[1:]]}

    better = {"worst_group": {**seeds[0]["selected"]["worst_group"], "test": [10, 5, 10, 5]}}
    yield "counts differ from those of the chosen candidate", with_seed(selected=better)
    yield "key is not the sha256 of key_parts", {"key_parts": {"protocol": 2}}
    yield "key is not the sha256 of key_parts", {"key": digest({"protocol": 2})}
    yield "do not fit totals", with_seed(test_total=[1, 1, 1, 1])
    yield "seeds disagree on the number of test examples", with_seed(test_total=[11, 5, 10, 5])
    yield "seeds must be ascending and distinct", {"seeds": seeds[::-1]}
    yield "a failed seed has a failure", with_seed(status="failed")
    yield "nothing selected", with_seed(selected={})
    yield "a failed seed has nothing selected", with_seed(status="failed", failure={"message": "x"})
    yield "do not fit 2 groups", {"classes": ["c0"]}


def test_every_edit_that_does_not_fit_the_rest_is_told_as_one(tmp_path: Path, made: Record) -> None:
    for fault, changes in by_hand(json.loads(to_json(made))):
        message = told(put(tmp_path, made, **changes))
        assert message.startswith("contradicts itself: ")
        assert fault in message
        assert message.endswith(f"it was changed after it was written: {AGAIN}")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"confidence": float("nan")}, "confidence"),
        ({"confidence": 1e308}, "confidence"),
        ({"times": {"updated": "", "seconds": {"0": float("nan")}}}, "times.seconds.0"),
        ({"times": {"updated": "", "seconds": {"0": float("-inf")}}}, "times.seconds.0"),
        ({"confidence": 5e-324}, "confidence"),
        ({"times": {"updated": "", "seconds": {"0": 1e308}}}, "times.seconds.0"),
        ({"times": {"updated": "", "seconds": {"0": -1}}}, "times.seconds.0"),
        ({"times": {"updated": "", "seconds": {}, "peak_memory": {"0": -5}}}, "times.peak_memory.0"),
        ({"times": {"updated": "", "seconds": {}, "peak_memory": {"0": 10**400}}}, "times.peak_memory.0"),
        ({"budget": {"seeds": 10**400, "configurations": 1}}, "budget.seeds"),
    ],
)
def test_numbers_that_are_none_are_refused_with_their_place(
    tmp_path: Path, made: Record, changes: dict[str, Any], where: str
) -> None:
    assert told(put(tmp_path, made, **changes)).startswith(f"is not a valid record: {where}: ")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_no_infinite_number_stands_in_a_seed(tmp_path: Path, made: Record, number: float) -> None:
    seed = json.loads(to_json(made))["seeds"][0]
    for changes in ({"configs": [{"C": number}]}, {"candidates": [[*seed["candidates"][0][:5], number]]}):
        assert "finite number" in told(put(tmp_path, made, seeds=[{**seed, **changes}]))
    assert told(put(tmp_path, made, key_parts={"C": number})).startswith("contradicts itself")


@pytest.mark.parametrize("number", [10**13, 10**400, -1], ids=["large", "huge", "negative"])
def test_no_count_is_negative_or_beyond_belief(tmp_path: Path, made: Record, number: int) -> None:
    refused = "do not fit 4 groups" if number == 10**13 else "is not a valid record: train_total.0"
    assert refused in told(put(tmp_path, made, train_total=[number, 0, 0, 0]))
    seed = json.loads(to_json(made))["seeds"][0]
    row = [0, 0, [0, 0, 0, 0], [number, 3, 7, 3]]
    assert "do not fit totals" in told(put(tmp_path, made, seeds=[{**seed, "candidates": [*seed["candidates"], row]}]))


def test_a_record_cut_at_every_97th_byte_is_cut_short_or_empty(tmp_path: Path, made: Record) -> None:
    text = to_json(made).rstrip().encode()
    path = tmp_path / "erm.json"
    for end in range(0, len(text), 97):
        path.write_bytes(text[:end])
        assert told(path).startswith("is cut short: EOF" if end else "is empty")


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_flipped_bits_are_refused_or_change_a_text_or_a_number_that_fits(
    easy_hard_record: Make, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is read still renders, and its counts still fit together."""
    made = easy_hard_record([[7, 3, 7, 3]], [10, 5, 10, 5])
    text = bytearray(to_json(made).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flip") / "erm.json"
    path.write_bytes(text)
    try:
        found = read_record(path)
    except DataError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert message == one_line(message)
        return
    assert found is not None
    assert digest(found.key_parts) == found.key
    for seed in found.done:
        for chosen in seed.selected.values():
            assert chosen.test == seed.candidates[chosen.candidate].test
            assert all(0 <= right <= total for right, total in zip(chosen.test, seed.test_total, strict=True))
    board = make_board([found])
    assert "WGA" in to_markdown(board)
    assert board.rows
    json.dumps([asdict(row) for row in board.rows], allow_nan=False)


def test_two_files_swapped_are_both_named_and_the_rest_is_read(tmp_path: Path, easy_hard_record: Make) -> None:
    paths = {
        name: put(tmp_path, easy_hard_record([7, 3, 7, 3], [10, 5, 10, 5], method=name)) for name in ("a", "b", "c")
    }
    one, other = paths["a"].read_bytes(), paths["b"].read_bytes()
    paths["a"].write_bytes(other)
    paths["b"].write_bytes(one)
    broken: list[str] = []
    assert [record.method for record in read_records(tmp_path, broken)] == ["c"]
    assert len(broken) == 2
    for message, here, there in zip(broken, "ab", "ba", strict=True):
        assert message.startswith(f"{paths[here]} holds the record of v1 / animals / RN50 / {there}, which belongs in ")
        assert message.endswith(f"{paths[there]}: move it there, or remove it if that is there already")


def test_a_file_under_another_methods_name_is_to_be_moved(tmp_path: Path, made: Record) -> None:
    path = put(tmp_path, made)
    renamed = path.rename(path.with_name("afr.json"))
    broken: list[str] = []
    assert list(read_records(tmp_path, broken)) == []
    assert broken == [
        f"{renamed} holds the record of v1 / animals / RN50 / zero_shot, which belongs in {path}: "
        "move it there, or remove it if that is there already"
    ]


def test_what_is_no_file_where_a_record_should_be_is_named(tmp_path: Path, made: Record) -> None:
    path = put(tmp_path, made)
    folder, loop, nowhere, pipe = (path.with_name(f"{name}.json") for name in ("folder", "loop", "nowhere", "pipe"))
    folder.mkdir()
    loop.symlink_to(loop)
    nowhere.symlink_to(tmp_path / "absent")
    os.mkfifo(pipe)
    broken: list[str] = []
    assert list(read_records(tmp_path, broken)) == [made]
    assert broken == [
        f"{other} is a folder, a pipe, or a link that leads to no file; remove it"
        for other in (folder, loop, nowhere, pipe)
    ]
    with pytest.raises(DataError, match=re.escape(str(folder))):
        list(read_records(tmp_path))


def test_links_that_lead_around_in_a_circle_are_followed_no_further(tmp_path: Path, made: Record) -> None:
    path = put(tmp_path, made)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "round").symlink_to(tmp_path)
    (path.parent / "round").symlink_to(tmp_path)
    assert list(read_records(tmp_path)) == [made]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_unreadable_files_and_folders_are_named(tmp_path: Path, made: Record, easy_hard_record: Make) -> None:
    path = put(tmp_path, made)
    put(tmp_path, easy_hard_record([7, 3, 7, 3], [10, 5, 10, 5], dataset="plants"))
    closed = tmp_path / "v1" / "plants"
    path.chmod(0)
    closed.chmod(0)
    try:
        broken: list[str] = []
        assert list(read_records(tmp_path, broken)) == []
    finally:
        closed.chmod(0o755)
    assert [message.partition(" cannot be read: Permission denied")[0] for message in broken] == [
        str(path),
        str(closed),
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Record) -> None:
    path = put(tmp_path, made)

    def refused(name: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(os, "open", refused)
    assert told(path) == "cannot be read: Permission denied; make it a file that can be"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path, kind: str) -> None:
    """Also through a link."""
    path = tmp_path / "erm.json"
    if kind == "pipe":
        os.mkfifo(tmp_path / "pipe")
    else:
        (tmp_path / "folder").mkdir()
    path.symlink_to("/dev/zero" if kind == "device" else tmp_path / kind)
    assert told(path) == "is a folder, a pipe or a device, or a link to one; make it a file"


def test_a_link_to_a_file_is_read_as_the_file(tmp_path: Path, made: Record) -> None:
    path = put(tmp_path, made)
    (tmp_path / "link.json").symlink_to(path)
    assert read_record(tmp_path / "link.json") == made


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    """A sparse one, which takes no room."""
    path = tmp_path / "erm.json"
    with path.open("wb") as stream:
        stream.truncate(10**12)
    assert told(path).startswith("is 1000000000000 bytes long, where 67108864 are the most there can be; restore it")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Record) -> None:
    path = put(tmp_path, made)
    scandir = os.scandir

    def refused(folder: str) -> Any:
        if folder == str(path.parent):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    broken: list[str] = []
    assert list(read_records(tmp_path, broken)) == []
    assert broken == [f"{path.parent} cannot be read: Permission denied; make it a readable folder"]


def test_records_less_deep_than_they_should_be_are_told_and_other_files_are_not(tmp_path: Path, made: Record) -> None:
    path = put(tmp_path, made)
    text = path.read_text()
    stray = [tmp_path / "erm.json", tmp_path / "v1" / "erm.json", tmp_path / "v1" / "animals" / "erm.json"]
    others = [tmp_path / "notes.md", path.with_suffix(".npz"), path.with_suffix(".json.broken")]
    others += [tmp_path / ".hidden.json", path.parent / ".erm.json.123.part", tmp_path / "published" / "erm.json"]
    for other in (*stray, *others):
        other.parent.mkdir(exist_ok=True)
        other.write_text(text)
    broken: list[str] = []
    assert list(read_records(tmp_path, broken)) == [made]
    expected = "is where no record is looked for; those are RULES/DATASET/BACKBONE/METHOD.json: move it there"
    assert sorted(broken) == sorted(f"{other} {expected}" for other in stray)


NAMES = st.text("aZ0%.-~ \u00e9", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@given(st.sets(st.tuples(NAMES, NAMES), max_size=6), st.sampled_from(["A/B.json", "B.json"]))
@settings(deadline=None, max_examples=40)
def test_files_are_found_as_by_a_pattern_in_the_order_of_paths(
    tmp_path_factory: pytest.TempPathFactory, names: set[tuple[str, str]], pattern: str
) -> None:
    root = tmp_path_factory.mktemp("files")
    for folder, name in names:
        (root / folder).mkdir(exist_ok=True)
        (root / folder / f"{name}.json").write_text("")
    expected = sorted(path for path in root.glob("*/*.json" if "/" in pattern else "*.json") if "/." not in str(path))
    if pattern == "B.json":
        (root / "top.json").write_text("")
        expected = sorted({*expected, root / "top.json"} - {path for path in expected if path.is_dir()})
    assert list(files_below(root, pattern, [])) == expected


def test_without_a_folder_there_are_no_files(tmp_path: Path) -> None:
    assert list(files_below(tmp_path / "absent", "A/B.json", None)) == []


def test_everything_that_is_left_out_is_told_and_strict_reading_refuses_the_first(tmp_path: Path) -> None:
    """Cut short, predictions of another, no predictions, misplaced, a printed number that is none."""
    paths = {}
    for place, method in enumerate(("whole", "cut", "swapped", "alone")):
        found, arrays = with_predictions(method, 0.8, place)
        paths[method] = record_path(tmp_path, found.rules, found.dataset, found.backbone, method)
        write_record(paths[method], found, arrays)
    paths["cut"].write_bytes(paths["cut"].read_bytes()[:-100])
    paths["swapped"].with_suffix(".npz").write_bytes(paths["whole"].with_suffix(".npz").read_bytes())
    paths["alone"].with_suffix(".npz").unlink()
    (tmp_path / "erm.json").write_text("{}")
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "birds.csv").write_text("dataset\nbirds\n")
    everything = read_everything(tmp_path)
    assert [record.method for record in everything.records] == [row.method for row in everything.rows()] == ["whole"]
    assert everything.published == ()
    expected = {
        paths["alone"].with_suffix(".npz"): " is missing: the predictions of",
        paths["cut"]: " is cut short: EOF",
        paths["swapped"].with_suffix(".npz"): " does not hold the array '0.worst_group'",
        tmp_path / "erm.json": " is where no record is looked for",
        tmp_path / "published" / "birds.csv": ", line 2: ",
    }
    assert len(everything.broken) == len(expected)
    for path, message in expected.items():
        assert any(told.startswith(f"{path}{message}") for told in everything.broken)
    with pytest.raises(DataError) as caught:
        read_everything(tmp_path, strict=True)
    assert str(caught.value) == everything.broken[0]


def test_only_faults_of_data_are_left_out() -> None:
    broken: list[str] = []
    with leaving_out(broken):
        raise DataError("a fault")
    assert broken == ["a fault"]
    with pytest.raises(KeyError), leaving_out(broken):
        raise KeyError("a bug")


def test_the_collector_is_back_as_it_was() -> None:
    import gc

    assert gc.isenabled()
    with pytest.raises(KeyError), kept_for_good():
        raise KeyError(gc.isenabled())
    with kept_for_good():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with kept_for_good():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_keys_and_paths_stay_on_one_plain_line(tmp_path: Path, made: Record, text: str) -> None:
    path = put(tmp_path, made, **{text: 1, "x" * 10_000: 1})
    assert len(told(path)) < 300
    message = told(path)
    assert "\x1b" not in message
    assert "\u202e" not in message
    assert "\n" not in message
    named = path.with_name("a\x1b[31m\nb\u202e.json")
    named.write_text("")
    with pytest.raises(DataError) as caught:
        read_record(named)
    assert str(caught.value).endswith(f"a\ufffd[31m b\ufffd.json is empty; {AGAIN}")


def test_what_turns_writing_around_is_not_plain_and_other_scripts_are() -> None:
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x1B, 0x9B, 0x0, 0xD800):
        assert plain(f"a{chr(code)}b") == "a\ufffdb"
    for text in ("waterbird/land", "\u05d0\u05d1\u05d2", "\u0627\u0644\u0639", "a\u200db", "\u9ce5", "\u00e9 \u2013 x"):
        assert plain(text) == text
    assert one_line("a\nb\u2028c\r\nd") == "a b c\ufffd d"


def test_hostile_text_in_records_is_text_in_the_document(easy_hard_record: Make) -> None:
    """Names, titles, classes, failures: no tag, no cell, no emphasis, no line of their own."""
    for text in HOSTILE:
        failure = {"seed": 0, "status": "failed", "failure": {"message": text, "traceback": text}}
        records = [
            easy_hard_record([7, 3, 7, 3], [10, 5, 10, 5], method="plain", title=text, paper=text, prompts=text),
            easy_hard_record([7, 3, 7, 3], [10, 5, 10, 5], method=f"m{text}", classes=[text, "b"], supervision=[text]),
            easy_hard_record([7, 3, 7, 3], [10, 5, 10, 5], method="failed", seeds=[failure]),
            easy_hard_record([7, 3, 7, 3], [10, 5, 10, 5], dataset=text, backbone=text, rules=text, trains=text),
        ]
        document = to_markdown(make_board(records))
        assert not re.search(r"<(?!/?(details|summary)>)", document)
        assert not {"\x1b", "\u202e"} & set(document)
        tables = re.findall(r"(?:^\|.*\n)+", document, re.MULTILINE)
        assert tables
        for table in tables:
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
        for special in ("`code`", "**b**", "[x](y)"):
            assert special not in document


@pytest.mark.parametrize(
    ("place", "number"),
    [("seed", 10**30), ("parameters", 10**25), ("parameters", 10**400), ("configs", 10**400), ("candidates", 10**16)],
)
def test_no_number_of_a_seed_is_beyond_measure(tmp_path: Path, made: Record, place: str, number: int) -> None:
    seed, within = json.loads(to_json(made))["seeds"][1], place
    if place == "parameters":
        within = "selected.worst_group"
        seed["selected"]["worst_group"]["parameters"] = number
    elif place == "configs":
        seed["configs"][0]["C"] = number
    elif place == "candidates":
        seed["candidates"][0][1] = number
    else:
        seed["seed"] = number
    assert told(put(tmp_path, made, seeds=[seed])).startswith(f"is not a valid record: seeds.0.{within}")


def test_pipes_and_devices_in_the_place_of_tables_and_boards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results" / "published").mkdir(parents=True)
    table = tmp_path / "results" / "published" / "birds.csv"
    os.mkfifo(table)
    refused = "is a folder, a pipe or a device, or a link to one; make it a file"
    assert read_everything(tmp_path / "results").broken == (f"{table} {refused}",)
    (tmp_path / "leaderboard.md").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=re.escape(f"leaderboard.md {refused}")):
        difference(tmp_path / "leaderboard.md", "")
