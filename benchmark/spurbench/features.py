"""`FeatureStore`: features computed once, addressed by everything they depend on, verified when read, memory-mapped.

One entry is `KEY.safetensors` and `KEY.json`, its manifest. Image features are built in parts that survive a kill; the
parts are joined, hashed and renamed into place under a lock, so nobody ever reads half an entry.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .backbones import Backbone, Tower
from .cards import Input
from .data import Photos
from .encode import PART, Encoder, Speed, TowerEncoder, encode_part
from .errors import DataError
from .files import HashCache, digest, write_atomic

FORMAT = 2
TENSOR = "features"
Progress = Callable[[int, int], None]
IMAGE_KINDS: tuple[Input, ...] = ("embeddings", "penultimate")


@dataclass(frozen=True)
class Entry:
    """What a manifest says of one entry of the store."""

    key: str
    parts: Mapping[str, Any]
    """What the key is the hash of."""
    label: str
    shape: tuple[int, ...]
    sha256: str
    bytes: int
    created: str
    images_per_second: float | None


def feature_key(data: str, backbone: str, kind: str, augmentation: str = "none") -> tuple[str, dict[str, Any]]:
    """The key of image features, and the parts it is the hash of.

    Args:
        data: fingerprint of the examples: ids, labels, splits and the content of every photo.
        backbone: fingerprint of the backbone: architecture, weights, activation, preprocessing, precision.
        kind: `embeddings` or `penultimate`.
        augmentation: name of the augmentation applied to the photos.
    """
    parts = {"format": FORMAT, "data": data, "backbone": backbone, "kind": kind, "augmentation": augmentation}
    return digest(parts), parts


class FeatureStore:
    """Features on disk below one folder.

    Args:
        folder: made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> Iterator[Entry]:
        """Every entry that has a readable manifest, in the order of their keys."""
        for path in sorted(self.folder.glob("*.json")):
            entry = self._manifest(path.stem)
            if entry is not None:
                yield entry

    def verify(self, entry: Entry) -> bool:
        """True if the entry's file is there and has the content that its manifest names."""
        path = self._file(entry.key)
        return path.is_file() and path.stat().st_size == entry.bytes and HashCache(None).file(path) == entry.sha256

    def remove(self, key: str) -> None:
        """Delete an entry; the manifest first, so that a half-deleted entry is an absent one."""
        self._file(key).with_suffix(".json").unlink(missing_ok=True)
        self._file(key).unlink(missing_ok=True)
        self._lock_file(key).unlink(missing_ok=True)
        shutil.rmtree(self._parts(key), ignore_errors=True)

    def read(self, key: str) -> torch.Tensor | None:
        """The memory-mapped features, or None if there is no intact entry."""
        entry = self._manifest(key)
        if entry is None or not self.verify(entry):
            return None
        return _tensor_in(self._file(key))

    def write(
        self, key: str, parts: Mapping[str, Any], label: str, chunks: Sequence[torch.Tensor], speed: float | None = None
    ) -> None:
        """Store features, given as consecutive rows, under a key. They are never all in memory at once."""
        path = self._file(key)
        write_atomic(path, _joined(chunks))
        manifest = {
            "parts": dict(parts),
            "label": label,
            "shape": [sum(map(len, chunks)), *chunks[0].shape[1:]],
            "sha256": HashCache(None).file(path),
            "bytes": path.stat().st_size,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "images_per_second": speed,
        }
        write_atomic(path.with_suffix(".json"), json.dumps(manifest, indent=1).encode())

    def images(
        self,
        data: str,
        backbone: Backbone,
        tower: Callable[[], Tower],
        photos: Photos,
        kinds: Sequence[Input],
        label: str,
        device: str,
        progress: Progress,
    ) -> tuple[dict[Input, torch.Tensor], Speed | None]:
        """Features of photos, read or built; several kinds are built in one pass over the photos.

        Args:
            data: fingerprint of the examples.
            tower: loads the backbone's tower, called only if something must be built.
            photos: those of the examples, in their order.
            kinds: which of `embeddings` and `penultimate`.
            label: shown by `spurbench features list`.
            progress: told (photos done, photos in all).

        Returns:
            the features by kind, each (n, ...), and how fast they were built (None if all were read): vectors are
            float32, maps float16, for one of an RN50 takes 0.2 MB at that.

        Raises:
            DataError: photos that cannot be read, all of them named in one message.
        """
        found, speed = self.build(
            {kind: feature_key(data, backbone.fingerprint, kind) for kind in kinds},
            lambda missing: TowerEncoder(tower(), missing, device),
            photos,
            label,
            device,
            progress,
        )
        return {kind: found[kind] for kind in kinds}, speed

    def build(
        self,
        keys: Mapping[str, tuple[str, dict[str, Any]]],
        encoder: Callable[[Sequence[str]], Encoder],
        photos: Photos,
        label: str,
        device: str,
        progress: Progress,
    ) -> tuple[dict[str, torch.Tensor], Speed | None]:
        """Whatever an encoder makes of photos, read or built; several kinds are built in one pass over the photos.

        Args:
            keys: by kind, its key and the parts it is the hash of.
            encoder: what makes the kinds it is called with; called only if something must be built.
            photos, label, device, progress: as for `images`.

        Returns:
            the features by kind, each (n, ...) and memory-mapped, and how fast they were built (None if all were read).

        Raises:
            DataError: photos that cannot be read, all of them named in one message.
        """
        found = {kind: self.read(key) for kind, (key, _) in keys.items()}
        missing = [kind for kind in keys if found[kind] is None]
        speed = None
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as locks:
                # In one order for everybody, whatever the kinds asked for, so that no two wait for each other.
                for key in sorted(keys[kind][0] for kind in missing):
                    locks.enter_context(FileLock(self._lock_file(key)))
                # Another process may have built them while this one waited.
                missing = [kind for kind in missing if self.read(keys[kind][0]) is None]
                if missing:
                    speed = self._build(keys, encoder(missing), photos, label, device, progress)
            found = {kind: self.read(key) for kind, (key, _) in keys.items()}
        features = {kind: tensor for kind, tensor in found.items() if tensor is not None}
        if len(features) != len(found):
            raise self._unreadable()
        return features, speed

    def _unreadable(self) -> DataError:
        return DataError(f"features in {self.folder} cannot be read back after they were written; is the disk full?")

    def _build(
        self,
        keys: Mapping[str, tuple[str, dict[str, Any]]],
        encoder: Encoder,
        photos: Photos,
        label: str,
        device: str,
        progress: Progress,
    ) -> Speed:
        kinds, speed = encoder.kinds, Speed()
        broken: list[str] = []
        whole: dict[str, list[torch.Tensor]] = {kind: [] for kind in kinds}
        for start in range(0, len(photos), PART):
            part = range(len(photos))[start : start + PART]
            # A part's name says which photos are in it: parts of another size are never taken for these.
            files = {kind: self._parts(keys[kind][0]) / f"{start:09d}-{len(part)}.safetensors" for kind in kinds}
            found = {kind: _tensor_in(file) for kind, file in files.items()}
            if broken or any(tensor is None for tensor in found.values()):
                tell = partial(_tell, progress, start, len(photos))
                # Once a photo is broken nothing will be kept: the rest is only looked through for more of them.
                encoded, bad = encode_part(encoder, photos, part, device, speed, tell, keep=not broken)
                broken += bad
                for kind, file in files.items() if not broken else ():
                    write_atomic(file, save({TENSOR: encoded[kind].contiguous()}))
                    # Read back, so that it is the file that stays in memory and not a copy.
                    found[kind] = _tensor_in(file)
            for kind, tensor in found.items():
                whole[kind] += [] if tensor is None else [tensor]
            progress(start + len(part), len(photos))
        for kind in kinds:
            key, parts = keys[kind]
            if not broken:
                if sum(map(len, whole[kind])) != len(photos):
                    raise self._unreadable()
                self.write(key, parts, f"{label} · {kind}", whole[kind], speed.images_per_second)
            shutil.rmtree(self._parts(key), ignore_errors=True)
        if broken:
            raise _broken_photos(broken, len(photos))
        return speed

    def texts(self, backbone: Backbone, tower: Callable[[], Tower], texts: Sequence[str]) -> tuple[torch.Tensor, float]:
        """(n, d) text embeddings, not normalised, and the backbone's logit scale; read or built.

        The tower must have a text side.
        """
        parts = {"format": FORMAT, "backbone": backbone.fingerprint, "kind": "text", "texts": digest(list(texts))}
        key = digest(parts)
        found = self.read(key)
        if found is None:
            loaded = tower()
            assert loaded.encode_text is not None
            embedded = loaded.encode_text(texts)
            scale = torch.full((1, embedded.shape[1]), loaded.logit_scale)
            # The scale travels as one more row, so that text features and scale are one verified entry.
            found = torch.cat([embedded.float(), scale])
            label = f"{backbone.card.name} · text ({len(texts)} prompts)"
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock_file(key)):
                self.write(key, parts, label, [found])
        return found[:-1].clone(), float(found[-1, 0])

    def _manifest(self, key: str) -> Entry | None:
        try:
            content = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            if digest(content["parts"]) != key:
                return None
            return Entry(
                key=key,
                parts=dict(content["parts"]),
                label=str(content["label"]),
                shape=tuple(int(size) for size in content["shape"]),
                sha256=str(content["sha256"]),
                bytes=int(content["bytes"]),
                created=str(content["created"]),
                images_per_second=content["images_per_second"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _lock_file(self, key: str) -> Path:
        return self.folder / f"{key}.lock"

    def _parts(self, key: str) -> Path:
        return self.folder / f"{key}.parts"


def _joined(chunks: Sequence[torch.Tensor]) -> Iterator[bytes]:
    """A safetensors file of one tensor, in pieces; the library itself writes whole tensors only."""
    first = chunks[0]
    size = sum(chunk.numel() for chunk in chunks) * first.element_size()
    entry = {
        "dtype": {torch.float32: "F32", torch.float16: "F16"}[first.dtype],
        "shape": [sum(map(len, chunks)), *first.shape[1:]],
        "data_offsets": [0, size],
    }
    header = json.dumps({TENSOR: entry}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for chunk in chunks:
        yield chunk.contiguous().numpy().tobytes()


def _tensor_in(file: Path) -> torch.Tensor | None:
    """The memory-mapped tensor of a file, or None if the file is absent or broken."""
    try:
        with safe_open(str(file), framework="pt") as opened:
            return opened.get_tensor(TENSOR)  # type: ignore[no-any-return]
    except (SafetensorError, OSError):
        return None


def _tell(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _broken_photos(broken: Sequence[str], total: int) -> DataError:
    shown = "\n  ".join(broken[:20])
    more = f"\n  ... and {len(broken) - 20} more" if len(broken) > 20 else ""
    return DataError(
        f"{len(broken)} of {total} photos cannot be read; mend files or remove them (from the folder and, if there is "
        f"one, from metadata.csv):\n  {shown}{more}"
    )
