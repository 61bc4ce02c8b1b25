from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spurbench.attribute_text import AttributeText, Concepts
from spurbench.data import Examples
from spurbench.errors import DataError, UnknownObjectsError, UsageError
from spurbench.files import HashCache
from spurbench.images import PhotoFiles
from spurbench.keys import LoadedData
from spurbench.masks import object_masks
from spurbench_datasets.folder import Folder

LABELS = [(label, value) for label in ("land_bird", "water-bird") for value in ("land", "water")]


def tree(folder: Path, splits: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """Two photos per split and group; names are created in an order that is not the sorted one."""
    for split in splits:
        for label, value in reversed(LABELS):
            for name in ("b.JPG", "a.png"):
                put(folder / split / label / value / name)
    return folder


def put(path: Path, content: bytes = b"photo") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def csv(folder: Path, text: str, *, touch: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.csv").write_text(text)
    for line in text.splitlines()[1:] if touch else []:
        put(folder / line.split(",")[0])
    return folder


CSV = "file,class,attribute,split\nx/1.jpg,dog,day,train\nx/2.jpg,cat,night,train\ny/3.jpg,cat,day,test\n"


def load(folder: Path) -> Examples:
    data = Folder(str(folder))
    data.prepare(Path("unused"), download=False)
    return data.load(Path("unused"))


def test_folders_become_columns(tmp_path: Path) -> None:
    examples = load(tree(tmp_path / "birds"))
    card = Folder(str(tmp_path / "birds")).card
    assert card.classes == ("land bird", "water bird")
    assert card.attributes == ("land", "water")
    expected = [
        f"{split}/{label}/{value}/{name}"
        for split in ("train", "val", "test")
        for label, value in LABELS
        for name in ("a.png", "b.JPG")
    ]
    assert list(examples.ids) == expected
    assert examples.y.tolist() == [0, 0, 0, 0, 1, 1, 1, 1] * 3
    assert examples.a.tolist() == [0, 0, 1, 1] * 6
    assert examples.split.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert isinstance(examples.photos, PhotoFiles)
    assert [str(path.relative_to(tmp_path / "birds")) for path in examples.photos.paths] == expected
    assert len(examples.fingerprint(card, HashCache(None))) == 64


def test_the_card(tmp_path: Path) -> None:
    card = Folder(str(tree(tmp_path / "my birds"))).card
    assert card.name.startswith("folder:my-birds@")
    assert card.title == "my birds"
    assert card.prompt_set(None).templates == ("a photo of a {}.",)
    assert card.attribute_prompts == ()
    assert not card.own_features


def test_the_name_follows_the_listing_not_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Folder(str(tree(tmp_path / "a" / "birds"))).card.name
    monkeypatch.chdir(tree(tmp_path / "b" / "birds"))
    assert Folder(".").card.name == one
    put(tmp_path / "b" / "birds" / "val" / "land_bird" / "land" / "c.jpg")
    assert Folder(".").card.name != one
    shutil.move("val/land_bird/land/c.jpg", "val/water-bird/land/c.jpg")
    assert Folder(".").card.name != one


def test_file_system_order_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "birds")
    expected = load(tmp_path / "birds")
    ordinary = Path.iterdir

    def shuffled(self: Path) -> Any:
        entries = sorted(ordinary(self))
        np.random.default_rng(0).shuffle(entries)  # type: ignore[arg-type]
        return iter(entries)

    monkeypatch.setattr(Path, "iterdir", shuffled)
    found = load(tmp_path / "birds")
    assert list(found.ids) == list(expected.ids)
    assert np.array_equal(found.groups, expected.groups)


def test_hidden_files_and_other_files_are_left_out(tmp_path: Path) -> None:
    before = len(load(tree(tmp_path)))
    for name in ("train/.DS_Store", ".git/x.jpg", "train/land_bird/land/._a.png", "README.md", "logo.png"):
        put(tmp_path / name)
    for name in ("train/land_bird/land/Thumbs.db", "train/land_bird/notes.txt", "test/land_bird/.cache/a.jpg"):
        put(tmp_path / name)
    assert len(load(tmp_path)) == before


def test_attributes_are_collected_over_classes_and_splits(tmp_path: Path) -> None:
    put(tree(tmp_path) / "test" / "water-bird" / "air" / "x.webp")
    examples = load(tmp_path)
    assert Folder(str(tmp_path)).card.attributes == ("air", "land", "water")
    assert examples.group_totals("train") == [0, 2, 2, 0, 2, 2]
    assert examples.group_totals("test") == [0, 2, 2, 1, 2, 2]


@pytest.mark.parametrize("splits", [("test",), ("train", "test"), ("val", "test")])
def test_train_and_val_may_be_absent(tmp_path: Path, splits: tuple[str, ...]) -> None:
    examples = load(tree(tmp_path, splits))
    assert {split for split in ("train", "val", "test") if len(examples.rows(split))} == set(splits)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        Folder(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="there is no folder"):
        Folder(str(put(tmp_path / "file")))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / name)


def add(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        put(folder / name)

    return act


def empty(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for path in (folder / name).rglob("*"):
            if path.is_file():
                path.unlink()

    return act


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (remove("test"), "no test photos"),
        (empty("."), "folder test has no photos"),
        (empty("val"), "folder val has no photos"),
        (empty("train/land_bird"), "classes without photos in train: land_bird"),
        (add("test/sea-bird/land/a.jpg"), "classes without photos in train: sea-bird"),
        (add("validation/land_bird/land/a.jpg"), "unknown split 'validation'; did you mean val"),
        (add("Train/land_bird/land/a.jpg"), "unknown split 'Train'; did you mean train"),
        (add("extra/land_bird/land/a.jpg"), "unknown split 'extra' "),
        (add("train/a.jpg"), "1 photos lie directly in train, first a.jpg"),
        (add("train/land_bird/a.jpg"), "1 photos lie directly in land_bird"),
        (add("train/land_bird/land/more/a.jpg"), "train/land_bird/land holds a folder more"),
        (add("train/land-bird/land/a.jpg"), "class names must differ"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Callable[[Path], None], match: str) -> None:
    folder = tree(tmp_path / "birds")
    change(folder)
    with pytest.raises(DataError, match=match) as caught:
        load(folder)
    assert str(caught.value).startswith(f"{folder}: ")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither metadata\.csv nor folders train, val, test"):
        Folder(str(tmp_path))


def test_one_class(tmp_path: Path) -> None:
    put(tmp_path / "test" / "bird" / "land" / "a.jpg")
    with pytest.raises(DataError, match="only one class, 'bird'"):
        Folder(str(tmp_path))


def test_a_photo_that_goes_away(tmp_path: Path) -> None:
    data = Folder(str(tree(tmp_path)))
    (tmp_path / "val/land_bird/land/a.png").unlink()
    with pytest.raises(DataError, match=r"1 of 24 photos are missing: val/land_bird/land/a\.png"):
        data.load(tmp_path)


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "land" / "secret.jpg")
    for where, target in (
        ("train/land_bird/land/c.jpg", outside),
        ("train/land_bird/sea", outside.parent),
        ("train/sea_bird", outside.parent.parent),
    ):
        folder = tree(tmp_path / "birds")
        (folder / where).symlink_to(target)
        with pytest.raises(DataError, match="leads out of the folder"):
            load(folder)
        (folder / where).unlink()
    (folder / "train/land_bird/land/c.jpg").symlink_to(folder / "train/land_bird/land/a.png")
    assert len(load(folder)) == 25
    csv(tmp_path / "listed", CSV)
    (tmp_path / "listed/y/3.jpg").unlink()
    (tmp_path / "listed/y/3.jpg").symlink_to(outside)
    with pytest.raises(DataError, match=r"y/3\.jpg is a link that leads out"):
        load(tmp_path / "listed")


def test_a_linked_folder_is_fine_as_the_root(tmp_path: Path) -> None:
    tree(tmp_path / "birds")
    (tmp_path / "link").symlink_to(tmp_path / "birds")
    assert len(load(tmp_path / "link")) == 24


def test_links_in_a_circle(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "train/land_bird/land/c.jpg").symlink_to("c.jpg")
    with pytest.raises(DataError, match=r"c\.jpg"):
        load(tmp_path)


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    tree(tmp_path)
    try:
        put(Path(os.fsdecode(os.fsencode(tmp_path / "train/land_bird/land") + b"/\xff.jpg")))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with pytest.raises(DataError, match="not valid Unicode"):
        load(tmp_path)


def test_csv_with_names(tmp_path: Path) -> None:
    examples = load(csv(tmp_path, CSV))
    card = Folder(str(tmp_path)).card
    assert (card.classes, card.attributes) == (("cat", "dog"), ("day", "night"))
    assert list(examples.ids) == ["x/1.jpg", "x/2.jpg", "y/3.jpg"]
    assert examples.y.tolist() == [1, 0, 0]
    assert examples.a.tolist() == [0, 1, 0]
    assert examples.split.tolist() == [0, 0, 2]


def test_csv_with_codes(tmp_path: Path) -> None:
    text = "img_filename,y,place,split,more\na.jpg,0,1,0,\nb.jpg,1,0,0,\nc.jpg,1,1,2,z\n"
    examples = load(csv(tmp_path, text))
    card = Folder(str(tmp_path)).card
    assert (card.classes, card.attributes) == (("class 0", "class 1"), ("attribute 0", "attribute 1"))
    assert examples.y.tolist() == [0, 1, 1]
    assert examples.a.tolist() == [1, 0, 1]
    assert examples.split.tolist() == [0, 0, 2]


def test_csv_names_that_look_like_something_else(tmp_path: Path) -> None:
    text = "file,class,attribute,split\na.jpg,None,01,0\nb.jpg,NA,1,0\nc.jpg,None,1,2\n"
    load(csv(tmp_path, text))
    card = Folder(str(tmp_path)).card
    assert (card.classes, card.attributes) == (("NA", "None"), ("01", "1"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("class", "label"), "no column class or y; found file, label"),
        (("dog,day", ",day"), "column 'class' is empty in 1 rows, first row 0"),
        (("day,train", "day,validation"), "row 0: unknown split 'validation'; did you mean val"),
        (("night,train", "night,3"), "row 1: unknown split '3'"),
        (("day,test", "day,val"), "no test photos"),
        (("x/1.jpg", "x/2.jpg"), "listed more than once"),
        (("y/3.jpg", "../3.jpg"), "leads out"),
        (("y/3.jpg", "/etc/3.jpg"), "leads out"),
        (("y/3.jpg", "y/4.jpg"), r"1 of 3 photos are missing: y/4\.jpg"),
        (("dog,day,train", "dog,day"), "column 'split' is empty in 1 rows"),
        ((CSV, "file,class,attribute,split\n"), "has no rows"),
        ((CSV, ""), "cannot be read as CSV"),
        (("y/3.jpg", "y\0/3.jpg"), "leads out"),
        (("day,test", "day,test,more"), "cannot be read as CSV"),
        (("day,train", "day,train,more"), "cannot be read as CSV"),
    ],
)
def test_csv_that_is_wrong(tmp_path: Path, change: tuple[str, str], match: str) -> None:
    folder = csv(tmp_path / "data", CSV)
    csv(folder, CSV.replace(*change, 1), touch=False)
    with pytest.raises(DataError, match=match) as caught:
        load(folder)
    assert str(caught.value).startswith(f"{folder}: ")


def test_card_yaml(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "card.yaml").write_text(
        "title: My birds\nlicence: CC0\n"
        "prompts:\n  zoo: ['a {} in a zoo.', '{}']\n  photo: ['a photo of a {}.']\n"
        "attribute_prompts: [on land, at sea]\n"
    )
    card = Folder(str(tmp_path)).card
    assert (card.title, card.licence) == ("My birds", "CC0")
    assert card.prompt_set(None).templates == ("a {} in a zoo.", "{}")
    assert card.prompt_set("photo").templates == ("a photo of a {}.",)
    assert card.attribute_prompts == ("on land", "at sea")


WORDED = """
attribute_text:
  values: ["", on water]
  contexts: ["", in the rain, at night]
  class_free: a photo of a bird {}.
  scenes: [a lake., a lawn.]
  pairs: [by day, by night]
  names: [land, water]
  settings: [bird on land, bird on water]
concepts:
  reject:
    - [a wet bird, a dry bird]
    - [a bird that swims, a bird that walks]
  accept:
    - [a bird with webbed feet, a bird with claws]
"""


def test_card_yaml_may_say_the_attribute_and_the_task_in_words(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "card.yaml").write_text(WORDED)
    card = Folder(str(tmp_path)).card
    assert card.attribute_text == AttributeText(
        values=("", "on water"),
        contexts=("", "in the rain", "at night"),
        class_free="a photo of a bird {}.",
        scenes=("a lake.", "a lawn."),
        pairs=("by day", "by night"),
        names=("land", "water"),
        settings=("bird on land", "bird on water"),
    )
    assert card.concepts == Concepts(
        reject=(("a wet bird", "a dry bird"), ("a bird that swims", "a bird that walks")),
        accept=(("a bird with webbed feet", "a bird with claws"),),
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("attribute_text: [a]", "'attribute_text': must map values, contexts"),
        ("attribute_text: {value: [a, b]}", "'attribute_text': unknown key 'value'; did you mean values"),
        ("attribute_text: {values: a}", "'attribute_text': 'values' must be a list of texts, not 'a'"),
        ("attribute_text: {values: [1, 2]}", "'attribute_text': 'values' must be a list of texts"),
        ("attribute_text: {values: [a, b, c]}", "one phrase in attribute_text.values per attribute value"),
        ("attribute_text: {contexts: [a]}", "'attribute_text': contexts: one alone"),
        ("attribute_text: {names: [a]}", "one phrase in attribute_text.names per attribute value"),
        ("attribute_text: {names: ['', a]}", "'attribute_text': 'names' must be text"),
        ("attribute_text: {settings: [a, b, c]}", "one phrase in attribute_text.settings per attribute value"),
        ("attribute_text: {settings: a}", "'attribute_text': 'settings' must be a list of texts, not 'a'"),
        ("attribute_text: {setting: [a, b]}", "'attribute_text': unknown key 'setting'; did you mean settings"),
        ("attribute_text: {scenes: ['']}", "'attribute_text': 'scenes' must be text"),
        ("attribute_text: {class_free: a bird}", "'attribute_text': class_free: 'a bird' needs one {}"),
        ("attribute_text: {pairs: [a, 'b {}']}", "'attribute_text': pairs: 'b {}'"),
        ("concepts: {rejct: [[a, b]]}", "'concepts': unknown key 'rejct'; did you mean reject"),
        ("concepts: {reject: []}", "'concepts': 'reject' must be a list of pairs"),
        ("concepts: {reject: [a]}", "'concepts': 'reject' must be a list of texts, not 'a'"),
        ("concepts: {reject: [[a, b, c]]}", "'concepts': reject: must be pairs of two texts"),
        ("concepts: {accept: [[a, a]]}", "'concepts': accept: every text must be another"),
        ("licens: x", "unknown key 'licens'; did you mean licence"),
        ("- x", "must be a mapping"),
        ("a: [", "cannot be read as YAML"),
        ("title: 3", "'title' must be text, not 3"),
        ("prompts: [a]", "'prompts' must map"),
        ("prompts: {a: 'a {}'}", "must be a list"),
        ("prompts: {a: ['no slot']}", "needs one {} and no other braces"),
        ("prompts: {1: ['a {}']}", "must be text, not 1"),
        ("attribute_prompts: [one]", "one attribute prompt per attribute value"),
        ("title: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
        ("1: x", "unknown key 1"),
    ],
)
def test_card_yaml_that_is_wrong(tmp_path: Path, text: str, match: str) -> None:
    tree(tmp_path)
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(DataError, match=match) as caught:
        Folder(str(tmp_path))
    assert str(caught.value).startswith(str(tmp_path / "card.yaml"))


def test_it_reads_waterbirds_like_waterbirds(shared_data: Path) -> None:
    from spurbench_datasets.waterbirds import Waterbirds

    mine, theirs = load(shared_data / "waterbirds_v1.0"), Waterbirds().load(shared_data)
    assert list(mine.ids) == list(theirs.ids)
    for name in ("y", "a", "split"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name))


def photo(path: Path, size: tuple[int, int] = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


def mask(path: Path, box: tuple[int, int, int, int], size: tuple[int, int] = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = Image.new("L", size)
    grey.paste(255, box)
    grey.save(path)
    return path


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Photos of which two have masks, one of them twice as large as its photo."""
    folder = tmp_path / "animals"
    for name in ("test/cat/day/1.jpg", "test/cat/day/1.b.jpg", "test/dog/day/1.jpg", "test/dog/day/2.png"):
        photo(folder / name)
    mask(folder / "masks/test/cat/day/1.png", (2, 1, 12, 6))
    mask(folder / "masks/test/dog/day/2.webp", (0, 0, 40, 5), (40, 20))
    return folder


def test_masks_say_where_objects_are(masked: Path) -> None:
    data = Folder(str(masked))
    ids = list(data.load(Path()).ids)
    assert ids == ["test/cat/day/1.b.jpg", "test/cat/day/1.jpg", "test/dog/day/1.jpg", "test/dog/day/2.png"]
    places = data.places(Path("unused"), np.array([3, 1, 0, 2]))
    assert places.objects[:2] == pytest.approx(np.array([[0, 0, 1, 0.25], [0.1, 0.1, 0.6, 0.6]]))
    assert np.isnan(places.objects[2:]).all(), "photos without a mask"
    assert np.array_equal(places.boxes, places.objects[:, None], equal_nan=True)
    assert places.spurious is None
    assert data.places(Path("unused"), np.arange(0)).boxes.shape == (0, 1, 4)


def test_masks_serve_a_listing_too_and_png_goes_first(tmp_path: Path) -> None:
    folder = csv(tmp_path / "x", CSV, touch=False)
    for name in ("x/1.jpg", "x/2.jpg", "y/3.jpg"):
        photo(folder / name)
    mask(folder / "masks/y/3.bmp", (0, 0, 1, 1))
    mask(folder / "masks/y/3.png", (10, 5, 20, 10))
    assert Folder(str(folder)).places(Path(), np.array([2])).objects.tolist() == [[0.5, 0.5, 1, 1]]


def test_absent_masks_are_asked_for(tmp_path: Path) -> None:
    folder = tree(tmp_path / "birds")
    with pytest.raises(
        UnknownObjectsError, match=f"^{folder}: where things are .* Put masks into {folder / 'masks'}, in the same"
    ):
        Folder(str(folder)).places(Path(), np.array([0]))


def test_a_mask_that_does_not_fit_is_named(masked: Path) -> None:
    mask(masked / "masks/test/dog/day/2.png", (0, 0, 3, 3), (10, 20))
    with pytest.raises(DataError, match=r"2.png: the mask is 10 x 20 pixels, its photo 2.png is 20 x 10"):
        Folder(str(masked)).places(Path(), np.array([3]))
    (masked / "masks/test/dog/day/2.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"masks/test/dog/day/2.png: "):
        Folder(str(masked)).places(Path(), np.array([3]))


def test_masks_that_are_links_to_elsewhere_are_refused(masked: Path, tmp_path: Path) -> None:
    secret = mask(tmp_path / "secret.png", (0, 0, 5, 5))
    link = masked / "masks/test/dog/day/2.png"
    link.symlink_to(secret)
    says = r"masks/test/dog/day/2.png is a link that leads out of the folder; put the mask itself there"
    with pytest.raises(DataError, match=says):
        Folder(str(masked)).places(Path(), np.array([3]))


def test_masks_are_handed_out_photo_by_photo(masked: Path) -> None:
    found = Folder(str(masked)).masks(Path("unused"), np.array([3, 1, 0, 1]))
    assert found is not None
    large, small = np.zeros((20, 40), np.uint8), np.zeros((10, 20), np.uint8)
    large[:5], small[1:6, 2:12] = 255, 255
    assert found[2] is None, "a photo without a mask"
    for mask, expected in zip((found[0], found[1], found[3]), (large, small, small), strict=True):
        assert mask is not None
        assert mask.dtype == np.uint8
        # WebP does not keep a hard edge for sure, but its middle.
        assert (mask != expected).sum() <= (40 if mask.shape == large.shape else 0)
    assert Folder(str(masked)).masks(Path(), np.arange(0)) == []


def test_masks_are_not_known_without_their_folder(tmp_path: Path) -> None:
    assert Folder(str(tree(tmp_path / "birds"))).masks(Path(), np.array([0])) is None


def test_a_black_mask_is_refused_by_name(masked: Path) -> None:
    Image.new("L", (20, 10)).save(masked / "masks/test/cat/day/1.png")
    data = Folder(str(masked))
    with pytest.raises(DataError, match=r"masks/test/cat/day/1.png shows nothing: draw the object in it, or remove"):
        data.masks(Path(), np.arange(4))
    assert np.isnan(data.places(Path(), np.array([1])).objects).all()


@pytest.mark.parametrize("ask", ["masks", "places"])
def test_masks_that_lead_elsewhere_or_are_broken_are_refused_whoever_asks(
    masked: Path, tmp_path: Path, ask: str
) -> None:
    link = masked / "masks/test/cat/day/1.png"
    link.unlink()
    link.symlink_to(mask(tmp_path / "secret.png", (0, 0, 5, 5)))
    with pytest.raises(DataError, match=r"masks/test/cat/day/1.png is a link that leads out of the folder"):
        getattr(Folder(str(masked)), ask)(Path(), np.array([1]))
    link.unlink()
    link.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"masks/test/cat/day/1.png: "):
        getattr(Folder(str(masked)), ask)(Path(), np.array([1]))


def test_a_tower_sees_what_masks_show_and_says_how_to_supply_them(masked: Path) -> None:
    def preprocess(image: Image.Image) -> np.ndarray[Any, Any]:
        return np.moveaxis(np.asarray(image, dtype=np.float32), -1, 0)

    data = Folder(str(masked))
    known = LoadedData(data, data.load(Path()), "fingerprint")
    found = object_masks(known, np.arange(4), preprocess)
    assert (found.rows.tolist(), found.left_out) == ([1, 3], {"no mask": 2})
    assert found.shown[0].sum() == 50
    assert found.shown[0, 1:6, 2:12].all()
    shutil.rmtree(masked / "masks")
    with pytest.raises(UnknownObjectsError, match=f"Put masks into {masked / 'masks'}, in the same folders"):
        object_masks(known, np.arange(4), preprocess)
    for link in (False, True):
        if link:
            (masked / "masks").symlink_to("nowhere")
        else:
            (masked / "masks").touch()
        with pytest.raises(DataError, match=f"{masked / 'masks'} must be a folder of masks") as caught:
            object_masks(known, np.arange(4), preprocess)
        assert not isinstance(caught.value, UnknownObjectsError)
        (masked / "masks").unlink()
    (masked / "masks").mkdir()
    empty = object_masks(known, np.arange(4), preprocess)
    assert (empty.rows.tolist(), empty.left_out) == ([], {"no mask": 4})


def test_what_is_known_of_objects_and_broken_is_not_unknown(masked: Path) -> None:
    data = Folder(str(masked))
    known = LoadedData(data, data.load(Path()), "fingerprint")
    (masked / "masks/test/cat/day/1.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="1.png: the mask is no image") as caught:
        object_masks(known, np.arange(4), lambda image: np.zeros((3, 8, 8)))
    assert not isinstance(caught.value, UnknownObjectsError)


def test_masks_do_not_change_the_data_set(masked: Path) -> None:
    with_masks = Folder(str(masked)).card.name
    shutil.rmtree(masked / "masks")
    assert Folder(str(masked)).card.name == with_masks


def test_the_photos_column_may_be_called_as_hugging_face_does(tmp_path: Path) -> None:
    plain = load(csv(tmp_path / "a", CSV))
    other = load(csv(tmp_path / "b", CSV.replace("file,", "file_name,", 1)))
    assert list(other.ids) == list(plain.ids) == ["x/1.jpg", "x/2.jpg", "y/3.jpg"]
    assert other.groups.tolist() == plain.groups.tolist()


def test_prompts_say_classes_as_the_card_tells(tmp_path: Path) -> None:
    folder = csv(tmp_path, CSV)
    assert Folder(str(folder)).card.prompt_set(None).class_names == ()
    (folder / "card.yaml").write_text("class_names: {dog: hot-dog, cat: 'cat, feline'}\n")
    card = Folder(str(folder)).card
    assert card.classes == ("cat", "dog")
    assert card.prompt_set(None).class_names == ("cat, feline", "hot-dog")


def test_photos_cut_short_are_shown_only_where_the_card_says_so(tmp_path: Path) -> None:
    folder = csv(tmp_path, CSV)
    Image.effect_noise((64, 64), 90).save(folder / "x" / "1.jpg")
    whole = (folder / "x" / "1.jpg").read_bytes()
    (folder / "x" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    photos = load(folder).photos
    assert photos is not None
    with pytest.raises(DataError, match="1.jpg"):
        photos.open([0])
    (folder / "card.yaml").write_text("truncated: shown\n")
    photos = load(folder).photos
    assert photos is not None
    assert photos.open([0])[0].size == (64, 64)
