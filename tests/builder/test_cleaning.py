"""What is left out and why: photos made for it, and any mixture of hashes against the rules written as plain loops."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spurbench.builder import cleaning, looking
from spurbench.builder.cleaning import Cleaning, account, clean, counts
from spurbench.builder.sources import read_photos
from spurbench.builder.table import CLEANED, READ, STATUSES
from spurbench.builder.twins import SIDE
from spurbench.errors import DataError

USUAL = Cleaning()


def ignore(done: int, total: int) -> None:
    pass


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Blobs of colour unlike those of any other seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


@dataclass
class Album:
    """Photos in a folder, and what cleaning makes of them."""

    folder: Path
    work: Path

    def add(self, path: str, image: Image.Image, quality: int = 75) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, quality=quality)

    def clean(self, settings: Cleaning = USUAL, **columns: list[str]) -> pd.DataFrame:
        photos = read_photos(self.folder).assign(**columns)
        return clean(self.folder, photos, settings, self.work, ignore)

    def judged(self, settings: Cleaning = USUAL, **columns: list[str]) -> dict[str, tuple[str, str]]:
        cleaned = self.clean(settings, **columns)
        return dict(zip(cleaned["path"], zip(cleaned["status"], cleaned["twin"], strict=True), strict=True))


@pytest.fixture
def album(tmp_path: Path) -> Album:
    folder = tmp_path / "photos"
    folder.mkdir()
    return Album(folder, tmp_path / "work")


def test_what_is_seen_of_a_whole_photo(album: Album) -> None:
    album.add("cat/lawn/1.png", picture(1))
    cleaned = album.clean()
    assert tuple(cleaned.columns) == (*READ, *CLEANED)
    row = cleaned.loc[0]
    content = (album.folder / "cat/lawn/1.png").read_bytes()
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert (row["width"], row["height"], row["truncated"], row["status"], row["twin"]) == (96, 80, False, "", "")
    seen = looking.look(album.folder / "cat/lawn/1.png")
    assert f"{seen.phash:016x}" == str(imagehash.phash(picture(1)))
    assert len(seen.thumbnail) == SIDE**2


def test_photos_that_cannot_be_shown_or_are_too_small(album: Album) -> None:
    album.add("cat/lawn/1.jpg", picture(1), quality=95)
    whole = (album.folder / "cat/lawn/1.jpg").read_bytes()
    (album.folder / "cat/lawn/cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (album.folder / "cat/lawn/empty.jpg").touch()
    (album.folder / "cat/lawn/page.jpg").write_text("404 not found")
    album.add("cat/lawn/wide.png", picture(2, (200, 63)))
    album.add("cat/lawn/wide enough.png", picture(3, (200, 64)))
    cleaned = album.clean().set_index("path")
    assert cleaned["status"].to_dict() == {
        "cat/lawn/1.jpg": "",
        "cat/lawn/cut.jpg": "",
        "cat/lawn/empty.jpg": "unreadable",
        "cat/lawn/page.jpg": "unreadable",
        "cat/lawn/wide enough.png": "",
        "cat/lawn/wide.png": "tiny",
    }
    assert cleaned["truncated"].tolist() == [False, True, False, False, False, False]
    assert cleaned["width"].tolist() == [96, 96, 0, 0, 200, 200]
    assert cleaned.loc["cat/lawn/page.jpg", "sha256"] == hashlib.sha256(b"404 not found").hexdigest()


def test_a_file_that_may_not_be_read_is_unreadable(album: Album) -> None:
    (album.folder / "cat/lawn/x.jpg").mkdir(parents=True)
    assert looking.look(album.folder / "cat/lawn/x.jpg") == looking.Look("")


def test_copies_of_a_photo_are_left_out_and_name_it(album: Album) -> None:
    album.add("cat/lawn/1.png", picture(1))
    album.add("cat/lawn/2 same.png", picture(1))
    album.add("cat/lawn/3 smaller.jpg", picture(1, (84, 70)), quality=80)
    album.add("cat/lawn/4 brighter.png", picture(1).point(lambda level: min(255, level + 12)))
    album.add("cat/lawn/5 mirrored.png", picture(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    album.add("cat/lawn/6 other.png", picture(2))
    first = "cat/lawn/1.png"
    assert list(album.judged().values()) == [
        ("", ""), ("duplicate", first), ("near_duplicate", first), ("near_duplicate", first), ("", ""), ("", ""),
    ]  # fmt: skip
    assert [status for status, _ in album.judged(Cleaning(distance=0)).values()].count("duplicate") == 1


def test_the_same_photo_in_two_places_stands_in_neither(album: Album) -> None:
    album.add("cat/lawn/1.png", picture(1))
    album.add("cat/sand/1.jpg", picture(1), quality=85)
    album.add("cat/lawn/2.png", picture(2))
    album.add("dog/lawn/2.png", picture(2))
    album.add("cat/lawn/3.png", picture(3))
    # Where no background is known it may be that of the copy; a class is always known.
    album.add("cat/3 again.png", picture(3))
    album.add("dog/4.png", picture(4))
    album.add("cat/lawn/4.png", picture(4))
    assert album.judged() == {
        "cat/3 again.png": ("no_background", ""),
        "cat/lawn/1.png": ("conflict", "cat/sand/1.jpg"),
        "cat/lawn/2.png": ("conflict", "dog/lawn/2.png"),
        "cat/lawn/3.png": ("", ""),
        "cat/lawn/4.png": ("conflict", "dog/4.png"),
        "cat/sand/1.jpg": ("conflict", "cat/lawn/1.png"),
        "dog/4.png": ("conflict", "cat/lawn/4.png"),
        "dog/lawn/2.png": ("conflict", "cat/lawn/2.png"),
    }


def test_photos_of_one_observation_before_one_background(album: Album) -> None:
    for number in range(5):
        album.add(f"cat/{'sand' if number == 3 else 'lawn'}/{number}.png", picture(number))
    together = ["o", "o", "o", "", "o"]
    first = "cat/lawn/0.png"
    assert album.judged(observation=together) == {
        first: ("", ""),
        "cat/lawn/1.png": ("burst", first),
        "cat/lawn/2.png": ("burst", first),
        "cat/lawn/4.png": ("", ""),
        "cat/sand/3.png": ("", ""),
    }
    two = album.judged(Cleaning(per_observation=2), observation=together)
    assert [status for status, _ in two.values()] == ["", "", "burst", "", ""]


def test_flat_photos_are_not_all_one(album: Album) -> None:
    for level in (0, 80, 160, 255):
        album.add(f"cat/lawn/{level}.png", Image.new("RGB", (80, 80), (level, level, level)))
    album.add("cat/sand/0.jpg", Image.new("RGB", (90, 90), (2, 2, 2)))
    judged = album.judged()
    assert judged["cat/lawn/0.png"] == ("conflict", "cat/sand/0.jpg")
    assert [judged[f"cat/lawn/{level}.png"][0] for level in (80, 160, 255)] == ["", "", ""]


def test_nothing_in_the_folder_of_photos_is_changed(album: Album) -> None:
    album.add("cat/lawn/1.png", picture(1))
    album.add("cat/lawn/2.png", picture(1))
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in album.folder.rglob("*")}
    album.clean()
    after = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in album.folder.rglob("*")}
    assert before == after


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files as they are looked at, in parts of two."""
    names: list[str] = []
    real = looking.look

    def look(path: Path) -> looking.Look:
        if path.name == os.environ.get("STOP_AT"):
            raise KeyboardInterrupt
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(looking, "look", look)
    monkeypatch.setattr(looking, "PART", 2)
    return names


def test_a_build_that_was_stopped_goes_on_where_it_was(
    album: Album, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        album.add(f"cat/lawn/{number}.png", picture(number % 5))
    reported: list[tuple[int, int]] = []
    photos = read_photos(album.folder)
    monkeypatch.setenv("STOP_AT", "3.png")
    with pytest.raises(KeyboardInterrupt):
        clean(album.folder, photos, Cleaning(), album.work, lambda *told: reported.append(told))
    assert reported == [(2, 6)]
    monkeypatch.delenv("STOP_AT")
    looked.clear()
    cleaned = clean(album.folder, photos, Cleaning(), album.work, lambda *told: reported.append(told))
    assert sorted(looked) == ["2.png", "3.png", "4.png", "5.png"]
    assert reported == [(2, 6), (2, 6), (4, 6), (6, 6)]
    assert cleaned["status"].tolist() == ["", "", "", "", "", "duplicate"]
    pd.testing.assert_frame_equal(cleaned, clean(album.folder, photos, Cleaning(), album.work / "new", ignore))


def test_what_was_seen_is_used_only_for_files_as_they_were(album: Album, looked: list[str]) -> None:
    for number in range(4):
        album.add(f"cat/lawn/{number}.png", picture(number))
    album.clean()
    looked.clear()
    album.add("cat/lawn/3.png", picture(0, (100, 70)))
    assert album.clean()["width"].tolist() == [96, 96, 96, 100]
    assert sorted(looked) == ["2.png", "3.png"]
    for kept in album.work.iterdir():
        kept.write_bytes(kept.read_bytes()[:-20])
    looked.clear()
    assert album.clean()["width"].tolist() == [96, 96, 96, 100]
    assert len(looked) == 4


def test_a_photo_that_went_away_is_named(album: Album) -> None:
    album.add("cat/lawn/1.png", picture(1))
    photos = read_photos(album.folder)
    (album.folder / "cat/lawn/1.png").unlink()
    with pytest.raises(DataError, match=r"cat/lawn/1\.png: cannot be read: No such file"):
        clean(album.folder, photos, Cleaning(), album.work, ignore)


def plainly(rows: list[tuple[str, str, str, int]], per_observation: int) -> list[str]:
    """The rules, one after the other, over every pair of (label, background, observation, file)."""
    n = len(rows)
    same = [[abs(a[3] - b[3]) <= 1 and a[3] // 10 == b[3] // 10 for b in rows] for a in rows]
    status = [""] * n
    for i, (label, background, _, _) in enumerate(rows):
        for j, (other, elsewhere, _, _) in enumerate(rows):
            if same[i][j] and (label != other or (background and elsewhere and background != elsewhere)):
                status[i] = "conflict"
    for i, (_, background, _, _) in enumerate(rows):
        status[i] = status[i] or ("" if background else "no_background")
    left = [i for i in range(n) if not status[i]]
    for i in left:
        if any(rows[j][3] == rows[i][3] for j in left if j < i):
            status[i] = "duplicate"
    kept: list[int] = []
    for i in left:
        if not status[i]:
            label, background, observation, _ = rows[i]
            of_unit = [j for j in kept if observation and rows[j][:3] == (label, background, observation)]
            if any(same[i][j] for j in kept):
                status[i] = "near_duplicate"
            elif len(of_unit) >= per_observation:
                status[i] = "burst"
            else:
                kept.append(i)
    return status


ROWS = st.tuples(
    st.sampled_from(["cat", "dog"]),
    st.sampled_from(["lawn", "lawn", "sand", ""]),
    st.sampled_from(["", "o1", "o2"]),
    st.integers(0, 45),
)
SCENES = np.random.default_rng(0).integers(0, 256, (5, SIDE**2), dtype=np.uint8)
HASHES = np.random.default_rng(1).integers(0, 2**64, 5, dtype=np.uint64)


@given(st.lists(ROWS, max_size=25), st.integers(1, 2))
def test_any_mixture_is_judged_as_by_the_rules(rows: list[tuple[str, str, str, int]], most: int) -> None:
    """File 10 k + i has the hash of scene k with the first i bits flipped: it is one bit away from its neighbours."""
    labels, backgrounds, observations, files = (
        (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
    )
    hashes = [int(HASHES[file // 10]) ^ ((1 << file % 10) - 1) for file in files]
    photos = pd.DataFrame(
        {
            "photo_id": map(str, range(len(rows))),
            "label": labels,
            "background": backgrounds,
            "observation": observations,
        }
    )
    seen = pd.DataFrame(
        {
            "sha256": [str(file) for file in files],
            "width": np.full(len(rows), 100),
            "height": np.full(len(rows), 100),
            "phash": np.array(hashes, dtype=np.uint64),
            "thumbnail": [SCENES[file // 10].tobytes() for file in files],
        }
    )
    settings = Cleaning(distance=1, per_observation=most)
    assert cleaning._judged(photos, seen, settings)[0] == plainly(rows, most)


def test_the_account_names_every_reason_with_examples_of_all_classes() -> None:
    status = ["burst"] * 4 + ["burst", "tiny", "", "conflict"]
    photos = pd.DataFrame({"label": ["a"] * 4 + ["b"] * 4, "status": status, "path": list("12345678")})
    found = account(photos, examples=3)
    assert [(left.status, left.count, left.examples["path"].tolist()) for left in found] == [
        ("tiny", 1, ["6"]),
        ("burst", 5, ["1", "5", "2"]),
        ("conflict", 1, ["8"]),
    ]
    table = counts(photos)
    assert tuple(table.columns) == ("kept", *STATUSES)
    assert table.loc["a"].to_dict() == {"kept": 0, **dict.fromkeys(STATUSES, 0), "burst": 4}
    assert table.to_numpy().sum() == 8
