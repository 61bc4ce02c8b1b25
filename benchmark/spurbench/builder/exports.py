"""What people and sites call the columns of a listing of photos: names of our own, exports of iNaturalist and GBIF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from . import sheets

OWN: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "path", "file_name", "filename"),
    "photo_id": ("photo_id",),
    "label": ("label", "class", "class_name", "species"),
    "background": ("background",),
    "observation": ("observation_id", "observation"),
    "photographer": ("photographer",),
    "licence": ("licence", "license"),
    "attribution": ("attribution",),
    "source_url": ("source_url", "url"),
    "extension": (),
}
"""By role, the names that are looked for; the first that is there is taken. `extension` is that of a photo's file."""


@dataclass(frozen=True)
class Export:
    """What a site exports.

    Attributes:
        name: for people.
        marks: columns, in lower case, that tell it.
        columns: its names by role; those of OWN come before them, so that anyone may add a column.
        quoted: whether its cells are quoted where they hold a separator.
        page: where a photo of a known id is shown, with {} for the id; "" where a column says it.
        beside: a second sheet, of observations, that may lie beside one of photos and names their classes.
    """

    name: str
    marks: frozenset[str]
    columns: Mapping[str, tuple[str, ...]]
    quoted: bool = True
    page: str = ""
    beside: str = ""

    def names(self, role: str) -> tuple[str, ...]:
        """What a role's column may be called, in lower case."""
        return (*OWN[role], *self.columns.get(role, ()))


EXPORTS = (
    Export(
        "iNaturalist's export of observations",
        frozenset({"id", "user_login", "image_url"}),
        {
            "label": ("common_name", "scientific_name", "taxon_name"),
            "observation": ("id",),
            "photographer": ("user_login",),
            "source_url": ("image_url",),
        },
    ),
    Export(
        "photos.csv of iNaturalist Open Data",
        frozenset({"photo_uuid", "photo_id", "observation_uuid"}),
        {"observation": ("observation_uuid",), "photographer": ("observer_id",), "extension": ("extension",)},
        quoted=False,
        page="https://www.inaturalist.org/photos/{}",
    ),
    Export(
        "a GBIF download",
        frozenset({"gbifid"}),
        {
            "label": ("vernacularname", "scientificname"),
            "observation": ("gbifid",),
            "photographer": ("creator", "recordedby"),
            "attribution": ("rightsholder",),
            "source_url": ("identifier",),
        },
        quoted=False,
        beside="occurrence.txt",
    ),
)
PLAIN = Export("a listing", frozenset(), {})


@dataclass(frozen=True)
class Listing:
    """A listing of photos.

    Attributes:
        export: what it was taken for.
        columns: by role (the keys of OWN), a text for each row; roles without a column are not there.
        rows: how many.
    """

    export: Export
    columns: Mapping[str, Sequence[str]]
    rows: int

    def column(self, role: str) -> Sequence[str]:
        """A text for each row, "" where there is no such column."""
        return self.columns.get(role) or [""] * self.rows


def read_listing(path: Path) -> Listing:
    """Read a listing: CSV, tab-separated, or parquet; names of columns in upper or lower case.

    Where a site exports photos and observations apart, and the sheet of photos names no classes, they are taken from
    the other one, if it lies beside.

    Raises:
        DataError: one of them cannot be read, two columns have one name, none says which photo a row is, or names of
            classes are missing in some rows.
    """
    export, columns = _read(path)
    if not any(role in columns for role in ("file", "photo_id", "source_url")):
        named = ", ".join(sheets.header(path)[:30])
        raise DataError(f"{path}: no column says which photo a row is: file, photo_id or url; found {named}")
    if "label" not in columns and export.beside and (path.parent / export.beside).is_file():
        columns["label"] = _labels(path.parent / export.beside, columns["observation"])
    return Listing(export, columns, len(next(iter(columns.values()))))


def _read(path: Path) -> tuple[Export, dict[str, Sequence[str]]]:
    """What a sheet is taken for, and its columns by role."""
    header = [name.casefold() for name in sheets.header(path)]
    export = next((export for export in EXPORTS if export.marks <= set(header)), PLAIN)
    found = {role: [name for name in export.names(role) if name in header] for role in OWN}
    for name in (name for names in found.values() for name in names):
        if header.count(name) > 1:
            raise DataError(f"{path}: has {header.count(name)} columns called '{name}'; leave one")
    wanted = sorted({header.index(name) for names in found.values() for name in names})
    columns = sheets.columns(path, wanted, quoted=export.quoted)
    cells = {header[number]: column for number, column in zip(wanted, columns, strict=True)}
    chosen: dict[str, Sequence[str]] = {role: cells[names[0]] for role, names in found.items() if names}
    if found["label"]:
        # One column for all rows: names from several would make two classes of one.
        whole = [name for name in found["label"] if all(cells[name])]
        if not whole:
            name = found["label"][0]
            empty = [row for row, text in enumerate(cells[name]) if not text]
            raise DataError(f"{path}: column '{name}' is empty in {len(empty)} rows, first row {empty[0] + 1}")
        chosen["label"] = cells[whole[0]]
    return export, chosen


def _labels(path: Path, observations: Sequence[str]) -> list[str]:
    """The classes of observations, by a sheet of them."""
    columns = _read(path)[1]
    if not {"observation", "label"} <= set(columns):
        raise DataError(f"{path}: has no column with the numbers of observations, or none that names their classes")
    labels = dict(zip(columns["observation"], columns["label"], strict=True))
    absent = [observation for observation in observations if observation not in labels]
    if absent:
        raise DataError(f"{path}: lacks {len(absent)} of the observations that photos are of, first {absent[0]}")
    return [labels[observation] for observation in observations]
