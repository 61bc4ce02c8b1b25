"""What both CounterAnimal data sets share: their argument, where photos are, and what classes are called."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spurbench import imagenet
from spurbench.builder.file_names import LABELS, METADATA, RECORD
from spurbench.errors import DataError, UsageError
from spurbench.files import digest
from spurbench.images import PhotoFiles, cut_short

from .._columns import cleaned, did_you_mean, located, read_csv
from .download import at_hand, ensure
from .layout import Layout, found_below, read_layout
from .published import compare_counts, published_classes

log = logging.getLogger("spurbench")

NAMES = "imagenet_names.txt"
"""Labels that a built data set is told apart into, and ImageNet's names in the official archive: `<index>\\t<name>`."""
LICENCE = (
    "none stated by the authors; iNaturalist's photos, each under a licence of its own: research use, not re-hosted"
)
URL = "https://counteranimal.github.io"
CITATION = (
    "Wang, Lin, Chen, Schmidt, Han, Zhang: A Sober Look at the Robustness of CLIPs to Spurious Features, NeurIPS 2024, "
    "arXiv 2403.11497"
)
DOWNLOAD = "one archive from Google Drive, of a size that its authors do not state"

_OPTION = re.compile(r"([a-z]+)=([^/\\:]*)")


def asked(name: str, argument: str, defaults: Mapping[str, str]) -> tuple[Path | None, dict[str, str]]:
    """The folder and the options of `[DIR][:key=value]...`; options come last. Raises UsageError."""
    options = dict(defaults)
    parts = argument.split(":") if argument else []
    while parts and (option := _OPTION.fullmatch(parts[-1])) is not None:
        key, value = option.groups()
        if key not in defaults:
            known = ", ".join(f"{key}={value}" for key, value in defaults.items())
            raise UsageError(f"{name}: '{key}' is not one of its parameters ({known}){did_you_mean(key, defaults)}")
        options[key] = value
        parts.pop()
    return (Path(":".join(parts)).expanduser() if parts else None), options


@dataclass(frozen=True)
class Source:
    """Where a data set's photos are.

    Attributes:
        folder: the one that was named, or None for what is below the data root.
    """

    folder: Path | None

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise UsageError(f"there is no folder {self.folder} to read photos from (counteranimal:DIR)")

    def prepare(self, root: Path, *, download: bool) -> None:
        """Make sure that the photos are there, an archive of them or they themselves. Raises DataError."""
        # Whoever only asks whether the data is here does not wait for an archive to be unpacked.
        if self.folder is None and not at_hand(root):
            ensure(root, download=download)

    def beside(self, root: Path) -> Path:
        """The folder for files that belong to the data but are not in the archive."""
        return self.folder or root / "counteranimal"

    @cached_property
    def given(self) -> Layout | None:
        """What the named folder holds, read once; None without one. Raises DataError."""
        return None if self.folder is None else read_layout(found_below(self.folder) or self.folder)

    def layout(self, root: Path) -> Layout:
        """What the folders hold; below the data root an archive is unpacked first. Raises DataError."""
        return self.given or read_layout(ensure(root, download=False))

    @cached_property
    def tested(self) -> frozenset[str] | None:
        """Paths of the test photos of a data set that `spurbench build` made; None for another. Raises DataError."""
        if self.folder is None or not (self.folder / RECORD).is_file():
            return None
        path = self.folder / METADATA
        with located(path):
            table = read_csv(path)
            if not {"file_name", "split"} <= set(table.columns):
                raise DataError("has no columns file_name and split")
            return frozenset(table.loc[table["split"] == "test", "file_name"])

    def evaluated(self, root: Path) -> Layout:
        """What is evaluated of what the folders hold: all, or the test photos of a data set that was built.

        Raises DataError.
        """
        layout = self.layout(root)
        if self.tested is None:
            return layout
        rows = [row for row, name in enumerate(layout.ids) if name in self.tested]
        if not rows:
            raise DataError(f"{self.folder}: none of its photos is a test photo in {METADATA}; build it again")
        return layout.only(rows)

    @cached_property
    def _listed(self) -> tuple[str, ...]:
        """The labels in the file of them; none where there is no such file."""
        path = None if self.folder is None else self.folder / LABELS
        if path is None or not path.is_file():
            return ()
        found = read_names(path)
        if sorted(found) != list(range(len(found))) or len(found) < 2:
            raise DataError(f"{path} must number two or more labels from 0, without gaps")
        return tuple(found[number] for number in range(len(found)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The label space that a built data set brings, its classes' numbers being places in it; empty: ImageNet's.

        Raises:
            DataError: numbers that are not 0, 1, 2, ...
        """
        return () if self._listed == imagenet.labels() else self._listed

    def expected(self, number: int) -> str:
        """How a class of ImageNet-1K is said: as the paper does, or by its synset, as `spurbench build` does."""
        published = None if self._listed else published_classes().get(number)
        return imagenet.synset_names()[number] if published is None else published.name

    def name(self, base: str, *options: str) -> str:
        """A name for the card: that of a named folder has a hash of what is in it, by labels, as its listing says."""
        layout = self.given
        if layout is None or self.folder is None:
            return ":".join([base, *options])
        listing = [list(row) for row in zip(layout.ids, layout.classes, layout.groups, strict=True)]
        where = cleaned(self.folder.resolve().name, "A-Za-z0-9_.+-", 30) or "photos"
        return ":".join([base, f"{where}@{digest([list(self._listed), listing])[:8]}", *options])

    def names(self, layout: Layout) -> dict[int, str]:
        """How prompts say each class that there are photos of, by its number: as its folder does.

        One warning names the folders that are called other than expected.

        Raises:
            DataError: a number that is not a label's.
        """
        n_labels = len(self.labels) or imagenet.SIZE
        for number, name in layout.names.items():
            if number >= n_labels:
                where = self.folder / LABELS if self._listed and self.folder is not None else "ImageNet-1K's classes"
                raise DataError(
                    f"{layout.folder}: class '{number} {name}' is not among {where}, which go from 0 to {n_labels - 1}"
                )
        if self._listed:
            return {number: self.labels[number] if self.labels else self.expected(number) for number in layout.names}
        said, odd = {}, []
        for number, name in layout.names.items():
            known = {known.casefold(): known for known in (imagenet.synset_names()[number], self.expected(number))}
            # Tokenizers see no capitals: however a folder is cased, it is the same prompt.
            said[number] = known.get(name.casefold(), name) or self.expected(number)
            if name and name.casefold() not in known:
                odd.append(f"{number} is {name!r}, not {self.expected(number)!r}")
        if odd:
            log.warning("%s: classes are called otherwise than by ImageNet: %s", layout.folder, "; ".join(odd))
        return said

    def check(self, layout: Layout) -> None:
        """Warn where the photos' numbers or ImageNet's names are not those published."""
        if self._listed:
            return
        if self.folder is None or set(layout.names) == set(published_classes()):
            compare_counts(layout.counts)
        path = layout.folder / NAMES
        if path.is_file():
            found = read_names(path)
            odd = [
                f"{number} is {found.get(number)!r}, not {name!r}"
                for number, name in enumerate(imagenet.synset_names())
                if found.get(number) not in (name, self.expected(number))
            ]
            if odd:
                more = f"; and {len(odd) - 3} more" if len(odd) > 3 else ""
                log.warning("%s differs from ImageNet's synsets, which are used: %s%s", path, "; ".join(odd[:3]), more)


def photos_of(layout: Layout) -> PhotoFiles:
    """The photos; one warning names those that are cut short and shown as far as they go."""
    paths = [layout.folder / name for name in layout.ids]
    cut = [str(path.relative_to(layout.folder)) for path in cut_short(paths)]
    if cut:
        log.warning(
            "%s: %d photos are cut short; of each is shown what is there: %s", layout.folder, len(cut), "; ".join(cut)
        )
    return PhotoFiles(paths, tolerant=True)


def read_names(path: Path) -> dict[int, str]:
    """The names in a file with lines `<index>\\t<name>`. Raises DataError."""
    found: dict[int, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for row, line in enumerate(lines, start=1):
        number, tab, name = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not re.fullmatch("[0-9]{1,9}", number.strip()) or not name.strip() or int(number) in found:
            raise DataError(f"{path}, line {row}: {line[:80]!r} is not a new number, a tab, and a name")
        found[int(number)] = " ".join(name.split())
    return found
