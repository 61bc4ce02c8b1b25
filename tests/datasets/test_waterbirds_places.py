"""Where the birds of Waterbirds are, by what comes with CUB-200-2011."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spurbench.errors import DataError, UnknownObjectsError
from spurbench.keys import LoadedData
from spurbench.masks import object_masks
from spurbench_datasets.waterbirds import TARBALL_FOLDER, WILDS_FOLDER, Waterbirds

# CUB's number, file, and the photo's width and height; the photos are not in CUB's order.
PHOTOS = [
    (7, "002.Gull/Gull_0003_11.jpg", 80, 60),
    (3, "001.Wren/Wren_0003_11.jpg", 50, 90),
    (12, "002.Gull/Wren_0003_11.jpg", 100, 100),
    (4, "001.Wren/Wren_0004_12.jpg", 40, 41),
]
BOXES = {7: (8.0, 6.0, 40.0, 30.0), 3: (0.0, 0.0, 50.0, 90.0), 12: (10.0, 20.0, 90.5, 81.0), 4: (1.0, 2.0, 3.0, 4.5)}
# Left, top, right and bottom in shares; the third reaches half a pixel out of its photo.
SHARES = {
    7: [0.1, 0.1, 0.6, 0.6],
    3: [0, 0, 1, 1],
    12: [0.1, 0.2, 1, 1],
    4: [1 / 40, 2 / 41, 4 / 40, 6.5 / 41],
}
EXPECTED = np.array([SHARES[number] for number, *_ in PHOTOS])


def birds() -> Waterbirds:
    counts = {"train": (2, 0, 0, 0), "val": (1, 0, 0, 0), "test": (1, 0, 0, 0)}
    return Waterbirds(replace(Waterbirds.card, counts=counts))


@pytest.fixture(params=[WILDS_FOLDER, TARBALL_FOLDER])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    lines = ["img_filename,y,split,place"]
    for split, (_, name, width, height) in zip((0, 0, 1, 2), PHOTOS, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(folder / name)
        lines.append(f"{name},0,{split},0")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return tmp_path


def folder_of(root: Path) -> Path:
    return next(root / name for name in (WILDS_FOLDER, TARBALL_FOLDER) if (root / name).is_dir())


WHERE: list[Callable[[Path], Path]] = [
    folder_of,
    lambda root: root / "CUB_200_2011",
    lambda root: folder_of(root) / "CUB_200_2011",
    lambda root: root,
]


def put_boxes(folder: Path, boxes: dict[int, Any] = BOXES) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "images.txt").write_text("".join(f"{number} {name}\n" for number, name, *_ in sorted(PHOTOS)))
    lines = [f"{number} {' '.join(map(str, box))}\n" for number, box in sorted(boxes.items())]
    (folder / "bounding_boxes.txt").write_text("".join(lines))


def put_masks(folder: Path, scale: int = 1) -> None:
    """Segmentations of which the sure part, brighter than half, fills the box, in photos of `scale` times the size."""
    for number, name, width, height in PHOTOS:
        grey = np.zeros((height * scale, width * scale), dtype=np.uint8)
        left, top, wide, high = (int(edge * scale) for edge in BOXES[number])
        grey[max(top - 1, 0) : top + high + 1, max(left - 1, 0) : left + wide + 1] = 51
        grey[top : top + high, left : left + wide] = 204
        path = (folder / "segmentations" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(path)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [3, 1, 1], []])
def test_boxes_become_shares_of_the_photos(root: Path, where: Callable[[Path], Path], rows: list[int]) -> None:
    put_boxes(where(root))
    places = birds().places(root, np.array(rows, dtype=np.int64))
    assert places.objects.shape == (len(rows), 4)
    assert places.objects.dtype == places.boxes.dtype == np.float32
    assert places.objects == pytest.approx(EXPECTED[rows], abs=1e-6)
    assert np.array_equal(places.boxes, places.objects[:, None])
    assert places.spurious is None


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("scale", [2, 4])
def test_segmentations_fit_photos_of_any_size(root: Path, where: Callable[[Path], Path], scale: int) -> None:
    put_masks(where(root), scale)
    places = birds().places(root, np.array([2, 0, 3]))
    assert places.objects == pytest.approx(EXPECTED[[2, 0, 3]], abs=1e-6)


def test_segmentations_go_before_boxes(root: Path) -> None:
    put_boxes(root, dict.fromkeys(BOXES, (0, 0, 1, 1)))
    put_masks(root, 2)
    assert birds().places(root, np.array([0])).objects == pytest.approx(EXPECTED[:1])


def test_the_photos_folder_itself_may_be_the_root(root: Path) -> None:
    put_boxes(root / "CUB_200_2011")
    folder = folder_of(root)
    assert birds().places(folder, np.array([0])).objects == pytest.approx(EXPECTED[:1])


def test_what_is_absent_is_asked_for(root: Path) -> None:
    put_boxes(root / "CUB_200_2011")
    (root / "CUB_200_2011" / "images.txt").unlink()
    with pytest.raises(UnknownObjectsError) as caught:
        birds().places(root, np.array([0]))
    for word in ("images.txt", "bounding_boxes.txt", str(root / "CUB_200_2011"), "segmentations"):
        assert word in str(caught.value)
    with pytest.raises(DataError, match="Waterbirds is not at hand"):
        birds().places(root / "elsewhere", np.array([0]))


def test_photos_that_were_made_smaller_are_noticed(root: Path) -> None:
    put_boxes(root, {**BOXES, 7: (100.0, 6.0, 140.0, 30.0), 3: (0, 0, 60, 100)})
    with pytest.raises(
        DataError,
        match=r"bounding_boxes.txt: 2 of 3 boxes lie outside their photos; the first reaches to 240, 36 in "
        r"002.Gull/Gull_0003_11.jpg of 80 x 60 pixels. These photos were made smaller: put CUB's folder segmentations",
    ):
        birds().places(root, np.array([2, 0, 1]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bounding_boxes.txt", "7 1 2 3\n", "line 1 should have 5 columns, it has 4"),
        ("bounding_boxes.txt", "7 1 2 3 4\n\n8 1\n", "line 2 should have 5 columns, it has 2"),
        ("bounding_boxes.txt", "7 1 2 x 4\n", "the box of image 7 must be four numbers, not 1 2 x 4"),
        ("bounding_boxes.txt", "7 1 2 nan 4\n", "the box of image 7 must be four numbers, not 1 2 nan 4"),
        ("bounding_boxes.txt", "8 1 2 3 4\n", "nothing about 002.Gull/Gull_0003_11.jpg"),
        ("bounding_boxes.txt", "\udc80", "cannot be read"),
        ("images.txt", "7 a.jpg\n", "nothing about 002.Gull/Gull_0003_11.jpg"),
        ("images.txt", "7\n", "line 1 should have 2 columns, it has 1"),
    ],
)
def test_broken_files_are_named(root: Path, name: str, text: str, message: str) -> None:
    put_boxes(root)
    (root / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=f"{name}:? {message}"):
        birds().places(root, np.array([0]))


def test_a_missing_segmentation_is_named(root: Path) -> None:
    put_masks(root)
    (root / "segmentations/001.Wren/Wren_0003_11.png").unlink()
    with pytest.raises(DataError, match="Wren_0003_11.png is missing: the segmentation of 001.Wren/Wren_0003_11.jpg"):
        birds().places(root, np.array([0, 1]))
    assert len(birds().places(root, np.array([0, 2])).objects) == 2


def segmentation(root: Path, row: int) -> Path:
    return (root / "segmentations" / PHOTOS[row][1]).with_suffix(".png")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("scale", [1, 3])
def test_masks_are_what_most_people_took_for_the_bird(root: Path, where: Callable[[Path], Path], scale: int) -> None:
    put_masks(where(root), scale)
    rows = [3, 0, 1, 1]
    found = birds().masks(root, np.array(rows))
    assert found is not None
    for row, mask in zip(rows, found, strict=True):
        number, _, width, height = PHOTOS[row]
        left, top, wide, high = (int(edge * scale) for edge in BOXES[number])
        expected = np.zeros((height * scale, width * scale), dtype=np.uint8)
        expected[top : top + high, left : left + wide] = 255
        assert mask is not None
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, expected)


def test_a_bird_that_nobody_saw_has_no_mask_and_one_of_doubt_has_one(root: Path) -> None:
    put_masks(root)
    Image.new("L", PHOTOS[1][2:]).save(segmentation(root, 1))
    doubtful = np.zeros((PHOTOS[0][3], PHOTOS[0][2]), dtype=np.uint8)
    doubtful[5:9, 2:4], doubtful[5:9, 4:6] = 51, 102
    Image.fromarray(doubtful).save(segmentation(root, 0))
    found = birds().masks(root, np.array([0, 1, 2]))
    assert found is not None
    assert [mask is None for mask in found] == [False, True, False]
    assert found[0] is not None
    assert np.array_equal(found[0], np.where(doubtful >= 51, 255, 0))


def test_masks_are_not_known_without_segmentations(root: Path) -> None:
    put_boxes(root)
    assert birds().masks(root, np.array([0])) is None
    with pytest.raises(DataError, match="Waterbirds is not at hand"):
        birds().masks(root / "elsewhere", np.array([0]))


def test_masks_that_are_missing_or_of_another_shape_are_named(root: Path) -> None:
    put_masks(root)
    segmentation(root, 1).unlink()
    with pytest.raises(DataError, match="Wren_0003_11.png is missing: the segmentation of 001.Wren/Wren_0003_11.jpg"):
        birds().masks(root, np.array([0, 1]))
    Image.new("L", (90, 50), 255).save(segmentation(root, 1))
    with pytest.raises(DataError, match="Wren_0003_11.png: the mask is 90 x 50 pixels, its photo Wren_0003_11.jpg is"):
        birds().masks(root, np.array([0, 1]))


def test_a_tower_sees_birds_by_segmentations_or_by_boxes(root: Path) -> None:
    def preprocess(image: Image.Image) -> np.ndarray[Any, Any]:
        return np.moveaxis(np.asarray(image.resize((40, 40)), dtype=np.float32), -1, 0)

    data = LoadedData(birds(), birds().load(root), "fingerprint", root)
    put_boxes(root)
    by_box = object_masks(data, np.arange(4), preprocess)
    put_masks(root)
    by_mask = object_masks(data, np.arange(4), preprocess)
    assert (by_box.objects, by_mask.objects) == ("boxes", "masks")
    assert by_box.left_out == by_mask.left_out == {}
    # The boxes reach half a pixel further in two photos.
    assert (by_box.shown != by_mask.shown).mean() < 0.01
    assert by_mask.shown.mean(axis=(1, 2)) == pytest.approx([0.25, 1, 0.9 * 0.8, 3 * 4 / 1640], abs=0.03)
