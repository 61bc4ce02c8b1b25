from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from numpy.typing import NDArray
from scipy import stats
from scipy.stats.contingency import association

from spurbench.cards import SPLITS
from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench.files import HashCache
from spurbench_datasets import _idx_sticker
from spurbench_datasets._idx_sticker import FILES, IdxSticker
from spurbench_datasets._quadrants import PlantedGlyphs
from spurbench_datasets.mnist_sticker import FashionSticker, MnistSticker

UNLIKELY = 1e-3
EVERY = 1003, 204
"""Images of each class in the files for training and in those for testing: a few more than are taken."""
KINDS = (MnistSticker, FashionSticker)
Pools = tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def pools() -> Pools:
    """Pictures of noise in any order of classes; no two are alike."""
    rng = np.random.default_rng(0)

    def pool(per_class: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
        return rng.integers(1, 256, (len(labels), 28, 28), dtype=np.uint8), labels

    return pool(EVERY[0]), pool(EVERY[1])


@pytest.fixture(scope="module")
def root(pools: Pools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torchvision's layout for MNIST; for Fashion-MNIST a folder of gzipped files."""
    made = tmp_path_factory.mktemp("data")
    raw, packed = made / "MNIST" / "raw", made / "fashion-mnist"
    for folder in (raw, packed):
        folder.mkdir(parents=True)
    for name, array in zip(FILES, [array for pool in pools for array in pool], strict=True):
        (raw / name).write_bytes(idx(array))
        (packed / f"{name}.gz").write_bytes(gzip.compress(idx(array), 1))
    return made


@pytest.fixture(scope="module", params=KINDS)
def examples(request: pytest.FixtureRequest, root: Path) -> Examples:
    kind: type[IdxSticker] = request.param
    kind().prepare(root, download=False)
    return kind().load(root)


def photos_of(examples: Examples) -> PlantedGlyphs:
    assert isinstance(examples.photos, PlantedGlyphs)
    return examples.photos


def test_training_images_and_images_to_evaluate_on_come_from_their_own_files(examples: Examples, pools: Pools) -> None:
    known = [{image.tobytes(): int(y) for image, y in zip(*pool, strict=True)} for pool in pools]
    pixels = photos_of(examples).pixels(np.arange(len(examples)))
    grey = (pixels == pixels[..., :1]).all(axis=-1) & (pixels[..., 0] > 0)
    seen = set()
    for image, where, y, split in zip(pixels, grey, examples.y, examples.split, strict=True):
        glyph = image[..., 0][where].tobytes()
        assert known[min(split, 1)].get(glyph) == y
        seen.add(glyph)
    assert len(seen) == len(examples) == 12_000, "no glyph is in two images"


def test_images_are_the_glyph_and_the_square_where_places_say(root: Path, examples: Examples) -> None:
    rows = np.array([11_999, 5, 0, 10_500, 10_501, 10_502, 10_503, 6, 7, 5])
    kind = MnistSticker if photos_of(examples).world == MnistSticker.world else FashionSticker
    places = kind().places(Path("nowhere"), rows)
    assert places.spurious is not None
    for image, digit, square, a in zip(
        photos_of(examples).pixels(rows), places.objects, places.spurious, examples.a[rows], strict=True
    ):
        left, top, right, bottom = (digit * 56).astype(int)
        assert (image[top:bottom, left:right] > 0).all()
        image[top:bottom, left:right] = 0
        assert bool(a) == (not np.isnan(square).any())
        if a:
            left, top, right, bottom = (square * 56).astype(int)
            assert (image[top:bottom, left:right] == (255, 0, 0)).all()
            image[top:bottom, left:right] = 0
        assert not image.any()


@pytest.mark.parametrize(("strength", "label"), [(0.9, 3), (0.7, 0), (0.99, 9), (0.0, 5)])
def test_the_square_goes_with_one_class_in_training_alone(root: Path, strength: float, label: int) -> None:
    data = MnistSticker(f"strength={strength}:label={label}")
    examples = data.load(root)
    found = {split: np.array(examples.group_totals(split)).reshape(-1, 2) for split in SPLITS}
    assert association(found["train"], method="cramer") == pytest.approx(strength, abs=0.002)
    assert data.planted_label == label
    assert strength == 0 or found["train"][:, 1].argmax() == label
    assert (found["train"].sum(axis=1) == 1000).all()
    assert found["val"].tolist() == found["test"].tolist() == [[50, 50]] * 10
    assert {s: tuple(examples.group_totals(s)) for s in SPLITS} == dict(data.card.counts)


def test_glyphs_are_taken_from_anywhere_in_the_files(examples: Examples) -> None:
    glyph = photos_of(examples).glyph
    for split, start, total in ((0, 0, 10 * EVERY[0]), (1, 10 * EVERY[0], 10 * EVERY[1])):
        own = (glyph[examples.split == split] - start) / total
        assert stats.kstest(own, "uniform").pvalue > UNLIKELY


def test_the_two_data_sets_and_their_variants_have_fingerprints_of_their_own(root: Path) -> None:
    made: list[IdxSticker] = [MnistSticker(), MnistSticker("label=4"), FashionSticker(), FashionSticker("strength=0.5")]
    found = [data.load(root).fingerprint(data.card, HashCache(None)) for data in made]
    assert len(set(found)) == len(made)
    assert MnistSticker().load(root).fingerprint(MnistSticker().card, HashCache(None)) == found[0]


def test_packed_and_plain_files_give_the_same_data(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    shutil.copytree(root / "fashion-mnist", folder)
    one, other = MnistSticker().load(tmp_path), MnistSticker().load(root)
    rows = np.arange(0, 12_000, 7)
    assert np.array_equal(photos_of(one).pixels(rows), photos_of(other).pixels(rows))


def test_names_of_garments_may_be_given() -> None:
    assert FashionSticker("label=ankle-boot").planted_label == 9
    assert FashionSticker().card.classes[FashionSticker().planted_label] == "dress"
    assert FashionSticker("label=ankle-boot").card.name == "fashion-sticker:label=ankle-boot"
    with pytest.raises(UsageError, match="fashion-sticker: label must be one of .*, not 'dres'; did you mean dress?"):
        FashionSticker("label=dres")


def broken(folder: Path, source: Path, name: str, content: bytes) -> None:
    """Files in which one has another content than those in `source`."""
    folder.mkdir()
    for other in FILES:
        if other != name:
            (folder / other).symlink_to(source / other)
    (folder / name).write_bytes(content)


IMAGES, LABELS = FILES[0], FILES[1]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (IMAGES, lambda b: b[:-1], r"should hold \d+ bytes behind its header, there are only \d+; get it again"),
        (IMAGES, lambda b: b + b"\0", r"should hold \d+ bytes behind its header, there are more"),
        (IMAGES, lambda b: b"", "is not an IDX file of unsigned bytes; it begins with nothing"),
        (IMAGES, lambda b: b[:10], "ends within its header"),
        (IMAGES, lambda b: b"<html>", "is not an IDX file .*; it begins with 3c 68 74 6d"),
        (IMAGES, lambda b: b[:2] + b"\x0d" + b[3:], "is not an IDX file of unsigned bytes; it begins with 00 00 0d 03"),
        (
            IMAGES,
            lambda b: b[:4] + b"\xff" * 12 + b[16:],
            "says that it holds 4294967295 x .* bytes, which is too many to be true",
        ),
        (IMAGES, lambda b: idx(np.zeros(5, np.uint8)), "holds an array of 1 dimensions, not of 3"),
        (IMAGES, lambda b: idx(np.zeros((3, 28, 27), np.uint8)), "images must have 28 x 28 pixels, not 28 x 27"),
        (LABELS, lambda b: idx(np.zeros(7, np.uint8)), "7 labels for 10030 images"),
        (LABELS, lambda b: b[:108] + b"\x0a" + b[109:], "labels must lie in 0..9; row 100 has 10"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, root: Path, name: str, change: Any, message: str) -> None:
    source = root / "MNIST" / "raw"
    broken(tmp_path / "mnist", source, name, change((source / name).read_bytes()))
    with pytest.raises(DataError, match=f"{name}: {message}"):
        MnistSticker().load(tmp_path)


@pytest.mark.parametrize("change", [lambda b: b[:-20], lambda b: b[:50] + b"\0\0\0\0" + b[54:], lambda b: b"no gzip"])
def test_broken_packed_files_are_named(tmp_path: Path, root: Path, change: Any) -> None:
    shutil.copytree(root / "fashion-mnist", tmp_path / "fashion-mnist")
    path = tmp_path / "fashion-mnist" / f"{LABELS}.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"{LABELS}.gz: cannot be read: "):
        FashionSticker().load(tmp_path)


def test_no_more_is_unpacked_than_the_header_says(tmp_path: Path, root: Path) -> None:
    shutil.copytree(root / "fashion-mnist", tmp_path / "fashion-mnist")
    with gzip.open(tmp_path / "fashion-mnist" / f"{LABELS}.gz", "wb", 9) as stream:
        stream.write(struct.pack(">BBBBI", 0, 0, 8, 1, 10))
        for _ in range(64):
            stream.write(bytes(1 << 20))
    with pytest.raises(DataError, match="should hold 10 bytes behind its header, there are more"):
        FashionSticker().load(tmp_path)


def test_too_few_of_a_class_are_counted(tmp_path: Path, root: Path, pools: Pools) -> None:
    labels = pools[0][1].copy()
    labels[np.flatnonzero(labels == 4)[:10]] = 5
    broken(tmp_path / "mnist", root / "MNIST" / "raw", LABELS, idx(labels))
    with pytest.raises(DataError, match="mnist-sticker: 1000 of class four are needed for train, there are 993"):
        MnistSticker().load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_absent_files_are_asked_for(tmp_path: Path, kind: type[IdxSticker]) -> None:
    (tmp_path / kind.folder).mkdir()
    (tmp_path / kind.folder / FILES[0]).touch()
    for ask in (lambda: kind().prepare(tmp_path, download=False), lambda: kind().load(tmp_path)):
        with pytest.raises(DataError) as caught:
            ask()
        for word in (str(tmp_path / kind.source / "raw"), str(tmp_path / kind.folder), *FILES, kind.size):
            assert word in str(caught.value)


@pytest.fixture
def mirror(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """torchvision's Fashion-MNIST comes from here; the checksums are asked for, too."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    folder = root / "fashion-mnist"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    kind = torchvision.datasets.FashionMNIST
    hashes = [
        (f"{name}.gz", hashlib.md5((folder / f"{name}.gz").read_bytes(), usedforsecurity=False).hexdigest())
        for name in FILES
    ]
    monkeypatch.setattr(kind, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(kind, "resources", hashes)
    monkeypatch.setattr(_idx_sticker, "PATIENCE", 5.0)
    yield asked
    server.shutdown()
    server.server_close()


def test_a_download_puts_the_files_where_torchvision_has_them(
    tmp_path: Path, mirror: list[str], root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = FashionSticker()
    data.prepare(tmp_path / "new", download=True)
    assert capfd.readouterr() == ("", "")
    asked = len(mirror)
    assert asked >= len(FILES)
    data.prepare(tmp_path / "new", download=True)
    assert len(mirror) == asked, "what is here is not fetched again"
    found = data.load(tmp_path / "new").fingerprint(data.card, HashCache(None))
    assert found == data.load(root).fingerprint(data.card, HashCache(None))
    assert {path.name for path in (tmp_path / "new").iterdir()} <= {"FashionMNIST", ".fashion-mnist.lock"}


def test_a_failed_download_leaves_nothing(tmp_path: Path, mirror: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kind = torchvision.datasets.FashionMNIST
    monkeypatch.setattr(kind, "resources", [(name, "0" * 32) for name, _ in kind.resources])
    with pytest.raises(DataError, match=r"the download failed: .*By hand: put the four files into"):
        FashionSticker().prepare(tmp_path, download=True)
    assert {path.name for path in tmp_path.iterdir()} <= {".fashion-mnist.lock"}


def test_what_lies_in_the_way_of_a_download_is_not_touched(tmp_path: Path, mirror: list[str]) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / FILES[0]).write_bytes(b"mine")
    with pytest.raises(DataError, match="is there but incomplete: move it away"):
        FashionSticker().prepare(tmp_path, download=True)
    assert (raw / FILES[0]).read_bytes() == b"mine"
    assert not mirror


def test_loading_imports_no_torch(root: Path) -> None:
    code = (
        f"import sys; from pathlib import Path; root = Path({str(root)!r})\n"
        "from spurbench_datasets.mnist_sticker import MnistSticker\n"
        "MnistSticker().prepare(root, download=False); MnistSticker().load(root).photos.open([0])\n"
        "assert not {'torch', 'torchvision', 'sklearn', 'pandas'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
