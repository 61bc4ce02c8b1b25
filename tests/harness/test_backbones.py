"""Backbones against open_clip and timm themselves: tiny random models that each test module builds and saves."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from spurbench.backbones import Setting, Tower, resolve
from spurbench.backbones.cutting import cut_image
from spurbench.backbones.hub import _hash_in
from spurbench.backbones.open_clip import Catalogue, OpenClip, display_name
from spurbench.backbones.spatial import spatial
from spurbench.backbones.timm import Timm
from spurbench.errors import UnknownNameError, UsageError, WeightsError
from spurbench.images import open_rgb
from spurbench.registry import load_registries

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "modified-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "timm": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64},
}
PENULTIMATE = {"vit": (64,), "modified-resnet": (512, 2, 2), "timm": (None,)}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1], "interpolation": "bilinear", "resize_mode": "shortest"}
PROMPTS = ["a photo of a landbird.", "a photo of a waterbird.", "water"]
TINY = {"embed_dim": 24, "vision_cfg": VISION["vit"], "text_cfg": TEXT}
PCFG = {"url": "", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


def save_model(folder: Path, kind: str, *, quick_gelu: bool = False, preprocess: dict[str, Any] = PREPROCESS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"embed_dim": 24, "vision_cfg": VISION[kind], "text_cfg": TEXT, "quick_gelu": quick_gelu}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    torch.manual_seed(3)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that a network in training mode would not use
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    model.logit_scale.data.fill_(3.25)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    return folder


WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: save_model(root / kind, kind) for kind in VISION}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((130, 90), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No weights on this machine: the hub's cache and the home folder are empty."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    empty = tmp_path / "hub-cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(empty))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return empty


def find(name: str, setting: Setting) -> Any:
    return resolve(load_registries().backbones, name, setting)


def reference(folder: Path, memory_format: torch.memory_format) -> tuple[Any, Any]:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.visual.to(memory_format=memory_format)
    return model.eval(), preprocess


def load_state(folder: Path) -> dict[str, torch.Tensor]:
    return dict(open_clip.create_model(f"local-dir:{folder}").state_dict())


@pytest.mark.parametrize("kind", VISION)
def test_the_tower_is_the_model_itself_cut_in_two(kind: str, folders: dict[str, Path], setting: Setting) -> None:
    tower = find(f"local-dir:{folders[kind]}", setting).load("cpu")
    size = VISION[kind]["image_size"]
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    penultimate = tower.trunk(images)
    embeddings = tower.project(penultimate)
    with torch.inference_mode():
        model, _ = reference(folders[kind], torch.contiguous_format)
        expected = model.encode_image(images.contiguous())
        trunk, project = cut_image(model.visual)
        assert torch.equal(project(trunk(images.contiguous())), expected)
    # Another copy of the weights, in another layout: the same up to rounding.
    torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 1e-3
    assert (embeddings.shape, embeddings.dtype, penultimate.dtype) == ((3, 24), torch.float32, torch.float32)
    trunk_width = getattr(getattr(model.visual, "trunk", None), "num_features", None)
    assert penultimate.shape[1:] == ((trunk_width,) if kind == "timm" else PENULTIMATE[kind])
    assert not embeddings.requires_grad
    assert tower.regions is not None
    boxes = torch.tensor([[0.0, 0.0, 0.5, 1.0], [torch.nan] * 4]).expand(3, 2, 4)
    regions = tower.regions(images, boxes)
    with torch.inference_mode():
        torch.testing.assert_close(regions, spatial(trunk, project)(images, boxes), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(regions[:, 0], embeddings, rtol=1e-5, atol=1e-5)
    assert (regions[:, 1].abs().sum(dim=1) > 0).all()
    assert (regions.dtype, regions.requires_grad) == (torch.float32, False)


@pytest.mark.parametrize("kind", VISION)
def test_texts_scale_and_preprocessing_are_the_models_own(
    kind: str, folders: dict[str, Path], setting: Setting, photo: Path
) -> None:
    tower = find(f"local-dir:{folders[kind]}", setting).load("cpu")
    model, preprocess = reference(folders[kind], torch.contiguous_format)
    tokens = open_clip.get_tokenizer(f"local-dir:{folders[kind]}")(PROMPTS)
    with torch.inference_mode():
        expected_text = model.encode_text(tokens)
    torch.testing.assert_close(tower.encode_text(PROMPTS), expected_text, rtol=1e-5, atol=1e-5)
    assert (expected_text[0] - expected_text[1]).abs().max() > 1e-2
    assert tower.logit_scale == pytest.approx(np.exp(3.25), rel=1e-6)
    with Image.open(photo) as image:
        expected = preprocess(image.convert("RGB"))
    assert torch.equal(tower.preprocess(open_rgb(photo)), expected)
    assert expected.shape == (3, VISION[kind]["image_size"], VISION[kind]["image_size"])


def test_texts_are_the_same_in_chunks(
    folders: dict[str, Path], setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = find(f"local-dir:{folders['vit']}", setting).load("cpu")
    together = tower.encode_text(PROMPTS)
    monkeypatch.setattr("spurbench.backbones.towers.TEXT_BATCH", 2)
    torch.testing.assert_close(tower.encode_text(PROMPTS), together, rtol=1e-5, atol=1e-6)


def test_any_other_tower_is_all_trunk() -> None:
    layer = torch.nn.Linear(4, 3)
    trunk, project = cut_image(layer)
    x = torch.ones(2, 4)
    assert torch.equal(project(trunk(x)), layer(x))


@pytest.mark.parametrize("kind", VISION)
def test_bf16_has_its_own_fingerprint_and_nearly_the_same_features(
    kind: str, folders: dict[str, Path], setting: Setting
) -> None:
    name = f"local-dir:{folders[kind]}"
    full, half = find(name, setting), find(name, Setting(setting.cache, "bf16"))
    assert full.fingerprint != half.fingerprint
    assert (full.card.precision, half.card.precision) == ("fp32", "bf16")
    size = VISION[kind]["image_size"]
    images = torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(1))
    one, other = full.load("cpu"), half.load("cpu")
    exact, rounded = one.project(one.trunk(images)), other.project(other.trunk(images))
    assert rounded.dtype == other.trunk(images).dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.nn.functional.cosine_similarity(exact, rounded).min() > 0.99
    assert other.encode_text(PROMPTS).dtype == torch.float32


# Fingerprints


def test_the_fingerprint_covers_what_changes_features_and_nothing_else(
    folders: dict[str, Path], setting: Setting, tmp_path: Path
) -> None:
    original = folders["vit"]
    fingerprint = find(f"local-dir:{original}", setting).fingerprint

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        change=st.sampled_from(["weights", "layers", "mean", "interpolation", "activation", "precision", "nothing"]),
        number=st.integers(0, 10**6),
    )
    def check(change: str, number: int) -> None:
        folder = tmp_path / f"moved-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        content = json.loads((folder / "open_clip_config.json").read_text())
        if change == "weights":
            raw = bytearray((folder / WEIGHTS).read_bytes())
            raw[number % len(raw)] ^= 1 << number % 8
            (folder / WEIGHTS).write_bytes(raw)
        elif change == "layers":
            content["model_cfg"]["vision_cfg"]["layers"] = 3 + number
        elif change == "mean":
            content["preprocess_cfg"]["mean"][number % 3] += (1 + number) * 1e-7
        elif change == "interpolation":
            content["preprocess_cfg"]["interpolation"] = "bicubic"
        elif change == "activation":
            content["model_cfg"]["quick_gelu"] = True
        (folder / "open_clip_config.json").write_text(json.dumps(content))
        precision = "bf16" if change == "precision" else "fp32"
        found = find(f"local-dir:{folder}", Setting(setting.cache, precision)).fingerprint
        assert (found == fingerprint) == (change == "nothing")

    check()


def test_what_is_loaded_is_what_was_hashed(folders: dict[str, Path], setting: Setting, tmp_path: Path) -> None:
    """open_clip itself would prefer `open_clip_pytorch_model.safetensors`, which the fingerprint does not cover."""
    folder = tmp_path / "two"
    shutil.copytree(folders["vit"], folder)
    state = load_state(folder)
    (folder / WEIGHTS).unlink()
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    other = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    save_file(other, folder / "open_clip_pytorch_model.safetensors")
    backbone = find(f"local-dir:{folder}", setting)
    assert backbone.weights.name == "open_clip_pytorch_model.bin"
    images = torch.ones(1, 3, 32, 32)
    one, two = backbone.load("cpu"), find(f"local-dir:{folders['vit']}", setting).load("cpu")
    torch.testing.assert_close(one.project(one.trunk(images)), two.project(two.trunk(images)), rtol=1e-5, atol=1e-5)


# Names


@pytest.mark.parametrize(
    ("name", "architecture", "repository"),
    [
        ("RN50", "RN50", "timm/resnet50_clip.openai"),
        ("ViT-B/16", "ViT-B-16", "timm/vit_base_patch16_clip_224.openai"),
        ("ViT-B-16", "ViT-B-16", "timm/vit_base_patch16_clip_224.openai"),
        ("ViT-L/14@336px", "ViT-L-14-336", "timm/vit_large_patch14_clip_336.openai"),
    ],
)
def test_plain_names_are_openais_models_with_quickgelu(
    name: str,
    architecture: str,
    repository: str,
    setting: Setting,
    nothing_cached: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(WeightsError) as caught:
        find(name, setting)
    message = str(caught.value)
    for part in (WEIGHTS, repository, str(nothing_cached), "HF_HOME", "=/path/", "local-dir:", "available here: none"):
        assert part in message
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"any")
    asked: list[str] = []

    def have(repo: str, names: list[str], *, fetch: bool) -> Path:
        asked.append(repo)
        return weights

    monkeypatch.setattr("spurbench.backbones.open_clip.find_on_hub", have)
    backbone = find(name, setting)
    assert asked == [repository]
    assert (backbone.model, backbone.quick_gelu, backbone.card.activation) == (architecture, True, "QuickGELU")
    assert backbone.card.name == display_name(architecture)
    assert find(f"{name}:laion2b_s34b_b88k" if architecture == "ViT-B-16" else name, setting).quick_gelu == (
        architecture != "ViT-B-16"
    )


def test_weights_on_this_machine_are_named_in_the_message(setting: Setting, nothing_cached: Path) -> None:
    cached = Path(os.environ["HOME"]) / ".cache" / "clip" / "RN101.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"weights")
    with pytest.raises(WeightsError, match="available here: RN101$"):
        find("RN50", setting)
    assert find("RN101", setting).weights == cached


def test_unknown_names_and_tags_come_with_suggestions(setting: Setting, nothing_cached: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean .*ViT-B/16"):
        find("ViTB16", setting)
    with pytest.raises(UsageError, match=r"no weights tagged 'laion2b_s34b_b88x'.*laion2b_s34b_b88k"):
        find("ViT-B/16:laion2b_s34b_b88x", setting)
    with pytest.raises(WeightsError, match="laion/CLIP-ViT-B-16-laion2B-s34B-b88K"):
        find("ViT-B/16:laion2b_s34b_b88k", setting)
    with pytest.raises(WeightsError, match="QuickGELU mismatch.*ViT-B/32:laion2b_s34b_b79k"):
        find("ViT-B-32-quickgelu:laion2b_s34b_b79k", setting)
    with pytest.raises(UsageError, match="no checkpoint file .*absent.pt"):
        find("RN50=absent.pt", setting)


def test_every_published_name_leads_to_its_own_settings(setting: Setting) -> None:
    catalogue = Catalogue(setting.cache)
    names = catalogue.names()
    assert len(names) == len(set(names)) > 100
    for name in names:
        architecture, _, tag = name.replace("/", "-").replace("@336px", "-336").partition(":")
        assert (tag or "openai") in catalogue.tags(architecture)
    pairs = {(model, tag) for model, tag in open_clip.list_pretrained() if not model.endswith("-quickgelu")}
    assert len(names) == len(pairs)


# Checkpoints: a tiny architecture of open_clip's own, with one QuickGELU tag and one GELU tag


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Settings under which `Tiny` is an architecture."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "Tiny.json").write_text(json.dumps(TINY))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [*open_clip.factory._MODEL_CONFIG_PATHS])
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.add_model_config(configs)
    tags = {
        "openai": {**PCFG, "hf_hub": "org/tiny/", "quick_gelu": True},
        "plain": {**PCFG, "hf_hub": "org/plain/"},
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny", tags)
    return Setting(tmp_path / "cache")


def tiny_model(*, quick_gelu: bool) -> Any:
    torch.manual_seed(5)
    return open_clip.create_model("Tiny", force_quick_gelu=quick_gelu).eval()


def embed(tower: Tower) -> torch.Tensor:
    return tower.project(tower.trunk(fixed_images()))


def fixed_images() -> torch.Tensor:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("tag", "quick_gelu"), [("", True), (":openai", True), (":plain", False)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_runs_with_its_tags_activation(
    tiny: Setting, tmp_path: Path, tag: str, quick_gelu: bool, wrapped: bool
) -> None:
    model = tiny_model(quick_gelu=quick_gelu)
    state = model.state_dict()
    training = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    torch.save(training if wrapped else state, tmp_path / "trained.pt")
    backbone = find(f"Tiny{tag}={tmp_path / 'trained.pt'}", tiny)
    assert backbone.card.activation == ("QuickGELU" if quick_gelu else "GELU")
    assert "trained.pt" in backbone.card.name
    tower = backbone.load("cpu")
    images = fixed_images()
    with torch.inference_mode():
        right = model.visual.to(memory_format=torch.channels_last)(images)
        wrong = tiny_model(quick_gelu=not quick_gelu).visual(images)
        torch.testing.assert_close(embed(tower), right, rtol=1e-5, atol=1e-5)
    assert (embed(tower) - wrong).abs().max() > 1e-4


def test_activation_is_part_of_a_checkpoints_fingerprint(tiny: Setting, tmp_path: Path) -> None:
    torch.save(tiny_model(quick_gelu=False).state_dict(), tmp_path / "one.pt")
    shutil.copy(tmp_path / "one.pt", tmp_path / "renamed.pt")
    names = [f"Tiny{tag}={tmp_path / 'one.pt'}" for tag in ("", ":plain")]
    quick, plain = (find(name, tiny).fingerprint for name in names)
    assert quick != plain
    assert find(f"Tiny={tmp_path / 'renamed.pt'}", tiny).fingerprint == quick


def test_a_checkpoint_named_like_a_tag_is_the_file(
    tiny: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tiny_model(quick_gelu=True).state_dict(), tmp_path / "plain")
    monkeypatch.chdir(tmp_path)
    tower = find("Tiny=plain", tiny).load("cpu")
    with torch.inference_mode():
        expected = tiny_model(quick_gelu=True).visual.to(memory_format=torch.channels_last)(fixed_images())
    torch.testing.assert_close(embed(tower), expected, rtol=1e-5, atol=1e-5)


def test_openais_torchscript_files_load(tiny: Setting, tmp_path: Path) -> None:
    model = tiny_model(quick_gelu=True).half()
    model.register_buffer("input_resolution", torch.tensor(32))
    torch.jit.save(torch.jit.script(model), str(tmp_path / "tiny.pt"))
    tower = find(f"Tiny={tmp_path / 'tiny.pt'}", tiny).load("cpu")
    expected = tiny_model(quick_gelu=True).half().float().visual.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(embed(tower), expected(fixed_images()), rtol=1e-5, atol=1e-5)


def test_the_catalogue_is_remembered(tiny: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Tiny" in Catalogue(tiny.cache).architectures
    monkeypatch.delitem(open_clip.pretrained._PRETRAINED, "Tiny")
    assert set(Catalogue(tiny.cache).tags("Tiny")) == {"openai", "plain"}
    (remembered,) = (tiny.cache / "catalogues").iterdir()
    remembered.write_text("{broken")
    assert Catalogue(tiny.cache).tags("Tiny") == {}


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_checkpoint_with_code_is_refused_and_not_run(
    tiny: Setting, tmp_path: Path, save: Callable[[Any, Path], None]
) -> None:
    trap = tmp_path / "sprung"
    save({"state_dict": tiny_model(quick_gelu=True).state_dict(), "extra": Bomb(trap)}, tmp_path / "evil.pt")
    backbone = find(f"Tiny={tmp_path / 'evil.pt'}", tiny)
    with pytest.raises(WeightsError, match=r"evil\.pt holds more than tensors and is not loaded"):
        backbone.load("cpu")
    assert not trap.exists()


def broken_files() -> dict[str, tuple[str, Callable[[dict[str, torch.Tensor], Path], Any]]]:
    def truncated(state: dict[str, torch.Tensor], path: Path) -> None:
        save_file(state, path)
        path.write_bytes(path.read_bytes()[:-100])

    def truncated_zip(state: dict[str, torch.Tensor], path: Path) -> None:
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-1000])

    def page(_: object, path: Path) -> None:
        path.write_text("<!DOCTYPE html><html><body>Sign in to the network</body></html>")

    def wrong_shapes(state: dict[str, torch.Tensor], path: Path) -> None:
        save_file({**state, "visual.proj": torch.zeros(3, 3)}, path)

    def less(state: dict[str, torch.Tensor], path: Path) -> None:
        save_file({name: value for name, value in state.items() if name != "visual.proj"}, path)

    return {
        "truncated": ("w.safetensors", truncated),
        "truncated zip": ("w.pt", truncated_zip),
        "wrong shapes": ("w.safetensors", wrong_shapes),
        "a tensor missing": ("w.safetensors", less),
        "a web page as safetensors": ("w.safetensors", page),
        "a web page as checkpoint": ("w.pt", page),
        "an empty file": ("w.pt", lambda _, path: path.write_bytes(b"")),
        "an empty dictionary": ("w.pt", lambda _, path: torch.save({}, path)),
        "a list": ("w.pt", lambda _, path: torch.save([1, 2], path)),
    }


@pytest.mark.parametrize("case", broken_files())
def test_broken_weights_are_one_line_that_names_the_file(tiny: Setting, tmp_path: Path, case: str) -> None:
    name, write = broken_files()[case]
    write(tiny_model(quick_gelu=True).state_dict(), tmp_path / name)
    backbone = find(f"Tiny={tmp_path / name}", tiny)
    with pytest.raises(WeightsError) as caught:
        backbone.load("cpu")
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert "broken or do not fit" in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < 600
    if case == "wrong shapes":
        assert "visual.proj" in message or "size mismatch" in message


def test_a_missing_package_is_named(
    tiny: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]
) -> None:
    def needs_transformers(_: str) -> None:
        raise ModuleNotFoundError("No module named 'transformers'")

    monkeypatch.setattr(open_clip, "get_tokenizer", needs_transformers)
    with pytest.raises(WeightsError, match="needs a package that is not installed: .*transformers"):
        find(f"local-dir:{folders['vit']}", tiny).load("cpu")


# local-dir


def test_local_folders_that_are_not_models_say_what_is_missing(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        find(f"local-dir:{tmp_path / 'absent'}", setting)
    with pytest.raises(WeightsError, match=f"neither {WEIGHTS} nor open_clip_pytorch_model.bin"):
        find(f"local-dir:{tmp_path}", setting)
    (tmp_path / WEIGHTS).write_bytes(b"")
    for content in (None, "{", "[]", "{}", '{"model_cfg": 3}'):
        if content is not None:
            (tmp_path / "open_clip_config.json").write_text(content)
        with pytest.raises(WeightsError, match="is not an open_clip configuration"):
            find(f"local-dir:{tmp_path}", setting)


def test_a_local_folders_activation_is_its_configurations(setting: Setting, tmp_path: Path) -> None:
    one, other = save_model(tmp_path / "quick", "vit", quick_gelu=True), save_model(tmp_path / "gelu", "vit")
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    quick, gelu = find(f"local-dir:{one}", setting), find(f"local-dir:{other}", setting)
    assert (quick.card.activation, gelu.card.activation) == ("QuickGELU", "GELU")
    assert (embed(quick.load("cpu")) - embed(gelu.load("cpu"))).abs().max() > 1e-4


# timm


@pytest.fixture(scope="module")
def timm_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timm") / "resnet.pt"
    torch.manual_seed(1)
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
    return path


def test_timm_embeddings_are_timms_own(timm_checkpoint: Path, setting: Setting, photo: Path) -> None:
    backbone = find(f"timm:test_resnet={timm_checkpoint}", setting)
    tower = backbone.load("cpu")
    model = timm.create_model("test_resnet", pretrained=False)
    model.load_state_dict(torch.load(timm_checkpoint, weights_only=True))
    model.reset_classifier(0)
    model.eval().to(memory_format=torch.channels_last)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    image = tower.preprocess(open_rgb(photo))
    with Image.open(photo) as opened:
        assert torch.equal(image, transform(opened.convert("RGB")))
    images = image[None].contiguous(memory_format=torch.channels_last)
    penultimate = tower.trunk(images)
    with torch.inference_mode():
        torch.testing.assert_close(tower.project(penultimate), model(images), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(penultimate, model.forward_features(images), rtol=1e-5, atol=1e-5)
    assert penultimate.ndim == 4
    assert tower.regions is not None
    regions = tower.regions(images, torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))
    torch.testing.assert_close(regions[:, 0], tower.project(penultimate), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(regions[:, 1], tower.project(penultimate), rtol=1e-4, atol=1e-4)
    assert tower.encode_text is None
    assert tower.logit_scale == 1.0
    assert not backbone.card.has_text


def test_timm_fingerprints_and_names(timm_checkpoint: Path, setting: Setting, tmp_path: Path) -> None:
    shutil.copy(timm_checkpoint, tmp_path / "moved.pt")
    fingerprint = find(f"timm:test_resnet={timm_checkpoint}", setting).fingerprint
    assert find(f"timm:test_resnet={tmp_path / 'moved.pt'}", setting).fingerprint == fingerprint
    bf16 = Setting(setting.cache, "bf16")
    assert find(f"timm:test_resnet={timm_checkpoint}", bf16).fingerprint != fingerprint
    assert find(f"timm:test_vit={timm_checkpoint}", setting).fingerprint != fingerprint
    (tmp_path / "moved.pt").write_bytes(b"other")
    assert find(f"timm:test_resnet={tmp_path / 'moved.pt'}", setting).fingerprint != fingerprint


def test_timm_errors(timm_checkpoint: Path, setting: Setting, nothing_cached: Path) -> None:
    with pytest.raises(UsageError, match="no model 'resnt50'; did you mean .*resnet50"):
        find("timm:resnt50", setting)
    with pytest.raises(UsageError, match="no checkpoint file absent.pt"):
        find("timm:test_resnet=absent.pt", setting)
    with pytest.raises(WeightsError, match=r"model.safetensors.*timm/resnet50.a1_in1k.*not fetched yet"):
        find("timm:resnet50.a1_in1k", setting)
    with pytest.raises(WeightsError, match="do not fit"):
        find(f"timm:test_vit={timm_checkpoint}", setting).load("cpu")


def test_a_timm_checkpoint_with_code_is_refused(setting: Setting, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save({"state_dict": Bomb(trap)}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="holds more than tensors"):
        find(f"timm:test_resnet={tmp_path / 'evil.pt'}", setting).load("cpu")
    assert not trap.exists()


def test_names_are_read_as_written() -> None:
    plain, full = OpenClip("ViT-B/16"), OpenClip("ViT-B/16:laion2b_s34b_b88k=~/a=b:c.pt")
    assert (plain.name, plain.tag, plain.checkpoint) == ("ViT-B/16", "openai", None)
    assert (full.name, full.tag, full.checkpoint) == ("ViT-B/16", "laion2b_s34b_b88k", Path("~/a=b:c.pt").expanduser())
    assert (Timm("resnet50.a1_in1k").model, Timm("m=x.pt").checkpoint) == ("resnet50.a1_in1k", Path("x.pt"))


def test_hashes_are_read_from_urls() -> None:
    sha256 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"
    assert _hash_in(f"https://host/clip/models/{sha256}/RN50.pt") == sha256
    assert _hash_in("https://host/resnet50_a1_0-14fe96d1.pth") == "14fe96d1"
    assert _hash_in("https://host/v0.1-weights/rn50-quickgelu.pt") is None


# Real weights


def test_a_real_model_gives_what_open_clip_gives(shared_data: Path, setting: Setting) -> None:
    folder = shared_data / "backbones" / "mobilenet-lit"
    paths = sorted((shared_data / "waterbirds_v1.0").glob("*/*.jpg"))[:5900:369]
    assert len(paths) == 16
    tower = find(f"local-dir:{folder}", setting).load("cpu")
    model, preprocess = reference(folder, torch.contiguous_format)
    found, expected = [], []
    with torch.inference_mode():
        for start in range(0, 16, 8):
            opened = [Image.open(path).convert("RGB") for path in paths[start : start + 8]]
            expected.append(model.encode_image(torch.stack([preprocess(image) for image in opened])))
            batch = torch.stack([tower.preprocess(open_rgb(path)) for path in paths[start : start + 8]])
            found.append(tower.project(tower.trunk(batch)))
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), rtol=1e-4, atol=1e-4)
