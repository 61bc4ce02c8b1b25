"""Fixtures that every test may use."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from spurbench.attribute_text import AttributeText
from spurbench.backbones import Parts, Tower
from spurbench.backbones.cutting import MatrixProjection
from spurbench.cards import DatasetCard
from spurbench.data import Examples, OwnFeatures
from spurbench.tasks import Prepared, Text
from spurbench.text_space import filled

from .records import easy_hard_record, make_attention, write_outcomes
from .studies import make_explanation, make_study, make_suspects

__all__ = [
    "easy_hard_record",
    "make_attention",
    "make_explanation",
    "make_study",
    "make_suspects",
    "write_outcomes",
]

# Shared machines stall now and then; a test's time is not what is tested.
hypothesis.settings.register_profile("steady", deadline=None)
hypothesis.settings.load_profile("steady")
# As the harness does for heads: sums depend on how many threads share them. Workers share the cores anyway.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


class ArraySource:
    """Features for a `Prepared`, from an array in memory."""

    def __init__(self, x: npt.NDArray[np.float32]) -> None:
        self.x = torch.from_numpy(x)

    def features(self, kind: str, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        return self.x[torch.from_numpy(rows)].clone()

    def boxes(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        raise AssertionError("no regions here")

    def images(self, rows: npt.NDArray[np.int64]) -> object:
        raise AssertionError("no images here")


@pytest.fixture(scope="session")
def array_source() -> type[ArraySource]:
    """The class, for tests that have features of their own."""
    return ArraySource


class Liblinear(LogisticRegression):  # type: ignore[misc]
    """scikit-learn's L1 regression by liblinear; how to ask for it changed in its version 1.8."""

    def __init__(self, C: float = 1.0, tol: float = 1e-4, max_iter: int = 5000) -> None:
        new = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
        penalty = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
        super().__init__(C=C, tol=tol, max_iter=max_iter, solver="liblinear", random_state=0, **penalty)


@pytest.fixture(scope="session")
def liblinear() -> type[Liblinear]:
    """The class of DFR's published recipe."""
    return Liblinear


MakePrepared = Callable[..., Prepared]


@pytest.fixture
def make_prepared() -> MakePrepared:
    """Build a small `Prepared`: K classes, A attributes, features that carry both, group sizes as given."""

    def make(
        train: tuple[int, ...] = (60, 12, 8, 40),
        val: tuple[int, ...] = (30, 24, 20, 26),
        test: tuple[int, ...] = (40, 30, 35, 25),
        n_attributes: int = 2,
        d: int = 6,
        seed: int = 0,
    ) -> Prepared:
        n_classes = len(train) // n_attributes
        rng = np.random.default_rng(seed)
        sizes = np.concatenate([train, val, test])
        group = np.concatenate([np.repeat(np.arange(len(part)), part) for part in (train, val, test)])
        split = np.repeat([0, 1, 2], [sum(train), sum(val), sum(test)])
        order = rng.permutation(int(sizes.sum()))
        group, split = group[order].astype(np.int64), split[order].astype(np.int64)
        y, a = group // n_attributes, group % n_attributes
        x = rng.normal(size=(len(y), d)).astype(np.float32)
        x[:, 0] += 1.2 * y
        x[:, 1] += 2.0 * a
        text = np.zeros((n_classes, d), np.float32)
        text[:, 0] = np.arange(n_classes)
        text[:, 2] = 1.0
        own = OwnFeatures("toy", x, text)
        examples = Examples([f"e{i}" for i in range(len(y))], y, a, split, n_classes, n_attributes, features=own)
        card = DatasetCard(
            name="toy",
            title="toy",
            classes=tuple(f"c{k}" for k in range(n_classes)),
            attributes=tuple(f"a{k}" for k in range(n_attributes)),
            licence="none",
            own_features=True,
        )
        unit = torch.nn.functional.normalize(torch.from_numpy(text), dim=-1)
        return Prepared(
            card, examples, ArraySource(x), Text(unit, None, 100.0, None), ("toy", "own"), torch.device("cpu")
        )

    return make


SIDE = {"vit": 16, "modified-resnet": 32, "timm": 32}
TOWERS: dict[str, dict[str, Any]] = {
    "vit": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "modified-resnet": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "timm": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear"},
}
WORDS = {"context_length": 12, "vocab_size": 64, "width": 16, "heads": 2, "layers": 2}
TEMPLATES = ("a {}", "the {}", "no {}")


class Speckles:
    """Photos of noise, whose brightness tells the class and whose left half tells the attribute."""

    at_once = 1

    def __init__(self, examples: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], side: int) -> None:
        self.y, self.a = examples
        self.side = side
        self.opened: list[int] = []
        self.most: int | None = None

    def __len__(self) -> int:
        return len(self.y)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """Raises KeyboardInterrupt once `most` photos were opened."""
        if self.most is not None and len(self.opened) + len(rows) > self.most:
            raise KeyboardInterrupt
        self.opened += rows
        return [self._one(row) for row in rows]

    def _one(self, row: int) -> Image.Image:
        pixels = np.random.default_rng(row).integers(0, 150, (self.side, self.side, 3))
        pixels += 30 * int(self.y[row])
        pixels[:, : self.side // 2, 0] += 60 * int(self.a[row])
        return Image.fromarray(pixels.astype(np.uint8))

    def fingerprint(self, ids: Sequence[str], hashes: object) -> str:
        return "speckles"


def preprocess(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 64 - 1.5


def tokenize(texts: Sequence[str]) -> torch.Tensor:
    """Letters; the end is the largest token, where open_clip looks for it."""
    tokens = torch.zeros(len(texts), 12, dtype=torch.long)
    for row, text in zip(tokens, texts, strict=True):
        letters = [1 + ord(letter) % 60 for letter in text[:11]]
        row[: len(letters) + 1] = torch.tensor([*letters, 63])
    return tokens


@dataclass(frozen=True)
class Gallery:
    """Photos under a tiny open_clip model of random weights.

    Attributes:
        model: the model itself, whole; what is prepared has a copy of it.
    """

    model: Any
    prepared: Prepared
    photos: Speckles


def build_gallery(kind: str, n: int = 40, precision: str = "fp32") -> Gallery:
    """`n` training photos, half as many for validation and test."""
    # Imported here: most tests need none of it, and it takes seconds.
    import open_clip

    from spurbench.backbones import Parts, Tower
    from spurbench.backbones.cutting import cut_image, cut_text
    from spurbench.workbench import Features

    torch.manual_seed(5)
    vision = {**TOWERS[kind], "image_size": SIDE[kind]}
    model: Any = open_clip.CLIP(8, vision, WORDS).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    copied = copy.deepcopy(model).requires_grad_(False)
    trunk, projection = cut_image(copied.visual)
    text_trunk, text_projection = cut_text(copied)
    trunk.to(memory_format=torch.channels_last)
    parts = Parts(trunk, projection, tokenize, text_trunk, text_projection)
    scale, modules = float(copied.logit_scale.exp()), (trunk, projection)
    tower = Tower(preprocess, trunk, projection, None, scale, parts, precision, modules=modules)
    split = np.repeat([0, 1, 2], [n, n // 2, n // 2])
    y, a = np.arange(len(split)) % 2, np.arange(len(split)) // 2 % 2
    photos = Speckles((y, a), SIDE[kind])
    examples = Examples([f"p{i}" for i in range(len(y))], y, a, split, 2, 2, photos=photos)
    card = DatasetCard("speckles", "speckles", ("dim", "bright"), ("left", "none"), "none")
    prompts = tuple(tuple(template.replace("{}", name) for template in TEMPLATES) for name in card.classes)
    with torch.no_grad():
        embedded = model.encode_text(tokenize([prompt for some in prompts for prompt in some]), normalize=True)
    vectors = torch.nn.functional.normalize(embedded.reshape(2, len(TEMPLATES), -1).mean(dim=1), dim=-1)
    text = Text(vectors, None, tower.logit_scale, None, None, TEMPLATES)
    loaded: Any = lambda: tower  # noqa: E731
    source = Features({}, photos, loaded)
    prepared = Prepared(card, examples, source, text, ("speckles", kind), torch.device("cpu"), tower=loaded)
    return Gallery(model, prepared, photos)


@pytest.fixture
def make_gallery() -> Callable[..., Gallery]:
    """Build a `Gallery` of one kind of tower: vit, modified-resnet or timm."""
    return build_gallery


class TinyText(torch.nn.Module):
    """Tokens (n, 3) -> (n, 8); the names of its parts are open_clip's."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = torch.nn.Embedding(50, 8)
        self.positional_embedding = torch.nn.Parameter(torch.randn(3, 8))
        self.transformer = torch.nn.Linear(8, 8)
        self.ln_final = torch.nn.LayerNorm(8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding
        mixed: torch.Tensor = self.ln_final(torch.tanh(self.transformer(x.mean(dim=1))) + x[:, 0])
        return mixed


def numbers_of(texts: Sequence[str]) -> torch.Tensor:
    """(n, 3) numbers below 50 that anyone can compute."""
    return torch.tensor([[zlib.crc32(f"{text} {i}".encode()) % 50 for i in range(3)] for text in texts])


@pytest.fixture(scope="session")
def with_tower() -> Callable[..., Prepared]:
    """Give a `Prepared` a tower: its features become penultimate ones, before a matrix; texts have a tower, too."""

    def make(prepared: Prepared, templates: Sequence[str] = ("a {}.", "{}!", "the {}?", "{}"), d: int = 16) -> Prepared:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            width = prepared.source.features("penultimate", np.arange(1)).shape[1]
            trunk, projection = torch.nn.Identity(), MatrixProjection(torch.nn.Parameter(torch.randn(width, d)))
            text = torch.nn.Sequential(TinyText(), MatrixProjection(torch.nn.Parameter(torch.randn(8, d))))
        text.eval().requires_grad_(False)
        parts = Parts(trunk, projection.eval().requires_grad_(False), numbers_of, text[0], text[1])
        tower = Tower(lambda image: torch.zeros(3, 1, 1), trunk, projection, None, 1.0, parts)
        card, values = prepared.card, prepared.card.attributes
        told = AttributeText(names=values, settings=tuple(f"thing in {value}" for value in values))

        def unit(x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(x, dim=-1)

        vectors = [unit(unit(text(numbers_of(filled(templates, name)))).mean(dim=0)) for name in card.classes]
        side = Text(torch.stack(vectors), None, 100.0, lambda texts: text(numbers_of(texts)), None, tuple(templates))
        card = replace(card, own_features=False, attribute_text=told)
        return replace(prepared, card=card, text=side, tower=lambda: tower)

    return make


@dataclass(frozen=True)
class AnimalLayout:
    """CounterAnimal's layout in small.

    Attributes:
        folder: that of the class folders.
        photos: by path below it: the class's ImageNet index, 0 easy or 1 hard, and the photo's grey.
        cut: the one photo that is cut short.
    """

    folder: Path
    photos: dict[str, tuple[int, int, int]]
    cut: str


def lay_out_animals(
    folder: Path, classes: Sequence[tuple[int, str]] | None = None, n: int = 3, seed: int = 0, cut: bool = True
) -> AnimalLayout:
    """Write all 45 classes, or those given, with `n` to `n + 3` tiny photos in each group: odd casing, stray files,
    `.jpeg` and `.jpg` of one stem, one photo cut short, one class whose easy photos are in two folders.

    Args:
        classes: index and name of each.
        cut: whether one photo is cut short.
    """
    from spurbench_datasets.counteranimal.published import published_classes

    rng = np.random.default_rng(seed)
    photos: dict[str, tuple[int, int, int]] = {}
    named = classes or [(one.imagenet_idx, one.name) for one in published_classes().values()]
    for place, (index, name) in enumerate(named):
        title = f"{index} {name.capitalize() if place % 3 == 1 else name}"
        groups = [("common-green", 0), ("Counter-Sky" if place % 4 == 2 else "counter-sky", 1)]
        groups += [("COMMON-green water", 0)] if place == 0 else []
        for kind, group in groups:
            (folder / title / kind).mkdir(parents=True)
            for photo in range(int(rng.integers(n, n + 4))):
                # One stem, two photos.
                file = ("twin.jpg", "twin.jpeg")[photo] if photo < 2 else f"{photo:02}.{('PNG', 'jpg')[photo % 2]}"
                grey = int(rng.integers(0, 256))
                path = folder / title / kind / file
                Image.new("RGB", (20 + photo, 16), (grey, 255 - grey, grey // 2)).save(path)
                photos[f"{title}/{kind}/{file}"] = (index, group, grey)
        (folder / title / "notes.txt").write_text("not a photo")
    (folder / "readme.py").write_text("print()")
    (folder / "__MACOSX").mkdir()
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / title / groups[1][0] / "._twin.jpg").write_bytes(b"Mac OS X")
    last = f"{title}/{groups[1][0]}/twin.jpg"
    if cut:
        noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / last)
        whole = (folder / last).read_bytes()
        (folder / last).write_bytes(whole[: len(whole) // 2])
    return AnimalLayout(folder, photos, last)


@pytest.fixture(scope="session")
def counteranimal_layout() -> Callable[..., AnimalLayout]:
    """Write CounterAnimal's layout in small into a folder."""
    return lay_out_animals
