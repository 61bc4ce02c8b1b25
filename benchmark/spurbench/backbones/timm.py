"""Supervised image models of timm: an image tower without a text side."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import imagenet
from ..cards import BackboneCard
from ..errors import UsageError, WeightsError
from ..files import digest, safe_name, write_atomic
from . import Setting, Tower
from .hub import find_at_url, find_on_hub


@dataclass(frozen=True)
class TimmBackbone:
    """A timm model whose weights are in a file on this machine."""

    card: BackboneCard
    fingerprint: str
    model: str
    weights: Path
    """With the classifier of ImageNet-1K if the card says so; else whatever classifier they hold is left out."""

    def load(self, device: str) -> Tower:
        """The model, its classifier apart. Raises WeightsError."""
        from .towers import timm_tower

        return timm_tower(self, device)


class Timm:
    """`timm:MODEL` with its published weights, or `timm:MODEL=checkpoint`."""

    usage = "timm:MODEL[=checkpoint]"

    def __init__(self, argument: str) -> None:
        self.model, _, checkpoint = argument.partition("=")
        self.checkpoint = Path(checkpoint).expanduser() if checkpoint else None

    def resolve(self, setting: Setting) -> TimmBackbone:
        """Find the weights and describe the model. Raises UsageError or WeightsError."""
        config = _pretrained_config(self.model, setting.cache)
        if self.checkpoint is not None:
            if not self.checkpoint.is_file():
                raise UsageError(f"backbone timm:{self.model}: there is no checkpoint file {self.checkpoint}")
            weights = self.checkpoint
        else:
            weights = self._published(config, setting)
        sha256 = setting.hashes.file(weights)
        suffix = f"={weights.name}@{sha256[:8]}" if self.checkpoint else ""
        return TimmBackbone(
            card=BackboneCard(
                name=f"timm:{self.model}{suffix}",
                title=f"timm {self.model}, image only",
                weights=weights.name if self.checkpoint else config.get("hf_hub_id") or config.get("url") or "",
                licence=config.get("license") or "see the weights' publisher",
                has_text=False,
                # What a checkpoint of one's own tells apart, nobody says.
                has_classifier=self.checkpoint is None and config.get("num_classes") == imagenet.SIZE,
                precision=setting.precision,
            ),
            fingerprint=digest([self.model, config, sha256, setting.precision]),
            model=self.model,
            weights=weights,
        )

    def _published(self, config: dict[str, Any], setting: Setting) -> Path:
        try:
            if config.get("hf_hub_id"):
                names = [config.get("hf_hub_filename") or "model.safetensors", "pytorch_model.bin"]
                return find_on_hub(config["hf_hub_id"], names, fetch=setting.fetch)
            if config.get("url"):
                return find_at_url(
                    config["url"], Path("~/.cache/torch/hub/checkpoints").expanduser(), fetch=setting.fetch
                )
        except WeightsError as error:
            raise WeightsError(
                f"weights of timm:{self.model} are not on this machine: {error}. Ways to supply them: run once with "
                f"network access; point HF_HOME at a cache that has them; or timm:{self.model}=/path/to/checkpoint"
            ) from error
        raise UsageError(
            f"timm has no published weights for '{self.model}'; give timm:{self.model}=/path/to/checkpoint"
        )


def _pretrained_config(model: str, cache: Path) -> dict[str, Any]:
    """timm's settings for a model, remembered in a file: asking timm takes seconds of imports."""
    path = cache / "catalogues" / f"timm-{version('timm')}" / f"{safe_name(model)}.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        import timm

        known = timm.list_models(pretrained=True) + timm.list_models()
        if model not in known:
            near = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"timm has no model '{model}'{hint}") from None
        found: Any = timm.get_pretrained_cfg(model)
        config = json.loads(json.dumps(found.to_dict() if found else {}, default=str))
        write_atomic(path, json.dumps(config).encode())
    return config
