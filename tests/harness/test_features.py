"""The feature store and the encoding loop, with a tower whose features anyone can compute from the pixels."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save, save_file

from spurbench.backbones import Tower
from spurbench.cards import BackboneCard, DatasetCard
from spurbench.data import Examples, Photos
from spurbench.encode import Speed, TowerEncoder, encode_part
from spurbench.errors import DataError
from spurbench.features import TENSOR, FeatureStore, feature_key
from spurbench.files import HashCache, digest
from spurbench.images import PhotoFiles
from spurbench.workbench import Features

KINDS = ("embeddings", "penultimate")
MATRIX = torch.arange(12.0).reshape(4, 3).sin()


FAKE = BackboneCard("fake", "Fake", "none")


@dataclass(frozen=True)
class Fake:
    fingerprint: str = "weights"
    card: BackboneCard = FAKE

    def load(self, device: str) -> Tower:
        raise AssertionError("the store loads towers by the function it is given")


class Loader:
    """A tower of four pixels and a matrix; `seen` counts the photos that went through its trunk."""

    def __init__(self) -> None:
        self.loaded, self.seen, self.batches = 0, 0, []

    def __call__(self) -> Tower:
        self.loaded += 1
        return Tower(self.preprocess, self.trunk, lambda x: x @ MATRIX, None, 1.0)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    def trunk(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        self.batches.append(len(images))
        return images.flatten(1)[:, :4]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    paths = [folder / f"{number:03d}.png" for number in range(75)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    return paths


class Squares:
    """Squares of one colour each, made when asked for; `asked` holds the rows of every call."""

    def __init__(self, n: int = 75, seed: int = 0, at_once: int = 4, broken: Sequence[int] = ()) -> None:
        self.colours = np.random.default_rng(seed).integers(0, 256, (n, 3), dtype=np.uint8)
        self.at_once, self.broken, self.asked = at_once, broken, []

    def __len__(self) -> int:
        return len(self.colours)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        self.asked.append(list(rows))
        for row in rows:
            if row in self.broken:
                raise DataError(f"square {row} cannot be made")
        return [Image.fromarray(np.tile(self.colours[row], (4, 4, 1))) for row in rows]

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        return digest(self.colours.tolist())


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spurbench.features.PART", 16)
    monkeypatch.setattr("spurbench.encode.BATCH", {"cpu": 8, "cuda": 8})


def build(
    store: FeatureStore,
    photos: Photos | list[Path],
    loader: Any = None,
    kinds: Sequence[Any] = KINDS,
    progress: Any = lambda done, total: None,
    data: str = "data",
) -> tuple[dict[Any, torch.Tensor], Speed | None]:
    made = PhotoFiles(photos) if isinstance(photos, list) else photos
    return store.images(data, Fake(), loader or Loader(), made, kinds, "label", "cpu", progress)


def truth(paths: Sequence[Path]) -> dict[str, torch.Tensor]:
    rows = [Loader().preprocess(Image.open(path).convert("RGB")).flatten()[:4] for path in paths]
    return {"penultimate": torch.stack(rows), "embeddings": torch.stack([row @ MATRIX for row in rows])}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def same(found: dict[Any, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for kind, tensor in found.items():
        torch.testing.assert_close(tensor, expected[kind], rtol=1e-6, atol=1e-6)


FIELDS = ("data", "backbone", "kind", "augmentation")


@given(st.fixed_dictionaries({name: st.text() for name in FIELDS}), st.sampled_from(FIELDS), st.text(min_size=1))
def test_every_field_changes_the_key(fields: dict[str, str], changed: str, more: str) -> None:
    key, parts = feature_key(**fields)
    assert feature_key(**fields) == (key, parts)
    assert feature_key(**{**fields, changed: fields[changed] + more})[0] != key
    assert {name: parts[name] for name in FIELDS} == fields


@given(st.permutations([*FIELDS]))
def test_fields_are_not_interchangeable(order: list[str]) -> None:
    fields = dict(zip(FIELDS, "abcd", strict=True))
    swapped = dict(zip(order, "abcd", strict=True))
    assert (feature_key(**fields)[0] == feature_key(**swapped)[0]) == (fields == swapped)


class Maps(Loader):
    """A tower whose penultimate activations are maps."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def __call__(self) -> Tower:
        tower = super().__call__()
        return replace(tower, trunk=lambda x: x.flatten(1)[:, :12].reshape(-1, 3, 2, 2) * self.factor)


@pytest.mark.parametrize("part", [32, 2048])
def test_maps_are_kept_in_half_precision_and_joined_from_their_parts(
    tmp_path: Path, photos: list[Path], part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spurbench.features.PART", part)
    store = FeatureStore(tmp_path)
    found, _ = build(store, photos, Maps(), kinds=("penultimate",))
    rows = [Loader().preprocess(Image.open(path).convert("RGB")).flatten()[:12] for path in photos]
    assert torch.equal(found["penultimate"], torch.stack(rows).reshape(-1, 3, 2, 2).half())
    (entry,) = store.entries()
    assert entry.shape == (75, 3, 2, 2)
    (content,) = files(store.folder).values()
    assert content == save({TENSOR: found["penultimate"]}), "what the library itself would have written"


def test_maps_too_large_for_half_precision_are_refused(tmp_path: Path, photos: list[Path]) -> None:
    store = FeatureStore(tmp_path)
    with pytest.raises(DataError, match="maps reach 9.*e.05, which 16-bit floats cannot hold"):
        build(store, photos, Maps(1e6), kinds=("penultimate",))
    assert not list(store.entries())


def test_a_loop_over_photos_gives_the_same(photos: list[Path]) -> None:
    speed, heard = Speed(), []
    found, broken = encode_part(
        TowerEncoder(Loader()(), KINDS, "cpu"), PhotoFiles(photos), range(75), "cpu", speed, heard.append
    )
    assert broken == []
    same(found, truth(photos))
    assert [tensor.dtype for tensor in found.values()] == [torch.float32] * 2
    assert heard == [32, 64, 75]
    assert speed.images == 75
    assert 0 < speed.tower_seconds < speed.seconds
    assert speed.images_per_second == pytest.approx(75 / speed.seconds)
    assert str(speed).startswith("75 photos at ")
    assert str(Speed()) == "nothing to encode"


def test_only_the_kinds_asked_for_are_kept(photos: list[Path]) -> None:
    found, _ = encode_part(
        TowerEncoder(Loader()(), ("penultimate",), "cpu"), PhotoFiles(photos), [7, 3], "cpu", Speed(), lambda done: None
    )
    assert set(found) == {"penultimate"}
    same(found, {"penultimate": truth(photos)["penultimate"][[7, 3]]})


def test_what_is_built_is_read_again(photos: list[Path], tmp_path: Path, small_parts: None) -> None:
    store, loader, heard = FeatureStore(tmp_path), Loader(), []
    built, speed = build(store, photos, loader, progress=lambda done, total: heard.append((done, total)))
    same(built, truth(photos))
    assert heard[-1] == (75, 75)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert speed is not None
    assert speed.images == 75
    again, nothing = build(FeatureStore(tmp_path), photos, loader)
    assert all(torch.equal(again[kind], built[kind]) for kind in KINDS)
    assert nothing is None
    assert (loader.loaded, loader.seen) == (1, 75)
    entries = list(store.entries())
    assert {entry.parts["kind"]: entry.shape for entry in entries} == {"embeddings": (75, 3), "penultimate": (75, 4)}
    assert all(store.verify(entry) and entry.images_per_second for entry in entries)
    assert not list(tmp_path.glob("*.parts"))


def test_a_second_kind_is_added_to_the_first(photos: list[Path], tmp_path: Path) -> None:
    store, loader = FeatureStore(tmp_path), Loader()
    build(store, photos, loader, kinds=("embeddings",))
    found, _ = build(store, photos, loader, kinds=("penultimate", "embeddings"))
    same(found, truth(photos))
    assert loader.loaded == 2


def bit_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "bit flip": bit_flip,
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "manifest gone": lambda path: path.with_suffix(".json").unlink(),
    "manifest broken": lambda path: path.with_suffix(".json").write_text('{"parts": {'),
    "manifest of another kind": lambda path: path.with_suffix(".json").write_text("[1, 2]"),
    "manifest not text": lambda path: path.with_suffix(".json").write_bytes(b"\xff\xfe\x00"),
    "manifest edited": lambda path: path.with_suffix(".json").write_text(
        path.with_suffix(".json").read_text().replace('"data": "data"', '"data": "more"')
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_built_again(photos: list[Path], tmp_path: Path, damage: str) -> None:
    store, loader = FeatureStore(tmp_path), Loader()
    build(store, photos, loader)
    key, _ = feature_key("data", "weights", "embeddings")
    whole = (tmp_path / f"{key}.safetensors").read_bytes()
    DAMAGE[damage](tmp_path / f"{key}.safetensors")
    assert store.read(key) is None
    found, _ = build(store, photos, loader)
    same(found, truth(photos))
    assert loader.loaded == 2
    assert (tmp_path / f"{key}.safetensors").read_bytes() == whole
    assert store.read(key) is not None


def test_another_entrys_files_are_not_taken_for_ones_own(photos: list[Path], tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    build(store, photos, data="one")
    one, two = (feature_key(data, "weights", "embeddings")[0] for data in ("one", "two"))
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"{two}{suffix}").write_bytes((tmp_path / f"{one}{suffix}").read_bytes())
    assert store.read(one) is not None
    assert store.read(two) is None


class Killed(BaseException):
    """What ends a build in the middle."""


def killed_after(photos_done: int) -> Any:
    def progress(done: int, total: int) -> None:
        if done >= photos_done:
            raise Killed

    return progress


@pytest.mark.parametrize("done", [1, 16, 40, 64, 75])
def test_a_killed_build_goes_on_and_ends_the_same(
    photos: list[Path], tmp_path: Path, small_parts: None, done: int
) -> None:
    build(FeatureStore(tmp_path / "undisturbed"), photos)
    store, loader = FeatureStore(tmp_path / "killed"), Loader()
    with pytest.raises(Killed):
        build(store, photos, progress=killed_after(done))
    assert list(store.entries()) == []
    build(store, photos, loader)
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    kept = {1: 0, 16: 0, 40: 32, 64: 48, 75: 64}[done]
    assert loader.seen == 75 - kept


def test_parts_of_another_size_or_broken_are_not_used(
    photos: list[Path], tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path)
    with pytest.raises(Killed):
        build(store, photos, progress=killed_after(40))
    parts = sorted(tmp_path.glob("*.parts/*.safetensors"))
    assert len(parts) == 4
    parts[0].write_bytes(parts[0].read_bytes()[:-4])
    monkeypatch.setattr("spurbench.features.PART", 24)
    same(build(store, photos)[0], truth(photos))


def race(folder: Path, paths: list[Path], kinds: Sequence[str], log: Path, barrier: Any) -> None:
    class Slow(Loader):
        def trunk(self, images: torch.Tensor) -> torch.Tensor:
            time.sleep(0.1)
            return super().trunk(images)

    loader = Slow()
    barrier.wait()
    found, _ = build(FeatureStore(folder), paths, loader, kinds)
    save_file({kind: tensor.clone() for kind, tensor in found.items()}, log / f"{loader.seen}-{kinds[0]}.safetensors")


def test_two_processes_build_once(photos: list[Path], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, log = context.Barrier(2), tmp_path / "log"
    log.mkdir()
    workers = [
        context.Process(target=race, args=(tmp_path / "store", photos, kinds, log, barrier))
        for kinds in (KINDS, KINDS[::-1])
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted(int(path.name.partition("-")[0]) for path in log.iterdir()) == [0, 75]
    one, other = files(log).values()
    assert one == other
    same(build(FeatureStore(tmp_path / "store"), photos)[0], truth(photos))


def test_all_broken_photos_are_named_at_once_and_nothing_is_kept(
    photos: list[Path], tmp_path: Path, small_parts: None
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    contents = {5: b"", 20: photos[20].read_bytes()[:60], 70: b"not a photo"}
    paths = []
    for number, photo in enumerate(photos):
        paths.append(folder / photo.name)
        paths[-1].write_bytes(contents.get(number, photo.read_bytes()))
    store, loader = FeatureStore(tmp_path / "store"), Loader()
    with pytest.raises(DataError, match="3 of 75 photos cannot be read") as caught:
        build(store, paths, loader)
    for number, path in enumerate(paths):
        assert (str(path) in str(caught.value)) == (number in contents)
    assert "empty file" in str(caught.value)
    assert files(tmp_path / "store") == {}
    assert loader.seen == 0  # after the first broken photo the rest is only looked through
    for number in contents:
        paths[number].write_bytes(photos[number].read_bytes())
    same(build(store, paths)[0], truth(photos))


def test_many_broken_photos_are_counted(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:02d}.jpg" for number in range(30)]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)30 of 30 .*19\.jpg.*and 10 more") as caught:
        build(FeatureStore(tmp_path / "store"), paths)
    assert "20.jpg" not in str(caught.value)


@pytest.mark.parametrize("at_once", [1, 3, 4, 100])
def test_photos_made_when_asked_for_give_the_features_of_the_same_in_files(
    tmp_path: Path, small_parts: None, at_once: int
) -> None:
    squares = Squares(at_once=at_once)
    paths = [tmp_path / f"{row:02d}.png" for row in range(len(squares))]
    for path, image in zip(paths, squares.open(range(len(squares))), strict=True):
        image.save(path)
    squares.asked.clear()
    made, _ = build(FeatureStore(tmp_path / "made"), squares)
    from_files, _ = build(FeatureStore(tmp_path / "files"), paths)
    assert all(torch.equal(made[kind], from_files[kind]) for kind in KINDS)
    assert files(tmp_path / "made") == files(tmp_path / "files")
    assert max(map(len, squares.asked)) == min(at_once, 8), "never more than a batch"
    assert sorted(row for rows in squares.asked for row in rows) == list(range(75))


def test_all_photos_that_cannot_be_made_are_named_one_by_one(tmp_path: Path, small_parts: None) -> None:
    squares = Squares(broken=(5, 6, 70))
    with pytest.raises(DataError, match="3 of 75 photos cannot be read") as caught:
        build(FeatureStore(tmp_path), squares)
    for row in range(75):
        assert (f"square {row} cannot be made" in str(caught.value)) == (row in squares.broken)
    assert files(tmp_path) == {}


def test_photos_that_lose_an_image_are_named(tmp_path: Path) -> None:
    class Losing(Squares):
        def open(self, rows: Sequence[int]) -> list[Image.Image]:
            return super().open(rows)[1:]

    with pytest.raises(DataError, match=r"Losing\.open gave 0 images for 1 rows"):
        build(FeatureStore(tmp_path), Losing())


def test_a_view_opens_its_photos_batch_by_batch() -> None:
    squares, rows, tower = Squares(), np.array([9, 3, 74, 0, 1, 2]), Loader()()
    seen = Features({}, squares, lambda: tower).images(rows)
    one_by_one = torch.stack([tower.preprocess(squares.open([row])[0]) for row in rows.tolist()])
    squares.asked.clear()
    assert torch.equal(torch.cat(list(torch.utils.data.DataLoader(seen, batch_size=5))), one_by_one)
    assert squares.asked == [[9, 3, 74, 0], [1], [2]]
    assert torch.equal(torch.stack(list(seen)), one_by_one)
    assert len(seen) == 6


def key_of(photos: Photos, order: Sequence[int] = range(8)) -> str:
    """The key of features of eight examples, in an order."""
    chosen = np.array(order)
    values = np.arange(8) % 2
    examples = Examples(
        ids=tuple(str(number) for number in order),
        y=values[chosen],
        a=values[chosen],
        split=(np.arange(8) % 3)[chosen],
        n_classes=2,
        n_attributes=2,
        photos=photos,
    )
    card = DatasetCard("d", "D", ("x", "y"), ("v", "w"), "none")
    return feature_key(examples.fingerprint(card, HashCache(None)), "weights", "embeddings")[0]


def test_the_same_photos_in_another_order_have_another_key(photos: list[Path]) -> None:
    keys = [
        key_of(PhotoFiles([photos[number] for number in order]), order)
        for order in (range(8), range(8), [1, 0, *range(2, 8)])
    ]
    assert keys[0] == keys[1] != keys[2]


def test_what_decides_photos_that_are_made_enters_the_key() -> None:
    one, in_other_batches, other = map(key_of, (Squares(8), Squares(8, at_once=2), Squares(8, seed=1)))
    assert one == in_other_batches != other


def test_texts_are_cached_with_their_scale(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def encode(texts: Sequence[str]) -> torch.Tensor:
        calls.append(list(texts))
        return torch.tensor([[float(len(text)), 1.0] for text in texts])

    tower = Tower(torch.nn.Identity(), torch.nn.Identity(), torch.nn.Identity(), encode, 1 / 0.07)
    store = FeatureStore(tmp_path)
    read = partial(store.texts, Fake(), lambda: tower)
    for _ in range(2):
        embedded, scale = read(["a", "bcd"])
        assert embedded.tolist() == [[1.0, 1.0], [3.0, 1.0]]
        assert scale == pytest.approx(1 / 0.07, rel=1e-6)
    assert calls == [["a", "bcd"]]
    assert read(["bcd", "a"])[0].tolist() == [[3.0, 1.0], [1.0, 1.0]]
    assert store.texts(Fake("other"), lambda: tower, ["a", "bcd"])[0].tolist() == embedded.tolist()
    assert calls == [["a", "bcd"], ["bcd", "a"], ["a", "bcd"]]
    entry = next(store.entries())
    bit_flip(tmp_path / f"{entry.key}.safetensors")
    assert not store.verify(entry)
    assert store.read(entry.key) is None


def test_removing_an_entry_leaves_the_others(photos: list[Path], tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    build(store, photos[:3])
    key, _ = feature_key("data", "weights", "embeddings")
    store.remove(key)
    store.remove("never there")
    assert [entry.parts["kind"] for entry in store.entries()] == ["penultimate"]
    assert not list(tmp_path.glob(f"{key}*"))
