"""What the instrument says, against a plain loop over open_clip on the same photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from spurbench.backbones import Setting, resolve
from spurbench.builder.instrument import ask, check_instrument
from spurbench.builder.label_spaces import LabelSpace, open_label_space
from spurbench.errors import UsageError
from spurbench.features import FeatureStore
from spurbench.files import sha256_of
from spurbench.registry import load_registries
from spurbench_datasets.menagerie.animals import NAMES
from spurbench_datasets.menagerie.backbones import MenagerieRN
from spurbench_datasets.menagerie.corpus import balanced_scenes
from spurbench_datasets.menagerie.renderer import render

TEMPLATES = ("a photo of a {}.", "an animal, namely a {}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some rendered animals as JPEGs, by species."""
    folder = tmp_path_factory.mktemp("animals")
    scenes = balanced_scenes(4)
    for index, (image, species) in enumerate(zip(render(scenes).images, scenes.species, strict=True)):
        path = folder / NAMES[species] / "any" / f"{index:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=95)
    return folder


@pytest.fixture(scope="module")
def photos(folder: Path) -> pd.DataFrame:
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    table = pd.DataFrame({"path": paths, "label": [path.split("/")[0] for path in paths], "status": ""})
    table["sha256"] = [sha256_of([(folder / path).read_bytes()]) for path in paths]
    table.loc[[3, 40], "status"] = ["tiny", "burst"]
    return table


def answers(folder: Path, photos: pd.DataFrame, name: str, space: LabelSpace, cache: Path) -> tuple[pd.DataFrame, Any]:
    backbone = resolve(load_registries().backbones, name, Setting(cache))
    store = FeatureStore(cache / "features")
    tower = backbone.load("cpu")
    return ask(folder, photos, backbone, lambda: tower, space, TEMPLATES, store, "cpu", lambda done, total: None)


def test_answers_are_those_of_a_plain_open_clip_loop(folder: Path, photos: pd.DataFrame, tmp_path: Path) -> None:
    space = open_label_space("classes", sorted(set(photos["label"])))
    judged, instrument = answers(folder, photos, "menagerie-rn", space, tmp_path)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{MenagerieRN().folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{MenagerieRN().folder}")
    model.eval()
    with torch.no_grad():
        heads = []
        for name in space.names:
            embedded = model.encode_text(tokenizer([template.format(name) for template in TEMPLATES]), normalize=True)
            mean = embedded.mean(dim=0)
            heads.append(mean / mean.norm())
        weight = torch.stack(heads, dim=1)
        for row in photos.itertuples():
            if row.status:
                assert (judged.at[row.Index, "predicted"], judged.at[row.Index, "correct"]) == ("", False)
                continue
            image = preprocess(Image.open(folder / row.path).convert("RGB"))[None]
            scores = model.encode_image(image, normalize=True) @ weight
            said = space.labels[int(scores.argmax())]
            assert judged.at[row.Index, "predicted"] == said
            assert judged.at[row.Index, "correct"] == (said == row.label)
    assert 0 < judged["correct"].sum() < len(judged)
    assert judged["correct"].dtype == bool
    assert (instrument.backbone, instrument.label_space, instrument.templates) == ("menagerie-rn", "classes", TEMPLATES)
    assert "Normalize" in instrument.preprocessing
    assert instrument.activation in ("GELU", "QuickGELU")


def test_a_supervised_model_answers_by_its_own_classifier(
    folder: Path, photos: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", pretrained=False, num_classes=1000)
    torch.nn.init.normal_(model.get_classifier().weight)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("spurbench.backbones.timm.find_on_hub", lambda *_, **__: tmp_path / "model.safetensors")
    some = photos[photos["label"].isin(["wolf", "eagle", "owl"])].head(6).reset_index(drop=True)
    some = some.assign(label=np.where(some.index < 3, "timber wolf", "bald eagle"))
    space = open_label_space("imagenet", ["timber wolf", "bald eagle"])
    judged, instrument = answers(folder, some, "timm:test_resnet.r160_in1k", space, tmp_path)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    model.eval()
    with torch.no_grad():
        for row in some[some["status"] == ""].itertuples():
            image = transform(Image.open(folder / row.path).convert("RGB"))[None]
            assert judged.at[row.Index, "predicted"] == space.labels[int(model(image).argmax())]
    assert instrument.templates == ()


def test_an_image_tower_alone_cannot_tell_names_apart(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "own.pt")
    backbone = resolve(load_registries().backbones, f"timm:test_resnet={tmp_path / 'own.pt'}", Setting(tmp_path))
    with pytest.raises(UsageError, match="has no text tower.*--labels imagenet"):
        check_instrument(backbone, open_label_space("classes", ["a", "b"]))
