"""`Workbench`: one data set under one backbone, each part loaded when first needed; what jobs are computed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar, cast

import torch

from .backbones import Backbone, Setting, Tower, resolve
from .cards import Input
from .data import Ints, Photos
from .encode import preprocessed
from .errors import DataError, SpurbenchError
from .features import IMAGE_KINDS, FeatureStore
from .files import digest
from .jobs import Job, Listener, Note, Stage
from .keys import LoadedData, key_parts, load_data
from .regions.features import RegionFeatures
from .registry import Registries
from .rules import Rules
from .scratch import remove_abandoned
from .tasks import Prepared, Text
from .texts import own_text, text_of

T = TypeVar("T")
SCRATCH = "scratch"


@dataclass
class Workbench:
    """One data set under one backbone: what is loaded for it, each part when first needed."""

    registries: Registries
    job: Job
    _features: dict[Input, torch.Tensor] = field(default_factory=dict)
    _outcomes: dict[str, Any] = field(default_factory=dict)
    _memo: dict[tuple[str, ...], torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = FeatureStore(self.job.cache / "features")
        remove_abandoned(self.job.cache / SCRATCH)

    def serves(self, job: Job) -> bool:
        """Whether it is the one for a job: the same data set, its attribute in the same words, and backbone."""
        own = self.job
        return (own.dataset, own.backbone, own.rules.attribute) == (job.dataset, job.backbone, job.rules.attribute)

    def prepare(self, job: Job, method: Any, listen: Listener) -> Prepared:
        """What evaluating the job's method needs: data, and the features and text that its card declares.

        Raises:
            SpurbenchError: a part that cannot be had (tried once, told to every method that needs it), or something
                that changed since the job was planned.
        """
        inputs = method.card.inputs
        listen(Stage("reading data"))
        self._check_key(job, method)
        for kind in IMAGE_KINDS:
            if kind in inputs:
                self._once(kind, partial(self._image_features, kind, listen))
        regions = self.regions(listen) if "regions" in inputs else None
        if regions is not None and "images" not in inputs:
            # Methods that train towers embed regions themselves; the others wait for nothing once they have begun.
            self._once("region embeddings", lambda: regions.embeddings)
        text = None
        if "text" in inputs:
            text = self._once(f"text {job.rules.prompts}", lambda: self._text(job.rules))
        own = self.data.examples.features
        return Prepared(
            card=self.data.card,
            examples=self.data.examples,
            source=Features(
                self._features, self.data.examples.photos, None if own is not None else self.tower, regions
            ),
            text=text,
            fingerprints=(self.data.fingerprint, "own" if own is not None else self.backbone.fingerprint),
            device=torch.device(self.job.device),
            memory_limit=self.job.memory_limit,
            tower=None if own is not None else self.tower,
            memo=self._memo,
            scratch=self.job.cache / SCRATCH / f"{job.key[:32]}-{self.job.device}",
        )

    def _once(self, part: str, make: Callable[[], T]) -> T:
        """The part, made once; where that failed, the same error again."""
        if part not in self._outcomes:
            try:
                self._outcomes[part] = make()
            except SpurbenchError as error:
                self._outcomes[part] = error
        outcome = self._outcomes[part]
        if isinstance(outcome, SpurbenchError):
            raise outcome
        return cast("T", outcome)

    def _check_key(self, job: Job, method: Any) -> None:
        data = self.data
        backbone = None if data.examples.features is not None else self.backbone
        if digest(key_parts(method, data, backbone, job.rules)) != job.key:
            raise DataError("data, weights or code changed while this was running; run it again")

    def _image_features(self, kind: Input, listen: Listener) -> None:
        own = self.data.examples.features
        if own is not None:
            self._features[kind] = torch.from_numpy(own.embeddings)
        elif kind not in self._features:
            self._build(self.data, [kind], listen)

    def _text(self, rules: Rules) -> Text | None:
        own = self.data.examples.features
        if own is not None:
            return own_text(own)
        return text_of(self.data.card, rules, self.store, self.backbone, self.tower)

    def regions(self, listen: Listener) -> RegionFeatures:
        """The regions that the data set's card names, their boxes at hand. Raises SpurbenchError."""
        return self._once("regions", lambda: self._regions(listen))

    def _regions(self, listen: Listener) -> RegionFeatures:
        photos, label = self.data.examples.photos, f"{self.data.card.name} · {self.backbone.card.name}"
        assert photos is not None
        regions = RegionFeatures(
            self.store,
            self.data.encoded,
            self.backbone,
            self.tower,
            photos,
            self.data.region_source(),
            label,
            self.job.device,
            progress=lambda what, done, total: listen(Stage(what, done, total)),
            built=lambda kind, speed: listen(Note(f"{label} · {kind}: {speed}")),
        )
        _ = regions.boxes
        return regions

    def _build(self, data: LoadedData, kinds: Sequence[Input], listen: Listener) -> None:
        assert data.examples.photos is not None
        label = f"{data.card.name} · {self.backbone.card.name}"
        found, speed = self.store.images(
            data.encoded,
            self.backbone,
            self.tower,
            data.examples.photos,
            kinds,
            label,
            self.job.device,
            lambda done, total: listen(Stage("encoding photos", done, total)),
        )
        self._features.update(found)
        if speed is not None:
            listen(Note(f"{label}: {speed}"))

    @property
    def data(self) -> LoadedData:
        """The data set's columns."""
        job, hashes = self.job, Setting(self.job.cache).hashes
        return self._once(
            "data",
            lambda: load_data(
                self.registries, job.dataset, job.data_root, hashes, download=False, told=job.rules.attribute
            ),
        )

    @property
    def backbone(self) -> Backbone:
        """The backbone, described."""
        setting = Setting(self.job.cache, self.job.precision, fetch=True)
        return self._once("backbone", lambda: resolve(self.registries.backbones, self.job.backbone, setting))

    @cached_property
    def tower(self) -> LazyTower:
        """The backbone's tower, loaded only if something must be encoded."""
        return LazyTower(self.backbone, self.job.device)


class LazyTower:
    """A tower that is loaded when it is first called for, and once."""

    def __init__(self, backbone: Backbone, device: str) -> None:
        self._backbone, self._device = backbone, device

    def __call__(self) -> Tower:
        """The loaded tower."""
        return self._loaded

    @cached_property
    def _loaded(self) -> Tower:
        return self._backbone.load(self._device)


@dataclass(frozen=True)
class Features:
    """What views read from: tensors without labels, and photos by row. Nothing here leads to the examples' columns."""

    tensors: Mapping[Input, torch.Tensor]
    photos: Photos | None
    tower: LazyTower | None
    regions: RegionFeatures | None = None

    def features(self, kind: Input, rows: Ints) -> torch.Tensor:
        """A fresh float32 tensor of the rows' features."""
        kept = self._regions().embeddings if kind == "regions" else self.tensors[kind]
        return kept[torch.from_numpy(rows)].float()

    def boxes(self, rows: Ints) -> torch.Tensor:
        """(n, r, 4) float32 boxes of the rows' regions, in shares of the view."""
        return self._regions().boxes[torch.from_numpy(rows)]

    def _regions(self) -> RegionFeatures:
        if self.regions is None:
            raise DataError("this data set has no regions")
        return self.regions

    def images(self, rows: Ints) -> ViewedPhotos:
        """Preprocessed photos as a torch Dataset."""
        if self.photos is None or self.tower is None:
            raise DataError("this data set has no photos")
        return ViewedPhotos(self.photos, rows.tolist(), self.tower())


class ViewedPhotos(torch.utils.data.Dataset[torch.Tensor]):
    """Some rows' photos, opened and preprocessed when asked for; knows nothing of labels."""

    def __init__(self, photos: Photos, rows: Sequence[int], tower: Tower) -> None:
        self._photos, self._rows, self._preprocess = photos, rows, tower.preprocess

    @property
    def at_once(self) -> int:
        """How many are best asked for in one call (see `data.Photos`)."""
        return self._photos.at_once

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """What a DataLoader asks for: a whole batch, `at_once` rows at a time."""
        rows, step = [self._rows[index] for index in indices], self._photos.at_once
        parts = (rows[i : i + step] for i in range(0, len(rows), step))
        return [image for part in parts for image in preprocessed(self._photos, part, self._preprocess)]
