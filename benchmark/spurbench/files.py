"""Files that are never seen half-written, hashes that are computed once, names that are safe on every file system."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import platformdirs

from .errors import UsageError

MOST_BYTES = 256 * 2**20
"""Of a file of results; the largest that this program writes have a hundredth."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=@,-]")
_REFUSED = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029<>:"/\\|?*%]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def default_cache() -> Path:
    """The user's cache directory for spurbench (`SPURBENCH_CACHE` overrides it)."""
    return Path(os.environ.get("SPURBENCH_CACHE") or platformdirs.user_cache_dir("spurbench"))


def bytes_of(size: str) -> int:
    """Bytes of a size as people write it: `512M`, `2G`, `1.5GiB`; units are powers of 1024. Raises UsageError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT])i?B?", size.strip(), re.IGNORECASE)
    number = float(match[1]) * 1024 ** (1 + "KMGT".index(match[2].upper())) if match else 0.0
    if number < 16 * 2**20:
        raise UsageError(f"'{size}' is not a size of 16M or more; write for example 512M or 2G")
    return int(number)


def default_data_root() -> Path:
    """Where data sets are looked for unless told otherwise (`SPURBENCH_DATA` overrides it)."""
    return Path(os.environ.get("SPURBENCH_DATA") or Path(platformdirs.user_data_dir("spurbench")) / "data")


def safe_name(name: str) -> str:
    """A file name for `name` that every file system takes; `original_name` gives it back.

    Everything but letters, digits and `._+=@,-` is percent-encoded, as are leading and trailing dots and the first
    letter of names that Windows reserves.
    """
    encoded = _UNSAFE.sub(_percent, name)
    if _RESERVED.fullmatch(encoded) or encoded.startswith("."):
        encoded = _percent(encoded[0]) + encoded[1:]
    if encoded.endswith("."):
        encoded = f"{encoded[:-1]}%2E"
    return encoded


def readable_name(name: str, most: int = 200) -> str:
    """A file name for `name` that every file system takes and people still read: spaces, commas and letters of any
    script stay, in one Unicode spelling.

    Separators, control characters and what Windows refuses are percent-encoded, as are a percent sign, a first or last
    character that is a dot or space, and the first letter of reserved names; `original_name` gives the name back.

    Args:
        most: bytes; a longer name loses its end, and says by a hash of the whole which it was.
    """
    encoded = _REFUSED.sub(_percent, unicodedata.normalize("NFC", name))
    encoded = re.sub(r"^[. ]|[. ]$", _percent, encoded)
    if _RESERVED.fullmatch(encoded):
        encoded = _percent(encoded[0]) + encoded[1:]
    if len(encoded.encode()) <= most:
        return encoded
    kept = encoded.encode()[: most - 9].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def original_name(encoded: str) -> str:
    """The name that `safe_name` encoded, or `readable_name` where it did not shorten it."""
    return unquote(encoded)


def _percent(found: re.Match[str] | str) -> str:
    """What percent-encoding makes of some characters."""
    text = found if isinstance(found, str) else found[0]
    return "".join(f"%{byte:02X}" for byte in text.encode())


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. What keys and fingerprints are computed from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON-like value in its canonical spelling."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_atomic(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write `content`, whole or piece by piece, so that a reader sees the old file or the new one, never a part,
    whatever happens meanwhile. A device or pipe, e.g. `/dev/null`, is written into.
    """
    pieces = (content,) if isinstance(content, bytes) else content
    if _is_special(path):
        with path.open("wb") as stream:
            stream.writelines(pieces)
        return
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(pieces)


def _is_special(path: Path) -> bool:
    """Whether there is something that is neither file nor folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written inside; it takes the place of `path` once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:80]}.{uuid.uuid4().hex}.part")
    # With the rights that every new file has, which `tempfile` would not give.
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("r+b") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, or UsageError when that would leave `root` (absolute paths, `..`): names are untrusted."""
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise UsageError(f"the path {relative!r} leads out of {root}; only paths below it are accepted")
    return root / path


class HashCache:
    """sha256 of files, remembered by path, size and modification time, so that large files are read once.

    Args:
        folder: where the remembered hashes are kept; None computes every time.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def file(self, path: Path) -> str:
        """sha256 (hex) of one file's content."""
        return self.files({path.name: path})[path.name]

    def files(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """sha256 (hex) of each file, under the names given; one remembered answer for the whole set."""
        stamps = []
        for name, path in paths.items():
            # Strings and os.stat: pathlib's resolve takes most of a second for the photos of one data set.
            absolute = os.path.abspath(path)  # noqa: PTH100
            status = os.stat(absolute)  # noqa: PTH116
            stamps.append([name, absolute, status.st_size, status.st_mtime_ns])
        stamp = digest(stamps)
        remembered = self._read(stamp, len(stamps))
        if remembered is None:
            remembered = [_sha256(path) for path in paths.values()]
            if self.folder is not None:
                write_atomic(self.folder / f"{stamp}.json", json.dumps(remembered).encode())
        return dict(zip(paths, remembered, strict=True))

    def _read(self, stamp: str, n: int) -> list[str] | None:
        if self.folder is None:
            return None
        try:
            hashes = json.loads((self.folder / f"{stamp}.json").read_text())
        except (OSError, ValueError):
            return None
        whole = isinstance(hashes, list) and len(hashes) == n and all(isinstance(item, str) for item in hashes)
        return hashes if whole else None


def sha256_of(parts: Iterable[bytes]) -> str:
    """sha256 (hex) of byte strings, each preceded by its length so that no two lists collide."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
    return state.hexdigest()
