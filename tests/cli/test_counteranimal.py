"""CounterAnimal through the installed command, against a plain open_clip loop over the same folders."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageFile

from spurbench_datasets.menagerie.backbones import MenagerieRN

if TYPE_CHECKING:
    from conftest import AnimalLayout, Spurbench


@pytest.fixture(scope="module")
def spurbench(module_spurbench: Spurbench) -> Spurbench:
    return module_spurbench


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, counteranimal_layout: Callable[..., AnimalLayout]) -> Path:
    root = tmp_path_factory.mktemp("data")
    counteranimal_layout(root / "counteranimal" / "LAION-final")
    return root


def by_hand(folder: Path) -> tuple[list[int], dict[tuple[int, int], list[bool]]]:
    """What each photo is taken for, in the order of paths, and whether that is right by class and group."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{MenagerieRN().folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{MenagerieRN().folder}")
    model.eval()
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    names = [info.index_to_description(index) for index in range(1000)]
    for directory in folder.iterdir():
        match = re.match(r"(\d+) (.*)", directory.name)
        if match:
            names[int(match[1])] = match[2]
    with torch.no_grad():
        text = model.encode_text(tokenizer([f"A photo of {name}" for name in names]), normalize=True)
        right: dict[tuple[int, int], list[bool]] = defaultdict(list)
        predicted = []
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
            below = path.relative_to(folder).parts
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or any(part.startswith(".") for part in below):
                continue
            index, group = int(below[0].split(" ")[0]), int(below[1].lower().startswith("counter-"))
            image = preprocess(Image.open(path).convert("RGB"))[None]
            said = int((model.encode_image(image, normalize=True) @ text.T).argmax())
            right[index, group].append(said == index)
            predicted.append(said)
    return predicted, right


def test_class_averages_are_those_of_a_plain_loop(
    spurbench: Spurbench, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = spurbench(
        "run", "--datasets", "counteranimal", "--data-root", str(root), "--backbones", "menagerie-rn",
        "--methods", "all", "--rules", "quick", "--results", str(tmp_path / "results"), "--offline",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    told = " ".join((run.stdout + run.stderr).split())
    assert "7,174" in told
    assert "7,408" in told
    assert "cut short" in told
    assert "trains linear head, and counteranimal has no training split" in told
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    predicted, right = by_hand(root / "counteranimal" / "LAION-final")
    assert len({index for index, _ in right}) == 45
    [arrays] = [np.load(path) for path in (tmp_path / "results").rglob("zero_shot.npz")]
    assert arrays["0.average"].tolist() == predicted, "photo by photo"
    shown = spurbench("export", "--results", str(tmp_path / "results"), "--format", "json")
    (row,) = [row for row in json.loads(shown.stdout) if row["method"] == "zero_shot"]

    def macro(group: int) -> float:
        accuracies = [sum(some) / len(some) for (_, g), some in right.items() if g == group]
        return sum(accuracies) / len(accuracies)

    def micro(group: int) -> float:
        every = [one for (_, g), some in right.items() if g == group for one in some]
        return sum(every) / len(every)

    assert row["easy"] == pytest.approx(macro(0), abs=1e-12)
    assert row["hard"] == pytest.approx(macro(1), abs=1e-12)
    assert row["drop"] == pytest.approx(macro(0) - macro(1), abs=1e-12)
    assert row["easy_images"] == pytest.approx(micro(0), abs=1e-12)
    assert row["hard_images"] == pytest.approx(micro(1), abs=1e-12)
    assert (row["prompts"], row["ranked_by"]) == ("synset", "hard")
    shown = spurbench("export", "--results", str(tmp_path / "results"), "--what", "groups", "--format", "json")
    groups = [group for group in json.loads(shown.stdout) if group["method"] == "zero_shot"]
    seeds = row["seeds"]
    assert len(groups) == 90 * seeds
    assert sum(group["total"] for group in groups) == seeds * sum(map(len, right.values()))
    assert sum(group["correct"] for group in groups) == seeds * sum(sum(some) for some in right.values())


@pytest.mark.slow
def test_methods_that_train_are_ranked_on_the_split_for_them(spurbench: Spurbench, root: Path, tmp_path: Path) -> None:
    run = spurbench(
        "run", "--datasets", "counteranimal-ft", "--data-root", str(root), "--backbones", "menagerie-rn",
        "--methods", "zero_shot,erm,group_dro,dfr_train", "--rules", "quick", "--seeds", "3",
        "--results", str(tmp_path / "results"), "--offline",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    shown = spurbench("export", "--results", str(tmp_path / "results"), "--format", "json")
    rows = json.loads(shown.stdout)
    assert {row["method"] for row in rows} == {"zero_shot", "erm", "group_dro", "dfr_train"}
    for row in rows:
        assert row["rank"] is not None
        assert row["ranked_by"] == "wga"
        assert row["easy_hard_classes"] == 45
