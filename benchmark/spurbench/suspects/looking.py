"""Looking for words in photos: how close every photo is to every word, and what the model predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..backbones import Backbone, Parts, resolve
from ..cards import DatasetCard
from ..contact_sheet import nearest_split
from ..data import Examples, Ints
from ..encode import TowerEncoder
from ..errors import DataError, UsageError
from ..features import FeatureStore, feature_key
from ..files import digest
from ..keys import LoadedData, load_data
from ..rules import load_rules
from ..session import Session
from ..study import RowsOf
from ..tasks import Text
from ..texts import text_of, unit
from ..workbench import LazyTower
from .cell import Cell, check_backbone, check_dataset, check_examples
from .learnt import learnt
from .presence import Bools, Floats
from .refitted import refitted
from .words import Words, without_classes


@dataclass(frozen=True, eq=False)
class Look:
    """n photos of a split and W words.

    Attributes:
        backbone, seen_by: canonical names: of the model that predicts, and of that which sees the words.
        model: "zero-shot", or the method of a record.
        prompts: name of the prompt set.
        rows: (n,) of the examples.
        predicted: (n,) classes.
        words: those that were asked about.
        excluded, indistinct: words that were not: they name a class, or the text tower has not learnt them.
        embeddings: (n, d) unit vectors of the photos, as `seen_by` embeds them.
        scores: (n, W) cosines of photos and words.
        fingerprints: of data and backbones.
        notes: lines for the reader, such as a model that came out otherwise than its record says.
    """

    card: DatasetCard
    examples: Examples
    backbone: str
    seen_by: str
    model: str
    split: str
    prompts: str
    rows: Ints
    predicted: Ints
    words: Words
    excluded: tuple[str, ...]
    indistinct: tuple[str, ...]
    embeddings: Floats
    scores: Floats
    fingerprints: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def y(self) -> Ints:
        """(n,) the photos' classes."""
        return self.examples.y[self.rows]

    @property
    def right(self) -> Bools:
        """(n,) whether the model gets a photo right."""
        right: Bools = self.predicted == self.y
        return right


def look(
    session: Session,
    dataset: str,
    backbone: str,
    words: Words,
    *,
    seen_by: str | None,
    cell: Cell | None,
    split: str,
    memory_limit: int,
    listen: Callable[[str], None],
) -> Look:
    """Look for words in the photos of a split.

    Args:
        dataset, backbone, seen_by: names as on the command line; without `seen_by`, the model looks itself.
        cell: whose predictions; without it those of the zero-shot model.
        split: or the next that is not empty. Of a cell, those of test are in its record; on validation its model is
            fitted again to predict, and the photos that it is fitted on are left out.
        memory_limit: bytes that such a fit may use for itself.
        listen: told what is being done.

    Raises:
        UsageError: what has no photos or no texts, or a cell of something else or of what is here no longer.
        DataError, WeightsError: what cannot be read; no word is left to be looked for.
    """
    data = load_data(session.registries, dataset, session.data_root, session.setting.hashes, download=session.fetch)
    if data.examples.photos is None:
        raise UsageError(f"data set '{dataset}' brings its own features: it has no photos to look for words in")
    predictor = resolve(session.registries.backbones, backbone, session.setting)
    if cell is not None:
        check_dataset(cell, data.card.name)
        check_backbone(cell, predictor.card.name, predictor.fingerprint)
        check_examples(cell, data.examples, data.fingerprint)
    elif not predictor.card.has_text:
        message = f"backbone {predictor.card.name} has an image tower only: it cannot classify by texts"
        raise UsageError(f"{message}; give the record of a head that was trained on it, --cell RECORD")
    seer = predictor if seen_by is None else resolve(session.registries.backbones, seen_by, session.setting)
    if not seer.card.has_text:
        message = f"backbone {seer.card.name} has an image tower only: it cannot say which words a photo shows"
        raise UsageError(f"{message}; give one that matches photos with texts, such as --seen-by ViT-B/16")
    kept, excluded = without_classes(words, data.card)
    if not kept.entries:
        raise DataError("every word of the list names a class of the data set; give others, --words FILE")
    looked = nearest_split(data.examples, split)
    every, note = data.examples.rows(looked), ""
    rows = every
    if cell is not None:
        if looked == "train":
            raise UsageError("a model seldom errs on photos that it was fitted on; look at validation or test")
        predicted = cell.predicted
        if looked != "test":
            rows, predicted, note = refitted(
                session, cell, dataset, backbone, data, memory_limit=memory_limit, listen=listen
            )
    asked = np.searchsorted(every, rows)
    eyes = _Eyes(session, data, seer, looked, every, listen)
    assert eyes.text.prompted is not None
    kept, indistinct, vectors = learnt(kept, eyes.text.prompted, eyes.parts)
    if cell is None:
        own = eyes if seer is predictor else _Eyes(session, data, predictor, looked, every, listen)
        predicted = (own.embeddings @ own.text.class_vectors.double().T).argmax(dim=1).numpy()
    found = {"data": data.fingerprint, "backbone": predictor.fingerprint, "seen_by": seer.fingerprint}
    return Look(
        card=data.card,
        examples=data.examples,
        backbone=predictor.card.name,
        seen_by=seer.card.name,
        model="zero-shot" if cell is None else cell.record.method,
        split=looked,
        prompts=data.card.prompt_set(None).name,
        rows=rows,
        predicted=predicted,
        words=kept,
        excluded=excluded,
        indistinct=indistinct,
        embeddings=eyes.embeddings[asked].numpy(),
        scores=(eyes.embeddings[asked] @ vectors.T).numpy(),
        fingerprints=found,
        notes=(note,) if note else (),
    )


class _Eyes:
    """Photos and texts through one backbone."""

    def __init__(
        self,
        session: Session,
        data: LoadedData,
        backbone: Backbone,
        split: str,
        rows: Ints,
        listen: Callable[[str], None],
    ) -> None:
        store, self._tower = FeatureStore(session.cache / "features"), LazyTower(backbone, session.torch_device)
        listen(f"{backbone.card.name} encodes {split} photos")
        self.embeddings = unit(_embedded(session, store, data, backbone, self._tower, split, rows, listen)).double()
        listen(f"{backbone.card.name} encodes texts")
        self.text: Text = text_of(data.card, load_rules("v1"), store, backbone, self._tower)

    @property
    def parts(self) -> Parts | None:
        """The tower's, if it shows them."""
        return self._tower().parts


def _embedded(
    session: Session,
    store: FeatureStore,
    data: LoadedData,
    backbone: Backbone,
    tower: LazyTower,
    split: str,
    rows: Ints,
    listen: Callable[[str], None],
) -> torch.Tensor:
    """(n, d) float32 embeddings of some rows: of all photos if they are kept, else of these alone."""
    key, parts = feature_key(data.encoded, backbone.fingerprint, "embeddings")
    kept = store.read(key)
    if kept is not None:
        return kept[torch.from_numpy(rows)]
    assert data.examples.photos is not None
    parts = {**parts, "rows": split}
    found, _ = store.build(
        {"embeddings": (digest(parts), parts)},
        lambda _: TowerEncoder(tower(), ["embeddings"], session.torch_device),
        RowsOf(data.examples.photos, rows),
        f"{data.card.name} · {backbone.card.name} · {split}",
        session.torch_device,
        lambda done, total: listen(f"{backbone.card.name} encodes {split} photos {done:,}/{total:,}"),
    )
    return found["embeddings"]
