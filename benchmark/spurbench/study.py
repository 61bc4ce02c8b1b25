"""A model under study: what it makes of a data set's photos and their regions, ready for discoverers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .backbones import Backbone, resolve
from .cards import DatasetCard
from .contact_sheet import nearest_split
from .data import Examples, Ints, Photos, View
from .discovery import Evidence
from .discovery.evidence import gather
from .encode import batched, halved
from .errors import DataError, MethodError, UsageError, WeightsError
from .evaluation import FIT
from .features import FeatureStore
from .files import HashCache, digest
from .finetuning import TunedTower
from .isolation import isolated_randomness
from .jobs import Event, Stage
from .keys import LoadedData, checked_method, impossible_reason, key_parts, load_data
from .method import Method
from .regions import Frames, truth
from .regions.features import POOLING, RegionFeatures
from .regions.placing import in_view, photo_sizes
from .rules import load_rules
from .seeds import Seed
from .session import Session
from .space import draw_configs
from .tasks import Prepared, make_task, train_view
from .texts import text_of
from .workbench import LazyTower, Workbench

TEMPERATURE = 0.07
"""Of zero-shot scores of images and regions (Varma et al. 2024, RaVL)."""
Listen = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """A model's evidence, and what of it can be shown.

    Attributes:
        backbone: its canonical name.
        model: "zero-shot", a checkpoint's name, or the method that tuned it.
        regions: their spec.
        split: the one that was looked at.
        rows: (n,) which examples the evidence's images are.
        boxes: (m, 4) float32 of the evidence's regions, in shares of the picture.
        truth: (m,) whether a region shows what the data set knows to be spurious; None where it does not know.
        why_no_truth: why it does not.
    """

    card: DatasetCard
    examples: Examples
    backbone: str
    model: str
    regions: str
    split: str
    rows: Ints
    evidence: Evidence
    boxes: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    why_no_truth: str = ""


def study(
    session: Session,
    dataset: str,
    backbone: str,
    *,
    checkpoint: Path | None,
    method: str | None,
    regions: str | None,
    split: str,
    seed: int,
    memory_limit: int,
    listen: Listen,
) -> Study:
    """Look at the photos of a split with a model.

    Args:
        dataset, backbone: names as on the command line.
        checkpoint: weights in the place of the backbone's own.
        method: of the image track; fine-tunes the backbone under its first configuration, and its head is looked
            through in the place of the class texts.
        regions: their spec; those on the data set's card without.
        split: or the next that is not empty.
        listen: told what is being done.

    Raises:
        UsageError, DataError, WeightsError, MethodError: what cannot be looked at.
    """
    data = load_data(session.registries, dataset, session.data_root, session.setting.hashes, download=session.fetch)
    if data.examples.photos is None:
        raise UsageError(f"data set '{dataset}' brings its own features: it has no photos whose regions could be found")
    found = resolve(session.registries.backbones, backbone, session.setting)
    if checkpoint is not None:
        found = _with_weights(found, backbone, checkpoint, session)
    if not found.card.has_text:
        raise UsageError(f"backbone {found.card.name} has an image tower only: it cannot classify by texts")
    looked = nearest_split(data.examples, split)
    rows = data.examples.rows(looked)
    tower = LazyTower(found, session.torch_device)
    place = RegionFeatures(
        FeatureStore(session.cache / "features"),
        data.fingerprint,
        found,
        tower,
        data.examples.photos,
        data.region_source(regions),
        f"{data.card.name} · {found.card.name}",
        session.torch_device,
        progress=lambda what, done, total: listen(f"{what} {done:,}/{total:,}"),
    )
    boxes = place.boxes[torch.from_numpy(rows)]
    sizes = photo_sizes(data.examples.photos, rows.tolist())
    if method is None:
        listen(f"encoding {len(rows):,} {looked} photos and their regions")
        embeddings = _looked(place, rows, boxes, looked, listen)
        text = text_of(data.card, load_rules("v1"), place.store, found, tower)
        assert text is not None
        weight, bias = text.class_vectors / TEMPERATURE, torch.zeros(len(text.class_vectors))
    else:
        model, prepared = _tuned(session, data, dataset, backbone, method, seed, memory_limit, listen)
        listen(f"encoding {len(rows):,} {looked} photos and their regions")
        embeddings, weight, bias = look(model, prepared, rows, boxes), model.weight.cpu(), model.bias.cpu()
    present = ~boxes.isnan().any(dim=-1)
    evidence = gather(embeddings, present, weight, bias, torch.from_numpy(data.examples.y[rows]))
    frames = Frames(tower().preprocess)
    shown, why = truth_of(data, rows, boxes, sizes, frames)
    placed = zip(boxes.numpy(), sizes.tolist(), strict=True)
    pictured = np.stack([frames.of(*size).to_picture(some) for some, size in placed])
    return Study(
        card=data.card,
        examples=data.examples,
        backbone=found.card.name,
        model=method or ("zero-shot" if checkpoint is None else checkpoint.name),
        regions=str(place.source.spec),
        split=looked,
        rows=rows,
        evidence=evidence,
        boxes=pictured[present.numpy()],
        truth=None if shown is None else shown[present.numpy()],
        why_no_truth=why,
    )


def look(model: TunedTower, prepared: Prepared, rows: Ints, boxes: torch.Tensor) -> torch.Tensor:
    """(n, 1 + r, d) what a tuned tower makes of some rows' photos and of their boxes (n, r, 4)."""
    view = View("evaluation", rows, prepared.source, method="study", inputs=("images",), n_attributes=0)
    return model.embed(view, boxes)


def truth_of(
    data: LoadedData, rows: Ints, boxes: torch.Tensor, sizes: Ints, frames: Frames
) -> tuple[NDArray[np.bool_] | None, str]:
    """(n, r) whether each region shows what is spurious; or None, and why the data set does not know.

    Args:
        boxes: (n, r, 4) of the rows' regions, in shares of the view.
        sizes: (n, 2) width and height of the rows' photos.
    """
    ask = getattr(data.dataset, "places", None)
    if ask is None:
        return None, f"{data.card.name} does not know where things are in its photos"
    try:
        places = ask(data.root, rows)
    except DataError as error:
        return None, str(error)
    return truth(boxes.numpy(), in_view(places, sizes, frames)), ""


def _with_weights(backbone: Backbone, name: str, checkpoint: Path, session: Session) -> Backbone:
    replaced = getattr(backbone, "with_weights", None)
    if replaced is None:
        raise UsageError(f"backbone '{name}' takes no --checkpoint; only models of open_clip do")
    found: Backbone = replaced(checkpoint, session.setting.hashes)
    return found


def _looked(place: RegionFeatures, rows: Ints, boxes: torch.Tensor, split: str, listen: Listen) -> torch.Tensor:
    """(n, 1 + r, d) embeddings of the rows' photos and regions by the frozen tower, kept like any feature."""
    parts = {
        "data": place.data,
        "rows": split,
        "backbone": place.backbone.fingerprint,
        "kind": "photos and regions",
        "regions": list(place.source.identity),
        "pooling": POOLING,
    }
    found, _ = place.store.build(
        {"looked": (digest(parts), parts)},
        lambda _: _Looking(place, boxes),
        RowsOf(place.photos, rows),
        f"{place.label} · {place.source.spec} · {split}",
        place.device,
        lambda done, total: listen(f"encoding {split} photos and their regions {done:,}/{total:,}"),
    )
    return found["looked"].float()


class _Looking:
    """Embeds photos with their regions. Raises WeightsError for a tower without a spatial map."""

    kinds: Sequence[str] = ("looked",)

    def __init__(self, place: RegionFeatures, boxes: torch.Tensor) -> None:
        tower = place.tower()
        if tower.regions is None:
            raise WeightsError(
                f"backbone {place.backbone.card.name} has no spatial map that regions could be pooled from "
                "(Tower.regions)"
            )
        self.prepare: Callable[[Image.Image], torch.Tensor] = tower.preprocess
        self._embed, self._boxes, self._device = tower.regions, boxes, place.device

    def encode(self, rows: Sequence[int], prepared: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """(b, 1 + r, d) float16."""
        boxes = self._boxes[torch.tensor(rows)].to(self._device)
        return {"looked": halved(self._embed(batched(prepared, self._device), boxes).cpu(), "region embeddings")}


@dataclass(frozen=True)
class RowsOf:
    """Some rows of photos, as photos."""

    photos: Photos
    rows: Ints

    @property
    def at_once(self) -> int:
        """As theirs."""
        return self.photos.at_once

    def __len__(self) -> int:
        return len(self.rows)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' images."""
        return self.photos.open(self.rows[list(rows)].tolist())

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        """As theirs: which rows there are stands in the key."""
        return self.photos.fingerprint(ids, hashes)


def _tuned(
    session: Session,
    data: LoadedData,
    dataset: str,
    backbone: str,
    name: str,
    seed: int,
    memory_limit: int,
    listen: Listen,
) -> tuple[TunedTower, Prepared]:
    """A method's model under its first configuration, after its last epoch; what training reached is kept a while."""
    rules = load_rules("v1").variant(configurations=1)
    method = checked_method(session.registries, name)
    backbone_ = resolve(session.registries.backbones, backbone, session.setting)
    reason = impossible_reason(method.card, data, backbone_, rules)
    if method.card.track != "image" or reason:
        raise UsageError(
            f"--method {name}: {reason or 'it does not fine-tune the image tower; erm_finetune and clip_finetune do'}"
        )
    key = digest(key_parts(method, data, backbone_, rules))
    job = session.job(key, dataset, backbone, name, (seed,), rules, memory_limit)
    listen(f"{name} fine-tunes {backbone_.card.name}; minutes to hours, kept when it is done")
    prepared = Workbench(session.registries, job).prepare(job, method, lambda event: _tell(listen, event))
    return fit_once(
        session.registries.methods.fresh(name), prepared, Seed((*prepared.fingerprints, name, seed))
    ), prepared


def fit_once(method: Method, prepared: Prepared, seed: Seed) -> TunedTower:
    """What a method of the image track trains under its first configuration, after its last epoch.

    A method that fits on validation is given all of it: nothing is selected here. Raises MethodError for one that does
    not train an image tower.
    """
    (config,) = draw_configs(method.space, 1, seed)
    task = make_task(method, prepared, train_view(method, prepared), prepared.examples.rows("val"), seed.derive(FIT))
    with isolated_randomness(seed.derive("global")):
        model = method.fit(task, config)[-1]
    if not isinstance(model, TunedTower):
        raise MethodError(f"method '{method.card.name}' gives a {type(model).__name__}, not a tuned image tower")
    return model


def _tell(listen: Listen, event: Event) -> None:
    if isinstance(event, Stage):
        listen(str(event))
