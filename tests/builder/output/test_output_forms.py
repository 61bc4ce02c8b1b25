"""The other forms hold the same photos, byte for byte, as the libraries that they are for read them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spurbench.builder.output import Built, write
from spurbench.builder.output.folder import placed
from spurbench.builder.output.huggingface import write_huggingface
from spurbench.builder.output.shards import shards
from spurbench.builder.output.webdataset_form import write_webdataset

MakeBuilt = Callable[..., Built]


def made(built: Built, out: Path, *forms: Any) -> Path:
    write(built, out, report=lambda built: "", forms=forms)
    return out


def quiet(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total


@given(st.lists(st.integers(1, 50)), st.integers(1, 60))
def test_shards_are_all_photos_in_order_and_none_too_large(sizes: list[int], most: int) -> None:
    found = shards(sizes, most)
    assert [place for part in found for place in part] == list(range(len(sizes)))
    for part in found:
        assert len(part) == 1 or sum(sizes[place] for place in part) <= most
    for part, following in pairwise(found):
        assert sum(sizes[place] for place in part) + sizes[following[0]] > most, "no shard could have taken more"


@pytest.fixture
def hugging_face(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """`datasets.load_dataset`, which asks nobody."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    def load(folder: Path) -> Any:
        return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))

    return load


@pytest.mark.parametrize("below", ["", "huggingface"])
def test_hugging_face_loads_images_and_names(
    make_built: MakeBuilt, tmp_path: Path, hugging_face: Callable[..., Any], below: str
) -> None:
    built = make_built()
    out = made(built, tmp_path / "out", "huggingface")
    loaded = hugging_face(out / below)
    assert list(loaded) == ["train", "validation", "test"]
    features = loaded["test"].features
    assert features["label"].names == ["crane, wader", "rock/dove"]
    assert features["attribute"].names == ["easy", "hard"]
    rows = built.photos.set_index("photo_id")
    seen = 0
    for ours, theirs in (("train", "train"), ("val", "validation"), ("test", "test")):
        for example in loaded[theirs]:
            row: Any = rows.loc[example["photo_id"]]
            assert row.split == ours
            assert features["label"].int2str(example["label"]) == row.label
            assert features["attribute"].int2str(example["attribute"]) == row.group
            assert (example["licence"], example["attribution"]) == (row.licence, row.attribution)
            with Image.open(built.folder_of_photos / row.path) as image:
                assert np.array_equal(np.asarray(example["image"]), np.asarray(image))
            seen += 1
    assert seen == (built.photos["split"] != "").sum()


def test_parquet_is_written_in_shards(make_built: MakeBuilt, tmp_path: Path) -> None:
    from pyarrow import parquet

    built = make_built()
    out = made(built, tmp_path / "out")
    rows = placed(built)
    write_huggingface(rows, out, quiet, shard=20_000)
    files = sorted((out / "huggingface" / "data").glob("test-*.parquet"))
    assert len(files) > 2
    assert [file.name for file in files] == [f"test-{i:05d}-of-{len(files):05d}.parquet" for i in range(len(files))]
    read = [row for file in files for row in parquet.read_table(file).to_pylist()]
    test = rows[rows["split"] == "test"]
    assert [row["photo_id"] for row in read] == test["photo_id"].tolist()
    assert [hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in read] == test["sha256"].tolist()


def test_clip_benchmark_finds_each_group_as_a_data_set(make_built: MakeBuilt, tmp_path: Path) -> None:
    import webdataset

    built = make_built()
    built = replace(built, instrument=replace(built.instrument, names=("crane", "crane", "heron", "dove")))
    out = made(built, tmp_path / "out", "webdataset")
    for group in ("easy", "hard"):
        root = out / "webdataset" / group
        names = (root / "classnames.txt").read_text().splitlines()
        assert names == ["crane", "crane", "heron", "dove"], "a class is its number, whether or not two are said alike"
        (template,) = (root / "zeroshot_classification_templates.txt").read_text().splitlines()
        assert template.format(c=names[3]) == "A photo of dove."
        n = int((root / "test" / "nshards.txt").read_text())
        urls = [str(root / "test" / f"{i}.tar") for i in range(n)]
        samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
        mine = built.photos[(built.photos["split"] == "test") & (built.photos["group"] == group)]
        expected = sorted(
            (built.instrument.labels.index(label), sha256)
            for label, sha256 in zip(mine["label"], mine["sha256"], strict=True)
        )
        found = []
        for sample in samples:
            (content,) = (sample[kind] for kind in ("jpg", "jpeg", "png", "webp") if kind in sample)
            found.append((int(sample["cls"]), hashlib.sha256(content).hexdigest()))
        assert sorted(found) == expected


def test_photos_of_other_kinds_become_png_without_loss(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built(suffixes=(".bmp", ".gif", ".tiff"))
    out = made(built, tmp_path / "out", "webdataset")
    rows = placed(built)
    easy = rows[(rows["split"] == "test") & (rows["group"] == "easy")]
    with tarfile.open(out / "webdataset" / "easy" / "test" / "0.tar") as tar:
        images = [member for member in tar.getmembers() if member.name.endswith(".png")]
        assert len(images) == len(easy)
        for member, name in zip(images, easy["file_name"], strict=True):
            packed = tar.extractfile(member)
            assert packed is not None
            with Image.open(io.BytesIO(packed.read())) as found, Image.open(out / name) as photo:
                assert np.array_equal(np.asarray(found), np.asarray(photo.convert("RGB")))


def test_tars_name_no_owner_and_no_time_and_are_split(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    out = made(built, tmp_path / "out")
    write_webdataset(built, placed(built), out, quiet, shard=10_000)
    test = out / "webdataset" / "hard" / "test"
    n = int((test / "nshards.txt").read_text())
    assert n > 1
    assert sorted(path.name for path in test.iterdir()) == sorted(["nshards.txt", *(f"{i}.tar" for i in range(n))])
    names = []
    for i in range(n):
        with tarfile.open(test / f"{i}.tar") as tar:
            for member in tar.getmembers():
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                names.append(member.name)
    assert names == sorted(names)


def test_croissant_is_valid_and_its_records_can_be_read(make_built: MakeBuilt, tmp_path: Path) -> None:
    import mlcroissant

    built = make_built()
    out = made(built, tmp_path / "out")
    described = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    assert not described.metadata.issues.errors
    metadata = described.metadata
    assert metadata.name == built.title
    assert metadata.license[1:] == ["CC-BY-NC", "CC0", "none given"]
    (listing,) = (part for part in metadata.distribution if part.id == "metadata.csv")
    assert listing.sha256 == hashlib.sha256((out / "metadata.csv").read_bytes()).hexdigest()
    records = list(described.records("photos"))
    rows = placed(built)
    assert [record["photos/file_name"].decode() for record in records] == rows["file_name"].tolist()
    assert [record["photos/correct"] for record in records] == rows["correct"].tolist()
    assert [record["photos/class_idx"] for record in records] == rows["class_idx"].tolist()
    raw = json.loads((out / "croissant.json").read_text())
    assert raw["rai:dataCollection"].startswith("Photos were split")
    (files,) = (part for part in metadata.distribution if part.id == "files")
    on_disk = {str(path.relative_to(out)) for pattern in files.includes for path in out.glob(pattern)}
    assert on_disk == set(rows["file_name"])
