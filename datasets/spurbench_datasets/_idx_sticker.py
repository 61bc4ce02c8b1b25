"""Data sets of glyphs with a planted red square whose glyphs come from IDX files, as torchvision lays them out."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from filelock import FileLock, Timeout

from spurbench.errors import DataError

from ._downloads import patience, scratch
from ._idx import read_idx
from ._quadrants import QUADRANT, Glyphs, QuadrantSticker

log = logging.getLogger("spurbench")

PATIENCE = 60.0
"""Seconds without a byte before a download is given up."""
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Images and labels: those for training, and those for validation and test."""


class IdxSticker(QuadrantSticker):
    """A data set whose glyphs come from four IDX files, as torchvision lays them out.

    Attributes:
        source: torchvision's name of the data set: its files are looked for in `ROOT/source/raw`, ...
        folder: ... and in `ROOT/folder`.
        size: of a download.
    """

    source: ClassVar[str]
    folder: ClassVar[str]
    size: ClassVar[str]
    # RaVL plants among some 10,000 images; what it is evaluated on is split into validation and test.
    per_class: ClassVar[Mapping[str, int]] = {"train": 1000, "val": 100, "test": 100}

    def prepare(self, root: Path, *, download: bool) -> None:
        """Find the files below `root`, or have torchvision fetch them if `download`: all of them, or nothing is left.

        Raises:
            DataError: they are not there, and were not or could not be fetched; says how to supply them by hand.
        """
        if self._found(root) is not None:
            return
        if not download:
            raise DataError(self._absent(root, f"`spurbench run` downloads them ({self.size}) unless it is offline"))
        try:
            root.mkdir(parents=True, exist_ok=True)
            # One download at a time: whoever waited here finds the files when it is let in.
            with FileLock(root / f".{self.folder}.lock"):
                if self._found(root) is None:
                    self._download(root)
        except (OSError, Timeout) as error:
            raise DataError(self._absent(root, f"{root} cannot be written to: {error}")) from error

    def _download(self, root: Path) -> None:
        target = root / self.source / "raw"
        if target.is_dir() and any(target.iterdir()):
            raise DataError(self._absent(root, f"{target} is there but incomplete: move it away, then try again"))
        with scratch(root / f".{self.folder}.part") as part:
            log.info("%s: torchvision downloads %s", self.source, self.size)
            try:
                from torchvision import datasets

                with patience(PATIENCE), contextlib.redirect_stderr(io.StringIO()):
                    getattr(datasets, self.source)(str(part), download=True)
                self._glyphs(part)
            except Exception as error:  # torchvision lets through whatever its sources and the network raise
                reason = " ".join(str(error).split())
                raise DataError(self._absent(root, f"the download failed: {reason}")) from error
            target.parent.mkdir(exist_ok=True)
            if target.is_dir():
                target.rmdir()
            (part / self.source / "raw").replace(target)

    def _glyphs(self, root: Path) -> Sequence[Glyphs]:
        files = self._found(root)
        if files is None:
            raise DataError(self._absent(root, f"`spurbench run` downloads them ({self.size}) unless it is offline"))
        images, labels, test_images, test_labels = files
        return self._read(images, labels, ("train",)), self._read(test_images, test_labels, ("val", "test"))

    def _read(self, images_at: Path, labels_at: Path, splits: tuple[str, ...]) -> Glyphs:
        images, labels = read_idx(images_at, 3), read_idx(labels_at, 1)
        if images.shape[1:] != (QUADRANT, QUADRANT):
            found = " x ".join(map(str, images.shape[1:]))
            raise DataError(f"{images_at}: images must have {QUADRANT} x {QUADRANT} pixels, not {found}")
        if len(images) != len(labels):
            raise DataError(f"{labels_at}: {len(labels)} labels for {len(images)} images")
        unknown = labels >= len(self.classes)
        if unknown.any():
            row = int(unknown.argmax())
            raise DataError(f"{labels_at}: labels must lie in 0..{len(self.classes) - 1}; row {row} has {labels[row]}")
        return Glyphs(splits, images, labels.astype(np.int64))

    def _folders(self, root: Path) -> tuple[Path, Path]:
        return root / self.source / "raw", root / self.folder

    def _found(self, root: Path) -> list[Path] | None:
        """The four files, in the order of FILES, from the first folder that has all of them."""
        for folder in self._folders(root):
            either = [[folder / name, folder / f"{name}.gz"] for name in FILES]
            present = [[path for path in paths if path.is_file()] for paths in either]
            if all(present):
                return [paths[0] for paths in present]
        return None

    def _absent(self, root: Path, reason: str) -> str:
        first, second = self._folders(root)
        return (
            f"{self.source} is not at hand: neither {first} nor {second} has all of {', '.join(FILES)}, gzipped (.gz) "
            f"or not; {reason}. By hand: put the four files into {first}"
        )
