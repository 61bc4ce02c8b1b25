"""Loading a backbone's weights, and its towers as they are cut for use and for training."""

from __future__ import annotations

import importlib
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import MethodError, WeightsError
from . import Parts, Tower
from .cutting import cut_image, cut_text
from .spatial import spatial
from .timm_modules import TimmHead, TimmTrunk

if TYPE_CHECKING:
    from .open_clip import OpenClipBackbone
    from .timm import TimmBackbone
    from .torchvision import TorchvisionBackbone

Step = Callable[..., torch.Tensor]
TEXT_BATCH = 256
OPENAI_EXTRAS = frozenset({"input_resolution", "context_length", "vocab_size", "attn_mask"})
"""What TorchScript archives hold besides weights."""


def open_clip_tower(backbone: OpenClipBackbone, device: str) -> Tower:
    """The tower of an open_clip model. Raises WeightsError if the weights are broken or do not fit."""
    import open_clip

    with _weights_errors(backbone.weights), _quiet_open_clip():
        # Built empty, then filled from the very file that the fingerprint covers: left to itself, open_clip takes
        # whichever weights it prefers in a folder, random ones if it finds none.
        model, _, preprocess = open_clip.create_model_and_transforms(
            backbone.model,
            load_weights=False,
            pretrained_text=False,
            force_quick_gelu=backbone.quick_gelu,
            image_mean=backbone.preprocess.get("mean"),
            image_std=backbone.preprocess.get("std"),
            image_interpolation=backbone.preprocess.get("interpolation"),
            image_resize_mode=backbone.preprocess.get("resize_mode"),
        )
        _fill(model, backbone.weights)
        tokenizer = open_clip.get_tokenizer(backbone.model)
    model.eval().requires_grad_(False).to(device)
    cast = _casting(backbone.card.precision, device)

    def tokenize(texts: Sequence[str]) -> torch.Tensor:
        tokens: torch.Tensor = tokenizer(list(texts))
        return tokens

    trunk, projection = cut_image(model.visual)
    text_trunk, text_projection = cut_text(model)
    if device == "cpu":
        trunk.to(memory_format=torch.channels_last)
    run_text = cast(nn.Sequential(text_trunk, text_projection))

    def encode_text(texts: Sequence[str]) -> torch.Tensor:
        chunks = [tokenize(texts[i : i + TEXT_BATCH]) for i in range(0, len(texts), TEXT_BATCH)]
        return torch.cat([run_text(chunk.to(device)).cpu() for chunk in chunks])

    parts = Parts(trunk, projection, tokenize, text_trunk, text_projection)
    return Tower(
        preprocess,
        cast(trunk),
        cast(projection),
        encode_text,
        float(model.logit_scale.exp()),
        parts,
        backbone.card.precision,
        regions=_regions(trunk, projection, cast),
        modules=(trunk, projection),
    )


def _regions(trunk: nn.Module, projection: nn.Module, cast: Callable[[Callable[..., Any]], Step]) -> Step | None:
    """The step that embeds regions, where the tower has a map for it."""
    try:
        return cast(spatial(trunk, projection).eval())
    except MethodError:
        return None


def _fill(model: nn.Module, weights: Path) -> None:
    """Read weights into an open_clip model; OpenAI's own files, which are TorchScript archives, included."""
    import open_clip

    if not _is_torchscript(weights):
        open_clip.load_checkpoint(model, str(weights), weights_only=True)
        return
    load: Any = torch.jit.load
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        archive = load(str(weights), map_location="cpu")
    model.load_state_dict({name: value for name, value in archive.state_dict().items() if name not in OPENAI_EXTRAS})


def _is_torchscript(weights: Path) -> bool:
    try:
        with zipfile.ZipFile(weights) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def timm_tower(backbone: TimmBackbone, device: str) -> Tower:
    """The tower of a timm model; its pooled features are the embeddings. Raises WeightsError."""
    import timm

    own: dict[str, Any] = {} if backbone.card.has_classifier else {"num_classes": 0}
    with _weights_errors(backbone.weights), _nothing_missing():
        model = timm.create_model(
            backbone.model,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(backbone.weights), "hf_hub_id": None, "url": ""},
            **own,
        )
    last: Any = model
    classifier = last.get_classifier() if backbone.card.has_classifier else None
    last.reset_classifier(0)
    model.eval().requires_grad_(False).to(device)
    if device == "cpu":
        model.to(memory_format=torch.channels_last)
    transform = _timm_transform(model)
    run: Any = model
    cast = _casting(backbone.card.precision, device)
    return Tower(
        transform,
        cast(run.forward_features),
        cast(run.forward_head),
        None,
        1.0,
        precision=backbone.card.precision,
        regions=_regions(model, nn.Identity(), cast),
        classifier=_frozen(classifier),
        modules=(TimmTrunk(model).eval(), TimmHead(model).eval()),
    )


def torchvision_tower(backbone: TorchvisionBackbone, device: str) -> Tower:
    """The tower of a torchvision model; what its last linear layer takes are the embeddings. Raises WeightsError."""
    from torchvision.models import get_model

    with _weights_errors(backbone.weights):
        # Two models scale their input otherwise where they are built for torchvision's own weights.
        scaled = {"transform_input": True} if backbone.model in ("googlenet", "inception_v3") else {}
        model = get_model(backbone.model, weights=None, **scaled)
        model.load_state_dict(torch.load(backbone.weights, map_location="cpu", weights_only=True))
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise WeightsError(
            f"torchvision's {backbone.model} ends in no linear layer, so it gives no embeddings; name another model"
        )
    name, classifier = linear[-1]
    model.set_submodule(name, nn.Identity())
    model.eval().requires_grad_(False).to(device)
    if device == "cpu":
        model.to(memory_format=torch.channels_last)
    cast = _casting(backbone.card.precision, device)
    return Tower(
        backbone.transform(),
        cast(model),
        cast(nn.Identity()),
        None,
        1.0,
        precision=backbone.card.precision,
        classifier=_frozen(classifier),
        modules=(model, nn.Identity().eval()),
    )


def _frozen(classifier: nn.Module | None) -> nn.Linear | None:
    """A classifier as it is used on embeddings; None for one that is no linear layer."""
    return classifier.eval().requires_grad_(False) if isinstance(classifier, nn.Linear) else None


@contextmanager
def _nothing_missing() -> Iterator[None]:
    """Refuse weights that lack some of the model's: timm would only log that, and leave those random."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("timm.models._builder")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
    for message in messages:
        names = re.match(r"Missing keys \((.*)\)", message)
        listed = names[1].split(", ") if names else []
        missing = [name for name in listed if re.search(r"(weight|bias|running_\w+)$", name)]
        if missing:
            raise ValueError(f"{len(missing)} tensors are missing, the first of them {missing[0]}")


def _timm_transform(model: nn.Module) -> Any:
    data: Any = importlib.import_module("timm.data")
    return data.create_transform(**data.resolve_model_data_config(model), is_training=False)


def _casting(precision: str, device: str) -> Callable[[Callable[..., Any]], Step]:
    """Wrap a step so that it runs without gradients, in the precision asked for, and returns float32."""

    def wrap(step: Callable[..., Any]) -> Step:
        def run(*inputs: torch.Tensor) -> torch.Tensor:
            with (
                torch.inference_mode(),
                torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"),
            ):
                result: torch.Tensor = step(*inputs)
                return result.float()

        return run

    return wrap


@contextmanager
def _weights_errors(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a model is built from a file, as one message that names the file."""
    try:
        yield
    except ImportError as error:
        raise WeightsError(f"the model of {path} needs a package that is not installed: {error}") from error
    except Exception as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: Exception) -> WeightsError:
    unread = isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error)
    if unread and _is_pickle(path):
        return WeightsError(
            f"{path} holds more than tensors and is not loaded, because unpickling it could run anything; "
            "save its state_dict alone, best as safetensors"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if unread:
        lines = ["it is neither a PyTorch checkpoint nor a safetensors file"]
    return WeightsError(
        f"the weights in {path} are broken or do not fit the architecture: {type(error).__name__}: "
        f"{' '.join(lines[:3])[:300]}"
    )


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """open_clip logs every step of loading to the root logger; nothing of it is news here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level)
