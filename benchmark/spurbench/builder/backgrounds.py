"""Where each photo was taken: people's own labels under one name each, or what they confirmed of a model's drafts.

A sheet of drafts has the columns SHEET, one line for each photo. Whoever checks it writes `yes` or `no` in `confirmed`,
or another word in `background`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..errors import DataError
from . import sheets
from .synonyms import Synonyms
from .table import By

SHEET = ("file", "background", "guess", "confidence", "second", "confirmed", "drafter")
"""`background` is what counts, `guess` what the model said, `confidence` its probability (0..1), `second` what it would
have said else, and `drafter` the sha256 of the model's weights. A sheet needs `file`, `background` and `confirmed` at
least."""
YES, NO = frozenset({"yes", "y", "true", "1", "x"}), frozenset({"no", "n", "false", "0"})


def named(photos: pd.DataFrame, synonyms: Synonyms, confirmed: Path | None = None) -> pd.DataFrame:
    """The photos with the columns NAMED: each background by its one name, and by whom.

    `background_by` is `label` for what the photos had before, which always wins; `confirmed` for drafts with a yes, and
    where the background is another than was guessed; `draft` for all others; "" where no background is known. A draft
    with a no, or emptied, is no background.

    Args:
        photos: with the columns READ.
        confirmed: a sheet of drafts.

    Raises:
        DataError: the sheet cannot be read, lists a photo twice, none of the photos, or has other words in `confirmed`.
    """
    drafts = {} if confirmed is None else _drafts(confirmed, synonyms)
    paths, written = photos["path"].tolist(), photos["background"].tolist()
    if drafts and not any(path in drafts for path in paths):
        raise DataError(f"{confirmed}: lists none of these photos, but {next(iter(drafts))}; is it of another folder?")
    names, by = [], []
    for path, word in zip(paths, written, strict=True):
        name, who = (synonyms.name(word), "label") if word.strip() else drafts.get(path, ("", ""))
        names.append(name)
        by.append(who if name else "")
    settled: pd.DataFrame = photos.assign(background=names, background_by=by)
    return settled


def check(photos: pd.DataFrame) -> tuple[str, ...]:
    """The classes with photos before fewer than two backgrounds, in which nothing can be compared.

    Args:
        photos: with the columns READ; photos that `cleaning` left out do not count.

    Raises:
        DataError: no photo has a background, or no class has two; says what to do.
    """
    kept = photos[photos["status"] == ""] if "status" in photos else photos
    labels, counted = sorted(photos["label"].unique()), kept[kept["background"] != ""]
    how = "sort photos into class/background/, list them with a column `background`, or let a model draft them: "
    how += "spurbench build backgrounds PHOTOS --with BACKBONE --out DIR"
    if counted.empty:
        raise DataError(f"no photo has a background; {how}")
    number = counted.groupby("label")["background"].nunique()
    few = tuple(label for label in labels if number.get(label, 0) < 2)
    if len(few) == len(labels):
        names = ", ".join(sorted(counted["background"].unique())[:10])
        raise DataError(f"no class has photos before two backgrounds (found {names}); {how}")
    return few


def drafters(confirmed: Path) -> tuple[str, ...]:
    """The models that drafted a sheet (`drafts.identity`), sorted; none where it does not say. Raises DataError."""
    return tuple(sorted(set(_columns(confirmed)["drafter"]) - {""}))


def _drafts(path: Path, synonyms: Synonyms) -> Mapping[str, tuple[str, By]]:
    """Background and by whom, for each photo of a sheet."""
    cells = _columns(path)
    files = [file.replace("\\", "/").removeprefix("./") for file in cells["file"]]
    twice = [file for file, count in Counter(files).items() if count > 1]
    if twice:
        raise DataError(f"{path}: {len(twice)} photos are listed more than once, first {twice[0]}")
    found: dict[str, tuple[str, By]] = {}
    lines = zip(files, cells["background"], cells["guess"], cells["confirmed"], strict=True)
    for row, (file, background, guess, answer) in enumerate(lines):
        if answer.lower() not in YES | NO | {""}:
            raise DataError(
                f"{path}: line {row + 2} has {answer!r} in `confirmed`; write yes or no there, or leave it empty; a "
                "better word goes in the column `background`"
            )
        name = synonyms.name(background)
        corrected = guess != "" and name != synonyms.name(guess)
        by: By = "confirmed" if corrected or answer.lower() in YES else "draft"
        # A no beside another word than the guess is about the guess.
        found[file] = ("" if answer.lower() in NO and not corrected else name, by)
    return found


def _columns(path: Path) -> dict[str, list[str]]:
    header = [name.casefold() for name in sheets.header(path)]
    absent = [name for name in ("file", "background", "confirmed") if name not in header]
    if absent:
        raise DataError(f"{path}: has no column {' and no column '.join(absent)}; found {', '.join(header[:30])}")
    here = [name for name in SHEET if name in header]
    cells = dict(zip(here, sheets.columns(path, [header.index(name) for name in here]), strict=True))
    rows = len(cells["file"])
    return {name: cells.get(name, [""] * rows) for name in SHEET}
