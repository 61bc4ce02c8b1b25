"""Reading sheets that people and sites export, strictly: every cell as text, every line as wide as the first."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError

PARQUET = ".parquet"


def header(path: Path) -> list[str]:
    """The columns' names. Raises DataError, naming the file."""
    with _reading(path):
        if path.suffix.lower() == PARQUET:
            import pyarrow.parquet

            return [str(name) for name in pyarrow.parquet.read_schema(path).names]
        return next(_lines(path, quoted=True))[1]


def columns(path: Path, numbers: Sequence[int], *, quoted: bool = True) -> list[list[str]]:
    """The columns of those numbers, each with a text for every row; "" for what is missing.

    Args:
        numbers: places in the header.
        quoted: whether quotation marks around a cell are no part of it. Ignored for parquet.

    Raises:
        DataError: no UTF-8, a line with too many or too few cells, no rows; names the file and the line.
    """
    with _reading(path):
        found = _from_parquet(path, numbers) if path.suffix.lower() == PARQUET else _from_text(path, numbers, quoted)
        if found and not found[0]:
            raise DataError("has a header and no rows")
        return found


def _from_text(path: Path, numbers: Sequence[int], quoted: bool) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in numbers]
    lines = _lines(path, quoted)
    width = len(next(lines)[1])
    for line, cells in lines:
        if len(cells) != width:
            raise DataError(f"line {line} has {len(cells)} cells where the header has {width}")
        for column, number in zip(found, numbers, strict=True):
            column.append(cells[number].strip())
    return found


def _lines(path: Path, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that has any, the header's first."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
        # A name may hold a comma but never a tab, so a tab decides; semicolons are what Excel writes in much of Europe.
        delimiter = next((mark for mark in "\t,;" if mark in first), ",")
        stream.seek(0)
        reader = csv.reader(
            stream, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
        )
        lines = ((reader.line_num, cells) for cells in reader if cells)
        names = next(lines, None)
        if names is None or not any(name.strip() for name in names[1]):
            raise DataError("is empty")
        yield names[0], [name.strip() for name in names[1]]
        yield from lines


def _from_parquet(path: Path, numbers: Sequence[int]) -> list[list[str]]:
    import pyarrow
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(path).names
    table = pyarrow.parquet.read_table(path, columns=[names[number] for number in numbers])
    found = []
    for number in numbers:
        column = table.column(names[number])
        if pyarrow.types.is_floating(column.type):
            # How pandas keeps whole numbers of which some are missing.
            column = column.cast(pyarrow.int64())
        texts = column.cast(pyarrow.string()).to_pylist()
        found.append(["" if text is None else text.strip() for text in texts])
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes a DataError that names the file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8; save it as CSV in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError, NotImplementedError) as error:
        # pyarrow's errors are ValueErrors, and NotImplementedErrors where a cell is no text.
        raise DataError(f"{path}: cannot be read as a sheet: {error}") from error
