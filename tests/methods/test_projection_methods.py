"""Methods that train projections against plain loops: one configuration, literal sums, torch's own SGD, float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from spurbench.attribute_text import AttributeText
from spurbench.errors import ConfigurationError, MethodError, SupervisionError
from spurbench.evaluation import evaluate
from spurbench.heads import drawn, shuffled
from spurbench.method import Bundle, Problem, Task
from spurbench.projections import PenultimateRows, ProjectionHead, Shared, Step, form_of, spread
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import Value
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods import cfr_stages
from spurbench_methods.cfr_stages import calibrations

if TYPE_CHECKING:
    from conftest import MakePrepared

REGISTRY = load_registries().methods
PLAIN = [name for name in REGISTRY.names() if not REGISTRY.needs_argument(name)]
TRAINED = [name for name in PLAIN if REGISTRY.get(name).card.track == "projection"]
TRAIN, BATCH, K = (40, 12, 9, 50, 14, 25), 128, 3
"""150 training examples in three classes with two values of an attribute: two steps in an epoch."""
GROUPS = {"group_dro_projection", "contrastive_yang_vs"}
TOLD = {"contrastive_yang": "names", "contrastive_yang_vs": "settings"}


@pytest.fixture
def world(make_prepared: MakePrepared, with_tower: Callable[..., Prepared]) -> Prepared:
    return with_tower(make_prepared(train=TRAIN, val=(8,) * 6, test=(8,) * 6, d=8))


def task_of(name: str, prepared: Prepared, seed: int = 0, **changes: Any) -> Task:
    method = REGISTRY.get(name)
    rows = prepared.examples.rows("val")[:0]
    task = make_task(method, prepared, train_view(method, prepared), rows, Seed(("test", seed)))
    return replace(task, **changes)


def config_of(name: str, **pins: Value) -> dict[str, Value]:
    return {**{key: item.first for key, item in REGISTRY.get(name).space.items()}, **pins}


def fit(name: str, prepared: Prepared, seed: int = 0, **pins: Value) -> list[ProjectionHead]:
    return cast("list[ProjectionHead]", REGISTRY.get(name).fit(task_of(name, prepared, seed), config_of(name, **pins)))


def numbers(head: ProjectionHead) -> list[float]:
    return [*head.weights["weight"].flatten().tolist(), *head.classes.flatten().tolist(), head.scale]


def test_these_are_the_methods_of_the_track() -> None:
    assert set(TRAINED) == {"erm_projection", "cfr", "contrastive_yang", *GROUPS}


# What they may know


@pytest.mark.parametrize("name", TRAINED)
def test_groups_matter_to_those_alone_who_declare_them(name: str, world: Prepared) -> None:
    assert REGISTRY.get(name).card.supervision.train_groups == (name in GROUPS)
    examples = world.examples
    other = replace(world, examples=replace(examples, a=np.random.default_rng(1).permutation(examples.a)))
    found = [[numbers(head) for head in fit(name, some, lr=0.03)] for some in (world, other)]
    assert (found[0] == found[1]) == (name not in GROUPS)
    if name not in GROUPS:
        with pytest.raises(SupervisionError, match="without declaring it"):
            _ = task_of(name, world).train.groups


@pytest.mark.parametrize("name", TRAINED)
def test_the_attributes_words_matter_to_those_alone_who_ask_for_them(name: str, world: Prepared) -> None:
    assert REGISTRY.get(name).card.supervision.attribute_text == (name in TOLD)
    before = [numbers(head) for head in fit(name, world, lr=0.03)]
    for word in ("names", "settings"):
        told = replace(world.card.attribute_text, **{word: ("hot", "cold")})
        after = fit(name, replace(world, card=replace(world.card, attribute_text=told)), lr=0.03)
        assert ([numbers(head) for head in after] == before) == (TOLD.get(name) != word)
        if TOLD.get(name) == word:
            untold = replace(world, card=replace(world.card, attribute_text=AttributeText()))
            with pytest.raises(MethodError, match="the data set has none"):
                fit(name, untold)


@pytest.mark.parametrize("name", TRAINED)
def test_a_data_set_with_features_of_its_own_has_nothing_to_train(name: str, world: Prepared) -> None:
    with pytest.raises(MethodError, match="trains a tower, and the data set brings its own features"):
        fit(name, replace(world, tower=None))


# What they give


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_and_another_another(name: str, world: Prepared) -> None:
    one, again, other = ([numbers(head) for head in fit(name, world, seed, lr=0.03)] for seed in (0, 0, 1))
    assert one == again
    assert one != other


@pytest.mark.parametrize("name", TRAINED)
def test_snapshots_follow_the_number_of_epochs_and_pins_reach_the_record(name: str, world: Prepared) -> None:
    along = {epochs: fit(name, world, epochs=epochs, lr=0.03) for epochs in (1, 3, 10)}
    assert {epochs: len(heads) for epochs, heads in along.items()} == {1: 1, 3: 2, 10: 3}
    # CFR's weights follow a cosine over all epochs.
    assert (numbers(along[3][1]) == numbers(along[10][1])) == (name != "cfr")
    ends = {tuple(numbers(head)) for head in along[10]}
    assert len(ends) == 3
    pinned = REGISTRY.get(f"{name}:epochs=3:text=frozen")
    [(result, _)] = evaluate(pinned, world, load_rules("quick"), [0])
    assert [(config["epochs"], config["text"]) for config in result.configs] == [(3, "frozen")] * 2
    assert [(c.config, c.snapshot) for c in result.candidates] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("name", TRAINED)
def test_what_of_the_text_tower_is_trained_can_be_pinned(name: str, world: Prepared) -> None:
    classes = task_of(name, world).text.classes()
    heads = {how: fit(name, world, text=how, lr=0.03)[-1] for how in ("frozen", "projection", "released")}
    torch.testing.assert_close(heads["frozen"].classes, classes, atol=1e-6, rtol=0)
    assert (heads["projection"].classes - classes).abs().max() > 1e-4
    assert (heads["released"].classes - heads["projection"].classes).abs().max() > 1e-4


SWITCHES: list[tuple[str, dict[str, Value]]] = [
    *((name, {"text": how}) for name in TRAINED for how in ("frozen", "projection", "released")),
    *((name, {"variant": "as_released"}) for name in (*TOLD, "cfr")),
    ("cfr", {"negatives": "nearest", "holistic": "supcon+ce"}),
]


@pytest.mark.parametrize(("name", "pins"), SWITCHES)
def test_however_it_is_switched_company_changes_no_bit(
    name: str, pins: dict[str, Value], world: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "cores", lambda: 1)
    method, task = REGISTRY.get(name), task_of(name, world)
    configs = [config_of(name, lr=lr, epochs=3, **pins) for lr in (0.003, 0.1, 0.03)]
    for config, heads in zip(configs, method.fit_many([Problem(task, config) for config in configs]), strict=True):
        assert [numbers(head) for head in heads] == [numbers(head) for head in method.fit(task, config)]


PLANS: list[tuple[str, dict[str, Value]]] = [
    *((name, {}) for name in TRAINED),
    ("cfr", {"negatives": "nearest"}),
    ("cfr", {"variant": "as_released", "holistic": "supcon+ce"}),
]


@pytest.mark.parametrize(("name", "pins"), PLANS)
def test_no_step_embeds_more_rows_than_memory_was_planned_for(
    name: str, pins: dict[str, Value], world: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, embedded = [], []
    plan, embed = spread._bytes_of_one, Step.embed

    def planning(task: Task, rows: PenultimateRows, rows_per_step: int) -> int:
        planned.append(rows_per_step)
        return plan(task, rows, rows_per_step)

    def embedding(step: Step, rows: torch.Tensor) -> torch.Tensor:
        embedded.append(len(rows))
        return embed(step, rows)

    monkeypatch.setattr(spread, "_bytes_of_one", planning)
    monkeypatch.setattr(Step, "embed", embedding)
    fit(name, world, epochs=1, **pins)
    assert max(embedded) <= max(planned) <= 1.5 * max(embedded)


# Literal loops

Texts = Callable[[Sequence[Sequence[str]]], torch.Tensor]


class Loop:
    """One configuration in float64: a matrix behind the features, a matrix behind the text trunk, a scale, SGD."""

    def __init__(self, task: Task, lr: float, decay: float, text: str) -> None:
        model = task.model
        self.task, self.x, self.y = task, task.train.penultimate().double(), task.train.y
        self.image, self.words = model.projection().double(), model.text_projection().double()
        self.words.requires_grad_(text == "projection")
        self.log_scale = nn.Parameter(-torch.tensor(0.07, dtype=torch.float64).log())
        trained = [*self.image.parameters(), *(self.words.parameters() if text == "projection" else ())]
        self.optimiser = torch.optim.SGD([*trained, self.log_scale], lr, 0.9, weight_decay=decay)

    def texts(self, prompts: Sequence[Sequence[str]]) -> torch.Tensor:
        """(n, T, d) unit vectors."""
        return torch.stack([normalize(self.words(self.task.model.text_features(some).double())) for some in prompts])

    def classes(self) -> torch.Tensor:
        return normalize(self.texts(self.task.text.class_prompts()).mean(dim=1))

    def embed(self, rows: Sequence[int] | torch.Tensor) -> torch.Tensor:
        return normalize(self.image(self.x[torch.as_tensor(rows)]))

    def logits(self, rows: Sequence[int] | torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.log_scale.exp() * self.embed(rows) @ self.classes().T)

    def run(self, batches: Iterator[torch.Tensor], epochs: int, loss: Callable[[int, list[int]], torch.Tensor]) -> Loop:
        for epoch in range(epochs):
            for _ in range(-(-len(self.y) // BATCH)):
                self.optimiser.zero_grad()
                loss(epoch, next(batches).tolist()).backward()  # type: ignore[no-untyped-call]
                self.optimiser.step()
        return self

    def plain(self, epoch: int, rows: list[int]) -> torch.Tensor:
        return cross_entropy(self.logits(rows), self.y[rows])

    def check(self, head: ProjectionHead) -> None:
        with torch.no_grad():
            close: Mapping[str, float] = {"atol": 2e-5, "rtol": 1e-4}
            weight = next(self.image.parameters())
            torch.testing.assert_close(head.weights["weight"].double(), weight.detach(), **close)
            torch.testing.assert_close(head.classes.double(), self.classes(), **close)
            assert head.scale == pytest.approx(float(self.log_scale.exp()), rel=1e-5)
            start = next(self.task.model.projection().parameters())
            assert (weight - start).abs().max() > 1e-2, "training that moves nothing shows nothing"


STEPS: dict[str, Value] = {"lr": 0.1, "weight_decay": 0.01, "epochs": 3}


def loop_of(task: Task, text: str) -> Loop:
    return Loop(task, float(STEPS["lr"]), float(STEPS["weight_decay"]), text)


def in_order(task: Task) -> Iterator[torch.Tensor]:
    return shuffled(len(task.train), BATCH, task.seed.derive("batches").torch())


@pytest.mark.parametrize("text", ["frozen", "projection"])
def test_erm_is_the_plain_loop(text: str, world: Prepared) -> None:
    task = task_of("erm_projection", world)
    loop = loop_of(task, text)
    loop.run(in_order(task), 3, loop.plain).check(fit("erm_projection", world, text=text, **STEPS)[-1])


@pytest.mark.parametrize("adjustment", [0.0, 3.0])
def test_group_dro_is_the_plain_loop(adjustment: float, world: Prepared) -> None:
    task = task_of("group_dro_projection", world)
    loop, groups = loop_of(task, "frozen"), task.train.groups
    totals = torch.bincount(groups, minlength=6).tolist()
    q = [1 / 6] * 6

    def loss(epoch: int, rows: list[int]) -> torch.Tensor:
        each = cross_entropy(loop.logits(rows), loop.y[rows], reduction="none")
        means = {g: each[groups[rows] == g].mean() for g in range(6) if (groups[rows] == g).any()}
        mass = sum(q[g] for g in means)
        grown = {g: q[g] * math.exp(0.1 * (m.item() + adjustment / math.sqrt(totals[g]))) for g, m in means.items()}
        for g, value in grown.items():
            q[g] = mass * value / sum(grown.values())
        return torch.stack([q[g] * mean for g, mean in means.items()]).sum()

    per_example = 1.0 / torch.tensor(totals, dtype=torch.float64)[groups]
    batches = drawn(per_example, BATCH, task.seed.derive("batches").torch())
    found = fit("group_dro_projection", world, eta=0.1, adjustment=adjustment, **STEPS)
    loop.run(batches, 3, loss).check(found[-1])
    assert max(q) > 1.01 / 6


def yang(loop: Loop, rows: list[int], classes: torch.Tensor) -> torch.Tensor:
    """L_CLIP + L_lc + L_vc, pair by pair."""
    f, y, scale = loop.embed(rows), loop.y[rows].tolist(), loop.log_scale.exp()
    square = scale * f @ classes.mean(dim=1)[y].T
    diagonal = torch.arange(len(rows))
    matched = (cross_entropy(square, diagonal) + cross_entropy(square.T, diagonal)) / 2
    same = torch.tensor([[1.0 if one == other else -1.0 for other in y] for one in y], dtype=torch.float64)
    images = -(same * (f @ f.T)).sum(dim=1).div(len(rows)).mean()
    k, templates = classes.shape[:2]
    rows_of = torch.arange(k).repeat_interleave(templates)
    t = classes.flatten(0, 1)
    signed = torch.where(rows_of[:, None] == rows_of, -1.0, 1.0) * (t @ t.T)
    return matched + images + signed.sum(dim=1).div(k * templates).mean()


@pytest.mark.parametrize("weight", [1.0, 30.0])
@pytest.mark.parametrize("text", ["frozen", "projection"])
def test_yang_in_language_is_the_plain_loop(text: str, weight: float, world: Prepared) -> None:
    task = task_of("contrastive_yang", world)
    loop = loop_of(task, text)

    def loss(epoch: int, rows: list[int]) -> torch.Tensor:
        classes, names = loop.texts(task.text.class_prompts()), loop.texts(task.text.name_prompts())
        overlap = [abs(one @ other) for one in classes.flatten(0, 1) for other in names.flatten(0, 1)]
        return yang(loop, rows, classes) + weight * torch.stack(overlap).mean()

    found = fit("contrastive_yang", world, text=text, spurious_weight=weight, **STEPS)
    loop.run(in_order(task), 3, loss).check(found[-1])


def test_yang_in_vision_is_the_plain_loop(world: Prepared) -> None:
    task = task_of("contrastive_yang_vs", world)
    loop, a = loop_of(task, "projection"), task.train.a

    def loss(epoch: int, rows: list[int]) -> torch.Tensor:
        classes, settings = loop.texts(task.text.class_prompts()), loop.texts(task.text.setting_prompts())
        z = loop.log_scale.exp() * loop.embed(rows) @ settings.mean(dim=1).T
        return yang(loop, rows, classes) + 3.0 * cross_entropy(z, a[rows])

    found = fit("contrastive_yang_vs", world, spurious_weight=3.0, **STEPS)
    loop.run(in_order(task), 3, loss).check(found[-1])


@pytest.mark.parametrize("name", TOLD)
def test_the_released_variant_of_yang_needs_as_many_templates_as_classes(
    name: str, world: Prepared, with_tower: Callable[..., Prepared]
) -> None:
    released = fit(name, world, variant="as_released", lr=0.03)
    assert numbers(released[-1]) != numbers(fit(name, world, lr=0.03)[-1])
    poor = with_tower(replace(world, tower=None), templates=("a photo of a {}.",))
    fit(name, poor)
    with pytest.raises(MethodError, match="has 1 for 3 classes: choose a larger one, such as --prompts"):
        fit(name, poor, variant="as_released")


# CFR


def first_model(task: Task, erm_lr: float | None) -> tuple[list[int], list[int]]:
    """Rows that the first model gets wrong, and right; the first model is trained unless there is no rate for that."""
    loop = Loop(task, erm_lr or 0.0, 1e-5, "frozen")
    if erm_lr:
        loop.run(shuffled(len(loop.y), BATCH, task.seed.derive("first model").torch()), 10, loop.plain)
    right = loop.logits(range(len(loop.y))).argmax(dim=1) == loop.y
    return torch.nonzero(~right)[:, 0].tolist(), torch.nonzero(right)[:, 0].tolist()


def shared(task: Task) -> Shared:
    return Shared(PenultimateRows(task.train, task.device, task.memory_limit), task.train.y)


@pytest.mark.parametrize("chunk", [200, 2**20])
def test_the_calibration_set_and_its_neighbours_are_those_of_brute_force(
    chunk: int, world: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cfr_stages, "CHUNK", chunk)
    task = task_of("cfr", world)
    configs = [config_of("cfr", erm_lr=lr) for lr in (0.02, 0.1)] + [config_of("cfr", calibration="pretrained")]
    found = calibrations(Bundle(task, tuple(configs), (0, 1, 2)), shared(task))
    x, y = task.train.penultimate().double(), task.train.y.tolist()
    sets = []
    for key, lr in ((("erm", 0.02), 0.02), (("erm", 0.1), 0.1), (("pretrained",), None)):
        wrong, right = first_model(task, lr)
        assert found[key].wrong.tolist() == wrong
        for k in range(K):
            assert found[key].right[k].tolist() == [i for i in right if y[i] == k]
            assert found[key].of_class[k].tolist() == [i for i in range(150) if y[i] == k]
            assert found[key].of_others[k].tolist() == [i for i in range(150) if y[i] != k]
        for place, j in enumerate(wrong):
            cosine = {i: torch.cosine_similarity(x[i], x[j], dim=0).item() for i in range(150) if y[i] != y[j]}
            nearest = sorted(cosine, key=lambda i: -cosine[i])[:16]
            assert set(found[key].neighbours[place].tolist()) == set(nearest)
        sets.append(tuple(wrong))
    assert len(set(sets)) == 3
    assert all(5 < len(wrong) < 145 for wrong in sets)


def contrast(anchor: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, tau: float) -> torch.Tensor:
    below = torch.exp(negatives @ anchor / tau).sum()
    near = torch.exp(positives @ anchor / tau)
    return -torch.log(near / (near + below)).mean()


def supcon(f: torch.Tensor, y: list[int]) -> torch.Tensor:
    losses, e = [], torch.exp(f @ f.T / 0.07)
    for i in range(len(y)):
        below = e[i, [j for j in range(len(y)) if j != i]].sum()
        near = [p for p in range(len(y)) if p != i and y[p] == y[i]]
        losses += [-torch.log(e[i, near] / below).mean()] if near else []
    return torch.stack(losses).mean()


CASES: dict[str, dict[str, Value]] = {
    "random": {"tau": 0.5, "holistic_weight": 0.5, "erm_lr": 0.1},
    "nearest": {"negatives": "nearest", "holistic": "supcon+ce", "tau": 0.1, "erm_lr": 0.1},
    "pretrained": {"calibration": "pretrained", "holistic": "supcon+ce", "holistic_weight": 0.1},
    "released": {"variant": "as_released", "holistic": "supcon+ce", "negatives": "nearest", "erm_lr": 0.1},
}


def check_cfr(world: Prepared, pins: dict[str, Value]) -> None:
    """The method against the plain loop; only the random numbers, and their order, are taken from the method."""
    config = config_of("cfr", **STEPS, **pins)
    task = task_of("cfr", world)
    loop, y = loop_of(task, "frozen"), task.train.y.tolist()
    wrong, right = first_model(task, float(config["erm_lr"]) if config["calibration"] == "erm" else None)
    released, tau = config["variant"] == "as_released", float(config["tau"])
    everyone, classes_of = range(len(y)), range(task.n_classes)
    own = [[i for i in right if y[i] == k] for k in classes_of]
    generator = task.seed.derive("draws").torch()
    raw = normalize(loop.x)
    means: list[torch.Tensor] = []
    state = {"epoch": -1}

    def draw(pools: list[list[int]]) -> list[list[int]]:
        filled = {
            k: torch.randint(len(pool), (16,), generator=generator).tolist() for k, pool in enumerate(pools) if pool
        }
        return [[pools[k][i] for i in filled.get(k, [])] for k in classes_of]

    def drop(f: torch.Tensor) -> torch.Tensor:
        return f * (torch.rand(f.shape, generator=generator) >= 0.1) / 0.9 if released else f

    def loss(epoch: int, rows: list[int]) -> torch.Tensor:
        if epoch != state["epoch"]:
            state["epoch"] = epoch
            with torch.no_grad():
                means[:] = [normalize(loop.embed(some).mean(dim=0), dim=0) if some else torch.empty(0) for some in own]
        anchors = [wrong[i % len(wrong)] for i in rows]
        if released:
            negatives = draw([[i for i in everyone if y[i] == k] for k in classes_of])
            positives = draw(own)
        elif config["negatives"] == "random":
            negatives = draw([[i for i in everyone if y[i] != k] for k in classes_of])
        contrasts = []
        for j in (j for j in anchors if own[y[j]]):
            near = loop.embed(positives[y[j]]) if released else means[y[j]][None]
            if config["negatives"] == "nearest" and not released:
                far = sorted((i for i in everyone if y[i] != y[j]), key=lambda i: -(raw[i] @ raw[j]).item())[:16]
            else:
                far = negatives[y[j]]
            contrasts.append(contrast(loop.embed([j])[0], near, loop.embed(far), tau))
        classes, scale = loop.classes(), loop.log_scale.exp()
        calibrated = cross_entropy(scale * drop(loop.embed(anchors)) @ classes.T, loop.y[anchors])
        holistic = supcon(loop.embed(rows), [y[i] for i in rows])
        if config["holistic"] == "supcon+ce":
            holistic = holistic + cross_entropy(scale * drop(loop.embed(rows)) @ classes.T, loop.y[rows])
        w = 1.5 if released else 1 + 0.5 * math.cos(2 * math.pi * epoch / 3)
        return w * (calibrated + torch.stack(contrasts).mean()) + float(config["holistic_weight"]) * holistic

    found = REGISTRY.get("cfr").fit(task, config)
    loop.run(in_order(task), 3, loss).check(cast("ProjectionHead", found[-1]))


@pytest.mark.parametrize("case", CASES)
def test_cfr_is_the_plain_loop(case: str, world: Prepared) -> None:
    check_cfr(world, CASES[case])


@pytest.mark.parametrize("pins", [{"negatives": "nearest"}, {"negatives": "random"}, {"variant": "as_released"}])
def test_cfr_is_the_plain_loop_where_a_class_is_rare_and_never_right(
    pins: dict[str, Value], make_prepared: MakePrepared, with_tower: Callable[..., Prepared], array_source: Any
) -> None:
    """Fewer negatives than there are nearest ones to be had, and no positives for the rare class."""
    prepared = with_tower(make_prepared(train=(50, 20, 5, 4), d=8))
    x = prepared.source.features("penultimate", np.arange(len(prepared.examples.y)))
    rare = torch.from_numpy(prepared.examples.y == 1)
    zero = ProjectionHead(
        *form_of(task_of("cfr", prepared).model.projection()), task_of("cfr", prepared).text.classes(), 1
    )
    towards = zero.weights["weight"] @ (zero.classes[0] - zero.classes[1])
    x[rare] = towards + 0.3 * x[rare]
    prepared = replace(prepared, source=array_source(x.numpy()))
    wrong, right = first_model(task_of("cfr", prepared), None)
    y = task_of("cfr", prepared).train.y
    assert {int(y[i]) for i in right} == {0}
    assert {int(y[i]) for i in wrong} == {0, 1}
    check_cfr(prepared, {**pins, "calibration": "pretrained"})


def test_a_first_model_that_diverges_loses_the_configurations_that_build_on_it(
    make_prepared: MakePrepared, with_tower: Callable[..., Prepared]
) -> None:
    method = REGISTRY.get("cfr")
    task = task_of("cfr", with_tower(make_prepared(d=8)))
    first = {name: values.first for name, values in method.space.items()}
    lost, kept = method.fit_many(
        [Problem(task, {**first, "erm_lr": 1e38}), Problem(task, {**first, "calibration": "pretrained"})]
    )
    assert "the first model diverged" in str(lost)
    assert len(kept) == 3


def test_without_errors_there_is_nothing_to_calibrate(
    make_prepared: MakePrepared, with_tower: Callable[..., Prepared], array_source: Any
) -> None:
    prepared = with_tower(make_prepared(d=8))
    y = prepared.examples.y
    clear = np.zeros((len(y), 8), np.float32)
    matrix = next(task_of("cfr", prepared).model.projection().parameters()).detach().numpy()
    # Features that the projection takes to where their class's text points.
    assert prepared.text is not None
    difference = (prepared.text.class_vectors[1] - prepared.text.class_vectors[0]).numpy()
    clear[:] = np.where(y[:, None] == 1, 1, -1) * (matrix @ difference)
    prepared = replace(prepared, source=array_source(clear))
    method = REGISTRY.get("cfr")
    with pytest.raises(ConfigurationError, match="every training example right: there is nothing to calibrate"):
        method.fit(task_of("cfr", prepared), config_of("cfr", calibration="pretrained"))
    with pytest.raises(MethodError, match="no configuration gave usable predictions: the first model gets every"):
        evaluate(REGISTRY.get("cfr:calibration=pretrained"), prepared, load_rules("quick"), [0])
