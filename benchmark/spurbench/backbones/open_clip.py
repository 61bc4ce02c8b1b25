"""Backbones of open_clip: built-in architectures and tags, checkpoints, `local-dir:` and `hf-hub:` models."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..cards import BackboneCard
from ..errors import UnknownNameError, UsageError, WeightsError
from ..files import HashCache, digest, write_atomic
from . import Setting, Tower
from .hub import find_at_url, find_on_hub

SAFE_WEIGHTS, PICKLED_WEIGHTS = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
CONFIG = "open_clip_config.json"
DEFAULT_TAG = "openai"
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
MISTAKEN = "GELU, in place of the QuickGELU of its training"
STUDIED = ("RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px")
"""OpenAI's CLIP models that the papers of this field report: what `all` means."""


@dataclass(frozen=True)
class OpenClipBackbone:
    """An open_clip model whose weights are in a file on this machine.

    Attributes:
        model: what `open_clip.create_model` is called with, e.g. `ViT-B-16` or `local-dir:/path`.
        weights: the file with the weights.
        description: architecture, preprocessing, activation: the part of the fingerprint besides weights.
        quick_gelu: whether the activation is forced to QuickGELU.
        preprocess: mean, std, interpolation and resize mode that replace the architecture's own.
    """

    card: BackboneCard
    fingerprint: str
    model: str
    weights: Path
    description: Mapping[str, Any]
    quick_gelu: bool = False
    preprocess: Mapping[str, Any] = field(default_factory=dict)

    def load(self, device: str) -> Tower:
        """Build the model, read its weights (never unpickling code), and cut it at the projection."""
        from .towers import open_clip_tower

        return open_clip_tower(self, device)

    def with_weights(self, checkpoint: Path, hashes: HashCache) -> OpenClipBackbone:
        """The same architecture, preprocessing and activation with the weights of a file. Raises UsageError."""
        if not checkpoint.is_file():
            raise UsageError(f"there is no checkpoint file {checkpoint}")
        sha256 = hashes.file(checkpoint)
        name = re.sub(r"[^A-Za-z0-9_.+=@,:/-]", "_", f"{self.card.name}={checkpoint.name}@{sha256[:8]}")
        card = replace(self.card, name=name, title=f"{self.card.title}, checkpoint", weights=checkpoint.name)
        fingerprint = digest([self.description, sha256, self.card.precision])
        return replace(self, card=card, weights=checkpoint, fingerprint=fingerprint)


class OpenClip:
    """`NAME`, `NAME:tag`, `NAME=checkpoint` or `NAME:tag=checkpoint`.

    The tag defaults to `openai`. It decides the activation: OpenAI's models use QuickGELU, most others GELU, and a
    network run with the other one gives plausible but wrong features. A checkpoint is run with its tag's activation.
    Published numbers exist that were made so: `NAME-gelu:tag` runs weights that were trained with QuickGELU with GELU,
    under that name.
    """

    usage = "NAME[:tag][=checkpoint]"

    def __init__(self, argument: str) -> None:
        name, _, checkpoint = argument.partition("=")
        self.written = argument
        self.name, _, tag = name.partition(":")
        self.tag = tag or DEFAULT_TAG
        self.checkpoint = Path(checkpoint).expanduser() if checkpoint else None

    def resolve(self, setting: Setting) -> OpenClipBackbone:
        """Find the weights and describe the model. Raises UnknownNameError, UsageError or WeightsError."""
        catalogue = Catalogue(setting.cache)
        wanted = self.name.replace("/", "-").replace("@336px", "-336")
        architecture = wanted.removesuffix("-quickgelu").removesuffix("-gelu")
        if architecture not in catalogue.architectures:
            raise UnknownNameError("backbone", self.name, {*STUDIED, *map(display_name, catalogue.architectures)})
        tags = catalogue.tags(architecture)
        tag = self.tag.lower().replace("-", "_")
        if tag not in tags and not (self.checkpoint and self.tag == DEFAULT_TAG):
            near = difflib.get_close_matches(tag, tags, n=3) or sorted(tags)
            raise UsageError(f"{self.name} has no weights tagged '{self.tag}'; there are: {', '.join(near)}")
        settings = tags.get(tag, {})
        quick_gelu = bool(settings.get("quick_gelu", False))
        if wanted.endswith("-quickgelu"):
            if tag in tags and not quick_gelu:
                raise WeightsError(
                    f"QuickGELU mismatch: {self.name} asks for QuickGELU, but the weights '{tag}' were trained with "
                    f"GELU; write {display_name(architecture)}:{tag}"
                )
            quick_gelu = True
        mistaken = wanted.endswith("-gelu")
        if mistaken and not quick_gelu:
            raise WeightsError(
                f"{self.name}: the weights '{tag}' were trained with GELU; write {display_name(architecture)}:{tag}"
            )
        quick_gelu = quick_gelu and not mistaken
        weights = self._weights(settings, setting, architecture, tag, catalogue)
        config = catalogue.config(architecture)
        own = bool(config.get("quick_gelu", False))
        if own and not quick_gelu:
            raise WeightsError(
                f"QuickGELU mismatch: the architecture {self.name} has QuickGELU, but the weights '{tag}' were trained "
                "with GELU; open_clip has no such combination"
            )
        preprocess: dict[str, Any] = {name: settings[name] for name in PREPROCESSING if name in settings}
        description = {"config": {**config, "quick_gelu": quick_gelu}, "preprocess": preprocess}
        sha256 = setting.hashes.file(weights)
        name = display_name(architecture) + ("-gelu" if mistaken else "") + ("" if tag == DEFAULT_TAG else f":{tag}")
        if self.checkpoint is not None:
            name = f"{name}={self.checkpoint.name}@{sha256[:8]}"
        return OpenClipBackbone(
            card=BackboneCard(
                name=name,
                title=f"open_clip {architecture}, {tag if self.checkpoint is None else 'checkpoint'} weights",
                weights=weights.name if self.checkpoint else settings.get("hf_hub") or settings.get("url", ""),
                activation="QuickGELU" if quick_gelu else MISTAKEN if mistaken else "GELU",
                precision=setting.precision,
            ),
            fingerprint=digest([description, sha256, setting.precision]),
            model=architecture,
            weights=weights,
            description=description,
            quick_gelu=quick_gelu,
            preprocess=preprocess,
        )

    def _weights(
        self, settings: Mapping[str, Any], setting: Setting, architecture: str, tag: str, catalogue: Catalogue
    ) -> Path:
        if self.checkpoint is not None:
            if not self.checkpoint.is_file():
                raise UsageError(f"backbone '{self.written}': there is no checkpoint file {self.checkpoint}")
            return self.checkpoint
        try:
            return find_weights(settings, fetch=setting.fetch)
        except WeightsError as error:
            here = ", ".join(catalogue.available()) or "none"
            raise WeightsError(
                f"weights '{tag}' of {display_name(architecture)} are not on this machine: {error}. "
                f"Ways to supply them: run once with network access; point HF_HOME at a cache that has them; "
                f"give a file, {display_name(architecture)}=/path/to/checkpoint.pt; "
                f"or a folder, local-dir:/path. open_clip backbones available here: {here}"
            ) from error


class LocalDir:
    """`local-dir:DIR`, a folder with `open_clip_config.json` and weights, as `open_clip` saves and loads them."""

    usage = "local-dir:DIR"

    def __init__(self, argument: str) -> None:
        self.folder = Path(argument).expanduser()

    def resolve(self, setting: Setting) -> OpenClipBackbone:
        """Read the folder's configuration and hash its weights. Raises UsageError or WeightsError."""
        if not self.folder.is_dir():
            raise UsageError(f"backbone local-dir:{self.folder}: there is no such folder")
        weights = [self.folder / name for name in (SAFE_WEIGHTS, PICKLED_WEIGHTS)]
        found = next((path for path in weights if path.is_file()), None)
        if found is None:
            raise WeightsError(f"local-dir:{self.folder} has neither {SAFE_WEIGHTS} nor {PICKLED_WEIGHTS}")
        return from_folder(self.folder / CONFIG, found, self.folder.resolve().name, str(found), setting)


class HuggingFaceHub:
    """`hf-hub:ORG/NAME`, an open_clip model on the Hugging Face hub (or on the server that `HF_ENDPOINT` names)."""

    usage = "hf-hub:ORG/NAME"

    def __init__(self, argument: str) -> None:
        self.repository = argument
        if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", argument):
            raise UsageError(f"backbone hf-hub:{argument}: write hf-hub:ORG/NAME")

    def resolve(self, setting: Setting) -> OpenClipBackbone:
        """Find both files in the hub's cache or fetch them. Raises WeightsError."""
        config = find_on_hub(self.repository, [CONFIG], fetch=setting.fetch)
        weights = find_on_hub(self.repository, [SAFE_WEIGHTS, PICKLED_WEIGHTS], fetch=setting.fetch)
        return from_folder(config, weights, f"hf-hub:{self.repository}", self.repository, setting)


def from_folder(config_path: Path, weights: Path, label: str, source: str, setting: Setting) -> OpenClipBackbone:
    """A backbone from `open_clip_config.json` and the weights beside it. Raises WeightsError."""
    try:
        content = json.loads(config_path.read_text(encoding="utf-8"))
        config, preprocess = content["model_cfg"], content.get("preprocess_cfg", {})
        activation = "QuickGELU" if config.get("quick_gelu", False) else "GELU"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{config_path} is not an open_clip configuration ({type(error).__name__}: {error}); "
            "it needs at least a 'model_cfg', as open_clip.push_to_hf_hub.save_for_hf writes it"
        ) from error
    description = {"config": config, "preprocess": preprocess}
    sha256 = setting.hashes.file(weights)
    clean = re.sub(r"[^A-Za-z0-9_.+=@,:/-]", "_", label).lstrip("_.-") or "model"
    return OpenClipBackbone(
        card=BackboneCard(
            name=f"{clean}@{sha256[:8]}",
            title=f"open_clip model {clean}",
            weights=source,
            activation=activation,
            precision=setting.precision,
        ),
        fingerprint=digest([description, sha256, setting.precision]),
        model=f"local-dir:{config_path.parent}",
        weights=weights,
        description=description,
    )


def find_weights(settings: Mapping[str, Any], *, fetch: bool) -> Path:
    """The weight file of one open_clip tag, in the hub's cache or open_clip's own. Raises WeightsError."""
    clip_cache = Path("~/.cache/clip").expanduser()
    url = settings.get("url", "")
    if url and (clip_cache / url.rpartition("/")[2]).is_file():
        return find_at_url(url, clip_cache, fetch=False)
    if settings.get("hf_hub"):
        repository, _, name = settings["hf_hub"].rpartition("/")
        names = [name] if name else [SAFE_WEIGHTS, PICKLED_WEIGHTS]
        return find_on_hub(repository, names, fetch=fetch)
    return find_at_url(url, clip_cache, fetch=fetch)


def display_name(architecture: str) -> str:
    """`ViT-B-16` -> `ViT-B/16`, `ViT-L-14-336` -> `ViT-L/14@336px`: OpenAI's way of writing them."""
    slashed = re.sub(r"^(ViT-[A-Za-z]+)-(\d+)", r"\1/\2", architecture)
    return re.sub(r"^(ViT-L/14)-336$", r"\1@336px", slashed)


@dataclass(frozen=True)
class Catalogue:
    """open_clip's architectures and tags, remembered in a file: asking open_clip itself takes seconds of imports."""

    cache: Path

    @cached_property
    def _content(self) -> dict[str, Any]:
        path = self.cache / "catalogues" / f"open_clip-{version('open_clip_torch')}.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            import open_clip
            from open_clip.pretrained import _PRETRAINED

            content = {
                "configs": {name: open_clip.get_model_config(name) for name in open_clip.list_models()},
                "tags": _PRETRAINED,
            }
            write_atomic(path, json.dumps(content).encode())
        return content

    @property
    def architectures(self) -> list[str]:
        """Architecture names as open_clip writes them."""
        return sorted(self._content["configs"])

    def config(self, architecture: str) -> dict[str, Any]:
        """Its configuration. Raises KeyError."""
        return dict(self._content["configs"][architecture])

    def tags(self, architecture: str) -> dict[str, dict[str, Any]]:
        """Settings of each tag with weights for the architecture."""
        return dict(self._content["tags"].get(architecture, {}))

    def names(self) -> list[str]:
        """Every backbone that has published weights, as this program names it."""
        return [
            display_name(architecture) + ("" if tag == DEFAULT_TAG else f":{tag}")
            for architecture in self.architectures
            if not architecture.endswith("-quickgelu")
            for tag in self.tags(architecture)
        ]

    def available(self) -> list[str]:
        """Those of `names` whose weights are on this machine."""
        found = []
        for name in self.names():
            architecture, _, tag = name.replace("/", "-").replace("@336px", "-336").partition(":")
            try:
                find_weights(self.tags(architecture)[tag or DEFAULT_TAG], fetch=False)
            except WeightsError:
                continue
            found.append(name)
        return found
