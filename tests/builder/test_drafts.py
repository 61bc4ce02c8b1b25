"""Drafts of backgrounds: guesses as a plain loop over the model makes them, a sheet and a page to check them by."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from spurbench.backbones import Tower
from spurbench.builder.backgrounds import drafters, named
from spurbench.builder.cleaning import Cleaning, clean
from spurbench.builder.drafts import TEMPLATES, check_drafter, draft, write_sheet
from spurbench.builder.sources import read_photos
from spurbench.builder.synonyms import built_in
from spurbench.cards import BackboneCard
from spurbench.errors import DataError, UsageError
from spurbench.features import FeatureStore
from spurbench.files import HashCache
from spurbench.render import drafts_page
from spurbench.render.drafts_page import to_html

WORDS = ("grass", "sky", "water")
HOSTILE = '"><script>x\u202e &'


class Tiny:
    """A backbone of random weights that counts how often it is loaded."""

    def __init__(self, gallery: Any, has_text: bool = True) -> None:
        self.gallery, self.loaded = gallery, 0
        self.card, self.fingerprint = BackboneCard("tiny", "Tiny", "none", has_text=has_text), "ab" * 32

    def load(self, device: str = "cpu") -> Tower:
        self.loaded += 1
        tower: Tower = self.gallery.prepared.tower()
        small = lambda image: tower.preprocess(image.resize((16, 16)))  # noqa: E731
        return Tower(small, tower.trunk, tower.project, self.say, 20.0)

    @torch.no_grad()
    def say(self, texts: Sequence[str]) -> torch.Tensor:
        # Only the first letters count for the tiny model, and prompts differ in their last.
        tokens = self.gallery.prepared.tower().parts.tokenize([text[::-1] for text in texts])
        embedded: torch.Tensor = self.gallery.model.encode_text(tokens)
        return embedded


@pytest.fixture
def tiny(make_gallery: Callable[..., Any]) -> Tiny:
    return Tiny(make_gallery("vit"))


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Five photos without a background, one with, one that is none; and what cleaning says of them."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for path in ("cat/1.png", "cat/2.png", "dog/=3.png", "cat/4.jpg", "dog/lawn/5.png", "cat/6.png"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 70, 3), dtype=np.uint8)).save(folder / path)
    whole = (folder / "cat/4.jpg").read_bytes()
    (folder / "cat/4.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dog/broken.jpg").write_text("404")
    cleaned = clean(folder, read_photos(folder), Cleaning(), tmp_path / "work", lambda done, total: None)
    return folder, cleaned


def drafted(tiny: Tiny, photos: tuple[Path, pd.DataFrame], store: Path) -> pd.DataFrame:
    ignore = lambda done, total: None  # noqa: E731
    return draft(*photos, WORDS, tiny, tiny.load, FeatureStore(store), "cpu", ignore, HashCache(None))


def test_guesses_are_those_of_a_plain_loop(tiny: Tiny, photos: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    found = drafted(tiny, photos, tmp_path / "store")
    tower = tiny.load()
    assert sorted(found["path"]) == ["cat/1.png", "cat/2.png", "cat/4.jpg", "cat/6.png", "dog/=3.png"]
    for row in found.to_dict("records"):
        if row["path"] == "cat/4.jpg":
            continue
        image = tower.preprocess(Image.open(photos[0] / row["path"]).convert("RGB"))
        with torch.no_grad():
            seen = tower.project(tower.trunk(image[None]))[0]
            scores = []
            for word in WORDS:
                said = tiny.say([template.replace("{}", word) for template in TEMPLATES])
                mean = sum(vector / vector.norm() for vector in said)
                scores.append(float(20 * (seen / seen.norm()) @ (mean / mean.norm())))
        chances = np.exp(scores) / np.exp(scores).sum()
        order = np.argsort(-chances)
        assert (row["guess"], row["second"]) == (WORDS[order[0]], WORDS[order[1]])
        assert row["confidence"] == pytest.approx(chances[order[0]], rel=1e-4)
    assert found["confidence"].between(0.334, 1).all()
    assert found["label"].tolist() == ["cat"] * 4 + ["dog"]
    assert found["confidence"].tolist()[:4] == sorted(found["confidence"].tolist()[:4])


def test_features_are_kept_for_the_next_time(tiny: Tiny, photos: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    first = drafted(tiny, photos, tmp_path / "store")
    loaded = tiny.loaded
    pd.testing.assert_frame_equal(first, drafted(tiny, photos, tmp_path / "store"))
    assert tiny.loaded == loaded
    folder, _ = photos
    Image.new("RGB", (80, 80), "red").save(folder / "cat/1.png")
    again = clean(folder, read_photos(folder), Cleaning(), tmp_path / "work", lambda done, total: None)
    other = drafted(tiny, (folder, again), tmp_path / "store").set_index("path")
    assert other.loc["cat/1.png", "confidence"] != first.set_index("path").loc["cat/1.png", "confidence"]


def test_what_cannot_be_drafted(tiny: Tiny, photos: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    folder, cleaned = photos
    with pytest.raises(DataError, match="nothing to draft"):
        drafted(tiny, (folder, cleaned[cleaned["status"] != "no_background"]), tmp_path / "store")
    with pytest.raises(UsageError, match="tiny has no text tower"):
        drafted(Tiny(tiny.gallery, has_text=False), photos, tmp_path / "store")


def test_the_instrument_may_not_draft_its_own_backgrounds() -> None:
    check_drafter("ab", "abc")
    with pytest.raises(UsageError, match="drafted by the same model"):
        check_drafter("ab", "ab")


def test_a_sheet_goes_round(tiny: Tiny, photos: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    found = drafted(tiny, photos, tmp_path / "store")
    sheet = tmp_path / "out" / "backgrounds.csv"
    write_sheet(found, sheet)
    lines = sheet.read_text().splitlines()
    assert lines[0] == "file,background,guess,confidence,second,confirmed,drafter"
    first = found.loc[0]
    assert lines[1] == (
        f"{first['path']},{first['guess']},{first['guess']},{first['confidence']:.3f},{first['second']},,{tiny.fingerprint}"
    )
    assert drafters(sheet) == (tiny.fingerprint,)
    table = named(photos[1], built_in(), sheet).set_index("path")
    for row in found.to_dict("records"):
        assert table.loc[row["path"], "background"] == row["guess"]
        assert table.loc[row["path"], "background_by"] == "draft"
    assert table.loc["dog/lawn/5.png", ["background", "background_by"]].tolist() == ["grass", "label"]
    assert table.loc["dog/broken.jpg", "background_by"] == ""


def test_a_name_that_a_spreadsheet_would_run_is_harmless_and_still_that_name(tmp_path: Path) -> None:
    drafts = pd.DataFrame(
        [{"path": "=x/1.jpg", "label": "=x", "guess": "sky", "second": "sea", "confidence": 0.5, "drafter": "f"}]
    )
    write_sheet(drafts, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith("./=x/1.jpg,")
    photos = pd.DataFrame({"path": ["=x/1.jpg"], "background": [""]})
    assert named(photos, built_in(), tmp_path / "s.csv")["background"].tolist() == ["sky"]


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(tmp_path: Path, counts: dict[str, int]) -> Elements:
    """A page of so many photos of each class."""
    Image.new("RGB", (300, 100), "green").save(tmp_path / f"{HOSTILE[:3]}.png".replace("/", ""))
    rows = [
        {"path": f"{HOSTILE[:3]}.png", "label": label, "guess": HOSTILE, "second": "sky", "confidence": number / count}
        for label, count in counts.items()
        for number in range(count)
    ]
    return Elements(to_html(pd.DataFrame(rows), tmp_path, HOSTILE, "backgrounds.csv"))


def test_the_page_shows_the_least_certain_of_each_class_and_nothing_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts_page, "PER_CLASS", 4)
    monkeypatch.setattr(drafts_page, "FEWEST", 1)
    page = shown(tmp_path, {HOSTILE: 10, "dog": 2})
    images = [attrs for tag, attrs in page.found if tag == "img"]
    assert len(images) == 6
    assert all(str(attrs["src"]).startswith("data:image/jpeg;base64,") for attrs in images)
    assert {(attrs["width"], attrs["height"]) for attrs in images} == {("144", "48")}
    assert not [tag for tag, _ in page.found if tag in ("script", "link", "iframe", "form")]
    assert not [key for _, attrs in page.found for key in attrs if key.startswith("on")]
    policy = next(attrs["content"] for _, attrs in page.found if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert re.findall(r"(?:likely|unsure|toss-up), \d+ %", page.text.replace("\xa0", " ")) == [
        "toss-up, 0 %", "toss-up, 10 %", "toss-up, 20 %", "toss-up, 30 %", "toss-up, 0 %", "toss-up, 50 %",
    ]  # fmt: skip
    assert "and 6 more in backgrounds.csv" in page.text
    assert "<script>x" in page.text
    assert "\u202e" not in page.text


def test_a_page_of_many_classes_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts_page, "IN_ALL", 20)
    monkeypatch.setattr(drafts_page, "FEWEST", 2)
    assert sum(tag == "img" for tag, _ in shown(tmp_path, {f"c{k}": 9 for k in range(5)}).found) == 5 * 4
    assert sum(tag == "img" for tag, _ in shown(tmp_path, {f"c{k}": 9 for k in range(30)}).found) == 30 * 2
