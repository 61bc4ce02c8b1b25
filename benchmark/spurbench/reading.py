"""Result files, read as what they are: untrusted. Each fault is told apart, with where it is and how it is mended."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import DataError, one_line

M = TypeVar("M", bound=BaseModel)
AGAIN = "restore it, or run the command that made it again"
MOVE = "move it there, or remove it if that is there already"
MOST_TEXT = 64 * 2**20
"""Bytes of a JSON, CSV or Markdown file of results; the largest that this program writes have a hundredth."""
ENDING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""So that a pipe nobody writes into opens at once, and is refused; and a file is read as it is on every system."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_checked(path: Path, model: type[M], kind: str) -> M | None:
    """What a JSON file holds, None if there is none.

    Raises DataError naming the file, what is wrong with it and how to mend it: it is no file or cannot be read, is
    empty, cut short or not JSON, was written by another version of this program, contradicts itself, or is not valid
    at a place.
    """
    try:
        text = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(one_line(f"{path} cannot be read: {error.strerror}; make it a file that can be")) from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise DataError(one_line(f"{path} {_fault(text, model, kind, error)}")) from error


@contextmanager
def opened(path: Path, most: int) -> Iterator[BinaryIO]:
    """A file of results, open for reading; it is no more than `most` bytes long.

    Raises OSError, and DataError for what is larger or no file: a pipe or a device may never end, or never begin.
    """
    handle = os.open(path, os.O_RDONLY | ENDING)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(one_line(f"{path} is a folder, a pipe or a device, or a link to one; make it a file"))
        if status.st_size > most:
            message = f"{path} is {status.st_size} bytes long, where {most} are the most there can be"
            raise DataError(one_line(f"{message}; {AGAIN}"))
        with open(handle, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(handle)


def read_regular(path: Path, most: int = MOST_TEXT) -> bytes:
    """The content of a file of results. Raises as `opened`."""
    with opened(path, most) as stream:
        return stream.read(most)


def files_below(folder: Path, pattern: str, broken: list[str] | None, left_out: Collection[str] = ()) -> Iterator[Path]:
    """JSON files that are as deep below a folder as a pattern such as `DATASET/BACKBONE.json`, in the order of paths.

    Hidden files and folders, and folders directly below that are `left_out`, are passed over. What cannot be read, is
    no file, or is less deep than it should be raises DataError, or is told as by `leaving_out`.
    """
    yield from _walk(str(folder), pattern, pattern.count("/"), broken, left_out)


def _walk(
    folder: str, pattern: str, depth: int, broken: list[str] | None, left_out: Collection[str] = ()
) -> Iterator[Path]:
    entries: list[os.DirEntry[str]] = []
    with leaving_out(broken):
        entries = _entries(folder)
    for entry in entries:
        with leaving_out(broken):
            if entry.name.startswith(".") or entry.name in left_out:
                continue
            if depth and _is_folder(entry):
                yield from _walk(entry.path, pattern, depth - 1, broken)
            elif entry.name.endswith(".json"):
                yield _in_place(entry, pattern, depth)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(one_line(f"{folder} cannot be read: {error.strerror}; make it a readable folder")) from error


def _in_place(entry: os.DirEntry[str], pattern: str, depth: int) -> Path:
    if depth:
        raise DataError(one_line(f"{entry.path} is where no record is looked for; those are {pattern}: move it there"))
    try:
        regular = entry.is_file()
    except OSError:
        regular = False
    if not regular:
        raise DataError(one_line(f"{entry.path} is a folder, a pipe, or a link that leads to no file; remove it"))
    return Path(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


@contextmanager
def leaving_out(broken: list[str] | None) -> Iterator[None]:
    """Add the message of a DataError to a list and go on behind the block; without a list, let it pass."""
    try:
        yield
    except DataError as error:
        if broken is None:
            raise
        broken.append(str(error))


@contextmanager
def kept_for_good() -> Iterator[None]:
    """While something large is read that stays: do not search it for garbage time and again.

    Python's collector looks through all that was read whenever it has grown by a quarter, which takes as long as
    reading it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _fault(text: bytes, model: type[BaseModel], kind: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if not text.strip():
        return f"is empty; {AGAIN}"
    if first["type"] == "json_invalid":
        found = str(first["ctx"]["error"])
        if text.startswith(BYTE_ORDER_MARK):
            return f"is not JSON: it begins with a byte order mark, as some editors add one; {AGAIN}"
        return f"{'is cut short' if found.startswith('EOF') else 'is not JSON'}: {found}; {AGAIN}"
    version, own = _version(text), model.model_fields["schema_version"].default
    if version not in (None, own):
        return (
            f"was written by another version of this program: its schema_version is {_short(str(version))}, "
            f"this one reads {own}; run the command that made it again, or install that version"
        )
    if first["type"] == "value_error":
        return f"contradicts itself: {_short(str(first['ctx']['error']))}; it was changed after it was written: {AGAIN}"
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"is not a valid {kind}: {_short(where)}: {_short(first['msg'])}; {AGAIN}"


def _version(text: bytes) -> int | None:
    """The schema version that a file of another one says, None where it says none."""
    from pydantic_core import from_json

    found = from_json(text)
    version = found.get("schema_version") if isinstance(found, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def _short(text: str, most: int = 200) -> str:
    """Text from a file, which may hold anything at any length, without its middle if it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
