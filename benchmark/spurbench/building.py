"""Building features ahead of a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .backbones import resolve
from .errors import UsageError
from .features import IMAGE_KINDS, FeatureStore
from .keys import load_data
from .session import Session


def build_features(session: Session, kinds: str) -> Iterator[str]:
    """Encode every data set asked for with every backbone asked for; yields a line about each.

    Args:
        kinds: comma-separated, of `embeddings` and `penultimate`.

    Raises:
        UsageError: unknown kinds, or nothing to encode.
        DataError, WeightsError: data or weights that are absent or broken.
    """
    wanted = [kind for kind in IMAGE_KINDS if kind in {part.strip() for part in kinds.split(",")}]
    if len(wanted) != len([part for part in kinds.split(",") if part.strip()]):
        raise UsageError(f"--kinds takes {' and '.join(IMAGE_KINDS)}, not '{kinds}'")
    store = FeatureStore(session.cache / "features")
    backbones = session.backbone_names()
    if not backbones:
        raise UsageError("name the backbones to encode with, e.g. --backbones RN50")
    for name in session.dataset_names():
        data = load_data(session.registries, name, session.data_root, session.setting.hashes, download=session.fetch)
        if data.examples.photos is None:
            yield f"{name}: brings its own features"
            continue
        for spec in backbones:
            backbone = resolve(session.registries.backbones, spec, session.setting)
            label = f"{data.card.name} · {backbone.card.name}"
            _, speed = store.images(
                data.encoded,
                backbone,
                partial(backbone.load, session.torch_device),
                data.examples.photos,
                wanted,
                label,
                session.torch_device,
                _unheard,
            )
            yield f"{label}: {speed if speed is not None else 'cached already'}"


def _unheard(done: int, total: int) -> None:
    """Progress that nobody listens to: the line at the end says it all."""
