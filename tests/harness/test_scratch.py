"""Scratch: what is saved is there after a kill, what is broken is not, and nothing is left when a seed is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.errors import MethodError
from spurbench.evaluation import evaluate
from spurbench.heads import UnitLinearHead
from spurbench.method import Task
from spurbench.rules import load_rules
from spurbench.scratch import KEPT_DAYS, FolderScratch, MemoryScratch, Scratch, remove_abandoned
from spurbench.space import Config

if TYPE_CHECKING:
    from conftest import MakePrepared

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "statistics": torch.tensor(3),
    "laid out otherwise": torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
    "a part": torch.arange(100.0)[3:7],
}


@pytest.fixture(params=["folder", "memory"])
def scratch(request: pytest.FixtureRequest, tmp_path: Path) -> Scratch:
    return FolderScratch(tmp_path / "job" / "seed") if request.param == "folder" else MemoryScratch()


def test_what_is_saved_is_loaded(scratch: Scratch) -> None:
    assert scratch.load("a/name: any") is None
    scratch.save("a/name: any", TENSORS)
    found = scratch.load("a/name: any")
    assert found is not None
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    assert scratch.load("another") is None


def test_a_later_save_replaces_all_and_leaves_what_was_loaded(scratch: Scratch) -> None:
    weight = torch.ones(1000)
    scratch.save("x", {"weight": weight, "more": torch.ones(1)})
    before = scratch.load("x")
    weight.zero_()
    scratch.save("x", {"weight": weight})
    after = scratch.load("x")
    assert before is not None
    assert after is not None
    assert (float(before["weight"].sum()), float(after["weight"].sum())) == (1000.0, 0.0)
    assert after.keys() == {"weight"}


@pytest.mark.parametrize("forget", [lambda scratch: scratch.drop("x"), lambda scratch: scratch.clear()])
def test_what_is_forgotten_is_absent_and_what_was_loaded_stays(
    scratch: Scratch, forget: Callable[[Scratch], None]
) -> None:
    forget(scratch)
    scratch.save("x", TENSORS)
    found = scratch.load("x")
    forget(scratch)
    assert scratch.load("x") is None
    assert found is not None
    assert torch.equal(found["weight"], TENSORS["weight"])
    scratch.save("x", TENSORS)
    assert scratch.load("x") is not None


@pytest.mark.parametrize("left", [-1, 5, 0])
def test_a_broken_file_is_absent_and_removed(left: int, tmp_path: Path) -> None:
    scratch = FolderScratch(tmp_path)
    scratch.save("x", TENSORS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:left])
    assert scratch.load("x") is None
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = FolderScratch(tmp_path)
    scratch.save("x", TENSORS)

    def half(tensors: object, path: str) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError("the disk is full")

    monkeypatch.setattr("spurbench.scratch.save_file", half)
    with pytest.raises(OSError, match="disk is full"):
        scratch.save("x", {"weight": torch.zeros(1)})
    assert len(list(tmp_path.iterdir())) == 1
    found = scratch.load("x")
    assert found is not None
    assert torch.equal(found["weight"], TENSORS["weight"])


def test_what_is_loaded_from_a_folder_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    scratch = FolderScratch(tmp_path)
    scratch.save("x", {"weight": torch.ones(2**20)})
    found = scratch.load("x")
    assert found is not None
    assert str(tmp_path) in Path("/proc/self/maps").read_text()


def test_abandoned_folders_go_and_others_stay(tmp_path: Path) -> None:
    remove_abandoned(tmp_path / "nothing yet")
    for name in ("old", "young", "old with a young file"):
        FolderScratch(tmp_path / name / "seed").save("x", TENSORS)
        long_ago = time.time() - (KEPT_DAYS + 1) * 86400
        if name != "young":
            for path in (tmp_path / name, *(tmp_path / name).rglob("*")):
                os.utime(path, (long_ago, long_ago))
    FolderScratch(tmp_path / "old with a young file" / "seed").save("y", TENSORS)
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old with a young file", "young"]


VAL = Supervision(val_groups=True)


class Notes:
    """Leaves a note for every fit, and may fail at the end of the last."""

    card = MethodCard(
        name="notes", title="", paper="", inputs=("embeddings", "text"), track="image", refit=True, supervision=VAL
    )
    space: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, folder: Path, *, fails: bool) -> None:
        self.folder, self.fails = folder, fails
        self.found: list[bool] = []

    def fit(self, task: Task, config: Config) -> Sequence[UnitLinearHead]:
        self.found.append(task.scratch.load("note") is not None)
        task.scratch.save("note", {"weight": torch.ones(1)})
        if self.fails:
            raise MethodError("it went wrong")
        return [UnitLinearHead(task.text.classes(), torch.zeros(task.n_classes))]


def test_each_seed_has_its_own_until_it_has_a_result(make_prepared: MakePrepared, tmp_path: Path) -> None:
    root = tmp_path / "job"
    prepared = replace(make_prepared(), scratch=root)
    rules = load_rules("quick")
    with pytest.raises(MethodError, match="it went wrong"):
        evaluate(Notes(tmp_path, fails=True), prepared, rules, [0])  # type: ignore[arg-type]
    assert len(list(root.iterdir())) == 1, "what a failed seed has reached is kept"
    method = Notes(tmp_path, fails=False)
    evaluate(method, prepared, rules, [1])  # type: ignore[arg-type]
    assert method.found == [False, False], "neither another seed nor the refit of the same sees it"
    assert len(list(root.iterdir())) == 1
    method = Notes(tmp_path, fails=False)
    evaluate(method, prepared, rules, [0])  # type: ignore[arg-type]
    assert method.found == [True, False]
    assert not root.exists()
