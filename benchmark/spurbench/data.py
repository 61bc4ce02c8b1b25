"""`Examples`, the columns of a data set, and `View`, what a method may see of some of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from .cards import NO_SUPERVISION, SPLITS, DatasetCard, Input, Supervision
from .errors import DataError, MethodError, SupervisionError
from .files import HashCache, digest, sha256_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

Ints = NDArray[np.int64]


class Dataset(Protocol):
    """A data set. A class of this shape, registered under its card's name, is all a new data set needs.

    `prepare` makes the files present below `root` (downloading only if `download`), or raises DataError saying how to
    get them; `load` reads them into `Examples`. Neither imports torch.
    """

    card: DatasetCard

    def prepare(self, root: Path, *, download: bool) -> None:
        """Make sure that the data is below `root`. Raises DataError."""

    def load(self, root: Path) -> Examples:
        """Read the columns. Raises DataError."""


class Photos(Protocol):
    """The images of a data set, by row: files (`images.PhotoFiles`), or whatever makes an image when it is asked for.

    An image depends on its row alone, not on what is opened with it; `open` is called from several threads at once.
    """

    @property
    def at_once(self) -> int:
        """How many rows are best opened in one call: 1 for files, each decoded in a thread of its own; more where
        images are made in batches.
        """

    def __len__(self) -> int: ...

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' images: RGB, 8 bits per channel. Raises DataError, naming the photo if the row is the only one."""

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        """sha256 over the content of every image, or over all that decides it; `ids` are the examples', row by row."""


@dataclass(frozen=True)
class Places:
    """Where things are in n photos, as far as a data set knows: boxes as left, top, right, bottom, in shares of a
    photo's width and height (0..1); NaN where there is none. A data set that knows has a method
    `places(root, rows) -> Places`, for rows of its examples.

    Attributes:
        boxes: (n, r, 4) float32, everything that is annotated; rows of NaN behind where a photo has less than r.
        objects: (n, 4) float32, what makes the class.
        spurious: (n, 4) float32, what is spurious, where it is in the photo; None: everything but the object is.
    """

    boxes: NDArray[np.float32]
    objects: NDArray[np.float32]
    spurious: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class OwnFeatures:
    """Features that a data set brings itself instead of images.

    Attributes:
        backbone: name of what made them.
        embeddings: (n, d) float32.
        class_text: (K, d) float32 text embeddings of the classes, or None.
        attribute_text: (A, d) float32 text embeddings of the attribute's values, or None.
    """

    backbone: str
    embeddings: NDArray[np.float32]
    class_text: NDArray[np.float32] | None = None
    attribute_text: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Examples:
    """The columns of a data set, row i everywhere the same example; checked on construction.

    Attributes:
        ids: n distinct strings.
        y: (n,) class, 0..K-1.
        a: (n,) spurious attribute, 0..A-1.
        split: (n,) 0 train, 1 val, 2 test.
        n_classes, n_attributes: K and A.
        photos: n images, or None where `features` is given.
        features: the data set's own features, or None where `photos` is given.
        candidates: (K, K) bool, row y: the classes that an example of class y is told apart from, y among them; None:
            all. Those of another class are left out before the most likely one is taken, for every method alike.
    """

    ids: Sequence[str]
    y: Ints
    a: Ints
    split: Ints
    n_classes: int
    n_attributes: int
    photos: Photos | None = None
    features: OwnFeatures | None = None
    candidates: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        for name in ("y", "a", "split"):
            column = np.asarray(getattr(self, name))
            if column.dtype.kind not in "iu":
                raise DataError(f"column '{name}' must hold integers, not {column.dtype}")
            object.__setattr__(self, name, column.astype(np.int64))
        for name, column, size in (
            ("y", self.y, self.n_classes),
            ("a", self.a, self.n_attributes),
            ("split", self.split, 3),
        ):
            if column.shape != (n,):
                raise DataError(f"column '{name}' has shape {column.shape}, but there are {n} examples")
            if n and (column.min() < 0 or column.max() >= size):
                row = int(np.flatnonzero((column < 0) | (column >= size))[0])
                raise DataError(f"column '{name}' must lie in 0..{size - 1}; row {row} has {int(column[row])}")
        if len(set(self.ids)) != n:
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise DataError(f"ids must be distinct; {twice!r} occurs more than once")
        if (self.photos is None) == (self.features is None):
            raise DataError("a data set has either photos or features of its own")
        if self.photos is not None and len(self.photos) != n:
            raise DataError(f"{len(self.photos)} photos for {n} examples")
        if self.features is not None:
            self._check_features(self.features, n)
        if self.candidates is not None:
            among = self.candidates
            if among.dtype != np.bool_ or among.shape != (self.n_classes, self.n_classes) or not among.diagonal().all():
                raise DataError(f"candidates must be ({self.n_classes}, {self.n_classes}) bool, true on the diagonal")

    def _check_features(self, features: OwnFeatures, n: int) -> None:
        x = features.embeddings
        if x.ndim != 2 or len(x) != n:
            raise DataError(f"embeddings must be (n, d) with n = {n}, not {x.shape}")
        for name, array, rows in (
            ("embeddings", x, n),
            ("class_text", features.class_text, self.n_classes),
            ("attribute_text", features.attribute_text, self.n_attributes),
        ):
            if array is None:
                continue
            if array.shape != (rows, x.shape[1]):
                raise DataError(f"{name} must be ({rows}, {x.shape[1]}), not {array.shape}")
            finite = np.isfinite(array).all(axis=1)
            if not finite.all():
                rows_off, first = int((~finite).sum()), int(finite.argmin())
                raise DataError(f"{name} has NaN or infinite values in {rows_off} rows, the first is row {first}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def groups(self) -> Ints:
        """(n,) group g = y*A + a: derived, never stored."""
        return self.y * self.n_attributes + self.a

    def rows(self, split: str) -> Ints:
        """Indices of the split's examples, ascending; `split` is train, val or test."""
        if split not in SPLITS:
            raise ValueError(f"there is no split '{split}', only {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def group_totals(self, split: str) -> list[int]:
        """Number of examples per group in a split."""
        totals = np.bincount(self.groups[self.rows(split)], minlength=self.n_classes * self.n_attributes)
        return [int(count) for count in totals]

    def fingerprint(self, card: DatasetCard, hashes: HashCache) -> str:
        """sha256 over names, ids, columns and the content of every image or feature: what results depend on."""
        if len(card.classes) != self.n_classes or len(card.attributes) != self.n_attributes:
            raise DataError(f"the card of {card.name} and its examples disagree on the number of classes or attributes")
        if self.photos is not None:
            content = self.photos.fingerprint(self.ids, hashes)
        else:
            assert self.features is not None
            own = self.features
            arrays = [own.embeddings, own.class_text, own.attribute_text]
            content = sha256_of(b"" if array is None else np.ascontiguousarray(array).tobytes() for array in arrays)
        columns = sha256_of(
            [
                *(i.encode("utf-8", "surrogateescape") for i in self.ids),
                *(c.tobytes() for c in (self.y, self.a, self.split)),
            ]
        )
        among = [] if self.candidates is None else [sha256_of([self.candidates.tobytes()])]
        return digest([list(card.classes), list(card.attributes), columns, content, *among])


class FeatureSource(Protocol):
    """Where a view's features come from: rows of cached arrays, or the images themselves. It knows no labels."""

    def features(self, kind: Input, rows: Ints) -> torch.Tensor:
        """A fresh float32 tensor of the rows' features."""

    def boxes(self, rows: Ints) -> torch.Tensor:
        """(n, r, 4) a fresh float32 tensor of the boxes of the rows' regions."""

    def images(self, rows: Ints) -> Any:
        """The rows' preprocessed images, as a torch Dataset."""


class View:
    """What a method may see of some rows of a data set. Whatever its card does not declare is not stored here.

    Attributes beyond those below do not exist on purpose; ids and paths often spell out the class and the attribute.
    """

    __slots__ = ("_a", "_inputs", "_method", "_n_attributes", "_rows", "_source", "_split", "_supervision", "_y")

    def __init__(
        self,
        split: str,
        rows: Ints,
        source: FeatureSource,
        *,
        method: str,
        inputs: Sequence[Input],
        n_attributes: int,
        supervision: Supervision = NO_SUPERVISION,
        y: Ints | None = None,
        a: Ints | None = None,
    ) -> None:
        self._split, self._rows, self._source = split, rows, source
        self._method, self._inputs, self._n_attributes = method, tuple(inputs), n_attributes
        self._supervision, self._y, self._a = supervision, y, a

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def y(self) -> torch.Tensor:
        """(n,) int64 classes. Views handed to a predictor carry none."""
        if self._y is None:
            raise SupervisionError(
                f"method '{self._method}' asked a predictor's view for y: predictors see inputs only, "
                "what they need to know must be learned in fit"
            )
        return _tensor(self._y)

    @property
    def a(self) -> torch.Tensor:
        """(n,) int64 spurious attribute, where the method's card declares it; else SupervisionError."""
        if self._a is None:
            self._undeclared("a")
        return _tensor(self._a)

    @property
    def groups(self) -> torch.Tensor:
        """(n,) int64 group g = y*A + a, where the method's card declares it; else SupervisionError."""
        if self._a is None or self._y is None:
            self._undeclared("groups")
        return _tensor(self._y * self._n_attributes + self._a)

    def narrowed(self, method: str, inputs: Sequence[Input], supervision: Supervision) -> View:
        """This view as somebody else's card opens it, who declares no groups."""
        return View(
            self._split,
            self._rows,
            self._source,
            method=method,
            inputs=inputs,
            n_attributes=self._n_attributes,
            supervision=supervision,
            y=self._y,
        )

    def with_groups(self, a: Ints, n_attributes: int) -> View:
        """This view with an attribute (n,) that somebody inferred, in place of the one it may not have."""
        return View(
            self._split,
            self._rows,
            self._source,
            method=self._method,
            inputs=self._inputs,
            n_attributes=n_attributes,
            supervision=replace(self._supervision, train_groups=True),
            y=self._y,
            a=a.astype(np.int64),
        )

    def embeddings(self) -> torch.Tensor:
        """(n, d) float32 image embeddings, as the backbone gives them (not normalised). A fresh copy each time."""
        self._check_input("embeddings")
        return self._source.features("embeddings", self._rows)

    def penultimate(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """(n, ...) float32 activations just before the backbone's projection into the shared space; a fresh copy.

        Args:
            rows: (m,) int64, which of the view's rows, in this order; all without. Maps of a whole data set rarely fit
                into memory.
        """
        self._check_input("penultimate")
        chosen = self._rows if rows is None else self._rows[rows.cpu().numpy()]
        return self._source.features("penultimate", chosen)

    def regions(self) -> torch.Tensor:
        """(n, r, d) float32 embeddings of each image's regions, not normalised, zeros for none; a fresh copy."""
        self._check_input("regions")
        return self._source.features("regions", self._rows)

    def boxes(self) -> torch.Tensor:
        """(n, r, 4) float32 boxes of the regions: left, top, right, bottom in shares (0..1) of what the tower sees.

        Rows are NaN where an image has fewer than r; a fresh copy. Nothing is embedded for it.
        """
        self._check_input("regions")
        return self._source.boxes(self._rows)

    def images(self) -> Any:
        """The preprocessed images as a torch `Dataset` of float32 (3, H, W) tensors, in this view's order.

        Its `at_once` says how many are best asked for together, by `__getitems__`.
        """
        self._check_input("images")
        return self._source.images(self._rows)

    def _check_input(self, kind: Input) -> None:
        if kind not in self._inputs:
            raise MethodError(
                f"method '{self._method}' uses {kind} without declaring them: "
                f"write inputs=({', '.join(repr(i) for i in (*self._inputs, kind))}) on its MethodCard"
            )

    def _undeclared(self, what: str) -> NoReturn:
        if self._y is None:
            raise SupervisionError(f"method '{self._method}' asked a predictor's view for {what}: it carries no labels")
        word = "train_groups" if self._split == "train" else "val_groups"
        raise SupervisionError(
            f"method '{self._method}' reads {self._split}.{what} without declaring it: "
            f"write {self._supervision.with_word(word)} on its MethodCard"
        )


def _tensor(column: Ints) -> torch.Tensor:
    import torch

    return torch.from_numpy(column.copy())
