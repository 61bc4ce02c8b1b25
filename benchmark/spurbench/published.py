"""Numbers as papers print them, read from `published/DATASET.csv`: one value a row, with its source. Needs no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from .errors import DataError, one_line
from .files import safe_name
from .reading import leaving_out, read_regular
from .rules import Strict

M = TypeVar("M", bound=BaseModel)
Metric = Literal["wga", "acc_test", "acc_train_weighted", "average_unstated", "wga_gain", "easy", "hard", "drop"]
"""`average_unstated`: the source does not say which of the averages it prints; `wga_gain`: it prints by how much a
worst-group accuracy rises, and neither of the two."""
EASY_HARD: tuple[Metric, ...] = ("easy", "hard", "drop")
SIGNED: tuple[Metric, ...] = ("drop", "wga_gain")
"""In points, and of either sign."""
FOLDER = "published"
CLASSES = "-classes"
"""Ends the name of a file with accuracies per class."""

_Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]
_Count = Annotated[int, Field(ge=1, le=10**9)]
_Percent = Annotated[float, Field(ge=0, le=100)]
_Note = Annotated[str, Field(max_length=400)]
_Name = Annotated[str, Field(max_length=100)]


class Published(Strict):
    """One printed value.

    Attributes:
        method: as this program names it where it has it; `lvlm` is a language model that is shown the photo.
        backbone: as this program names it, so that own records can stand beside.
        model, pretraining: the source's own words.
        average: of easy, hard and drop: over classes that count the same, or over images; "" for the others, whose
            metric says it.
        label_space: of easy, hard and drop: what photos are told apart into, e.g. `1v1000`; "" for the others.
        over: what a gain is a gain over, a method as this program names it; "" for what is no gain.
        prompts: prompt set, "" for models without text and where the source does not say.
        split: what the source evaluated on.
        value: percent; drops and gains are in points.
        std: deviation over runs where one is printed, in points.
        where: table, or file, in the source.
        protocol: what the source did otherwise than this program does; "" where no difference is known.
        note: why a value is not to be relied on; "" for the others.
    """

    dataset: _Text
    method: _Text
    backbone: _Text
    model: _Text
    pretraining: _Name
    metric: Metric
    average: Literal["class", "image", ""] = ""
    label_space: _Name = ""
    over: _Name = ""
    prompts: _Name
    split: Literal["train", "val", "test"]
    value: float = Field(ge=-100, le=100)
    std: Annotated[_Percent | None, BeforeValidator(lambda cell: None if cell == "" else cell)] = None
    source: _Text
    where: _Text
    protocol: _Note = ""
    reliable: bool
    note: _Note

    @model_validator(mode="after")
    def _consistent(self) -> Published:
        if self.metric not in SIGNED and self.value < 0:
            raise ValueError(f"an accuracy cannot be {self.value}")
        of_easy_hard = self.metric in EASY_HARD
        if bool(self.average) != of_easy_hard or bool(self.label_space) != of_easy_hard:
            raise ValueError("easy, hard and drop have an average and a label_space, other metrics have neither")
        if bool(self.over) != (self.metric == "wga_gain"):
            raise ValueError("a wga_gain says what it is over, other metrics are over nothing")
        if self.reliable == bool(self.note):
            raise ValueError("rows that are not reliable have a note with the reason, others have none")
        return self

    @property
    def place(self) -> tuple[str, ...]:
        """What tells its row of a table from others: all that says what was measured, but the metric, and where it is
        printed.
        """
        return (
            self.dataset, self.method, self.backbone, self.model, self.pretraining, self.average, self.label_space,
            self.over, self.prompts, self.split, self.source, self.where,
        )  # fmt: skip


class PublishedClass(Strict):
    """One class in the source's class-wise tables.

    Attributes:
        n_easy_printed: photos as the source prints them; `n_easy`: as its accuracies, k of n each, say.
        accuracies: backbone -> easy and hard accuracy, percent.
    """

    imagenet_idx: int = Field(ge=0, le=999)
    name: _Text
    easy_bg: _Text
    hard_bg: _Text
    n_easy_printed: _Count
    n_easy: _Count
    n_hard: _Count
    accuracies: dict[str, tuple[_Percent, _Percent]]
    source: _Text
    where: _Text

    @property
    def counts(self) -> tuple[int, int]:
        """Photos there should be, easy and hard."""
        return self.n_easy, self.n_hard


@dataclass(frozen=True)
class Triple:
    """Easy, hard and drop of one row of a table, percent; None where the source does not print one.

    `first` is one of the values, for all else that is known of them; `note` says why any is not to be relied on.
    """

    first: Published
    easy: float | None
    hard: float | None
    drop: float | None
    note: str

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against any of the values."""
        return not self.note


def packaged() -> Path:
    """The folder that this program comes with: in the installed package, or in the checkout it is run from."""
    here = Path(__file__).parent
    inside = here / FOLDER
    return inside if inside.is_dir() else here.parents[1] / "results" / FOLDER


def published_folder(results: Path) -> Path:
    """Where the published numbers are that go with a results folder: in it, or those that come with this program."""
    own = results / FOLDER
    return own if own.is_dir() else packaged()


def read_published(folder: Path, broken: list[str] | None = None) -> tuple[Published, ...]:
    """Every value below a folder, file by file in the order of their names.

    Raises DataError naming file and line of a broken or repeated row, or of one that belongs in another file; where a
    list `broken` is given, the message is added to it and the file left out.
    """
    found: list[Published] = []
    for path in sorted(folder.glob("*.csv")):
        if path.stem.endswith(CLASSES) or path.name.startswith("."):
            continue
        with leaving_out(broken):
            found += _values(path)
    return tuple(found)


def read_classes(folder: Path, dataset: str) -> tuple[PublishedClass, ...]:
    """The class-wise tables of a data set. Raises DataError naming file and line."""
    path = folder / f"{safe_name(dataset)}{CLASSES}.csv"
    found: dict[int, PublishedClass] = {}
    plain_columns = set(PublishedClass.model_fields) - {"accuracies"}
    for line, row in _rows(path):
        accuracies: dict[str, list[str | None]] = {}
        for name in [name for name in row if name not in plain_columns]:
            backbone, _, group = name.rpartition(" ")
            if group not in ("easy", "hard"):
                told = f"{path}: the column '{name}' is neither known nor 'BACKBONE easy' or '... hard'; correct it"
                raise DataError(one_line(told))
            accuracies.setdefault(backbone, [None, None])[group == "hard"] = row.pop(name)
        entry = _checked(PublishedClass, {**row, "accuracies": accuracies}, path, line)
        if entry.imagenet_idx in found:
            raise DataError(f"{path}, line {line}: class {entry.imagenet_idx} stands there twice; delete one of them")
        found[entry.imagenet_idx] = entry
    if len({frozenset(entry.accuracies) for entry in found.values()}) > 1 or not found:
        raise DataError(f"{path} has no class, or not the same models for each")
    return tuple(found.values())


def triples(values: Iterable[Published]) -> list[Triple]:
    """Easy, hard and drop gathered into rows of the source's tables, in the order in which each row is met first."""
    rows: dict[tuple[str, ...], dict[str, Published]] = {}
    for value in values:
        if value.metric in EASY_HARD:
            rows.setdefault(value.place, {})[value.metric] = value
    made = []
    for row in rows.values():
        easy, hard, drop = (row[metric].value if metric in row else None for metric in EASY_HARD)
        notes = dict.fromkeys(note for value in row.values() for note in value.note.split("; ") if note)
        made.append(Triple(next(iter(row.values())), easy, hard, drop, "; ".join(notes)))
    return made


def _values(path: Path) -> Iterator[Published]:
    seen: dict[tuple[str, ...], int] = {}
    for line, row in _rows(path):
        value = _checked(Published, row, path, line)
        if safe_name(value.dataset) != path.stem:
            belongs = path.with_name(f"{safe_name(value.dataset)}.csv")
            raise DataError(
                one_line(f"{path}, line {line}: a row of '{value.dataset}' belongs in {belongs}; move it there")
            )
        first = seen.setdefault((*value.place, value.metric), line)
        if first != line:
            raise DataError(one_line(f"{path}, line {line} repeats line {first}; delete one of them"))
        yield value


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of a CSV file with a heading, as (number of the line, cells by heading)."""
    try:
        # With or without the byte order mark that spreadsheets put first.
        text = read_regular(path).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for row in reader:
            if None in row or None in row.values():
                told = f"{path}, line {reader.line_num}: not as many cells as the heading has; correct the line"
                raise DataError(one_line(told))
            yield reader.line_num, row
    except FileNotFoundError as error:
        raise DataError(one_line(f"{path} is missing; it comes with the program: install it again")) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(one_line(f"{path} is not a readable CSV file: {why}; restore it")) from error


def _checked(model: type[M], row: dict[str, Any], path: Path, line: int) -> M:
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise DataError(one_line(f"{path}, line {line}: {message}; correct the line")) from error
