"""From a folder of photos to everything that is known of the data set in it: the parts of the builder, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..attribute_text import is_template
from ..backbones import Backbone, resolve
from ..errors import DataError, UsageError
from ..features import FeatureStore
from ..provenance import environment
from ..seeds import Seed
from ..session import Session
from ..workbench import LazyTower
from . import backgrounds, cleaning, halves, instrument, pairs, sources, splits, synonyms
from .cleaning import LOOKS
from .drafts import check_drafter, identity
from .label_spaces import LabelSpace, open_label_space
from .output import words
from .output.built import Built
from .table import Instrument, Rule

log = logging.getLogger("spurbench")

PHOTO, PUBLISHED = "a photo of a {}.", "A photo of {}."
"""Templates: that of CLIP's authors, and that of Wang et al. 2024, section 2."""
Listener = Callable[[str, int, int], None]
"""Told (what is being done, photos done, photos in all; 0 where it is not counted)."""


@dataclass(frozen=True)
class Order:
    """What is to be built.

    Attributes:
        photos: the folder of photos; it is only read.
        instrument: a backbone's name.
        labels, templates: what photos are told apart into, and how that is said (`label_spaces`).
        listing: a table of photos, or None for class/background/photo.
        synonyms: a file of the user's own.
        confirmed: a sheet of drafted backgrounds.
        easy_share: of the training photos of each class.
        title: for people.
        command: what was typed.
    """

    photos: Path
    instrument: str
    labels: str
    templates: tuple[str, ...]
    listing: Path | None = None
    synonyms: Path | None = None
    confirmed: Path | None = None
    rule: Rule = field(default_factory=Rule)
    cleaning: cleaning.Cleaning = field(default_factory=cleaning.Cleaning)
    easy_share: float = 0.95
    seed: int = 0
    title: str = ""
    command: str = ""


def build(order: Order, session: Session, listen: Listener) -> Built:
    """All that is known of the photos, and the data set that they make; nothing is written but to the cache.

    Raises:
        UsageError: the call is wrong: unknown names, an instrument that drafted the backgrounds.
        DataError: no photos, no backgrounds, classes that cannot be told apart; says what to do.
        WeightsError: the instrument's weights are not here, or broken.
    """
    for template in order.templates:
        if not is_template(template):
            raise UsageError(f"--template {template!r} needs one {{}}, where the label goes, and no other braces")
    known = synonyms.with_own(order.synonyms)
    backbone = resolve(session.registries.backbones, order.instrument, session.setting)
    if order.confirmed is not None:
        drafters = backgrounds.drafters(order.confirmed)
        if not drafters:
            log.warning("%s does not say which model drafted it; it must not be the instrument", order.confirmed)
        for drafter in drafters:
            check_drafter(drafter, identity(backbone, session.setting.hashes))
    listen("reading", 0, 0)
    photos = sources.read_photos(order.photos, order.listing)
    space = open_label_space(order.labels, sorted(photos["label"].unique()))
    instrument.check_instrument(backbone, space)
    photos = photos.assign(label=[space.labels[space.places[label]] for label in photos["label"]])
    written = photos["background"]
    photos = backgrounds.named(photos, known, order.confirmed)
    _tell_renamed(written, photos["background"])
    backgrounds.check(photos)
    cleaned = _cleaned(order, photos, session.cache, listen)
    judged, described = _judged(order, cleaned, backbone, space, session, listen)
    listen("comparing backgrounds", 0, 0)
    seed = Seed(("build", order.seed))
    judged["half"] = halves.assign(judged, order.rule, seed.derive("halves"))
    found = pairs.find(judged, order.rule, seed.derive("pairs"))
    chosen = judged.join(splits.assign(judged, found, seed.derive("splits"), order.easy_share))
    return Built(
        folder_of_photos=order.photos,
        photos=chosen,
        found=found,
        instrument=described,
        title=order.title or order.photos.resolve().name,
        command=order.command,
        seed=order.seed,
        software=environment(session.torch_device),
    )


def _tell_renamed(written: pd.Series[str], names: pd.Series[str]) -> None:
    pairs = sorted(set(zip(written, names, strict=True)))
    others = [f"{word} is {name}" for word, name in pairs if word.strip() and synonyms.folded(word) != name]
    if others:
        more = f", and {len(others) - 10} more" if len(others) > 10 else ""
        log.info("backgrounds under one name (--synonyms changes that): %s%s", ", ".join(others[:10]), more)


def _cleaned(order: Order, photos: pd.DataFrame, folder: Path, listen: Listener) -> pd.DataFrame:
    cleaned = cleaning.clean(
        order.photos,
        photos,
        order.cleaning,
        folder / LOOKS,
        lambda done, total: listen("looking at photos", done, total),
    )
    if not (cleaned["status"] == "").any():
        reasons = ", ".join(f"{part.count:,} {words.STATUS[part.status]}" for part in cleaning.account(cleaned))
        raise DataError(f"none of the {len(cleaned)} photos in {order.photos} is fit for a benchmark: {reasons}")
    backgrounds.check(cleaned)
    return cleaned


def _judged(
    order: Order, cleaned: pd.DataFrame, backbone: Backbone, space: LabelSpace, session: Session, listen: Listener
) -> tuple[pd.DataFrame, Instrument]:
    return instrument.ask(
        order.photos,
        cleaned,
        backbone,
        LazyTower(backbone, session.torch_device),
        space,
        order.templates,
        FeatureStore(session.cache / "features"),
        session.torch_device,
        lambda done, total: listen(f"asking {backbone.card.name}", done, total),
    )
