"""Photos of a data set as files: where they stand, and that they are whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from spurbench.cards import DatasetCard
from spurbench.data import Examples
from spurbench.errors import UsageError
from spurbench.files import HashCache
from spurbench.photo_folder import write_photos

if TYPE_CHECKING:
    from conftest import MakePrepared

CARD = DatasetCard("pets", "Pets", ("cat", "dog/wolf"), ("lawn", "..", "sofa"), "none")


class Greys:
    """A photo for each row whose grey is ten times its number."""

    at_once = 3

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        return [Image.new("RGB", (8, 6), (10 * row,) * 3) for row in rows]

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        return "greys"


def test_photos_stand_by_class_and_attribute_under_names_that_lead_nowhere_else(tmp_path: Path) -> None:
    y, a, split = np.array([0, 1, 1, 0]), np.array([0, 1, 2, 0]), np.array([2, 2, 2, 0])
    examples = Examples(["a.b", "../c", "d", "e"], y, a, split, 2, 3, Greys(4))
    told = []
    folder = tmp_path / "out"
    assert write_photos(examples, CARD, "test", folder, lambda done, total: told.append((done, total))) == 3
    found = {path.relative_to(folder).as_posix(): np.asarray(Image.open(path)) for path in folder.rglob("*.*")}
    found = {name: pixels for name, pixels in found.items() if name.endswith(".jpg")}
    assert set(found) == {"cat/lawn/a.b.jpg", "dog%2Fwolf/%2E%2E/%2E.%2Fc.jpg", "dog%2Fwolf/sofa/d.jpg"}
    assert abs(int(found["dog%2Fwolf/sofa/d.jpg"].mean()) - 20) <= 1
    assert found["cat/lawn/a.b.jpg"].shape == (6, 8, 3)
    assert told[-1] == (3, 3)
    assert not list(folder.rglob("*.part"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_features_are_no_photos(make_prepared: MakePrepared, tmp_path: Path) -> None:
    prepared = make_prepared()
    with pytest.raises(UsageError, match="has no photos to write"):
        write_photos(prepared.examples, prepared.card, "test", tmp_path, lambda done, total: None)
