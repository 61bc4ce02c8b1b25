"""Naming candidates: which labels a model finds most similar to the photos of a class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..backbones import Backbone, resolve
from ..data import Ints
from ..errors import DataError, UsageError
from ..features import FeatureStore
from ..keys import LoadedData, load_data
from ..session import Session
from ..texts import text_of, unit
from ..workbench import LazyTower
from . import Candidates

Listen = Callable[[int, int], None]


def name_candidates(session: Session, dataset: str, backbone: str, size: int, listen: Listen) -> Candidates:
    """Have a model name the candidates of every class that has test photos.

    Args:
        size: labels per class.
        listen: told (photos encoded, photos in all).

    Raises:
        UsageError: more labels asked for than there are classes, or a model without a text side.
        DataError, WeightsError: data or weights that are absent or broken.
    """
    model = resolve(session.registries.backbones, backbone, session.setting)
    if not model.card.has_text:
        raise UsageError(f"{model.card.name} has an image tower only; labels are compared with photos by a text tower")
    data = load_data(session.registries, dataset, session.data_root, session.setting.hashes, download=session.fetch)
    if data.examples.photos is None:
        raise UsageError(f"data set '{dataset}' brings its own features: it has no photos to look at")
    if not 2 <= size <= data.examples.n_classes:
        raise UsageError(
            f"--size must lie in 2..{data.examples.n_classes}, the classes of {data.card.name}; not {size}"
        )
    embeddings, classes = _embedded(session, data, model, listen)
    rows = data.examples.rows("test")
    if not len(rows):
        raise DataError(f"{data.card.name} has no test photos")
    found = most_similar(embeddings[rows], data.examples.y[rows], classes, size)
    prompts = data.card.prompt_set(session.rules.prompts).name
    return Candidates(
        size=size,
        backbone=model.card.name,
        fingerprint=model.fingerprint,
        prompts=prompts,
        data=data.fingerprint,
        candidates=found,
    )


def most_similar(
    embeddings: NDArray[np.float32], y: Ints, classes: NDArray[np.float32], size: int
) -> dict[int, tuple[int, ...]]:
    """The labels with the highest cosine similarity, summed over each class's photos; of equal ones the first.

    The class itself is always among them: it takes the last one's place if need be. Wang et al. 2024 do not say, and
    without it no answer would be right.

    Args:
        embeddings: (n, d) unit vectors of photos.
        y: (n,) their classes.
        classes: (K, d) unit vectors of labels.
        size: labels per class.

    Returns:
        by class that has photos, ascending: labels, the most similar first.
    """
    found = {}
    for label in np.unique(y).tolist():
        summed = embeddings[y == label].sum(axis=0, dtype=np.float64)
        order = np.argsort(-(classes.astype(np.float64) @ summed), kind="stable")[:size].tolist()
        if label not in order:
            order[-1] = label
        found[label] = tuple(order)
    return found


def _embedded(
    session: Session, data: LoadedData, model: Backbone, listen: Listen
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of all photos and of all labels."""
    assert data.examples.photos is not None
    store = FeatureStore(session.cache / "features")
    tower = LazyTower(model, session.torch_device)
    label = f"{data.card.name} · {model.card.name}"
    features, _ = store.images(
        data.encoded, model, tower, data.examples.photos, ["embeddings"], label, session.torch_device, listen
    )
    text = text_of(data.card, session.rules, store, model, tower)
    return unit(features["embeddings"]).numpy(), text.class_vectors.numpy()
