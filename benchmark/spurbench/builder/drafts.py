"""Drafts of backgrounds: what a CLIP takes a photo's surroundings for, to be checked by people before it counts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch

from ..backbones import Backbone, Tower
from ..errors import DataError, UsageError
from ..features import FeatureStore, Progress
from ..files import HashCache, digest, write_atomic
from ..images import PhotoFiles
from ..text_space import filled
from ..texts import unit
from .backgrounds import SHEET

TEMPLATES = (
    "a photo taken in the {}.",
    "a photo taken on the {}.",
    "a photo with {} in the background.",
    "a photo of an animal surrounded by {}.",
    "a photo of {}.",
)
"""A background's vector is the mean over these: no preposition fits all of grass, sky and water."""


def identity(backbone: Backbone, hashes: HashCache) -> str:
    """What tells a model from others whatever it is called and however it is run: the sha256 of its weights.

    Of a backbone without a file of weights, its fingerprint.
    """
    weights = getattr(backbone, "weights", None)
    return hashes.file(weights) if isinstance(weights, Path) and weights.is_file() else backbone.fingerprint


def check_drafter(drafter: str, instrument: str) -> None:
    """Refuse the instrument as the drafter: the model under test would choose the backgrounds that it is tested on.

    Args:
        drafter, instrument: by `identity`; names and fingerprints do not tell, for one model has many.

    Raises:
        UsageError: they are the same.
    """
    if drafter == instrument:
        raise UsageError(
            "the backgrounds were drafted by the same model that is to say which photos are hard: its mistakes about "
            "backgrounds would become the benchmark's; draft them with another backbone (--with)"
        )


def draft(
    folder: Path,
    photos: pd.DataFrame,
    words: Sequence[str],
    backbone: Backbone,
    tower: Callable[[], Tower],
    store: FeatureStore,
    device: str,
    progress: Progress,
    hashes: HashCache,
) -> pd.DataFrame:
    """Guess the backgrounds of photos that have none, zero-shot (Radford et al. 2021, arXiv 2103.00020, section 3.1).

    Args:
        folder: that paths are below.
        photos: with the columns READ and CLEANED; those whose status is `no_background` are drafted.
        words: names of backgrounds, two or more, no two the same.
        tower: loads the backbone's tower, called only if something must be encoded.
        progress: told (photos encoded, photos in all).
        hashes: of files of weights.

    Returns:
        the columns `path`, `label`, `guess`, `second` and `confidence` (float, the guess's probability), and `drafter`;
        by class, and in it the least certain first.

    Raises:
        UsageError: the backbone has no text tower.
        DataError: no photo is left, or one cannot be read any more.
    """
    if not backbone.card.has_text:
        raise UsageError(f"{backbone.card.name} has no text tower; draft backgrounds with a CLIP, such as ViT-B/16")
    rows = photos[photos["status"] == "no_background"]
    if rows.empty:
        raise DataError("there is nothing to draft: every photo that can be used has a background already")
    paths = rows["path"].tolist()
    data = digest(["drafts", paths, rows["sha256"].tolist()])
    files = PhotoFiles([folder / path for path in paths], tolerant=True)
    label = f"{folder.name} · {backbone.card.name}"
    images = store.images(data, backbone, tower, files, ["embeddings"], label, device, progress)[0]["embeddings"]
    prompts = [prompt for word in words for prompt in filled(TEMPLATES, word)]
    embedded, scale = store.texts(backbone, tower, prompts)
    names = unit(unit(embedded).reshape(len(words), len(TEMPLATES), -1).mean(dim=1))
    best = torch.softmax(scale * unit(images) @ names.T, dim=1).topk(2)
    first, second = best.indices.T.tolist()
    found = pd.DataFrame(
        {
            "path": paths,
            "label": rows["label"].tolist(),
            "guess": [words[k] for k in first],
            "second": [words[k] for k in second],
            "confidence": best.values[:, 0].tolist(),
            "drafter": identity(backbone, hashes),
        }
    )
    ordered: pd.DataFrame = found.sort_values(["label", "confidence", "path"], ignore_index=True)
    return ordered


def write_sheet(drafts: pd.DataFrame, path: Path) -> None:
    """Write drafts as a CSV file to be checked (`backgrounds.SHEET`), whole or not at all."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SHEET)
    for row in drafts.itertuples():
        # A spreadsheet would run such a name as a formula; ./ changes nothing else.
        file = f"./{row.path}" if str(row.path)[0] in "=+-@" else row.path
        writer.writerow([file, row.guess, row.guess, f"{row.confidence:.3f}", row.second, "", row.drafter])
    write_atomic(path, out.getvalue().encode())
