"""Archives: what is unpacked, and what never is. Google Drive is a server of our own that speaks its protocol."""

from __future__ import annotations

import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

import gdown
import pytest
import requests

from spurbench.errors import DataError
from spurbench_datasets.counteranimal import archive
from spurbench_datasets.counteranimal.archive import unpack
from spurbench_datasets.counteranimal.download import DRIVE_ID, LINK
from spurbench_datasets.counteranimal.official import CounterAnimal

if TYPE_CHECKING:
    from conftest import AnimalLayout

OSTRICH = "9 ostrich, Struthio camelus"
LAY_OUT = [(9, "ostrich, Struthio camelus"), (10, "brambling, Fringilla montifringilla")]


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory, counteranimal_layout: Callable[..., AnimalLayout]) -> AnimalLayout:
    return counteranimal_layout(tmp_path_factory.mktemp("source") / "LAION-final", LAY_OUT)


def zipped(folder: Path, prefix: str = "LAION-final") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, f"{prefix}/{path.relative_to(folder).as_posix()}")
    return buffer.getvalue()


def tarred(folder: Path, prefix: str = "LAION-final", mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, prefix)
    return buffer.getvalue()


def left(root: Path) -> list[str]:
    """What is below `root` that was not put there by hand, the lock aside."""
    return sorted(path.name for path in root.rglob("*") if path.is_dir() or "LAION" in str(path.parent))


def placed(root: Path, name: str, content: bytes) -> Path:
    (root / "counteranimal").mkdir(parents=True)
    path = root / "counteranimal" / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["animals.zip", "animals.tar.gz", "Animals.TGZ", "animals.tar"])
@pytest.mark.parametrize("prefix", ["LAION-final", "CounterAnimal/data", "."])
def test_an_archive_placed_by_hand_is_unpacked(tmp_path: Path, laid: AnimalLayout, name: str, prefix: str) -> None:
    mode = "w" if name.endswith(".tar") else "w:gz"
    placed(tmp_path, name, zipped(laid.folder, prefix) if name.endswith("zip") else tarred(laid.folder, prefix, mode))
    data = CounterAnimal()
    data.prepare(tmp_path, download=False)
    assert len(list((tmp_path / "counteranimal").iterdir())) == 1, "only whoever reads it waits for it"
    examples = data.load(tmp_path)
    assert set(examples.ids) == set(laid.photos)
    for name in laid.photos:
        unpacked = tmp_path / "counteranimal" / "LAION-final" / name
        assert unpacked.read_bytes() == (laid.folder / name).read_bytes()
    assert not (tmp_path / ".counteranimal.part").exists()
    assert not (tmp_path / "counteranimal" / "LAION-final" / "__MACOSX").exists()


def test_several_archives_are_not_chosen_between(tmp_path: Path) -> None:
    placed(tmp_path, "one.zip", b"")
    (tmp_path / "counteranimal" / "two.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"several archives, one\.zip, two\.tar; leave one"):
        CounterAnimal().prepare(tmp_path, download=False)


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def zip_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def tar_of(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info)
    return buffer.getvalue()


def twice() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("9 ostrich/common-x/a.jpg"))
    return buffer.getvalue()


def encrypted() -> bytes:
    content = bytearray(zip_of(**{"a.jpg": b"x"}))
    # The flags of the local header and of the central directory.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def damaged(content: bytes) -> bytes:
    return content.replace(b"photo", b"phato")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_of(**{"../out.jpg": b"x"}), r"'\.\./out\.jpg' would be written outside"),
        (zip_of(**{"a/../../out.jpg": b"x"}), "would be written outside"),
        (zip_of(**{"..\\out.jpg": b"x"}), "would be written outside"),
        (zip_of(**{"/tmp/out.jpg": b"x"}), "'/tmp/out.jpg' would be written outside"),
        (tar_of("../out.jpg"), "would be written outside"),
        (tar_of("/tmp/out.jpg"), "would be written outside"),
        (zip_link(), "'link.jpg' is a link or a device, not a file"),
        (tar_of("link.jpg", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (tar_of("link.jpg", tarfile.LNKTYPE, "../../secret"), "is a link or a device"),
        (tar_of("pipe.jpg", tarfile.FIFOTYPE), "is a link or a device"),
        (tar_of("disk.jpg", tarfile.BLKTYPE), "is a link or a device"),
        (twice(), "'9 ostrich/common-x/a.jpg' is there twice"),
        (encrypted(), "encrypted"),
        (damaged(zip_of(**{"a.jpg": b"a photo"})), "CRC"),
        (b"", "neither a zip nor a tar archive"),
        (b"<html>quota</html>", "neither a zip nor a tar archive"),
        (zip_of(**{"readme.txt": b"x"}), "has no folders of classes"),
        (zip_of(**{"9 ostrich/common-x/a.jpg": b"x"}), "in .*animals.zip: class '9 ostrich' has no hard photos"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_archive_of_photos_leaves_nothing(tmp_path: Path, content: bytes, message: str) -> None:
    root = tmp_path / "in" / "root"
    path = placed(root, "animals.zip", content)
    CounterAnimal().prepare(root, download=False)
    with pytest.raises(DataError, match=message) as caught:
        CounterAnimal().load(root)
    assert "\n" not in str(caught.value)
    assert ".part" not in str(caught.value), "which is gone by now"
    assert sorted(p.name for p in root.rglob("*") if not p.name.endswith(".lock")) == ["animals.zip", "counteranimal"]
    assert [p.name for p in tmp_path.rglob("*out.jpg")] == []
    assert path.read_bytes() == content


def test_a_truncated_archive_leaves_nothing(tmp_path: Path, laid: AnimalLayout) -> None:
    content = tarred(laid.folder)
    placed(tmp_path, "animals.tgz", content[: len(content) // 2])
    with pytest.raises(DataError, match=r"animals\.tgz is not unpacked: .*; put one from its authors in its place$"):
        CounterAnimal().load(tmp_path)
    assert left(tmp_path) == ["counteranimal"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(archive, "ALLOWANCE", 1 << 20)
    path = tmp_path / "bomb"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for number in range(4):
                packed.writestr(f"{number}.jpg", bytes(1 << 19))
    else:
        with tarfile.open(path, "w:gz") as tar:
            for number in range(4):
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = 1 << 19
                tar.addfile(info, io.BytesIO(bytes(1 << 19)))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="far more than it can hold of photos"):
        unpack(path, tmp_path / "out")
    assert sum(found.stat().st_size for found in (tmp_path / "out").iterdir()) <= 2 << 20


class Drive:
    """Google Drive as gdown sees it: a page that asks for confirmation, then the file, or a page about a quota."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.length: int | None = None
        self.asked: list[str] = []
        drive = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                drive.asked.append(parts.path)
                if drive.content is None:
                    self.page('<p class="uc-error-subcaption">Too many users have viewed or downloaded this file</p>')
                elif query.get("confirm") == ["t"] and query.get("id") == [DRIVE_ID]:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/octet-stream")
                    self.send_header("Content-Disposition", 'attachment; filename="LAION-final.zip"')
                    self.send_header("Content-Length", str(drive.length or len(drive.content)))
                    self.end_headers()
                    self.wfile.write(drive.content)
                else:
                    self.page(
                        '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
                        f'<input type="hidden" name="id" value="{query["id"][0]}">'
                        '<input type="hidden" name="confirm" value="t"></form>'
                    )

            def page(self, body: str) -> None:
                content = f"<!DOCTYPE html><html><body>{body}</body></html>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.netloc = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Drive()
    original = requests.Session.get

    def redirected(self: requests.Session, url: str, **options: object) -> requests.Response:
        parts = urlsplit(url)
        assert parts.netloc in ("drive.google.com", "drive.usercontent.google.com"), url
        return original(self, urlunsplit(("http", served.netloc, *parts[2:])), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "get", redirected)
    yield served
    served.close()


def test_the_archive_is_fetched_from_google_drive(tmp_path: Path, drive: Drive, laid: AnimalLayout) -> None:
    drive.content = zipped(laid.folder)
    data = CounterAnimal()
    data.prepare(tmp_path, download=True)
    assert set(data.load(tmp_path).ids) == set(laid.photos)
    assert len(drive.asked) == 2
    data.prepare(tmp_path, download=True)
    assert len(drive.asked) == 2, "what is there is not fetched again"
    assert sorted(path.name for path in (tmp_path / "counteranimal").iterdir()) == ["LAION-final"]


def refused(root: Path, drive: Drive) -> str:
    with pytest.raises(DataError) as caught:
        CounterAnimal().prepare(root, download=True)
    assert left(root) == ["counteranimal"]
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_quota_says_how_to_place_the_archive_by_hand(tmp_path: Path, drive: Drive) -> None:
    message = refused(tmp_path, drive)
    for word in ("Too many users", LINK, str(tmp_path / "counteranimal"), "By hand"):
        assert word in message


def test_a_download_that_ends_early_leaves_nothing(tmp_path: Path, drive: Drive, laid: AnimalLayout) -> None:
    drive.content = zipped(laid.folder)
    drive.length = len(drive.content) + 1000
    assert "incomplete" in refused(tmp_path, drive)


def test_a_download_that_is_no_archive_leaves_nothing(tmp_path: Path, drive: Drive) -> None:
    drive.content = b"<html>sign in</html>"
    assert "neither a zip nor a tar archive" in refused(tmp_path, drive)


def test_an_unreachable_drive_is_one_message(tmp_path: Path, drive: Drive) -> None:
    drive.close()
    assert LINK in refused(tmp_path, drive)


def test_absent_without_download_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdown, "download", lambda **options: pytest.fail("asked"))
    for act in (lambda: CounterAnimal().prepare(tmp_path, download=False), lambda: CounterAnimal().load(tmp_path)):
        with pytest.raises(DataError, match="offline") as caught:
            act()
        assert LINK in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_not_overwritten(tmp_path: Path, drive: Drive) -> None:
    (tmp_path / "counteranimal" / "LAION-final" / "mine").mkdir(parents=True)
    with pytest.raises(DataError, match="has no folders of classes: move it away"):
        CounterAnimal().prepare(tmp_path, download=True)
    assert drive.asked == []
    assert (tmp_path / "counteranimal" / "LAION-final" / "mine").is_dir()


def test_those_who_read_at_once_wait_for_one_unpacking(
    tmp_path: Path, laid: AnimalLayout, caplog: pytest.LogCaptureFixture
) -> None:
    placed(tmp_path, "animals.zip", zipped(laid.folder))
    with caplog.at_level("INFO", logger="spurbench"), ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: set(CounterAnimal().load(tmp_path).ids), range(4)))
    assert loaded == [set(laid.photos)] * 4
    assert [message.startswith("CounterAnimal: unpacking") for message in caplog.messages].count(True) == 1


def test_what_a_killed_unpacking_left_is_cleared_away(tmp_path: Path, laid: AnimalLayout) -> None:
    placed(tmp_path, "animals.zip", zipped(laid.folder))
    half = tmp_path / ".counteranimal.part" / "unpacked" / "LAION-final" / OSTRICH / "common-green"
    half.mkdir(parents=True)
    (half / "stale.jpg").write_bytes(b"half a photo")
    assert set(CounterAnimal().load(tmp_path).ids) == set(laid.photos)
    assert not (tmp_path / ".counteranimal.part").exists()
