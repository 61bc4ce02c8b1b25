from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from spurbench.errors import DataError
from spurbench.images import PhotoFiles
from spurbench_datasets import waterbirds
from spurbench_datasets.waterbirds import TARBALL_FOLDER, WILDS_FOLDER, Waterbirds

HEADER = "img_id,img_filename,y,split,place,place_filename"
# One photo per split and group.
ROWS = [(f"00{y}.Bird/{'abc'[split]}_{a}.jpg", y, split, a) for split in range(3) for y in (0, 1) for a in (0, 1)]
TINY_CARD = replace(Waterbirds.card, counts=dict.fromkeys(("train", "val", "test"), (1, 1, 1, 1)))

Members = dict[str, bytes]


def tiny() -> Waterbirds:
    return Waterbirds(TINY_CARD)


def metadata(rows: list[tuple[str, int, int, int]] = ROWS) -> str:
    lines = [f"{i},{name},{y},{split},{a},/x/y.jpg" for i, (name, y, split, a) in enumerate(rows, start=1)]
    return "\n".join([HEADER, *lines]) + "\n"


def members(prefix: str = "") -> Members:
    files = {f"{prefix}metadata.csv": metadata().encode(), f"{prefix}RELEASE_v1.0.txt": b""}
    return files | {f"{prefix}{name}": b"photo" for name, *_ in ROWS}


def archive(files: Members) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def write(folder: Path, text: str | None = None) -> Path:
    for name, content in members().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if text is not None:
        (folder / "metadata.csv").write_text(text)
    return folder


class Server:
    """Serves bytes at two addresses and remembers what was asked for; `cut` bytes of the end are never sent."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = 0
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) - outer.cut])

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    from wilds.datasets.waterbirds_dataset import WaterbirdsDataset

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Server()
    versions = {"1.0": {"download_url": f"{served.address}/wilds", "compressed_size": None}}
    monkeypatch.setattr(WaterbirdsDataset, "_versions_dict", versions)
    monkeypatch.setattr(waterbirds, "TARBALL_URL", f"{served.address}/dro.tar.gz")
    monkeypatch.setattr(waterbirds, "PATIENCE", 5.0)
    yield served
    served.close()


def left(root: Path) -> list[str]:
    """What is below `root`, the lock aside."""
    return sorted(entry.name for entry in root.iterdir() if entry.name != ".waterbirds.lock")


@pytest.mark.parametrize("folder", [WILDS_FOLDER, TARBALL_FOLDER])
def test_both_layouts_are_read(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder)
    tiny().prepare(tmp_path, download=False)
    examples = tiny().load(tmp_path)
    assert list(examples.ids) == [name for name, *_ in ROWS]
    assert examples.y.tolist() == [y for _, y, _, _ in ROWS]
    assert examples.split.tolist() == [split for _, _, split, _ in ROWS]
    assert examples.a.tolist() == [a for *_, a in ROWS]
    assert isinstance(examples.photos, PhotoFiles)
    assert examples.photos.paths[3] == tmp_path / folder / ROWS[3][0]


def test_the_card_is_the_published_one() -> None:
    card = Waterbirds.card
    assert card.groups == ("landbird/land", "landbird/water", "waterbird/land", "waterbird/water")
    assert sum(map(sum, card.counts.values())) == 11788
    assert [prompts.name for prompts in card.prompts] == ["photo", "picture", "imagenet80", "plain"]
    assert card.prompt_set(None).templates == ("a photo of a {}.",)
    assert "0.5 GB" in card.download


def test_open_clip_has_the_list_that_the_card_names() -> None:
    open_clip = pytest.importorskip("open_clip")
    assert len(getattr(open_clip, Waterbirds.card.prompt_set("imagenet80").open_clip_list)) == 80


def test_absent_without_download_says_how_to_get_it(tmp_path: Path) -> None:
    for act in (lambda: tiny().prepare(tmp_path, download=False), lambda: tiny().load(tmp_path)):
        with pytest.raises(DataError) as caught:
            act()
        for word in (str(tmp_path), WILDS_FOLDER, TARBALL_FOLDER, waterbirds.TARBALL_URL, "0.5 GB", "offline"):
            assert word in str(caught.value)
    assert left(tmp_path) == []


def test_download_through_wilds(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["/wilds"] = archive(members())
    filter_before = tarfile.TarFile.__dict__.get("extraction_filter")
    tiny().prepare(tmp_path / "new", download=True)
    assert left(tmp_path / "new") == [WILDS_FOLDER]
    assert len(tiny().load(tmp_path / "new")) == 12
    assert server.asked == ["/wilds"]
    assert tarfile.TarFile.__dict__.get("extraction_filter") is filter_before
    assert capsys.readouterr().out == ""


def test_second_source_when_wilds_fails(tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.files["/dro.tar.gz"] = archive(members(f"{TARBALL_FOLDER}/"))
    with caplog.at_level(logging.INFO, logger="spurbench"):
        tiny().prepare(tmp_path, download=True)
    assert left(tmp_path) == [TARBALL_FOLDER]
    assert len(tiny().load(tmp_path)) == 12
    assert "404" in caplog.text
    assert " MB" in caplog.text
    tiny().prepare(tmp_path, download=True)
    assert server.asked == ["/wilds", "/dro.tar.gz"], "what is there is not downloaded again"


def test_two_at_once_download_once(tmp_path: Path, server: Server) -> None:
    server.files["/wilds"] = archive(members())
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: tiny().prepare(tmp_path, download=True), range(3)))
    assert server.asked == ["/wilds"]
    assert left(tmp_path) == [WILDS_FOLDER]


def test_nothing_works(tmp_path: Path, server: Server) -> None:
    with pytest.raises(DataError) as caught:
        tiny().prepare(tmp_path, download=True)
    message = str(caught.value)
    assert message.count("HTTP Error 404") == 2
    assert "By hand" in message
    assert left(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 200])
def test_a_download_cut_short_leaves_nothing(tmp_path: Path, server: Server, cut: int) -> None:
    server.files = {"/wilds": archive(members()), "/dro.tar.gz": archive(members(f"{TARBALL_FOLDER}/"))}
    server.cut = cut
    with pytest.raises(DataError, match="cut short"):
        tiny().prepare(tmp_path, download=True)
    assert left(tmp_path) == []


def test_an_archive_without_all_photos_leaves_nothing(tmp_path: Path, server: Server) -> None:
    files = members()
    del files[ROWS[5][0]]
    server.files["/wilds"] = archive(files)
    with pytest.raises(DataError, match=r"1 of 12 photos are missing: 000\.Bird/b_1\.jpg"):
        tiny().prepare(tmp_path, download=True)
    assert left(tmp_path) == []


def test_hostile_archives_write_nothing_outside(tmp_path: Path, server: Server) -> None:
    root = tmp_path / "a" / "b" / "c"
    for up in ("../evil", "../../evil", "../../../evil", "../../../../evil"):
        server.files = {
            "/wilds": archive({up: b"evil"} | members()),
            "/dro.tar.gz": archive(members(f"{TARBALL_FOLDER}/") | {up: b"evil"}),
        }
        with pytest.raises(DataError, match="outside the destination"):
            tiny().prepare(root, download=True)
        assert left(root) == []
    assert not list(tmp_path.rglob("evil"))


def test_metadata_may_not_point_outside(tmp_path: Path) -> None:
    rows = [("../../secret.jpg", *ROWS[0][1:]), *ROWS[1:]]
    write(tmp_path / WILDS_FOLDER, metadata(rows))
    with pytest.raises(DataError, match="leads out"):
        tiny().load(tmp_path)


def test_leftovers_of_a_killed_download_are_cleared(tmp_path: Path, server: Server) -> None:
    write(tmp_path / ".waterbirds.part" / WILDS_FOLDER)
    server.files["/wilds"] = archive(members())
    with pytest.raises(DataError):
        tiny().load(tmp_path)
    tiny().prepare(tmp_path, download=True)
    assert left(tmp_path) == [WILDS_FOLDER]


def test_an_incomplete_folder_is_never_overwritten(tmp_path: Path, server: Server) -> None:
    (tmp_path / WILDS_FOLDER).mkdir()
    (tmp_path / WILDS_FOLDER / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="incomplete"):
        tiny().prepare(tmp_path, download=True)
    assert (tmp_path / WILDS_FOLDER / "mine.txt").read_text() == "keep"
    assert server.asked == []


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        tiny().prepare(tmp_path / "root", download=True)


def test_every_deviating_count_is_named(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row[1:] not in ((0, 0, 1), (1, 2, 0))]
    write(tmp_path / WILDS_FOLDER, metadata(rows))
    with pytest.raises(DataError) as caught:
        tiny().load(tmp_path)
    message = str(caught.value)
    assert "train landbird/water: expected 1, found 0" in message
    assert "test waterbird/land: expected 1, found 0" in message
    assert message.count("expected") == 2
    assert "metadata.csv" in message


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text.replace("place,", "where,", 1), "no column place; found"),
        (lambda text: text.replace("a_0.jpg,0,0,0", "a_0.jpg,2,0,0", 1), r"column 'y' must lie in 0\.\.1; row 0 has 2"),
        (lambda text: text.replace("a_0.jpg,0,0,0", "a_0.jpg,0,3,0", 1), r"column 'split' must lie in 0\.\.2"),
        (lambda text: text.replace("a_0.jpg,0,0,0", "a_0.jpg,0,0,-1", 1), r"column 'a' must lie in 0\.\.1"),
        (lambda text: text.replace("a_0.jpg,0,0,0", "a_0.jpg,0.5,0,0", 1), "'y' must hold whole numbers; row 0"),
        (lambda text: text.replace("a_0.jpg,0,0,0", "a_0.jpg,,0,0", 1), "column 'y' is empty in 1 rows"),
        (lambda text: text.replace("a_1.jpg", "a_0.jpg", 1), "occurs more than once"),
        (lambda text: text.replace("a_1.jpg", "gone.jpg"), r"2 of 12 photos are missing: 000\.Bird/gone\.jpg"),
        (lambda _: "", "cannot be read as CSV"),
    ],
)
def test_broken_metadata_is_named(tmp_path: Path, change: Callable[[str], str], match: str) -> None:
    write(tmp_path / WILDS_FOLDER, change(metadata()))
    with pytest.raises(DataError, match=match):
        tiny().load(tmp_path)


def test_missing_photos_are_counted_and_five_named(tmp_path: Path) -> None:
    folder = write(tmp_path / WILDS_FOLDER)
    for name, *_ in ROWS[:7]:
        (folder / name).unlink()
    with pytest.raises(DataError, match="7 of 12 photos are missing") as caught:
        tiny().load(tmp_path)
    assert sum(name in str(caught.value) for name, *_ in ROWS) == 5


def test_loading_imports_neither_torch_nor_wilds(tmp_path: Path) -> None:
    write(tmp_path / WILDS_FOLDER)
    code = (
        "import sys; from pathlib import Path; from spurbench.errors import DataError\n"
        "from spurbench_datasets.waterbirds import Waterbirds\n"
        "assert 'pandas' not in sys.modules\n"
        f"data = Waterbirds(); root = Path({str(tmp_path)!r}); data.prepare(root, download=True)\n"
        "try: data.load(root)\n"
        "except DataError as error: assert 'expected 3498, found 1' in str(error), error\n"
        "else: raise SystemExit('not checked')\n"
        "assert not {'torch', 'wilds'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_arrays_are_those_of_wilds(shared_data: Path) -> None:
    from wilds.datasets.waterbirds_dataset import WaterbirdsDataset

    data = Waterbirds()
    data.prepare(shared_data, download=False)
    examples = data.load(shared_data)
    wilds = WaterbirdsDataset(root_dir=str(shared_data), download=False)
    assert np.array_equal(examples.y, wilds.y_array.numpy())
    assert np.array_equal(examples.a, wilds.metadata_array[:, 0].numpy())
    assert np.array_equal(examples.split, wilds.split_array)
    assert list(examples.ids) == list(wilds._input_array)
    assert {split: tuple(examples.group_totals(split)) for split in data.card.counts} == dict(data.card.counts)
