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

from spurbench.attention import MEASURES, UNIT, Attention, attention_name
from spurbench.attribute_text import AttributeText
from spurbench.backbones import Parts, Tower
from spurbench.backbones.cutting import MatrixProjection
from spurbench.board.attention import AttentionCell
from spurbench.cards import DatasetCard
from spurbench.data import Examples, OwnFeatures
from spurbench.discovery import Evidence
from spurbench.explained import Baseline, Explanation, Panel
from spurbench.explanation import How, Maps
from spurbench.files import digest
from spurbench.findings.report import Provenance, Tally
from spurbench.record import GROUPS, Record, array_hash, predictions_name, record_path, write_record
from spurbench.stats.means import GroupMeans, Interval
from spurbench.study import Study
from spurbench.suspects.report import ClassRow, Photo, Suspect, SuspectsReport, WordList
from spurbench.tasks import Prepared, Text
from spurbench.text_space import filled

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


class Mosaics:
    """Photos of 60 x 40 pixels, a colour in each quarter, which spells out the row and the quarter."""

    at_once = 1

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    @staticmethod
    def colour(row: int, quarter: int) -> tuple[int, int, int]:
        return (row, 60 * quarter, 255 - row)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        return [self._one(row) for row in rows]

    def _one(self, row: int) -> Image.Image:
        photo = Image.new("RGB", (60, 40))
        for quarter in range(4):
            left, top = 30 * (quarter % 2), 20 * (quarter // 2)
            photo.paste(self.colour(row, quarter), (left, top, left + 30, top + 20))
        return photo

    def fingerprint(self, ids: Sequence[str], hashes: object) -> str:
        return "mosaics"


@dataclass(frozen=True, kw_only=True)
class Studied(Study):
    """A study, and which quarter of its photo each of its regions is."""

    quarters: npt.NDArray[np.int64]


def build_study(
    n: int = 40,
    classes: Sequence[str] = ("cat", "dog", "cow"),
    attributes: Sequence[str] = ("lawn", "sofa"),
    seed: int = 0,
    truth: bool = True,
    ids: Sequence[str] = (),
    title: str = "Mosaics",
) -> Studied:
    """Validation photos of random classes, predictions and quarters; some photos without any, some training photos."""
    rng = np.random.default_rng(seed)
    split = rng.permutation(np.repeat([0, 1], [n // 2, n]))
    y, a = rng.integers(0, len(classes), len(split)), rng.integers(0, len(attributes), len(split))
    names = ids or [f"photo-{row}.png" for row in range(len(split))]
    photos = Mosaics(len(split))
    examples = Examples(names, y, a, split, len(classes), len(attributes), photos=photos)
    card = DatasetCard("mosaics", title, tuple(classes), tuple(attributes), "none")
    rows = examples.rows("val")
    seen = rng.random((n, 4)) < 0.6
    image_of, quarters = np.nonzero(seen)
    scores = rng.dirichlet(np.ones(len(classes)), n).astype(np.float32)
    alone = rng.dirichlet(np.ones(len(classes)), len(image_of)).astype(np.float32)
    left, top = quarters % 2 / 2, quarters // 2 / 2
    boxes = np.stack([left, top, left + 0.5, top + 0.5], axis=1).astype(np.float32)
    unit = np.eye(4, dtype=np.float32)
    evidence = Evidence(
        torch.from_numpy(examples.y[rows]),
        torch.from_numpy(unit[rows % 4]),
        torch.from_numpy(scores),
        torch.from_numpy(image_of),
        torch.from_numpy(unit[quarters]),
        torch.from_numpy(alone),
    )
    known = rng.random(len(image_of)) < 0.5 if truth else None
    return Studied(
        card=card,
        examples=examples,
        backbone="tiny",
        model="zero-shot",
        regions="quadrants",
        split="val",
        rows=rows,
        evidence=evidence,
        boxes=boxes,
        truth=known,
        why_no_truth="" if truth else "nobody drew boxes",
        quarters=quarters,
    )


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Studied]:
    """Build a study of photos whose pixels tell the region, without a model."""
    return build_study


THRESHOLDS = (0.25, 0.5, 0.75)


def build_explanation(
    methods: Sequence[str] = ("zero_shot", "erm"),
    classes: Sequence[str] = ("cat", "dog", "cow"),
    attributes: Sequence[str] = ("lawn", "sofa"),
    per_group: int = 2,
    seed: int = 0,
    known: bool = True,
    ids: Sequence[str] = (),
    title: str = "Mosaics",
    notes: Sequence[str] = ("a note",),
) -> Explanation:
    """Random maps, predictions and numbers of six test photos of each group, some of which are shown.

    Args:
        known: whether it is known where the objects are.
    """
    rng = np.random.default_rng(seed)
    n_groups = len(classes) * len(attributes)
    groups = np.repeat(np.arange(n_groups), 6)
    y, a = groups // len(attributes), groups % len(attributes)
    names = ids or [f"photo-{row}.png" for row in range(len(y))]
    test = np.full(len(y), 2)
    examples = Examples(names, y, a, test, len(classes), len(attributes), photos=Mosaics(len(y)))
    rows = np.flatnonzero(np.arange(len(y)) % 6 < per_group)
    m = len(rows)

    def means() -> GroupMeans:
        spans = np.sort(rng.random((n_groups + 1, 3)), axis=1).tolist()
        # The last group is one that was not measured.
        found = [Interval(mean, low, high) for low, mean, high in spans]
        return GroupMeans((*found[1:-1], None), found[0])

    def cell() -> AttentionCell:
        photos, area = (*(5,) * (n_groups - 1), 0), (*(0.25,) * (n_groups - 1), 0.0)
        curve = tuple(rng.random(len(THRESHOLDS)).tolist())
        return AttentionCell(
            "c", "m", "grad-cam", "layer4", "odds", "masks", 3, photos, area, dict.fromkeys(MEASURES, area),
            means(), means(), means(), THRESHOLDS, curve, 0,
        )  # fmt: skip

    def panel(method: str) -> Panel:
        predicted = rng.integers(0, len(classes), m)
        rival = (y[rows] + rng.integers(1, len(classes), m)) % len(classes)
        true, confused = rng.random((2, m, 3, 3)).astype(np.float32)
        maps = Maps(true, confused, rival, rng.normal(size=(m, len(classes))).astype(np.float32))
        accuracy = (*rng.random(n_groups - 1).tolist(), None)
        return Panel(
            method, f"The {method}", 1, predicted, maps, float(rng.random()), accuracy, cell() if known else None
        )

    # What towers that cut the middle out see of photos of 60 x 40.
    frames = np.tile(np.array([1 / 6, 0, 5 / 6, 1], dtype=np.float32), (m, 1))
    names = ("the same everywhere", "a blob in the middle")
    baselines = tuple(Baseline(name, means(), means(), means()) for name in names)
    return Explanation(
        card=DatasetCard("mosaics", title, tuple(classes), tuple(attributes), "none"),
        examples=examples,
        backbone="tiny",
        rules="v1",
        selection="worst_group",
        how=How(),
        kind="grad-cam",
        layer="layer4",
        split="test",
        rows=rows,
        frames=frames,
        objects=rng.random((m, 8, 8)) < 0.5 if known else None,
        panels=tuple(map(panel, methods)),
        baselines=baselines if known else (),
        why_no_objects="" if known else "nobody drew masks",
        left_out={"no mask": 6} if known else {},
        notes=tuple(notes),
        provenance={"data": "ab" * 32, "torch": "2"},
    )


@pytest.fixture(scope="session")
def make_explanation() -> Callable[..., Explanation]:
    """Build an explanation of photos of four colours, without a model."""
    return build_explanation


@pytest.fixture(scope="session")
def make_suspects() -> Callable[..., SuspectsReport]:
    """Build a report of suspects from words, their phrases and p-values; classes with and without photos of each."""

    def make(
        words: Sequence[tuple[str, str, float]] = (("water", "on water", 0.0001), ("forest", "in a forest", 0.0314)),
        classes: Sequence[str] = ("landbird", "waterbird"),
        photos: Sequence[Photo] = (),
        placebo: float | Sequence[float] = 0.001,
        data: str = "cd" * 32,
        agreement: Sequence[Sequence[float]] | None = None,
        **changes: Any,
    ) -> SuspectsReport:
        """Classes are right in 10, 20, ... % with each word and in 90 % without; `photos` are every suspect's.

        `agreement` is each word's with those before it; 0 throughout if it is left out.
        """
        beside = [placebo] * len(words) if isinstance(placebo, float) else placebo

        def row(k: int, rank: int) -> ClassRow:
            present, absent = Tally(hits=min(4 * (k + 1), 40), total=40), Tally(hits=54, total=60)
            return ClassRow(
                label=classes[k], present=present, absent=absent, threshold=0.2, information=0.1 / (k + rank),
                gap=present.hits / present.total - absent.hits / absent.total, p_value=0.0001,
            )  # fmt: skip

        suspects = [
            Suspect(
                rank=rank, word=word, kind="scene", phrase=phrase, information=0.1234 / rank, p_value=p,
                placebo=beside[rank - 1], agreement=list(agreement[rank - 1] if agreement else [0.0] * (rank - 1)),
                classes=[row(k, rank) for k in range(len(classes))], photos=list(photos),
            )
            for rank, (word, phrase, p) in enumerate(words, 1)
        ]  # fmt: skip
        told: dict[str, Any] = {
            "dataset": "birds", "title": "Birds", "backbone": "tiny", "seen_by": "tiny-2", "model": "zero-shot",
            "split": "val", "prompts": "photo", "words": WordList(sha256="ab" * 32, n=1836), "excluded": ["palm tree"],
            "indistinct": ["kettle"], "classes": list(classes), "right": Tally(hits=215, total=300),
            "permutations": 9999, "directions": 999, "n_directions_below_level": 417,
            "n_suspects_below_level": sum(p <= 0.05 for _, _, p in words),
            "n_suspects_beyond_directions": sum(
                word[2] <= 0.05 and share <= 0.05 for word, share in zip(words, beside, strict=True)
            ),
            "provenance": Provenance(seed=0, fingerprints={"data": data}, environment={"torch": "2"}),
        }  # fmt: skip
        return SuspectsReport(**{**told, **changes}, suspects=suspects)

    return make


@pytest.fixture(scope="session")
def easy_hard_record() -> Callable[..., Record]:
    """Build a complete record of a data set of easy and hard photos, from counts per group."""

    def make(correct: Sequence[Any], total: Sequence[int], **changes: Any) -> Record:
        """`correct`: counts, or counts of each seed."""
        per_seed = [correct] if isinstance(correct[0], int) else correct
        n_classes = len(total) // 2
        seeds = [
            {
                "seed": seed,
                "status": "ok",
                "selection_total": [0] * len(total),
                "test_total": list(total),
                "configs": [{}],
                "candidates": [[0, 0, [0] * len(total), list(counts)]],
                "selected": {"worst_group": {"candidate": 0, "test": list(counts), "predictions": ""}},
            }
            for seed, counts in enumerate(per_seed)
        ]
        return Record.model_validate(
            {
                "rules": "v1",
                "dataset": "animals",
                "backbone": "RN50",
                "method": "zero_shot",
                "key": digest({}),
                "key_parts": {},
                "title": "t",
                "paper": "",
                "supervision": [],
                "trains": "nothing",
                "refit": False,
                "prompts": "synset",
                "classes": [f"c{k}" for k in range(n_classes)],
                "attributes": ["easy", "hard"],
                "train_total": [0] * len(total),
                "budget": {"seeds": len(seeds), "configurations": 1},
                "confidence": 0.95,
                "test_groups": "",
                "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {}},
                "seeds": seeds,
                **changes,
            }
        )

    return make


CENTRE = {"aiou": 0.5, "pointing": 0.6, "energy": 0.3}
"""What a blob in the middle gets, in made-up attention."""


def attention_of(
    record: Record, groups: Any, seed: int = 0, *, photos: Sequence[int] = (4, 3, 2, 5), **changes: Any
) -> tuple[Attention, dict[str, npt.NDArray[np.int16]]]:
    """Made-up attention of every selected model of a record, and its arrays.

    Args:
        groups: (n_test,) of the test examples.
        seed: of the numbers.
        photos: the first so many of each group were looked at.
        changes: of the attention's other fields.
    """
    rng, groups = np.random.default_rng(seed), np.asarray(groups)
    looked = np.zeros(len(groups), bool)
    for group, count in enumerate(photos):
        looked[np.flatnonzero(groups == group)[:count]] = True
    arrays: dict[str, npt.NDArray[np.int16]] = {}
    seeds: dict[str, Any] = {}
    for result in record.done:
        for rule in result.selected:
            # (n, 3 thresholds), whose mean is what is kept of each photo.
            shares = rng.random((len(groups), 3)) * (0.5 + rng.random() / 2)
            curve = [
                [float(shares[looked & (groups == g), t].mean()) if n else 0.0 for g, n in enumerate(photos)]
                for t in range(3)
            ]
            own = (shares.mean(axis=1), rng.integers(0, 2, len(groups)), rng.random(len(groups)))
            hashes = {}
            for measure, values in zip(MEASURES, own, strict=True):
                array = np.where(looked, np.rint(UNIT * values), -1).astype(np.int16)
                arrays[attention_name(result.seed, rule, measure)] = array
                hashes[measure] = array_hash(array)
            seen = {"arrays": hashes, "iou": curve, "aiou": curve, "changed": 0}
            seeds.setdefault(str(result.seed), {})[rule] = seen
    made = {
        "code": "c",
        "kind": "grad-cam",
        "layer": "layer4",
        "score": "odds",
        "objects": "masks",
        "masks": "m",
        "thresholds": [0.25, 0.5, 0.75],
        "photos": list(photos),
        "area": [0.2 if n else 0.0 for n in photos],
        "centre": {name: [share if n else 0.0 for n in photos] for name, share in CENTRE.items()},
        "seeds": seeds,
    }
    return Attention.model_validate({**made, **changes}), arrays


@pytest.fixture(scope="session")
def make_attention() -> Callable[..., tuple[Attention, dict[str, npt.NDArray[np.int16]]]]:
    """Build attention of a record."""
    return attention_of


@pytest.fixture(scope="session")
def write_outcomes() -> Callable[..., Record]:
    """Write a record and its predictions into a results folder, from what each seed got right."""

    def write(results: Path, method: str, right: Any, groups: Any, **changes: Any) -> Record:
        """`right` (S, n) bool, or one such matrix for each selection rule; `groups` (n,) of 2 classes x 2 values.

        `looked`: keywords of `attention_of`; without it, nobody has looked into the models.
        """
        looked = changes.pop("looked", None)
        groups = np.asarray(groups, np.int16)
        chosen = {rule: np.asarray(some) for rule, some in (right if isinstance(right, dict) else {}).items()}
        chosen = chosen or dict.fromkeys(("worst_group", "worst_class", "average"), np.asarray(right))
        arrays, seeds = {GROUPS: groups}, []
        for seed in range(len(next(iter(chosen.values())))):
            candidates, selected = [], {}
            for rule, some in chosen.items():
                predicted = np.where(some[seed], groups // 2, 1 - groups // 2).astype(np.int16)
                counts = [int(some[seed][groups == g].sum()) for g in range(4)]
                arrays[predictions_name(seed, rule)] = predicted
                selected[rule] = {
                    "candidate": len(candidates), "test": counts, "predictions": array_hash(predicted)
                }  # fmt: skip
                candidates.append([len(candidates), 0, [1, 1, 1, 1], counts])
            seeds.append(
                {
                    "seed": seed,
                    "status": "ok",
                    "selection_total": [10] * 4,
                    "test_total": [int((groups == g).sum()) for g in range(4)],
                    "configs": [{"C": float(i)} for i in range(len(candidates))],
                    "candidates": candidates,
                    "selected": selected,
                }
            )
        parts = changes.pop("key_parts", {})
        record = Record.model_validate(
            {
                "rules": "v1",
                "dataset": "birds",
                "backbone": "RN50",
                "method": method,
                "key": digest(parts),
                "key_parts": parts,
                "title": method,
                "paper": "",
                "supervision": [],
                "trains": "linear head",
                "refit": False,
                "prompts": "",
                "classes": ["landbird", "waterbird"],
                "attributes": ["land", "water"],
                "train_total": [70, 5, 5, 20],
                "budget": {"seeds": len(seeds), "configurations": 8},
                "confidence": 0.95,
                "test_groups": array_hash(groups),
                "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {"0": 1.5}},
                "seeds": seeds,
                **changes,
            }
        )
        if looked is not None:
            attention, more = attention_of(record, groups, **looked)
            record, arrays = record.model_copy(update={"attention": attention}), arrays | more
        path = record_path(results, record.rules, record.dataset, record.backbone, record.method)
        write_record(path, record, arrays)
        return record

    return write


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
