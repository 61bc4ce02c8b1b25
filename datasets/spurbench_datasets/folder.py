"""Folder: anyone's photos, sorted into folders or listed in a CSV file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spurbench.attribute_text import AttributeText, Concepts
from spurbench.cards import SPLITS, DatasetCard, PromptSet
from spurbench.data import Examples, Ints, Places
from spurbench.errors import DataError, UsageError
from spurbench.files import digest
from spurbench.images import SUFFIXES

from ._boxes import mask_box, together
from ._columns import check_keys, cleaned, located, photos, read_csv, split_codes, text_column, unknown_split
from ._masks import MASKS, has_masks, masks_of, read_masks

_HEADLINE = PromptSet("photo", ("a photo of a {}.",), source="Radford et al. 2021, arXiv 2103.00020, section 3.1.4")
_COLUMNS = {
    "file": ("file", "img_filename", "file_name"),
    "class": ("class", "y"),
    "attribute": ("attribute", "a", "place"),
}


@dataclass(frozen=True)
class Listing:
    """What was found: photos by their path relative to the folder, with the codes and names of their labels."""

    files: list[str]
    y: Ints
    a: Ints
    split: Ints
    classes: tuple[str, ...]
    attributes: tuple[str, ...]


class Folder:
    """Photos of one's own.

    A folder, written `folder:DIR`, in one of two layouts:

    - `DIR/split/class/attribute/photo.jpg` with split one of train, val, test. Classes and attribute values are the
      folder names over all splits, sorted.
    - `DIR/metadata.csv` with columns `file` (or `img_filename`, `file_name`; a path below DIR), `class` (or `y`),
      `attribute` (or `a`, `place`) and `split` (train, val, test or 0, 1, 2). `class` and `attribute` hold names; the
      others may hold numbers from 0. Where this file exists it decides, whatever folders there are.

    Test photos there must be. Without train and val only what trains nothing can be evaluated.

    `DIR/card.yaml` may give `title`, `licence`, `prompts` (name -> list of templates, the first set being the headline
    one) and `attribute_prompts` (a list, one per attribute value in sorted order). For methods that work on text
    there may be `attribute_text`, with lists `values`, `names`, `settings` (each one per attribute value, sorted),
    `contexts`, `scenes`, `pairs` and a sentence `class_free` (`spurbench.attribute_text.AttributeText` explains them),
    and `concepts`, with lists `reject` and `accept` of pairs of opposites. Class names are put into prompts with `_`
    and `-` as spaces, unless `class_names` (class -> how prompts say it, for every class) says otherwise. With
    `truncated: shown` JPEGs that were cut short are shown as far as they go rather than refused. The card's name
    carries a hash of paths and labels: another listing is another data set.

    Where the objects that make the classes are may be told by masks: `DIR/masks/` with the photos' own tree,
    `masks/train/cat/day/a.png` for `train/cat/day/a.jpg`; what is bright is the object. A photo without a mask has no
    box.

    Photos are not opened here: what cannot be decoded is reported when features are built.

    Args:
        argument: the folder.

    Raises:
        UsageError: there is no such folder.
        DataError: what is in it does not make a data set; says why.
    """

    usage = "folder:DIR"
    card: DatasetCard

    def __init__(self, argument: str) -> None:
        self._folder = Path(argument).expanduser()
        if not self._folder.is_dir():
            raise UsageError(f"there is no folder {self._folder} to read photos from ({self.usage})")
        with located(self._folder):
            listed = (self._folder / "metadata.csv").is_file()
            self._listing = (_from_csv if listed else _from_folders)(self._folder)
            _check_listing(self._listing)
            _check_links(self._folder, self._listing.files)
        with located(self._folder / "card.yaml"):
            given = _read_card(self._folder / "card.yaml")
        self._tolerant = given.pop("truncated", False)
        self.card = _card(self._folder, self._listing, given)

    def prepare(self, root: Path, *, download: bool) -> None:
        """Nothing: the photos are where they are."""

    def load(self, root: Path) -> Examples:  # noqa: ARG002
        """The photos' columns, in the order of the listing; ids are paths relative to the folder. Raises DataError."""
        found = self._listing
        with located(self._folder):
            return Examples(
                ids=found.files,
                y=found.y,
                a=found.a,
                split=found.split,
                n_classes=len(found.classes),
                n_attributes=len(found.attributes),
                photos=replace(photos(self._folder, found.files), tolerant=self._tolerant),
            )

    def places(self, root: Path, rows: Ints) -> Places:  # noqa: ARG002
        """The boxes of the photos' masks, which make the class; everything else is spurious.

        Raises:
            UnknownObjectsError: there is no folder of masks.
            DataError: a mask that cannot be read, does not fit its photo, or leads elsewhere.
        """
        boxes = np.full((len(rows), 4), np.nan, dtype=np.float32)
        for row, (mask, photo) in enumerate(zip(*self._mask_files(rows), strict=True)):
            if mask is not None:
                boxes[row] = mask_box(mask, photo)
        return Places(together(boxes), boxes)

    def masks(self, root: Path, rows: Ints) -> list[NDArray[np.uint8] | None] | None:  # noqa: ARG002
        """What the photos' masks show; None without a folder of masks (see `spurbench.masks`).

        Raises:
            DataError: a mask that cannot be read, does not fit its photo, leads elsewhere, or is black.
        """
        if not has_masks(self._folder):
            return None
        files, photos = self._mask_files(rows)
        found = read_masks(files, photos)
        for file, shown in zip(files, found, strict=True):
            if shown is not None and not shown.any():
                raise DataError(f"the mask {file} shows nothing: draw the object in it, or remove the file")
        return found

    def _mask_files(self, rows: Ints) -> tuple[list[Path | None], list[Path]]:
        """The files of the rows' masks, None where there is none, and those of their photos. Raises DataError."""
        names = [self._listing.files[row] for row in rows.tolist()]
        masks = masks_of(self._folder, names)
        with located(self._folder):
            _check_links(self._folder, [mask for mask in masks if mask is not None], "mask")
        files = [None if mask is None else self._folder / mask for mask in masks]
        return files, [self._folder / name for name in names]


def _from_folders(folder: Path) -> Listing:
    """Walk split/class/attribute in sorted order; a photo anywhere else is an error, never silently left out."""
    rows: list[tuple[str, str, str, str]] = []
    for split in _folders(folder, stray=True):
        if split.name == MASKS:
            continue
        if split.name not in SPLITS:
            raise DataError(f"folder {split.name}: {unknown_split(split.name)}")
        found = list(_photos_of(split))
        if not found:
            raise DataError(f"folder {split.name} has no photos: fill it or remove it")
        rows += [(split.name, label, value, name) for label, value, name in found]
    rows.sort(key=lambda row: (SPLITS.index(row[0]), row[1:]))
    if not rows:
        raise DataError(
            "has neither metadata.csv nor folders train, val, test with photos as split/class/attribute/*.jpg"
        )
    splits, labels, values, names = (list(column) for column in zip(*rows, strict=True))
    y, classes = _coded(np.array(labels, dtype=object))
    a, attributes = _coded(np.array(values, dtype=object))
    files = ["/".join(row) for row in zip(splits, labels, values, names, strict=True)]
    return Listing(files, y, a, split_codes(np.array(splits, dtype=object)), classes, attributes)


def _photos_of(split: Path) -> Iterator[tuple[str, str, str]]:
    """Class, attribute value and file name of each photo of a split."""
    for label in _folders(split):
        for value in _folders(label):
            deeper = [entry.name for entry in _entries(value) if entry.is_dir()]
            if deeper:
                raise DataError(
                    f"{_below(value, 3)} holds a folder {deeper[0]}; photos must lie in split/class/attribute/"
                )
            for photo in _entries(value):
                if photo.suffix.lower() in SUFFIXES:
                    yield label.name, value.name, photo.name


def _folders(parent: Path, *, stray: bool = False) -> list[Path]:
    """The folders in `parent`, by name; photos beside them are an error unless `stray`."""
    entries = _entries(parent)
    beside = [entry.name for entry in entries if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]
    if beside and not stray:
        raise DataError(
            f"{len(beside)} photos lie directly in {parent.name}, first {beside[0]}; "
            "they must lie in split/class/attribute/"
        )
    return [entry for entry in entries if entry.is_dir()]


def _entries(parent: Path) -> list[Path]:
    """What is in a folder, by name (never in file-system order), hidden files left out."""
    try:
        return sorted(entry for entry in parent.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{parent} cannot be read: {error.strerror}") from error


def _below(path: Path, parts: int) -> str:
    return "/".join(path.parts[-parts:])


def _from_csv(folder: Path) -> Listing:
    """Read metadata.csv, rows in its order."""
    with located("metadata.csv"):
        table = read_csv(folder / "metadata.csv")
        chosen = {}
        for role, names in {**_COLUMNS, "split": ("split",)}.items():
            present = [name for name in names if name in table.columns]
            if not present:
                raise DataError(f"no column {' or '.join(names)}; found {', '.join(table.columns)}")
            chosen[role] = present[0]
        if table.empty:
            raise DataError("has no rows")
        y, classes = _labels(text_column(table, chosen["class"]), chosen["class"], "class")
        a, attributes = _labels(text_column(table, chosen["attribute"]), chosen["attribute"], "attribute")
        # Ids are compared between machines, so Windows' separators become the common ones.
        files = [str(name).replace("\\", "/") for name in text_column(table, chosen["file"])]
        split = split_codes(text_column(table, chosen["split"]))
        twice = [name for name, count in Counter(files).items() if count > 1]
        if twice:
            raise DataError(f"{len(twice)} files are listed more than once, first {twice[0]}")
        photos(folder, files)
        return Listing(files, y, a, split, classes, attributes)


def _labels(values: NDArray[Any], column: str, kind: str) -> tuple[Ints, tuple[str, ...]]:
    """Codes and names of a label column: names are sorted; numbers, outside the columns of names, are codes already."""
    if column == kind or not all(re.fullmatch(r"[0-9]{1,9}", value) for value in values):
        return _coded(values)
    codes = values.astype(np.int64)
    if codes.max() >= len(codes):
        raise DataError(f"column '{column}' has value {codes.max()} in {len(codes)} rows; number the values from 0")
    return codes, tuple(f"{kind} {code}" for code in range(int(codes.max()) + 1))


def _coded(values: NDArray[Any]) -> tuple[Ints, tuple[str, ...]]:
    """Codes by the sorted order of the names, and those names."""
    names = sorted(set(values.tolist()))
    place = {name: code for code, name in enumerate(names)}
    return np.array([place[value] for value in values], dtype=np.int64), tuple(names)


def _check_listing(found: Listing) -> None:
    """What must hold in either layout."""
    if len(found.classes) < 2:
        raise DataError(f"has only one class, {found.classes[0]!r}; a classifier needs two")
    counts = np.bincount(found.split, minlength=3)
    if not counts[SPLITS.index("test")]:
        raise DataError("has no test photos; set some aside in the split 'test'")
    if counts[0]:
        present = set(found.y[found.split == 0].tolist())
        empty = [name for code, name in enumerate(found.classes) if code not in present]
        if empty:
            raise DataError(f"classes without photos in train: {', '.join(empty)}")
    for name in (*found.files, *found.classes, *found.attributes):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the name {name!r} is not valid Unicode; rename it") from error


def _check_links(folder: Path, files: list[str], kind: str = "photo") -> None:
    """Refuse links that lead out of the folder: a data set someone sends must not read other files."""
    root = folder.resolve()
    parents: dict[Path, bool] = {}
    for name in files:
        path = folder / name
        try:
            if path.parent not in parents:
                parents[path.parent] = path.parent.resolve().is_relative_to(root)
            good = parents[path.parent] and (not path.is_symlink() or path.resolve().is_relative_to(root))
        except (OSError, RuntimeError) as error:
            raise DataError(f"{name} cannot be followed: {error}") from error
        if not good:
            raise DataError(f"{name} is a link that leads out of the folder; put the {kind} itself there")


def _card(folder: Path, found: Listing, given: Mapping[str, Any]) -> DatasetCard:
    """The card of a listing, with what card.yaml says about it."""
    path = folder / "card.yaml"
    with located(path if path.is_file() else folder):
        labelled = [
            [name, found.classes[y], found.attributes[a], SPLITS[split]]
            for name, y, a, split in zip(found.files, found.y, found.a, found.split, strict=True)
        ]
        name = folder.resolve().name
        classes = tuple(re.sub("[_-]+", " ", label).strip() or label for label in found.classes)
        if len(set(classes)) != len(classes):
            raise DataError(f"class names must differ in more than _, - and spaces: {', '.join(found.classes)}")
        said = _said(found.classes, given.get("class_names"))
        return DatasetCard(
            name=f"folder:{cleaned(name, 'A-Za-z0-9_.+-', 60) or 'photos'}@{digest(sorted(labelled))[:8]}",
            title=given.get("title", name),
            classes=classes,
            attributes=found.attributes,
            licence=given.get("licence", "as its owner says"),
            prompts=tuple(replace(prompts, class_names=said) for prompts in given.get("prompts", (_HEADLINE,))),
            attribute_prompts=given.get("attribute_prompts", ()),
            attribute_text=given.get("attribute_text", AttributeText()),
            concepts=given.get("concepts", Concepts()),
        )


def _said(classes: tuple[str, ...], given: Mapping[str, str] | None) -> tuple[str, ...]:
    """How prompts say each class; none where card.yaml does not tell."""
    if given is None:
        return ()
    if set(given) != set(classes):
        odd = sorted(set(given) ^ set(classes))
        raise DataError(f"'class_names' must name every class and no other; see {odd[0]!r}")
    return tuple(given[label] for label in classes)


def _read_card(path: Path) -> dict[str, Any]:
    """The keys of card.yaml, checked; empty where there is no such file. Raises DataError."""
    if not path.is_file():
        return {}
    import yaml

    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"cannot be read as YAML: {error}") from error
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DataError("must be a mapping of keys to values")
    readers: dict[str, Callable[[Any, str], Any]] = {
        "title": _text,
        "licence": _text,
        "prompts": _prompts,
        "class_names": _names,
        "truncated": _shown,
        "attribute_prompts": _texts,
        "attribute_text": _attribute_text,
        "concepts": _concepts,
    }
    check_keys(given, readers, "key")
    return {key: readers[key](value, key) for key, value in given.items()}


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"'{key}' must be text, not {value!r}")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f"'{key}' must be a list of texts, not {value!r}")
    return tuple(_text(item, key) for item in value)


def _prompts(value: Any, key: str) -> tuple[PromptSet, ...]:
    if not isinstance(value, Mapping) or not value:
        raise DataError(f"'{key}' must map each set's name to a list of templates such as 'a photo of a {{}}.'")
    return tuple(PromptSet(_text(name, key), _texts(templates, f"{key}: {name}")) for name, templates in value.items())


def _names(value: Any, key: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise DataError(f"'{key}' must map each class to how prompts say it")
    return {_text(label, key): _text(name, key) for label, name in value.items()}


def _shown(value: Any, key: str) -> bool:
    if value != "shown":
        raise DataError(f"'{key}' can only be 'shown', not {value!r}")
    return True


def _attribute_text(value: Any, key: str) -> AttributeText:
    readers: dict[str, Callable[[Any, str], Any]] = {
        "values": _phrases,
        "contexts": _phrases,
        "class_free": _text,
        "scenes": _texts,
        "pairs": _phrases,
        "names": _texts,
        "settings": _texts,
    }
    with located(f"'{key}'"):
        return AttributeText(**_nested(value, readers))


def _concepts(value: Any, key: str) -> Concepts:
    with located(f"'{key}'"):
        return Concepts(**_nested(value, {"reject": _pairs, "accept": _pairs}))


def _nested(value: Any, readers: Mapping[str, Callable[[Any, str], Any]]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise DataError(f"must map {', '.join(readers)} to what each is, not {value!r}")
    check_keys(value, readers, "key")
    return {name: readers[name](item, name) for name, item in value.items()}


def _phrases(value: Any, key: str) -> tuple[str, ...]:
    """A list of texts, the empty one among them where nothing is said."""
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise DataError(f"'{key}' must be a list of texts, not {value!r}")
    return tuple(value)


def _pairs(value: Any, key: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f"'{key}' must be a list of pairs of texts, not {value!r}")
    return tuple(_texts(pair, key) for pair in value)
