from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats.contingency import association

from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench.files import HashCache
from spurbench_datasets import _coco
from spurbench_datasets._coco import read_instances
from spurbench_datasets._coco_names import CATEGORIES
from spurbench_datasets.coco_planted import CocoPlanted

NUMBERS = {"person": 1, "cat": 17, "dog": 18, "couch": 63, "tv": 72}
HEIGHT = 30
Content = dict[str, Any]

# What photos show, and how many photos show it, in train2017 and in val2017.
SHOWN: list[tuple[str, int, int]] = [
    ("dog couch", 40, 5),
    ("dog", 30, 9),
    ("cat couch", 25, 12),
    ("cat", 60, 4),
    ("dog cat couch", 6, 2),
    ("dog cat", 5, 1),
    ("couch", 4, 3),
    ("person tv", 7, 2),
    ("dog dog person couch couch", 3, 1),
]
ARGUMENT = "dog+cat:feature=couch:strength=0.7"


def width_of(number: int) -> int:
    return 40 + 10 * (number % 3)


def annotated(column: int, start: int) -> Content:
    """A file of instances; boxes are drawn by chance, and entries stand in no order."""
    rng = np.random.default_rng(column)
    kinds = [shown.split() for shown, *counts in SHOWN for _ in range(counts[column])]
    ids = rng.permutation(np.arange(start, start + len(kinds))).tolist()
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "width": width_of(i), "height": HEIGHT, "license": 1} for i in ids
    ]
    annotations = []
    for i, names in zip(ids, kinds, strict=True):
        for name in names:
            left, top = rng.uniform(0, width_of(i) - 5), rng.uniform(0, HEIGHT - 5)
            box = [left, top, rng.uniform(1, width_of(i) - left), rng.uniform(1, HEIGHT - top)]
            annotations.append({"image_id": i, "category_id": NUMBERS[name], "bbox": box, "iscrowd": 0, "id": 7})
    rng.shuffle(annotations)
    categories = [{"id": number, "name": name, "supercategory": "x"} for name, number in NUMBERS.items()]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


CONTENT = {"train2017": annotated(0, 500), "val2017": annotated(1, 100)}


def put(root: Path, contents: dict[str, Content] = CONTENT) -> Path:
    for name, content in contents.items():
        path = root / "coco" / "annotations" / f"instances_{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        (root / "coco" / name).mkdir(exist_ok=True)
        for image in content["images"]:
            photo = root / "coco" / name / image["file_name"]
            if not photo.exists():
                Image.new("RGB", (image["width"], HEIGHT), (int(image["id"]) % 256, 90, 0)).save(photo, "JPEG")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def examples(root: Path) -> Examples:
    CocoPlanted(ARGUMENT).prepare(root, download=False)
    return CocoPlanted(ARGUMENT).load(root)


def instances_of(photo: str) -> list[tuple[str, list[float]]]:
    """What is in a photo by the files, the largest first: names and boxes in shares."""
    folder, name = photo.split("/")
    content = CONTENT[folder]
    number = next(image["id"] for image in content["images"] if image["file_name"] == name)
    names = {code: name for name, code in NUMBERS.items()}
    found = [(names[a["category_id"]], a["bbox"]) for a in content["annotations"] if a["image_id"] == number]
    found.sort(key=lambda item: -item[1][2] * item[1][3])
    width = width_of(number)
    return [(n, [x / width, y / HEIGHT, (x + w) / width, (y + h) / HEIGHT]) for n, (x, y, w, h) in found]


def test_columns_are_what_the_photos_show(examples: Examples) -> None:
    card = CocoPlanted(ARGUMENT).card
    for name, y, a, split in zip(examples.ids, examples.y, examples.a, examples.split, strict=True):
        names = {shown for shown, _ in instances_of(name)}
        assert names & set(card.classes) == {card.classes[y]}
        assert ("couch" in names) == bool(a)
        assert name.startswith("train2017/" if split == 0 else "val2017/")
    assert np.array_equal(examples.split, np.sort(examples.split))
    assert len(set(examples.ids)) == len(examples)


def test_the_feature_goes_with_the_label_in_training_alone(examples: Examples) -> None:
    table = np.array(examples.group_totals("train")).reshape(2, 2)
    assert association(table, method="cramer") == pytest.approx(0.7, abs=0.02)
    assert CocoPlanted(ARGUMENT).planted_label == table[:, 1].argmax() == 0
    assert table[0].sum() == table[1].sum()
    # Dogs with a couch are scarce: of 43 all but one are taken.
    assert table.tolist() == [[8, 42], [43, 7]]
    # couch: 6 dogs with, 9 without; 12 cats with, 4 without: three pairs of dogs, two pairs of cats for each half.
    assert examples.group_totals("val") == [3, 3, 2, 2]
    assert examples.group_totals("test") == [3, 3, 2, 2]


def test_another_label_may_have_the_feature(root: Path) -> None:
    data = CocoPlanted("dog+cat:feature=couch:label=cat:strength=0.6")
    table = np.array(data.load(root).group_totals("train")).reshape(2, 2)
    assert data.planted_label == table[:, 1].argmax() == 1
    assert association(table, method="cramer") == pytest.approx(0.6, abs=0.02)


def test_strength_zero_is_independence(root: Path) -> None:
    table = np.array(CocoPlanted("cat+dog:feature=couch:strength=0").load(root).group_totals("train")).reshape(2, 2)
    assert (table == table[0, 0]).all()
    assert table[0, 0] == 25, "as many as there are cats with couches"


def test_rows_are_shuffled_within_their_splits_and_photos_are_taken_from_anywhere(examples: Examples) -> None:
    train = examples.groups[examples.rows("train")]
    assert (np.diff(train) != 0).sum() > 1
    assert len(set(train[: len(train) // 4].tolist())) > 1
    numbers = np.array([int(Path(name).stem) for name in examples.ids])[examples.rows("train")]
    assert np.corrcoef(numbers, np.arange(len(numbers)))[0, 1] < 0.5
    assert list(examples.ids) != sorted(examples.ids)


def test_it_is_the_same_every_time_whatever_order_the_files_have(examples: Examples, tmp_path: Path) -> None:
    turned = {
        name: {key: value[::-1] if isinstance(value, list) else value for key, value in content.items()}
        for name, content in CONTENT.items()
    }
    again = CocoPlanted(ARGUMENT).load(put(tmp_path, turned))
    assert list(again.ids) == list(examples.ids)
    card = CocoPlanted(ARGUMENT).card
    assert again.fingerprint(card, HashCache(None)) == examples.fingerprint(card, HashCache(None))


def test_what_is_evaluated_on_does_not_depend_on_the_strength(root: Path, examples: Examples) -> None:
    other = CocoPlanted("dog+cat:feature=couch:strength=0.3").load(root)
    for split in ("val", "test"):
        assert [other.ids[i] for i in other.rows(split)] == [examples.ids[i] for i in examples.rows(split)]


def test_photos_are_the_files(root: Path, examples: Examples) -> None:
    assert examples.photos is not None
    for row, image in zip((0, len(examples) - 1), examples.photos.open([0, len(examples) - 1]), strict=True):
        number = int(Path(examples.ids[row]).stem)
        assert image.size == (width_of(number), HEIGHT)
        assert abs(int(np.asarray(image)[0, 0, 0]) - number % 256) < 5


def test_places_are_the_annotated_boxes(root: Path, examples: Examples) -> None:
    data = CocoPlanted(ARGUMENT)
    rows = np.r_[len(examples) - 1, np.arange(len(examples)), 3, 3]
    places = data.places(root, rows)
    assert places.spurious is not None
    for row, boxes, box, spurious in zip(rows, places.boxes, places.objects, places.spurious, strict=True):
        found = instances_of(examples.ids[row])
        there = boxes[~np.isnan(boxes[:, 0])]
        assert np.array_equal(there, boxes[: len(there)], equal_nan=True)
        assert there == pytest.approx(np.array([shares for _, shares in found]), abs=1e-6)
        label = data.card.classes[examples.y[row]]
        assert box == pytest.approx(next(shares for name, shares in found if name == label), abs=1e-6)
        couches = [shares for name, shares in found if name == "couch"]
        expected = couches[0] if couches else [np.nan] * 4
        assert spurious == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert data.places(root, np.arange(0)).boxes.shape == (0, 20, 4)


def changed(name: str, change: Callable[[Content], Any]) -> dict[str, Content]:
    contents: dict[str, Content] = json.loads(json.dumps(CONTENT))
    change(contents[name])
    return contents


def crowd(content: Content) -> None:
    """25 more people in every photo; the smallest are left out."""
    for image in content["images"]:
        for size in range(25):
            box = [0, 0, image["width"] * (1 + 0.2 * size) / 100, 1]
            content["annotations"].append({"image_id": image["id"], "category_id": 1, "bbox": box})


def test_only_the_largest_boxes_are_kept(tmp_path: Path) -> None:
    data = CocoPlanted(ARGUMENT)
    places = data.places(put(tmp_path, changed("val2017", crowd)), np.array([60, 100, 101]))
    area = (places.boxes[..., 2] - places.boxes[..., 0]) * (places.boxes[..., 3] - places.boxes[..., 1])
    full = ~np.isnan(area).any(axis=1)
    assert full.tolist() == [False, True, True]
    assert (np.diff(area[full], axis=1) <= 1e-9).all()
    assert area[full].min() > (1 + 0.2 * 5) / (100 * HEIGHT) * 0.99


def test_boxes_without_extent_are_no_instances_and_boxes_that_stick_out_are_cut(tmp_path: Path) -> None:
    def change(content: Content) -> None:
        for annotation in content["annotations"]:
            if annotation["category_id"] == NUMBERS["couch"]:
                annotation["bbox"][2] = 0
            else:
                annotation["bbox"] = [-5, 3, 1000, 1000]

    read = read_instances(put(tmp_path, changed("val2017", change)) / "coco/annotations/instances_val2017.json")
    assert not read.shows(["couch"]).any()
    assert read.shows(["dog"]).any()
    assert np.allclose(read.boxes, [0, 0.1, 1, 1])


def test_an_index_is_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put(tmp_path)
    path = root / "coco/annotations/instances_val2017.json"
    first = read_instances(path)
    parsed: list[Path] = []
    ordinary = _coco._parsed

    def watched(path: Path) -> Any:
        parsed.append(path)
        return ordinary(path)

    monkeypatch.setattr(_coco, "_parsed", watched)
    second = read_instances(path)
    assert not parsed
    for name in ("ids", "files", "categories", "photo", "category", "boxes"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    put(tmp_path, changed("val2017", crowd))
    assert len(read_instances(path).photo) > len(first.photo)
    assert parsed == [path]


def rows_gone(path: Path) -> None:
    with np.load(path) as arrays:
        columns = dict(arrays)
    np.savez(path, **{**columns, "photo": columns["photo"][:-1]})


def far_photo(path: Path) -> None:
    with np.load(path) as arrays:
        columns = dict(arrays)
    np.savez(path, **{**columns, "photo": columns["photo"] + 10**6})


@pytest.mark.parametrize(
    "damage",
    [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-99]), rows_gone, far_photo],
)
def test_a_broken_index_is_made_anew(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    path = put(tmp_path) / "coco/annotations/instances_val2017.json"
    first = read_instances(path)
    index = path.with_name(".instances_val2017.json.index.npz")
    whole = index.read_bytes()
    damage(index)
    assert np.array_equal(read_instances(path).photo, first.photo)
    assert len(index.read_bytes()) == len(whole)


def test_annotations_are_read_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path) / "coco/annotations/instances_val2017.json"

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(_coco, "write_atomic", refuse)
    assert len(read_instances(path).ids) == sum(counts for *_, counts in SHOWN)
    assert list(path.parent.glob(".*")) == []


def first_of(table: str, **values: Any) -> Callable[[Content], Any]:
    return lambda content: content[table][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "'images' must be a list"),
        (lambda c: c.update(annotations={}), "'annotations' must be a list"),
        (lambda c: c["annotations"].insert(0, 5), r"annotations\[0\] must be an object, not 5"),
        (first_of("annotations", bbox=[1, 2, 3]), r"annotations\[0\]: 'bbox' must be four numbers, not \[1, 2, 3\]"),
        (first_of("annotations", bbox=[1, 2, "3", 4]), r"annotations\[0\]: 'bbox' must be four numbers"),
        (first_of("annotations", bbox=[1, 2, True, 4]), r"annotations\[0\]: 'bbox' must be four numbers"),
        (first_of("annotations", bbox=[1, 2, 10**400, 4]), r"annotations\[0\]: 'bbox' must be four numbers"),
        (first_of("annotations", bbox=[1, 2, float("nan"), 4]), "cannot be read as JSON: NaN is no number of JSON"),
        (first_of("annotations", image_id="1"), r"annotations\[0\]: 'image_id' must be a whole number, not '1'"),
        (first_of("annotations", image_id=None), r"annotations\[0\]: 'image_id' must be a whole number, not None"),
        (first_of("annotations", image_id=10**9), r"annotations\[0\]: there is nothing with the image_id 1000000000"),
        (first_of("annotations", category_id=5), r"annotations\[0\]: there is nothing with the category_id 5"),
        (first_of("images", width=0), r"images\[0\]: 'width' must be a whole number above 0, not 0"),
        (first_of("images", id=2.5), r"images\[0\]: 'id' must be a whole number, not 2.5"),
        (first_of("images", id=2**70), r"images\[0\]: 'id' must be a whole number"),
        (first_of("images", file_name=7), r"images\[0\]: 'file_name' must be a name, not 7"),
        (first_of("images", file_name="\x1b[31m"), r"images\[0\]: 'file_name' must be a name, not '\\x1b\[31m'"),
        (first_of("images", file_name="x" * 10**5), r"images\[0\]: 'file_name' must be a name, not 'x{59}\.\.\.$"),
        (lambda c: c["images"].append(c["images"][3]), r"images: id \d+ occurs more than once"),
        (lambda c: c["categories"].append({"id": 17, "name": "y"}), "categories: id 17 occurs more than once"),
        (first_of("categories", name=""), r"categories\[0\]: 'name' must be a name, not ''"),
    ],
)
def test_broken_annotations_are_named(tmp_path: Path, change: Callable[[Content], Any], message: str) -> None:
    root = put(tmp_path)
    path = root / "coco/annotations/instances_val2017.json"
    path.write_text(json.dumps(changed("val2017", change)["val2017"]))
    with pytest.raises(DataError, match=f"instances_val2017.json: {message}"):
        CocoPlanted(ARGUMENT).load(root)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b"[]", b"[" * 100_000, b"7", b"1" * 5000])
def test_what_is_no_annotation_at_all_is_named(tmp_path: Path, content: bytes) -> None:
    root = put(tmp_path)
    (root / "coco/annotations/instances_train2017.json").write_bytes(content)
    with pytest.raises(DataError, match=r"instances_train2017.json: (cannot be read as JSON|must be an object)"):
        CocoPlanted(ARGUMENT).load(root)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "a/../../secret.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    def change(content: Content) -> None:
        for image in content["images"]:
            image["file_name"] = f"{image['id']}{name}"

    root = put(tmp_path)
    path = root / "coco/annotations/instances_val2017.json"
    path.write_text(json.dumps(changed("val2017", change)["val2017"]))
    with pytest.raises(DataError, match="leads out of"):
        CocoPlanted(ARGUMENT).load(root)


def test_missing_photos_are_counted_and_named(tmp_path: Path, examples: Examples) -> None:
    root = put(tmp_path)
    gone = [examples.ids[5], examples.ids[-1]]
    for name in gone:
        (root / "coco" / name).unlink()
    with pytest.raises(DataError, match=f"coco: 2 of {len(examples)} photos are missing: {gone[0]}, {gone[1]}"):
        CocoPlanted(ARGUMENT).load(root)


def test_photos_that_are_not_chosen_need_not_be_there(tmp_path: Path, examples: Examples) -> None:
    root = put(tmp_path)
    for folder in CONTENT:
        for photo in (root / "coco" / folder).iterdir():
            if f"{folder}/{photo.name}" not in set(examples.ids):
                photo.unlink()
    assert list(CocoPlanted(ARGUMENT).load(root).ids) == list(examples.ids)


def test_too_few_photos_are_counted(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"instances_train2017.json: too few photos for a strength of 0.9: 0 of a dog w"
    ):
        CocoPlanted("dog+cat:feature=tv").load(root)
    with pytest.raises(DataError, match=r"0 of a person with a couch and 7 without, .* of a dog with a couch and"):
        CocoPlanted("person+dog:feature=couch:strength=0.5").load(root)


def test_a_strength_that_so_few_photos_cannot_have_is_refused(tmp_path: Path) -> None:
    def change(content: Content) -> None:
        dogs_with_couches = [
            image["id"]
            for image in content["images"]
            if {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
            == {NUMBERS["dog"], NUMBERS["couch"]}
        ]
        gone = set(dogs_with_couches[2:])
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in gone]

    # What is left are 2 and the 3 that show a person, too: 5 of 5 and 0 of 5 would be a strength of 1.
    with pytest.raises(DataError, match="too few photos for a strength of 0.9: 5 of a dog with a couch and 30 without"):
        CocoPlanted("dog+cat:feature=couch").load(put(tmp_path, changed("train2017", change)))


def test_too_few_photos_to_evaluate_on_are_counted(tmp_path: Path) -> None:
    def change(content: Content) -> None:
        keep = [a for a in content["annotations"] if a["category_id"] != NUMBERS["couch"]]
        content["annotations"] = keep

    with pytest.raises(
        DataError, match="instances_val2017.json: validation and test need .* at least: 0 of a dog with a couch"
    ):
        CocoPlanted(ARGUMENT).load(put(tmp_path, changed("val2017", change)))


def test_a_category_that_the_files_lack_is_named(root: Path) -> None:
    with pytest.raises(DataError, match="instances_train2017.json: has no category 'zebra', only person, cat, dog"):
        CocoPlanted("dog+zebra:feature=couch").load(root)


@pytest.mark.parametrize("part", ["train2017", "annotations/instances_val2017.json"])
def test_absent_files_are_asked_for(tmp_path: Path, part: str) -> None:
    root = put(tmp_path)
    (root / "coco" / part).rename(tmp_path / "elsewhere")
    for ask in (
        lambda: CocoPlanted(ARGUMENT).prepare(root, download=True),
        lambda: CocoPlanted(ARGUMENT).load(root),
        lambda: CocoPlanted(ARGUMENT).places(root, np.arange(1)),
    ):
        with pytest.raises(DataError, match=f"there is no {root / 'coco' / part}. By hand: unpack .*train2017.zip"):
            ask()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dog+cat", "say which category is planted, as in coco-planted:dog.cat:feature=couch"),
        ("dog:feature=couch", "needs two to five different classes, as in dog.cat, not 'dog'"),
        ("dog+dog:feature=couch", "needs two to five different classes"),
        ("dog+cat+bus+car+bed+bird:feature=couch", "needs two to five different classes"),
        ("dog+catt:feature=couch", "COCO has no category 'catt' for a class; did you mean cat?"),
        ("dog+cat:feature=cuoch", "COCO has no category 'cuoch' for a feature; did you mean couch?"),
        ("dog+cat:feature=couch:label=cow", "the label must be one of dog, cat, and the feature none of them"),
        ("dog+cat:feature=dog", "the label must be one of dog, cat, and the feature none of them"),
        ("dog+cat:feature=couch:strength=1.5", "strength must lie in 0 to 1, not 1.5"),
        ("dog+cat:couch", "'couch' is not one of its parameters"),
        ("", "COCO has no category '' for a class"),
        (
            "fire-hydrant+traffic-light+parking-meter+stop-sign+baseball-glove:feature=tv",
            "makes a name of 89 characters; 80 are possible",
        ),
    ],
)
def test_bad_arguments_are_named(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CocoPlanted(argument)


@pytest.mark.parametrize(
    "written", ["dining-table+hot-dog:feature=wine-glass", "dining_table+hot_dog:feature=wine_glass"]
)
def test_blanks_are_written_as_dashes(written: str) -> None:
    data = CocoPlanted(written)
    assert data.card.classes == ("dining table", "hot dog")
    assert data.card.attributes == ("no wine glass", "wine glass")
    assert data.card.name == f"coco-planted:{written}"


def test_there_are_80_categories() -> None:
    assert len(CATEGORIES) == 80
    assert [name for name, times in Counter(CATEGORIES).items() if times > 1] == []


def test_loading_imports_no_torch(root: Path) -> None:
    code = (
        f"import sys; from pathlib import Path; root = Path({str(root)!r})\n"
        "from spurbench_datasets.coco_planted import CocoPlanted\n"
        f"CocoPlanted({ARGUMENT!r}).load(root).photos.open([0])\n"
        "assert not {'torch', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
