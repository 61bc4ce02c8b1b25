"""Training projections on cached features against whole towers; texts, many problems at once, copies of modules."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from spurbench.backbones import Parts, Tower
from spurbench.cards import Input, MethodCard, Supervision
from spurbench.data import View
from spurbench.errors import ConfigurationError, MethodError
from spurbench.files import digest
from spurbench.heads import shuffled
from spurbench.jobs import Job
from spurbench.keys import key_parts
from spurbench.method import Bundle, Fitted, Problem, Task
from spurbench.model_space import ModelSpace
from spurbench.projections import (
    SGD,
    PenultimateRows,
    ProjectionHead,
    Shared,
    Step,
    TextSide,
    TextTraining,
    fit_projections,
    form_of,
    train,
)
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view, view_of
from spurbench.workbench import Workbench

if TYPE_CHECKING:
    from conftest import MakePrepared

# Against whole towers: photos, a saved open_clip model, the store


TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VISION: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "modified-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "timm": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32},
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.3] * 3, "interpolation": "bilinear", "resize_mode": "shortest"}


class Asks:
    """A method that is there to be given things."""

    space: Mapping[str, Any] = {}

    def __init__(self, *inputs: Input) -> None:
        self.card = MethodCard(
            "asks", "Asks", "none", Supervision(), inputs=inputs, trains="projection", track="projection"
        )

    def fit(self, task: Task, config: Any) -> Any:
        raise NotImplementedError


EVERYTHING = Asks("penultimate", "images", "text")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 15), ("val", 1), ("test", 6)):
        for y, label in enumerate(("gull", "wren")):
            for a, place in enumerate(("land", "water")):
                folder = root / split / label / place
                folder.mkdir(parents=True)
                for i in range(count):
                    pixels = rng.integers(0, 120, (32, 32, 3)) + 100 * np.array([y, a, 1 - y])
                    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Callable[[str], Prepared]:
    """The photos under a backbone, as the harness prepares them: features go through the store."""
    known: dict[str, Prepared] = {}

    def of(kind: str) -> Prepared:
        if kind not in known:
            folder, cache = tmp_path_factory.mktemp(kind), tmp_path_factory.mktemp("cache")
            config = {"embed_dim": 24, "vision_cfg": VISION[kind], "text_cfg": TEXT}
            content = {"model_cfg": config, "preprocess_cfg": PREPROCESS}
            (folder / "open_clip_config.json").write_text(json.dumps(content))
            torch.manual_seed(3)
            model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
            for part in model.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.weight, 0.1, 0.3)
                    part.momentum = 1.0
            # Statistics under which maps have a size; those of a new network fade from layer to layer.
            size = VISION[kind]["image_size"]
            model.train().visual(torch.randn(16, 3, size, size))
            state = {name: value.contiguous() for name, value in model.state_dict().items()}
            save_file(state, folder / "open_clip_model.safetensors")
            job = Job(
                "", f"folder:{photos}", f"local-dir:{folder}", "asks", (0,), load_rules("quick"), folder, cache,
                "cpu", "fp32", 2**30, isolated=False,
            )  # fmt: skip
            bench = Workbench(load_registries(), job)
            key = digest(key_parts(EVERYTHING, bench.data, bench.backbone, job.rules))
            known[kind] = bench.prepare(replace(job, key=key), EVERYTHING, lambda event: None)
        return known[kind]

    return of


def task_in(prepared: Prepared, method: Asks = EVERYTHING) -> Task:
    rows = prepared.examples.rows("val")[:0]
    return make_task(method, prepared, train_view(method, prepared), rows, Seed(("test",)))


CONFIGS: tuple[dict[str, float], ...] = ({"lr": 1e-3, "weight_decay": 1e-2}, {"lr": 1e-2, "weight_decay": 1e-3})
BATCH, EPOCHS = 16, 2


def batches(n: int) -> Iterator[torch.Tensor]:
    return shuffled(n, BATCH, torch.Generator().manual_seed(5))


def fitted_heads(
    task: Task, training: TextTraining, epochs: Sequence[int] = (EPOCHS,), limit: int = 2**30
) -> list[Sequence[ProjectionHead]]:
    """Both configurations, trained by cross-entropy."""
    bundle, y = Bundle(task, CONFIGS, (0, 1)), task.train.y
    text = TextSide.of(task.model, {"classes": task.text.class_prompts()}, training, 2)

    def loss(step: Step) -> torch.Tensor:
        z = step.zero_shot_logits(step.embed(step.batch))
        return torch.stack([cross_entropy(one, y[step.batch]) for one in z])

    rows = PenultimateRows(task.train, task.device, limit)
    made = train(bundle, rows, text, loss, batches(len(y)), -(-len(y) // BATCH), epochs)
    return cast("list[Sequence[ProjectionHead]]", made)


def through_the_tower(
    task: Task, test: View, config: Mapping[str, float], training: TextTraining, *, stored: bool
) -> torch.Tensor:
    """Test logits of a plain loop that runs both towers on every batch.

    Args:
        stored: maps are rounded as the store rounds them.
    """
    model, texts = task.model, task.text.class_prompts()
    trunk, projection = model.trunk().requires_grad_(False), model.projection()
    words, last = model.text_trunk().requires_grad_(training == "released"), model.text_projection()
    trained = [*projection.parameters()]
    if training == "released":
        words.get_submodule("transformer").requires_grad_(False)
        trained += [parameter for parameter in words.parameters() if parameter.requires_grad]
    trained += [] if training == "frozen" else last.parameters()
    log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
    optimiser = torch.optim.SGD([*trained, log_scale], config["lr"], 0.9, weight_decay=config["weight_decay"])
    tokens = model.tokenize([text for some in texts for text in some])

    def logits(images: torch.Tensor) -> torch.Tensor:
        x = trunk(images)
        x = x.half().float() if stored and x.ndim > 2 else x
        vectors = normalize(last(words(tokens)), dim=-1).reshape(len(texts), len(texts[0]), -1)
        classes = normalize(vectors.mean(dim=1), dim=-1)
        return cast("torch.Tensor", log_scale.exp() * normalize(projection(x), dim=-1) @ classes.T)

    images, y = torch.stack(list(task.train.images())), task.train.y
    source = batches(len(y))
    for _ in range(EPOCHS * -(-len(y) // BATCH)):
        rows = next(source)
        optimiser.zero_grad()
        cross_entropy(logits(images[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        log_scale.data.clamp_(max=float(np.log(100)))
    with torch.no_grad():
        return logits(torch.stack(list(test.images())))


@pytest.mark.parametrize("training", ["frozen", "projection", "released"])
@pytest.mark.parametrize("kind", VISION)
def test_training_on_cached_features_is_training_through_the_tower(
    kind: str, training: TextTraining, labs: Callable[[str], Prepared]
) -> None:
    prepared = labs(kind)
    task, test = task_in(prepared), view_of(EVERYTHING, prepared, "evaluation", prepared.examples.rows("test"))
    features = prepared.source.features("penultimate", np.arange(2))
    assert features.ndim == (4 if kind == "modified-resnet" else 2)
    untrained = PenultimateRows(task.train, task.device, 2**30)[torch.arange(5)]
    assert torch.equal(untrained, task.train.penultimate()[:5])
    for config, (head,) in zip(CONFIGS, fitted_heads(task, training), strict=True):
        expected = through_the_tower(task, test, config, training, stored=True)
        found = head.logits(test)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        assert head.scale != pytest.approx(1 / 0.07, abs=1e-3)
        exact = through_the_tower(task, test, config, training, stored=False)
        # Maps are stored in 16 bits, which costs more than the rest; nothing where vectors are.
        torch.testing.assert_close(found, exact, atol=1e-4 if features.ndim == 2 else 0.05, rtol=0)
        assert found.std(dim=0).min() > 0.1, "logits that hardly differ between photos show nothing"
        start = ProjectionHead(*form_of(task.model.projection()), task.text.classes(), 1 / 0.07)
        assert (found - start.logits(test)).abs().max() > 0.05


def test_the_limit_of_the_scale_and_snapshots_along_training(with_tower: Any, make_prepared: MakePrepared) -> None:
    task = task_in(with_tower(make_prepared(d=8)))
    bundle = Bundle(task, ({"lr": 0.01, "weight_decay": 0.0}, {"lr": 10.0, "weight_decay": 0.0}), (0, 1))
    text = TextSide.of(task.model, {"classes": task.text.class_prompts()}, "frozen", 2)
    rows = PenultimateRows(task.train, task.device, 2**30)
    seen: list[tuple[int, float]] = []

    def loss(step: Step) -> torch.Tensor:
        seen.append((step.epoch, float(step.scale[0].detach())))
        assert torch.all(step.scale <= 100.001)
        return -step.scale.log().flatten() + 0 * step.embed(step.batch).sum(dim=(1, 2))

    made = train(bundle, rows, text, loss, batches(len(rows)), 3, [1, 2, 4])
    assert [epoch for epoch, _ in seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    slow, fast = cast("list[list[ProjectionHead]]", made)
    assert [len(slow), len(fast)] == [3, 3]
    assert seen[0][1] == pytest.approx(1 / 0.07)
    assert [head.scale for head in slow] == pytest.approx([seen[3][1], seen[6][1], slow[2].scale])
    assert slow[0].scale < slow[1].scale < slow[2].scale < 100
    assert [head.scale for head in fast] == pytest.approx([100] * 3)


# Texts


def prompts_of(task: Task) -> dict[str, list[list[str]]]:
    return {"classes": task.text.class_prompts(), "others": [["one", "two", "three"]]}


@pytest.mark.parametrize("kind", ["vit", "tiny"])
def test_every_text_side_starts_from_the_zero_shot_vectors(
    kind: str, labs: Callable[[str], Prepared], with_tower: Any, make_prepared: MakePrepared
) -> None:
    task = task_in(with_tower(make_prepared(d=8)) if kind == "tiny" else labs(kind))
    sides = {how: TextSide.of(task.model, prompts_of(task), how, 3) for how in ("frozen", "projection", "released")}
    for how, side in sides.items():
        count = 1 if how == "frozen" else 3
        n, templates = len(task.text.class_prompts()), len(task.text.class_prompts()[0])
        assert side.templates("classes").shape == (count, n, templates, task.text.classes().shape[1])
        torch.testing.assert_close(
            side.zero_shot(), task.text.classes().expand(count, -1, -1), atol=1e-5, rtol=1e-4, msg=how
        )
        torch.testing.assert_close(side.templates("others")[0], sides["frozen"].templates("others")[0])
        torch.testing.assert_close(side.means("others")[-1], sides["frozen"].templates("others")[0].mean(dim=1))
        assert bool(side.weights) == (how != "frozen")


MOVED: dict[TextTraining, set[str]] = {
    "frozen": set(),
    "projection": {"weight"},
    "released": {
        "0.token_embedding.weight", "0.positional_embedding", "0.ln_final.weight", "0.ln_final.bias", "1.weight",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", ["vit", "tiny"])
@pytest.mark.parametrize("how", MOVED)
def test_training_moves_exactly_what_it_says_of_the_text_tower(
    how: TextTraining, kind: str, labs: Callable[[str], Prepared], with_tower: Any, make_prepared: MakePrepared
) -> None:
    prepared = with_tower(make_prepared(d=8)) if kind == "tiny" else labs(kind)
    assert prepared.tower is not None
    parts = prepared.tower().parts
    assert parts is not None
    assert parts.text_trunk is not None
    kept = {name: value.clone() for name, value in parts.text_trunk.state_dict().items()}
    task = task_in(prepared)
    side = TextSide.of(task.model, prompts_of(task), how, 2)
    before = {name: value.detach().clone() for name, value in side.weights.items()}
    target = task.text.classes().roll(1, dims=0)
    sgd = SGD(list(side.weights.values()), torch.tensor([0.5, 0.1]), torch.zeros(2))
    for _ in range(3 if how != "frozen" else 0):
        (side.zero_shot() * target).sum().neg().backward()  # type: ignore[no-untyped-call]
        sgd.step()
    assert {name for name, value in side.weights.items() if not torch.equal(value, before[name])} == MOVED[how]
    assert set(side.weights) == MOVED[how]
    if how == "released":
        inside = cast("Any", side.form).module[0].transformer.state_dict()
        assert all(torch.equal(value, kept[f"transformer.{name}"]) for name, value in inside.items())
    assert all(torch.equal(value, kept[name]) for name, value in parts.text_trunk.state_dict().items())


class Whole(nn.Module):
    """A text tower that cannot be cut: all trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.words(tokens).mean(dim=1))


def test_a_text_tower_without_projection_can_only_be_frozen() -> None:
    trunk = Whole().eval().requires_grad_(False)
    parts = Parts(nn.Identity(), nn.Linear(4, 16), lambda texts: torch.tensor([[len(t), 7] for t in texts]), trunk,
                  nn.Identity())  # fmt: skip
    tower = Tower(lambda image: torch.zeros(1), trunk, trunk, None, 1.0, parts)
    model = ModelSpace("mine", ("text",), lambda: tower, torch.device("cpu"))
    side = TextSide.of(model, {"classes": [["a", "bb"], ["ccc", "dddd"]]}, "frozen", 2)
    expected = normalize(trunk(torch.tensor([[1, 7], [2, 7], [3, 7], [4, 7]])), dim=-1).reshape(1, 2, 2, 16)
    torch.testing.assert_close(side.templates("classes"), expected)
    for how in ("projection", "released"):
        with pytest.raises(MethodError, match=f"text={how}: the backbone has nothing to train"):
            TextSide.of(model, {"classes": [["a"]]}, cast("TextTraining", how), 2)


# Many problems


def problems(prepared: Prepared, limit: int = 2**30) -> list[Problem]:
    """Two seeds, five configurations, mixed."""
    tasks = [replace(task_in(prepared), seed=Seed(("fit", number)), memory_limit=limit) for number in range(2)]
    return [Problem(task, {"number": number, "kind": number % 2}) for number in range(5) for task in tasks]


class Trained:
    """A fake predictor that knows what it was made from."""

    def __init__(self, *what: object) -> None:
        self.what = what

    def logits(self, view: View) -> torch.Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_pieces_cover_the_problems_in_their_order(
    cores: int, with_tower: Any, make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spurbench.projections.spread.cores", lambda: cores)
    prepared = with_tower(make_prepared(d=8))
    seen: list[tuple[object, ...]] = []
    prepared_for: list[object] = []

    def prepare(part: Bundle, shared: Shared) -> str:
        assert len(part.configs) == 5
        assert torch.equal(shared.y, part.task.train.y)
        prepared_for.append(part.task.seed)
        return f"ready {part.task.seed.path[-1]}"

    def fit(part: Bundle, shared: Shared, ready: str) -> list[Fitted]:
        seen.append(tuple(config["number"] for config in part.configs))
        assert ready == f"ready {part.task.seed.path[-1]}"
        assert len({config["kind"] for config in part.configs}) == 1
        return [cast("Fitted", [Trained(part.task.seed, config["number"])]) for config in part.configs]

    asked = problems(prepared)
    fitted = fit_projections(asked, prepare, fit, lambda part: 16, alike=lambda config: config["kind"])
    assert [snapshots[0].what for snapshots in cast("Any", fitted)] == [
        (problem.task.seed, problem.config["number"]) for problem in asked
    ]
    assert len(prepared_for) == len(set(prepared_for)) == 2
    wanted = {1: [(0, 2, 4), (1, 3)], 2: [(0, 2), (4,), (1,), (3,)], 4: [(0,), (2,), (4,), (1,), (3,)]}
    assert sorted(seen) == sorted(2 * wanted[cores])


def test_what_embeds_more_rows_is_trained_in_smaller_pieces(
    with_tower: Any, make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spurbench.projections.spread.cores", lambda: 1)
    seen: set[tuple[object, ...]] = set()

    def fit(part: Bundle, shared: Shared, _: None) -> list[Fitted]:
        seen.add(tuple(config["number"] for config in part.configs))
        return [cast("Fitted", [Trained()]) for _ in part.configs]

    asked = problems(with_tower(make_prepared(d=8)), limit=25_000)
    rows = {0: 16, 1: 32}
    fit_projections(
        asked, lambda part, shared: None, fit, lambda part: rows[int(part.configs[0]["kind"])], lambda c: c["kind"]
    )
    assert seen == {(0, 2, 4), (1,), (3,)}


def test_memory_decides_how_many_are_trained_at_once_and_no_result(
    with_tower: Any, make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spurbench.projections.spread.cores", lambda: 1)
    prepared = with_tower(make_prepared(d=8))
    lengths: list[int] = []

    def fit(part: Bundle, shared: Shared, _: None) -> list[Fitted]:
        lengths.append(len(part.configs))
        configs = tuple({"lr": 0.01 * (1 + float(c["number"])), "weight_decay": 0.01} for c in part.configs)
        text = TextSide.of(part.task.model, {"classes": part.task.text.class_prompts()}, "projection", len(configs))

        def loss(step: Step) -> torch.Tensor:
            z = step.zero_shot_logits(step.embed(step.batch))
            return -torch.log_softmax(z, dim=-1)[:, torch.arange(len(step.batch)), shared.y[step.batch]].mean(dim=1)

        return train(Bundle(part.task, configs, part.places), shared.rows, text, loss, batches(120), 8, [1])

    found = []
    for limit in (1, 25_000, 2**30):
        lengths.clear()
        found.append(fit_projections(problems(prepared, limit), lambda part, shared: None, fit, lambda part: 16))
        assert max(lengths) == {1: 1, 25_000: 3, 2**30: 5}[limit]
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert not isinstance(one, ConfigurationError)
            assert not isinstance(two, ConfigurationError)
            mine, theirs = cast("ProjectionHead", one[0]), cast("ProjectionHead", two[0])
            assert torch.equal(mine.weights["weight"], theirs.weights["weight"])
            assert torch.equal(mine.classes, theirs.classes)
            assert mine.scale == theirs.scale


# The backbone's modules


def space_of(prepared: Prepared, *inputs: Input) -> ModelSpace:
    return ModelSpace("mine", inputs, prepared.tower, torch.device("cpu"))


def test_modules_are_fresh_copies_that_leave_the_tower_alone(labs: Callable[[str], Prepared]) -> None:
    prepared = labs("timm")
    assert prepared.tower is not None
    model, parts = space_of(prepared, "images", "text"), prepared.tower().parts
    assert parts is not None
    for name in ("trunk", "projection", "text_trunk", "text_projection"):
        shared, one, other = getattr(parts, name), getattr(model, name)(), getattr(model, name)()
        kept = copy.deepcopy(shared.state_dict())
        assert one is not other
        assert not any(part.training for part in one.modules())
        for own, second, theirs in zip(one.parameters(), other.parameters(), shared.parameters(), strict=True):
            assert own.requires_grad
            assert not theirs.requires_grad
            assert own.dtype == torch.float32
            assert torch.equal(own, theirs)
            own.data.add_(1)
            assert not torch.equal(own, second)
        assert all(torch.equal(value, kept[key]) for key, value in shared.state_dict().items())
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.trunk().modules())


def test_modules_are_for_who_declares_them(labs: Callable[[str], Prepared]) -> None:
    prepared = labs("vit")
    calls: dict[str, Callable[[ModelSpace], object]] = {
        "trunk": lambda model: model.trunk(),
        "projection": lambda model: model.projection(),
        "text_trunk": lambda model: model.text_trunk(),
        "text_projection": lambda model: model.text_projection(),
        "tokenize": lambda model: model.tokenize(["a"]),
        "text_features": lambda model: model.text_features(["a"]),
    }
    opened: dict[Input, set[str]] = {
        "embeddings": set(),
        "penultimate": {"projection"},
        "images": {"trunk", "projection"},
        "text": {"text_trunk", "text_projection", "tokenize", "text_features"},
    }
    for kind, allowed in opened.items():
        for name, call in calls.items():
            model = space_of(prepared, kind)
            if name in allowed:
                call(model)
            else:
                with pytest.raises(MethodError, match="without declaring it"):
                    call(model)


def test_where_there_is_no_tower_or_none_for_text_the_message_says_so(labs: Callable[[str], Prepared]) -> None:
    nothing = ModelSpace("mine", ("penultimate", "text"), None, torch.device("cpu"))
    with pytest.raises(MethodError, match="'mine' trains a tower, and the data set brings its own features"):
        nothing.projection()
    prepared = labs("vit")
    assert prepared.tower is not None
    tower = prepared.tower()
    assert tower.parts is not None
    images = Parts(tower.parts.trunk, tower.parts.projection)
    for parts, message in ((None, "does not give any"), (images, "trains a text tower, and the backbone has none")):
        model = ModelSpace("mine", ("text",), lambda parts=parts: replace(tower, parts=parts), torch.device("cpu"))  # type: ignore[misc]
        for call in (model.text_trunk, model.text_projection, lambda m=model: m.text_features(["a"])):
            with pytest.raises(MethodError, match=message):
                call()


def test_text_features_are_computed_once_and_handed_out_as_copies(labs: Callable[[str], Prepared]) -> None:
    model = space_of(labs("vit"), "text")
    first = model.text_features(["one", "two"])
    expected = model.text_trunk()(model.tokenize(["one", "two"])).detach()
    torch.testing.assert_close(first, expected)
    first.zero_()
    torch.testing.assert_close(model.text_features(["one", "two"]), expected)
    assert len(model.memo) == 1
