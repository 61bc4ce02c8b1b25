"""`Scratch`: tensors by name that outlive the process until their seed has a result."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .files import replacing, safe_name

KEPT_DAYS = 14
"""Days after which what an abandoned run left behind is removed."""


class Scratch(Protocol):
    """Where a long fit keeps what it has reached, so that a killed run goes on from there."""

    def save(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep tensors under a name, in the place of what was there; a kill leaves the old ones or the new."""

    def load(self, name: str) -> dict[str, torch.Tensor] | None:
        """The tensors kept under a name, on the CPU, not to be written to; None if there are none."""

    def drop(self, name: str) -> None:
        """Forget a name; no matter if it is unknown."""

    def clear(self) -> None:
        """Forget everything."""


@dataclass(frozen=True)
class FolderScratch:
    """Scratch in files; what is loaded is memory-mapped, and stays valid after `drop` and `clear`.

    Attributes:
        folder: made when first needed.
    """

    folder: Path

    def save(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """As `Scratch.save`. Raises OSError, as for a full disk."""
        whole = {key: _contiguous(tensor) for key, tensor in tensors.items()}
        with replacing(self._file(name)) as temporary:
            save_file(whole, str(temporary))

    def load(self, name: str) -> dict[str, torch.Tensor] | None:
        """As `Scratch.load`. A broken file counts as absent, and is removed."""
        file = self._file(name)
        try:
            with safe_open(str(file), framework="pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (no mapping)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            self.drop(name)
            return None

    def drop(self, name: str) -> None:
        """As `Scratch.drop`."""
        self._file(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder, and the one that it is in if nothing else is left there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _file(self, name: str) -> Path:
        return self.folder / f"{safe_name(name)}.safetensors"


@dataclass(frozen=True)
class MemoryScratch:
    """Scratch that lasts as long as its owner, for where there is no folder."""

    kept: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    def save(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """As `Scratch.save`."""
        self.kept[name] = {key: tensor.detach().cpu().clone() for key, tensor in tensors.items()}

    def load(self, name: str) -> dict[str, torch.Tensor] | None:
        """As `Scratch.load`."""
        found = self.kept.get(name)
        return None if found is None else dict(found)

    def drop(self, name: str) -> None:
        """As `Scratch.drop`."""
        self.kept.pop(name, None)

    def clear(self) -> None:
        """As `Scratch.clear`."""
        self.kept.clear()


def remove_abandoned(root: Path, days: float = KEPT_DAYS) -> None:
    """Remove the folders below `root` in which nothing was written for so many days: nobody goes on with those runs."""
    if not root.is_dir():
        return
    oldest = time.time() - days * 86400
    for folder in sorted(root.iterdir()):
        # Another process may be clearing up at the same time.
        with contextlib.suppress(OSError):
            if max(path.stat().st_mtime for path in (folder, *folder.rglob("*"))) < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def _contiguous(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as safetensors takes it: laid out in order, and all of its storage."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
