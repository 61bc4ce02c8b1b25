"""The file itself: the same for the same records, in need of nothing else, its libraries as their authors made them."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pytest

from spurbench.board import make_board
from spurbench.errors import DataError
from spurbench.leaderboard import read_everything
from spurbench.render.site import Contents, to_page, vendor
from spurbench.render.site.page import own_code, pack

from .made import made, page_of
from .reading import data_of, markup


def test_the_order_of_the_records_changes_no_byte(small: Path, small_page: Path) -> None:
    everything = read_everything(small)
    records = list(everything.records)
    random.Random(3).shuffle(records)
    boards = {rule: make_board(records, rule, everything.arrays) for rule in everything.boards()}
    assert to_page(Contents(boards, records, everything.planted_board(), ())) == small_page.read_text()


def test_nothing_is_fetched_and_no_script_runs_but_those_named(small_page: Path) -> None:
    page = small_page.read_text()
    found = markup(page)
    assert len(page.encode()) < 1_000_000
    for tag, attributes in found.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {name for name in attributes if name in ("src", "srcset", "action") or name.startswith("on")}
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = (attributes["content"] or "" for _, attributes in found.elements if attributes.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in found.scripts]
    kinds = [attributes.get("type") for tag, attributes in found.elements if tag == "script"]
    assert rules["script-src"].split() == [name for name, kind in zip(hashes, kinds, strict=True) if kind is None]
    assert kinds.count("text/plain") == 1


@pytest.mark.parametrize("library", vendor.libraries(), ids=lambda library: library.name)
def test_libraries_are_inlined_whole_with_their_terms(library: vendor.Library, small_page: Path) -> None:
    assert hashlib.sha256(library.code.encode()).hexdigest() == library.sha256
    assert "</script" not in library.code.lower()
    assert "Permission" in library.terms
    assert library.licence in ("MIT", "ISC")
    found = markup(small_page.read_text())
    assert library.code in found.scripts
    assert library.terms.split()[-1] in found.text
    assert f"{library.name} {library.version}" in found.text


def test_own_code_cannot_end_its_element() -> None:
    assert "</script" not in own_code().lower()
    assert "innerHTML" not in own_code()


def test_a_library_that_was_changed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in vendor.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "d3.min.js").write_text("alert(1)")
    monkeypatch.setattr(vendor, "FOLDER", tmp_path)
    with pytest.raises(DataError, match=r"d3\.min\.js is not d3 [0-9.]+; install spurbench again"):
        vendor.libraries.__wrapped__()


def test_packed_data_is_letters_alone_whatever_it_holds() -> None:
    value = {"text": "</script><!-- \u202e \u2028 é"}
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", pack(value))
    assert data_of(f'<script type="text/plain" id="data">{pack(value)}</script>') == value


def test_a_folder_without_records_is_a_page_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    page = page_of(tmp_path / "results")
    assert "No records yet" in markup(page).text
    assert data_of(page)["records"] == []


def test_files_that_were_left_out_are_named(tmp_path: Path) -> None:
    results = tmp_path / "results"
    made(results, np.random.default_rng(0), "erm", 0)
    (results / "v1" / "birds" / "ViT-B%2F16" / "torn.json").write_text('{"rules": <b>')
    text = markup(page_of(results)).text
    assert "1 file left out" in text
    assert "torn.json is not JSON" in text


def test_failed_and_partial_records_have_no_rank_and_say_why(tmp_path: Path) -> None:
    results = tmp_path / "results"
    rng = np.random.default_rng(0)
    made(results, rng, "whole", 0)
    failed = {"seed": 2, "status": "failed", "failure": {"message": "out of memory", "traceback": "Traceback\n  here"}}
    made(results, rng, "torn", 0, seeds=2)
    made(results, rng, "gone", 0, gone=[failed])
    data = data_of(page_of(results))
    rows = {data["records"][row["record"]]["method"]: row for row in data["rows"]["worst_group"]}
    assert {name: (row["rank"], row["status"], row["seeds"], row["seeds_expected"]) for name, row in rows.items()} == {
        "whole": (1, "complete", 3, 3),
        "torn": (None, "partial", 2, 3),
        "gone": (None, "failed", 0, 3),
    }
    gone = data["records"][rows["gone"]["record"]]
    (told,) = gone["seeds"]
    assert (told["seed"], told["failure"]) == (2, failed["failure"])
    assert "configs" not in told
    assert "gone failed: out of memory" in markup(page_of(results)).text
