"""Objects in the view of a tower, against where a resize with crop or padding puts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from spurbench import masks
from spurbench.cards import DatasetCard
from spurbench.data import Examples, OwnFeatures, Places
from spurbench.errors import DataError, UnknownObjectsError, WeightsError
from spurbench.keys import LoadedData
from spurbench.masks import ObjectMasks, object_masks

CARD = DatasetCard("blanks", "Blanks", ("cat", "dog"), ("day", "night"), "none")
NAN = float("nan")


@dataclass(frozen=True)
class Blanks:
    """Grey photos of given sizes."""

    sizes: Sequence[tuple[int, int]]
    at_once = 1

    def __len__(self) -> int:
        return len(self.sizes)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        return [Image.new("RGB", self.sizes[row], (90, 90, 90)) for row in rows]

    def fingerprint(self, ids: Sequence[str], hashes: object) -> str:
        return "blanks"


class Known:
    """A data set that answers with what it is given, row by row."""

    card = CARD

    def __init__(self, found: Sequence[Any]) -> None:
        self.found = found
        self.asked: list[list[int]] = []

    def prepare(self, root: Path, *, download: bool) -> None:
        raise AssertionError("it is there")

    def load(self, root: Path) -> Examples:
        raise AssertionError("it is loaded")


class Masked(Known):
    def masks(self, root: Path, rows: NDArray[np.int64]) -> Any:
        assert root == Path("here")
        self.asked.append(rows.tolist())
        return [self.found[row] for row in rows.tolist()]


class Boxed(Known):
    def places(self, root: Path, rows: NDArray[np.int64]) -> Places:
        boxes = np.array([self.found[row] for row in rows.tolist()], np.float32)
        return Places(boxes[:, None], boxes)


def loaded(dataset: Known, sizes: Sequence[tuple[int, int]]) -> LoadedData:
    n = len(sizes)
    zeros = np.zeros(n, np.int64)
    examples = Examples([f"{row}.jpg" for row in range(n)], zeros, zeros, zeros, 2, 2, photos=Blanks(sizes))
    return LoadedData(dataset, examples, "fingerprint", Path("here"))


def crop(edge: int) -> Callable[[Image.Image], NDArray[Any]]:
    """The shorter edge becomes `edge`, and the middle is seen."""

    def preprocess(image: Image.Image) -> NDArray[Any]:
        short = min(image.size)
        wide, high = (round(edge * size / short) for size in image.size)
        left, top = (wide - edge) // 2, (high - edge) // 2
        seen = image.resize((wide, high), Image.Resampling.BICUBIC).crop((left, top, left + edge, top + edge))
        return np.moveaxis(np.asarray(seen, np.float32), -1, 0) / 64 - 1.5

    return preprocess


def as_it_is(image: Image.Image) -> NDArray[Any]:
    return np.moveaxis(np.asarray(image, np.float32), -1, 0) / 255


def drawn(size: tuple[int, int], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A mask (h, w) of a size, 255 within left, top, right, bottom."""
    mask = np.zeros(size[::-1], np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    return mask


def found_in(dataset: Known, size: tuple[int, int], preprocess: Any) -> ObjectMasks:
    """Of the one photo, of that size."""
    return object_masks(loaded(dataset, [size]), np.array([0]), preprocess)


SIZES = [(60, 60), (90, 60), (50, 77), (61, 200), (500, 375), (20, 16)]


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", SIZES)
def test_masks_take_the_way_of_their_photos(size: tuple[int, int], mode: Any) -> None:
    """A pixel of the view shows the object if its middle lies in it, but for those that its edge runs through."""
    from open_clip.transform import image_transform

    edge, box = 48, np.array([0.3, 0.35, 0.62, 0.7])
    corners = np.round(box * np.array([*size, *size])).astype(int)
    mask = drawn(size, (corners[0], corners[1], corners[2], corners[3]))
    found = found_in(Masked([mask]), size, image_transform(edge, is_train=False, resize_mode=mode))
    assert found.objects == "masks"
    assert found.shown.shape == (1, edge, edge)
    to = {"shortest": [edge / min(size)] * 2, "longest": [edge / max(size)] * 2, "squash": [edge / s for s in size]}
    distance = []
    for axis in (0, 1):
        scale = to[mode][axis]
        middles = np.arange(edge) + 0.5
        near, far = (corners[i] * scale + (edge - size[axis] * scale) / 2 for i in (axis, axis + 2))
        # Sizes are rounded to whole pixels, crops too: together less than one.
        distance.append(np.minimum(middles - near, far - middles))
    inside = np.minimum(distance[0], distance[1][:, None])
    assert found.shown[0][inside > 1.1].all()
    assert not found.shown[0][inside < -1.1].any()
    assert (inside > 1.1).any()


def test_padding_shows_nothing_whatever_its_colour() -> None:
    for fill in (0, 90, 255):

        def padded(image: Image.Image, fill: int = fill) -> NDArray[Any]:
            canvas = Image.new("RGB", (30, 30), (fill,) * 3)
            canvas.paste(image.resize((30, 10), Image.Resampling.BOX), (0, 10))
            return as_it_is(canvas)

        found = found_in(Masked([np.full((5, 15), 255, np.uint8)]), (15, 5), padded)
        assert found.shown[0, 10:20].all()
        assert found.shown.sum() == 300


def test_half_of_a_pixel_is_enough() -> None:
    values = np.array([[0, 127, 128, 255]], np.uint8)
    assert found_in(Masked([values]), (4, 1), as_it_is).shown.tolist() == [[[False, False, True, True]]]


@pytest.mark.parametrize("size", [(20, 15), (40, 30), (200, 150), (800, 600)])
def test_masks_may_have_any_resolution(size: tuple[int, int]) -> None:
    box = tuple(round(share * edge) for share, edge in zip((0.2, 0.2, 0.6, 0.8), (*size, *size), strict=True))
    one = found_in(Masked([drawn(size, (box[0], box[1], box[2], box[3]))]), (200, 150), crop(75))
    assert (
        one.shown.tolist()
        == found_in(Masked([drawn((200, 150), (40, 30, 120, 120))]), (200, 150), crop(75)).shown.tolist()
    )


@pytest.mark.parametrize("box", [(40, 30, 120, 120), (0, 0, 200, 150), (133, 70, 150, 71), (90, 7, 91, 140)])
def test_boxes_serve_where_there_are_no_masks(box: tuple[int, int, int, int]) -> None:
    shares = np.array(box) / np.array([200, 150, 200, 150])
    by_box = found_in(Boxed([shares]), (200, 150), crop(150))
    assert by_box.objects == "boxes"
    assert np.array_equal(by_box.shown, found_in(Masked([drawn((200, 150), box)]), (200, 150), crop(150)).shown)


def test_a_box_covers_pixels_in_part() -> None:
    found = found_in(Boxed([[1.5 / 8, 0.25, 5.4 / 8, 1.0]]), (8, 2), as_it_is)
    # From 1.5 to 5.4 along x, from 0.5 along y: half of a half is a quarter.
    assert found.shown[0].astype(int).tolist() == [[0, 0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0, 0]]


class Unmasked(Boxed):
    def masks(self, root: Path, rows: NDArray[np.int64]) -> None:
        self.asked.append(rows.tolist())


def test_a_data_set_that_knows_no_masks_here_is_asked_for_boxes() -> None:
    dataset = Unmasked([[0, 0, 1, 1], [NAN] * 4, [0, 0, 0.5, 0.5]])
    found = object_masks(loaded(dataset, [(8, 8)] * 3), np.arange(3), as_it_is)
    assert (found.objects, found.rows.tolist(), found.left_out) == ("boxes", [0, 2], {"no box of the object": 1})
    assert found.shown.sum(axis=(1, 2)).tolist() == [64, 16]
    assert len(dataset.asked) == 1


def some_masks() -> tuple[Masked, list[tuple[int, int]]]:
    """Five photos; the second has no mask, the object of the fourth is beside what is seen."""
    size = (40, 20)
    whole, beside = drawn(size, (0, 0, 40, 20)), drawn(size, (0, 0, 9, 20))
    return Masked([whole, None, drawn(size, (10, 0, 20, 20)), beside, whole]), [size] * 5


@pytest.mark.parametrize("at_once", [1, 2, 512])
def test_photos_without_an_object_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(masks, "AT_ONCE", at_once)
    dataset, sizes = some_masks()
    found = object_masks(loaded(dataset, sizes), np.array([4, 1, 2, 3, 2]), crop(20))
    assert found.rows.dtype == np.int64
    assert found.rows.tolist() == [2, 4]
    assert found.left_out == {"no mask": 1, "object outside of the tower's view": 1}
    assert found.shown.dtype == np.bool_
    assert found.shown.mean(axis=(1, 2)).tolist() == [0.5, 1]
    assert found.shown[0, :, :10].all()
    assert [len(some) for some in dataset.asked] == {1: [1] * 4, 2: [2, 2], 512: [4]}[at_once]
    assert [row for some in dataset.asked for row in some] == [1, 2, 3, 4]


def test_all_may_be_left_out() -> None:
    dataset, sizes = some_masks()
    found = object_masks(loaded(dataset, sizes), np.array([1, 3]), crop(20))
    assert (found.rows.shape, found.shown.shape) == ((0,), (0, 20, 20))
    assert sum(found.left_out.values()) == 2


def test_the_fingerprint_is_over_rows_and_pixels() -> None:
    dataset, sizes = some_masks()
    data = loaded(dataset, sizes)
    whole = object_masks(data, np.arange(5), crop(20)).sha256
    assert object_masks(data, np.arange(5)[::-1], crop(20)).sha256 == whole
    assert object_masks(data, np.array([0, 2, 4]), crop(20)).sha256 == whole, "those that were left out have no part"
    assert object_masks(data, np.array([0]), crop(20)).sha256 != object_masks(data, np.array([4]), crop(20)).sha256
    assert object_masks(data, np.arange(5), crop(10)).sha256 != whole
    shifted = Masked([*dataset.found[:4], drawn(sizes[0], (0, 1, 40, 20))])
    assert object_masks(loaded(shifted, sizes), np.arange(5), crop(20)).sha256 != whole
    assert len(whole) == 64


BLACK = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (BLACK, "the mask of '1.jpg' shows nothing: draw the object in it, or remove it"),
        (BLACK + 127, "the mask of '1.jpg' shows nothing"),
        (np.full((8, 16), 255, np.uint8), "the mask of '1.jpg' is 16 x 8 pixels, the photo 8 x 8"),
        (np.ones((8, 8), bool), r"must be uint8 \(h, w\), or None where there is none; '1.jpg' has bool \(8, 8\)"),
        (np.ones((8, 8, 1), np.uint8), r"'1.jpg' has uint8 \(8, 8, 1\)"),
        (np.ones((0, 8), np.uint8), r"'1.jpg' has uint8 \(0, 8\)"),
        ([[255]], "'1.jpg' has a list"),
    ],
)
def test_masks_that_are_none_are_refused_by_name(found: Any, said: str) -> None:
    data = loaded(Masked([np.full((8, 8), 255, np.uint8), found]), [(8, 8)] * 2)
    with pytest.raises(DataError, match=said):
        object_masks(data, np.arange(2), as_it_is)


class Says(Known):
    """Answers with whatever it has."""

    def masks(self, root: Path, rows: NDArray[np.int64]) -> Any:
        answer = self.found[len(self.asked)]
        self.asked.append(rows.tolist())
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([None], "the masks of data set 'blanks' must be a list of one for each of 2 rows, not 1"),
        (np.ones((2, 8, 8), np.uint8), "must be a list of one for each of 2 rows, not a ndarray"),
        (KeyError("x"), "data set 'blanks': masks: KeyError: 'x'"),
        (DataError("the disk is full"), "^the disk is full"),
    ],
)
def test_a_data_set_that_answers_otherwise_is_named(answer: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        object_masks(loaded(Says([answer]), [(8, 8)] * 2), np.arange(2), as_it_is)


def test_masks_of_some_rows_only_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "AT_ONCE", 1)
    with pytest.raises(DataError, match="'blanks' knows masks of some rows, and of others not even whether"):
        object_masks(loaded(Says([[None], None]), [(8, 8)] * 2), np.arange(2), as_it_is)


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([0, 0, 1.5, 1], "'blanks' must lie within the photo, .* '1.jpg' has 0, 0, 1.5, 1"),
        ([-0.1, 0, 1, 1], "'1.jpg' has -0.1, 0, 1, 1"),
        ([0.5, 0, 0.5, 1], "'1.jpg' has 0.5, 0, 0.5, 1"),
        ([0, NAN, 1, 1], "'1.jpg' has 0, nan, 1, 1"),
    ],
)
def test_boxes_outside_of_their_photos_are_refused_by_name(box: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        object_masks(loaded(Boxed([[0, 0, 1, 1], box]), [(8, 8)] * 2), np.arange(2), as_it_is)
    assert not isinstance(caught.value, UnknownObjectsError)
    with pytest.raises(DataError, match=r"the boxes of the objects of 'blanks' must be \(2, 4\), not \(2, 3\)"):
        object_masks(loaded(Boxed([[0, 0, 1], [0, 0, 1]]), [(8, 8)] * 2), np.arange(2), as_it_is)


def test_nobody_knows_where_the_objects_are() -> None:
    where = "where the objects are in the photos of 'blanks' is not known: .* DIR/masks"
    with pytest.raises(UnknownObjectsError, match=where):
        found_in(Known([]), (8, 8), as_it_is)
    own = OwnFeatures("toy", np.ones((1, 3), np.float32))
    zero = np.zeros(1, np.int64)
    data = LoadedData(Known([]), Examples(["a"], zero, zero, zero, 2, 2, features=own), "")
    with pytest.raises(DataError, match="'blanks' has features of its own and no photos"):
        object_masks(data, np.arange(1), as_it_is)


def test_there_must_be_rows_and_a_view() -> None:
    dataset, sizes = some_masks()
    with pytest.raises(ValueError, match="no rows"):
        object_masks(loaded(dataset, sizes), np.arange(0), as_it_is)
    with pytest.raises(WeightsError, match=r"preprocessing gives shape \(8,\), not \(3, H, W\)"):
        object_masks(loaded(dataset, sizes), np.arange(1), lambda image: np.zeros(8))
    whole = Boxed([[0, 0, 1, 1]] * 2)
    with pytest.raises(WeightsError, match=r"makes \(8, 4\) of '1.jpg', \(8, 8\) of others"):
        object_masks(loaded(whole, [(8, 8), (4, 8)]), np.arange(2), as_it_is)
