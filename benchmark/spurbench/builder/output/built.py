"""`Built`: all that is known of a data set before it is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..table import Found, Instrument

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["huggingface", "webdataset"]
"""What is written on request, beside the folder of photos."""
FORMS: tuple[Form, ...] = ("huggingface", "webdataset")
Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how many photos of it are done, and of how many."""
PHOTO = "a photo of a {}."
"""What prompts say where the instrument is asked in none (Radford et al. 2021, arXiv 2103.00020, section 3.1.4)."""
NO_LICENCE = "none given"


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


_RESERVED = re.compile(r"all rights reserved|copyright|©|^\s*c\s*$", re.IGNORECASE)
_SHARED = re.compile(r"\bcc\b|\bcc-|cc0|creative ?commons|some rights|public domain", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Built:
    """A data set as the builder found it.

    Attributes:
        folder_of_photos: where the photos are; they are only read.
        photos: every photo looked at, with all columns of `table`, one row each.
        found: the classes, kept and not.
        instrument: the model whose answers these are.
        title: of the data set, for people.
        command: what was typed to build it.
        seed: of all that was random.
        software: versions of what decided the result, by name.
    """

    folder_of_photos: Path
    photos: pd.DataFrame
    found: Found
    instrument: Instrument
    title: str
    command: str
    seed: int
    software: Mapping[str, str]


def said(instrument: Instrument) -> tuple[str, ...]:
    """The classes as they are said in prompts, one for each of `labels`; names that are hard to tell apart get their
    number: there are two cranes in ImageNet.
    """
    names = [" ".join(name.split()) for name in instrument.names]
    folded = [re.sub(r"[ _-]+", " ", name).casefold() for name in names]
    often = Counter(folded)
    return tuple(
        name if often[fold] == 1 else f"{name} ({number})"
        for number, (name, fold) in enumerate(zip(names, folded, strict=True))
    )


def licences(rows: pd.DataFrame) -> dict[str, int]:
    """How many photos there are under each licence, as written, the most frequent first."""
    counts = Counter(text or NO_LICENCE for text in rows["licence"].tolist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def is_reserved(licence: str) -> bool:
    """Whether a licence, as written, says that all rights are reserved, or no more than whose they are."""
    return _RESERVED.search(licence) is not None and _SHARED.search(licence) is None
