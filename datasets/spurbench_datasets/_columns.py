"""What every data set does with columns it did not write: check them, turn them into codes, name what is wrong."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spurbench.cards import SPLITS, DatasetCard
from spurbench.data import Examples, Ints
from spurbench.errors import DataError, UsageError
from spurbench.files import inside
from spurbench.images import PhotoFiles

if TYPE_CHECKING:
    import pandas as pd

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_SPLIT_CODES = {name: code for code, name in enumerate(SPLITS)} | {str(code): code for code in range(len(SPLITS))}
_SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


@contextmanager
def located(where: object) -> Iterator[None]:
    """Put `where` in front of the message of any DataError raised inside, and turn bad card values into one."""
    try:
        yield
    except (DataError, ValueError) as error:
        raise DataError(f"{where}: {error}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest known name, or an empty string."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def cleaned(text: str, allowed: str, longest: int) -> str:
    """`text` with every run of characters outside `allowed` (a regex class) made a dash, fit to be part of a name."""
    dashed = re.sub(rf"[^{allowed}]+", "-", text)
    return re.sub(r"^[^A-Za-z0-9]+", "", dashed)[:longest]


def whole_numbers(values: NDArray[Any], name: str) -> Ints:
    """A column as int64; digits written as text and floats without a fraction are taken. Raises DataError otherwise."""
    if values.ndim != 1:
        raise DataError(f"'{name}' must have one dimension, not shape {values.shape}")
    if values.dtype.kind in "bi":
        return values.astype(np.int64)
    if values.dtype.kind in "uf":
        good = np.isfinite(values) & (np.abs(values) < 2**53)
        good[good] = values[good] == np.floor(values[good])
    else:
        good = np.array([_WHOLE.fullmatch(str(value)) is not None for value in values], dtype=bool)
    if not good.all():
        row = int(good.argmin())
        raise DataError(f"'{name}' must hold whole numbers; row {row} has {str(values[row])!r}")
    return values.astype(np.int64)


def split_codes(values: NDArray[Any], name: str = "split") -> Ints:
    """0, 1, 2 for train, val, test, however they are written: names, numbers, or numbers as text. Raises DataError."""
    if values.dtype.kind in "biuf":
        codes = whole_numbers(values, name)
        known = (codes >= 0) & (codes < len(SPLITS))
    else:
        codes = np.array([_SPLIT_CODES.get(str(value), -1) for value in values], dtype=np.int64)
        known = codes >= 0
    if not known.all():
        row = int(known.argmin())
        raise DataError(f"row {row}: {unknown_split(str(values[row]))}")
    return codes


def unknown_split(name: str) -> str:
    """What to say about a split that is called something else."""
    meant = _SPLIT_ALIASES.get(name.casefold())
    hint = f"; did you mean {meant}?" if meant else did_you_mean(name, SPLITS)
    return f"unknown split {name!r}{hint} (splits are train, val and test, or 0, 1 and 2)"


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file with every value as text, so that a class may be called `None` or `01`. Raises DataError."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Without index_col pandas would take surplus cells for an index and shift every column by one.
            return pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"cannot be read as CSV: {error}") from error


def text_column(table: pd.DataFrame, name: str) -> NDArray[Any]:
    """One column as an array of str; DataError if a value is empty."""
    # A short line leaves its last cells as NaN whatever the options say.
    values = np.array(["" if value != value else str(value) for value in table[name]], dtype=object)
    empty = np.flatnonzero(values == "")
    if len(empty):
        raise DataError(f"column '{name}' is empty in {len(empty)} rows, first row {int(empty[0])}")
    return values


def photos(root: Path, names: Sequence[str]) -> PhotoFiles:
    """The files `names` below `root`. Raises DataError for names that lead out of it, or how many are missing."""
    try:
        paths = [inside(root, name) for name in names]
    except UsageError as error:
        raise DataError(str(error)) from error
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise DataError(f"{len(missing)} of {len(names)} photos are missing: {shown}")
    return PhotoFiles(paths)


def check_counts(card: DatasetCard, examples: Examples) -> None:
    """Compare with the counts on the card. Raises DataError naming every split and group that deviates."""
    wrong = [
        f"{split} {group}: expected {expected}, found {found}"
        for split, counts in card.counts.items()
        for group, expected, found in zip(card.groups, counts, examples.group_totals(split), strict=True)
        if expected != found
    ]
    if wrong:
        raise DataError(f"this is not the {card.title} that results can be compared on; " + "; ".join(wrong))


def check_keys(found: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse a key that nothing reads: it is a typo, and would silently become a default. Raises DataError."""
    for key in found:
        if key not in known:
            raise DataError(
                f"unknown {what} {key!r}{did_you_mean(str(key), known)} (known: {', '.join(sorted(known))})"
            )
