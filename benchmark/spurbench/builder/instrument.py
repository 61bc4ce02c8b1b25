"""The instrument: a named zero-shot model says of each photo which label it takes it for.

A supervised backbone answers by the classifier that it came with, where the labels are ImageNet-1K's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from ..backbones import Backbone, Tower
from ..errors import UsageError
from ..features import FeatureStore, Progress
from ..files import sha256_of
from ..images import PhotoFiles
from ..text_space import filled
from ..texts import unit
from .label_spaces import LabelSpace
from .table import Instrument

ROWS = 4096
"""Photos whose scores are in memory at once."""
SOFTWARE = ("open_clip_torch", "timm", "torch", "torchvision")


def check_instrument(backbone: Backbone, space: LabelSpace) -> None:
    """Raises UsageError where the backbone cannot tell the labels apart."""
    if not backbone.card.has_text and not (backbone.card.has_classifier and space.imagenet):
        raise UsageError(
            f"the instrument {backbone.card.name} has no text tower, so it knows ImageNet's labels at most: name a "
            "CLIP, or a supervised model together with --labels imagenet"
        )


def ask(
    folder: Path,
    photos: pd.DataFrame,
    backbone: Backbone,
    tower: Callable[[], Tower],
    space: LabelSpace,
    templates: Sequence[str],
    store: FeatureStore,
    device: str,
    progress: Progress,
) -> tuple[pd.DataFrame, Instrument]:
    """What the instrument makes of every photo that is kept (JUDGED), and what it is.

    The label of a photo is that of the highest cosine between its embedding and the labels' vectors, each the unit mean
    of its templates' unit embeddings (Radford et al. 2021, arXiv 2103.00020, section 3.1.4). Photos that were left out
    get "" and False.

    Args:
        folder: where the photos are.
        photos: with the columns READ and CLEANED; `label` is one of the labels.
        tower: loads the backbone's tower.
        templates: with one {} for the name.

    Raises:
        UsageError: the backbone cannot tell the labels apart.
        DataError, WeightsError: photos or weights that cannot be read.
    """
    check_instrument(backbone, space)
    kept = photos.index[photos["status"] == ""]
    hashes = photos.loc[kept, "sha256"].tolist()
    paths = [folder / path for path in photos.loc[kept, "path"]]
    found, _ = store.images(
        sha256_of(content.encode() for content in hashes),
        backbone,
        tower,
        PhotoFiles(paths, tolerant=True),
        ("embeddings",),
        f"{folder.name} · {backbone.card.name}",
        device,
        progress,
    )
    weight, bias = _head(backbone, tower, space, templates, store)
    predicted = _labels(found["embeddings"], weight, bias, cosine=backbone.card.has_text)
    judged = photos.assign(predicted="")
    judged.loc[kept, "predicted"] = [space.labels[index] for index in predicted]
    judged["correct"] = judged["predicted"] == judged["label"]
    return judged, _described(backbone, tower(), space, templates)


def _head(
    backbone: Backbone,
    tower: Callable[[], Tower],
    space: LabelSpace,
    templates: Sequence[str],
    store: FeatureStore,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(K, d) weights and (K,) biases of the labels."""
    if not backbone.card.has_text:
        own = tower().classifier
        if own is None:
            raise UsageError(f"the instrument {backbone.card.name} has no linear classifier; name another")
        return own.weight.detach(), torch.zeros(len(own.weight)) if own.bias is None else own.bias.detach()
    # Two labels may be said alike: each text is embedded once.
    texts = list(dict.fromkeys(text for name in space.names for text in filled(templates, name)))
    embedded, scale = store.texts(backbone, tower, texts)
    place = {text: index for index, text in enumerate(texts)}
    rows = [[place[text] for text in filled(templates, name)] for name in space.names]
    vectors = unit(unit(embedded)[torch.tensor(rows)].mean(dim=1))
    return scale * vectors, torch.zeros(len(vectors))


def _labels(embeddings: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, cosine: bool) -> list[int]:
    """The label with the highest score, photo by photo; the first among equals."""
    labels: list[int] = []
    for start in range(0, len(embeddings), ROWS):
        x = embeddings[start : start + ROWS].float()
        labels += ((unit(x) if cosine else x) @ weight.T + bias).argmax(dim=1).tolist()
    return labels


def _described(backbone: Backbone, tower: Tower, space: LabelSpace, templates: Sequence[str]) -> Instrument:
    card = backbone.card
    return Instrument(
        backbone=card.name,
        fingerprint=backbone.fingerprint,
        weights=card.weights,
        activation=card.activation or "the architecture's own",
        precision=card.precision,
        preprocessing=" ".join(str(tower.preprocess).split()),
        templates=tuple(templates) if card.has_text else (),
        label_space=space.name,
        labels=space.labels,
        names=space.names,
        software=tuple((package, version(package)) for package in SOFTWARE),
    )
