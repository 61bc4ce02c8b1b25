"""Waterbirds: birds of two kinds before two kinds of background, which agree in 95 % of the training photos."""

from __future__ import annotations

import contextlib
import io
import logging
import tarfile
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from filelock import FileLock, Timeout

from spurbench.attribute_text import AttributeText, Concepts
from spurbench.cards import DatasetCard, PromptSet
from spurbench.data import Examples, Ints, Places
from spurbench.errors import DataError

from ._boxes import together
from ._columns import check_counts, located, photos, read_csv, text_column, whole_numbers
from ._cub import bird_boxes, segmentations
from ._downloads import patience, scratch
from ._masks import read_masks

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger("spurbench")

WILDS_FOLDER = "waterbirds_v1.0"
"""Where the wilds package puts the photos and `metadata.csv`."""
TARBALL_FOLDER = "waterbird_complete95_forest2water2"
"""The one folder inside the authors' own archive."""
TARBALL_URL = "https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz"
PATIENCE = 60.0
"""Seconds without a byte before a download is given up."""

_BACKGROUND = AttributeText(
    values=("on land", "on water"),
    # The contexts that PerceptionCLIP names for Waterbirds, the empty one among them.
    contexts=(
        "", "on land", "on water", "in a forest", "in the sky", "on a street", "on grass", "on a tree", "with flowers",
        "on a beach", "with a human", "on a branch",
    ),
    class_free="a photo of a bird {}.",
    # The eight scenes and the five contexts that Orth-Cal's released code has.
    scenes=(
        "a photo of a land background.", "a photo of a forest.", "a photo of a mountain.", "a photo of a wood.",
        "a photo of a water background.", "a photo of an ocean.", "a photo of a beach.", "a photo of a port.",
    ),
    pairs=(
        "with a land background", "with a water background", "in the ocean", "in the water", "in the forest",
    ),
    # The words of Yang et al. 2023 (arXiv 2304.03916).
    names=("land", "water"),
    settings=("bird on land", "bird on water"),
)  # fmt: skip
_CONCEPTS = Concepts(
    # What RoboShot's language model named, in other words: habitat, surroundings, diet, migration, wings; then feet,
    # plumage, size, colour, length and width of the bill.
    reject=(
        ("a bird that lives near water", "a bird that lives in dry places"),
        ("a bird surrounded by water", "a bird surrounded by land"),
        ("a bird that eats fish", "a bird that eats insects"),
        ("a bird that follows the coast when it migrates", "a bird that crosses the country when it migrates"),
        ("a bird that winters at the shore", "a bird that winters in the woods"),
        ("a bird with a wide wingspan", "a bird with a narrow wingspan"),
    ),
    accept=(
        ("a bird with webbed feet", "a bird with clawed feet"),
        ("a bird with waterproof plumage", "a bird with plumage that soaks"),
        ("a big bird", "a little bird"),
        ("a dark bird", "a bright bird"),
        ("a bird with a long bill", "a bird with a short bill"),
        ("a bird with a broad bill", "a bird with a thin bill"),
    ),
)

_COLUMNS = ("img_filename", "y", "place", "split")


class Waterbirds:
    """Waterbirds (Sagawa et al. 2020, arXiv 1911.08731): y is the bird, a is the background.

    Read from `ROOT/waterbirds_v1.0/` (as the wilds package lays it out) or
    `ROOT/waterbird_complete95_forest2water2/` (the authors' archive); both hold the same photos and `metadata.csv`.
    Ids are the file names in it.

    Args:
        card: what to expect; another one than the default is for tests and variants with counts of their own.
    """

    card = DatasetCard(
        name="waterbirds",
        title="Waterbirds",
        classes=("landbird", "waterbird"),
        attributes=("land", "water"),
        licence="non-commercial research",
        url="https://github.com/kohpangwei/group_DRO",
        citation="Sagawa, Koh, Hashimoto, Liang: Distributionally robust neural networks for group shifts, ICLR 2020; "
        "photos from CUB-200-2011 (Wah et al. 2011) and Places (Zhou et al. 2017)",
        prompts=(
            PromptSet("photo", ("a photo of a {}.",), source="Radford et al. 2021, arXiv 2103.00020, section 3.1.4"),
            PromptSet("picture", ("This is a picture of a {}.",), source="Zhang & Re 2022, arXiv 2207.07180"),
            PromptSet("imagenet80", open_clip_list="OPENAI_IMAGENET_TEMPLATES", source="Radford et al. 2021"),
            PromptSet("plain", ("a {}",), source="RoboShot, arXiv 2309.04344"),
        ),
        attribute_prompts=("a photo of a land background.", "a photo of a water background."),
        attribute_text=_BACKGROUND,
        concepts=_CONCEPTS,
        counts={
            "train": (3498, 184, 56, 1057),
            "val": (467, 466, 133, 133),
            "test": (2255, 2255, 642, 642),
        },
        download="about 0.5 GB, fetched when first used",
    )

    def __init__(self, card: DatasetCard | None = None) -> None:
        if card is not None:
            self.card = card

    def prepare(self, root: Path, *, download: bool) -> None:
        """Find the photos below `root`, or fetch them if `download`: either all of them arrive, or nothing is left.

        Raises:
            DataError: they are not there, and were not or could not be fetched; says how to supply them by hand.
        """
        if _find(root) is not None:
            return
        if not download:
            raise DataError(_absent(root, "`spurbench run` downloads it (about 0.5 GB) unless it is offline"))
        try:
            root.mkdir(parents=True, exist_ok=True)
            # One download at a time: whoever waited here finds the photos when it is let in.
            with FileLock(root / ".waterbirds.lock"):
                if _find(root) is None:
                    self._download(root)
        except (OSError, Timeout) as error:
            raise DataError(_absent(root, f"{root} cannot be written to: {error}")) from error

    def load(self, root: Path) -> Examples:
        """Read `metadata.csv` and check it: columns, ranges, the counts on the card, and that every photo is there.

        Raises:
            DataError: says what deviates, and where.
        """
        return self._read(_found(root))

    def places(self, root: Path, rows: Ints) -> Places:
        """Where the birds are, which make the class; everything else is the background, which is spurious.

        The photos come without it: CUB-200-2011 has it, as `segmentations/` or as `images.txt` and
        `bounding_boxes.txt`, to be put into `ROOT/CUB_200_2011/` or into the photos' folder.

        Raises:
            DataError: says what is not there and where to put it, or what does not fit the photos.
        """
        folder, names = self._names(root, rows)
        birds = bird_boxes(folder, names, [folder / name for name in names])
        return Places(together(birds), birds)

    def masks(self, root: Path, rows: Ints) -> list[NDArray[np.uint8] | None] | None:
        """The birds by CUB-200-2011's segmentations, put where `places` finds them (see `spurbench.masks`).

        They say how many people took each pixel for the bird; it is one where at least half as many did as where most
        did. None for a photo in which nobody did, and None for all without segmentations.

        Raises:
            DataError: a segmentation that is missing, cannot be read, or does not fit its photo.
        """
        folder, names = self._names(root, rows)
        files = segmentations(folder, names)
        if files is None:
            return None
        found = read_masks(files, [folder / name for name in names])
        return [None if shown is None or not shown.any() else shown for shown in found]

    def _names(self, root: Path, rows: Ints) -> tuple[Path, list[str]]:
        """The photos' folder, and the rows' photos by their path in it. Raises DataError."""
        folder = _found(root)
        ids = self._read(folder).ids
        return folder, [ids[row] for row in rows.tolist()]

    def _read(self, folder: Path) -> Examples:
        path = folder / "metadata.csv"
        with located(path):
            return self._examples(folder, read_csv(path))

    def _examples(self, folder: Path, table: pd.DataFrame) -> Examples:
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise DataError(f"no column {', '.join(missing)}; found {', '.join(table.columns)}")
        ids = [str(name) for name in text_column(table, "img_filename")]
        examples = Examples(
            ids=ids,
            y=whole_numbers(text_column(table, "y"), "y"),
            a=whole_numbers(text_column(table, "place"), "place"),
            split=whole_numbers(text_column(table, "split"), "split"),
            n_classes=len(self.card.classes),
            n_attributes=len(self.card.attributes),
            photos=photos(folder, ids),
        )
        check_counts(self.card, examples)
        return examples

    def _download(self, root: Path) -> None:
        """Try each source in a scratch folder; move what proves complete into place, throw away what does not."""
        for name in (WILDS_FOLDER, TARBALL_FOLDER):
            if (root / name).is_dir() and any((root / name).iterdir()):
                raise DataError(_absent(root, f"{root / name} is there but incomplete: move it away, then try again"))
        sources: tuple[tuple[str, Callable[[Path], Path]], ...] = (
            ("the wilds package", _fetch_wilds),
            (TARBALL_URL, _fetch_tarball),
        )
        problems = []
        for title, fetch in sources:
            with scratch(root / ".waterbirds.part") as part:
                try:
                    log.info("Waterbirds: downloading about 0.5 GB from %s", title)
                    folder = fetch(part)
                    # An archive that was cut short may still hold metadata.csv: only the full check lets it in.
                    self._read(folder)
                except Exception as error:  # a source may fail in any way; the next one is tried all the same
                    problems.append(f"{title}: {error}")
                    log.warning("Waterbirds: no luck with %s: %s", title, error)
                    continue
                folder.replace(root / folder.name)
                return
        raise DataError(_absent(root, "the download failed: " + "; ".join(problems)))


def _find(root: Path) -> Path | None:
    """The folder below `root` that holds the data, or None."""
    # The folder itself is taken for the data root as readily as its parent.
    folders = [root / name for name in (WILDS_FOLDER, TARBALL_FOLDER)]
    folders += [root] if root.name in (WILDS_FOLDER, TARBALL_FOLDER) else []
    return next((folder for folder in folders if (folder / "metadata.csv").is_file()), None)


def _found(root: Path) -> Path:
    """The folder that holds the data. Raises DataError."""
    folder = _find(root)
    if folder is None:
        raise DataError(_absent(root, "`spurbench run` downloads it (about 0.5 GB) unless it is offline"))
    return folder


def _absent(root: Path, reason: str) -> str:
    """What to say when there is no data: where it was looked for, and how to supply it by hand."""
    return (
        f"Waterbirds is not at hand: there is neither {root / WILDS_FOLDER / 'metadata.csv'} nor "
        f"{root / TARBALL_FOLDER / 'metadata.csv'}; {reason}. "
        f"By hand: unpack {TARBALL_URL} (about 0.5 GB) below {root}, "
        f"or copy the folder {WILDS_FOLDER} that the wilds package downloads to {root}"
    )


def _fetch_wilds(part: Path) -> Path:
    """Let the wilds package download and unpack into `part`; return the folder."""
    from wilds.datasets.waterbirds_dataset import WaterbirdsDataset

    said = io.StringIO()
    try:
        with _safe_unpacking(), patience(PATIENCE), contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            WaterbirdsDataset(root_dir=str(part), download=True)
    except FileNotFoundError:
        # wilds prints the error of a download instead of raising it, then stumbles over the absent metadata.csv.
        lines = [line for line in said.getvalue().splitlines() if line.startswith("Exception:")]
        reason = lines[-1].removeprefix("Exception:").strip() if lines else "it downloaded nothing"
        raise DataError(reason) from None
    return part / WILDS_FOLDER


def _fetch_tarball(part: Path) -> Path:
    """Download the authors' archive into `part` and unpack it there; return the folder."""
    archive = part / "archive.tar.gz"
    request = urllib.request.Request(TARBALL_URL, headers={"User-Agent": "spurbench"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response, archive.open("wb") as stream:  # noqa: S310
        length = response.headers.get("Content-Length", "")
        _copy(response, stream, int(length) if length.isdigit() else None)
    with _safe_unpacking(), tarfile.open(archive, "r:gz") as tar:
        tar.extractall(part, filter="data")
    return part / TARBALL_FOLDER


def _copy(response: IO[bytes], stream: IO[bytes], total: int | None) -> None:
    """Copy a download, saying every tenth how far it is. Raises DataError if it ends early."""
    size = "of unknown size" if total is None else f"of {total / 1e6:,.0f} MB"
    log.info("Waterbirds: archive %s", size)
    done, told = 0, 0
    while block := response.read(1 << 20):
        stream.write(block)
        done += len(block)
        if total and done * 10 // total > told:
            told = done * 10 // total
            log.info("Waterbirds: %d %% %s", told * 10, size)
    if total is not None and done != total:
        raise DataError(f"the download was cut short: {done} of {total} bytes arrived")


@contextlib.contextmanager
def _safe_unpacking() -> Iterator[None]:
    """Make `tarfile` refuse members that leave the folder, also inside wilds, which unpacks without a filter."""
    if not hasattr(tarfile, "data_filter"):
        raise DataError("this Python is too old to unpack archives safely: update it to its latest patch release")
    before = tarfile.TarFile.__dict__.get("extraction_filter")
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
