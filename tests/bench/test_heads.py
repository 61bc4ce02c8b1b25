"""The head track, every configuration of every seed at once, against the plain loop over single models.

The plain side trains one model at a time as the methods' released codes do: a DataLoader, `torch.nn`, `torch.optim`.
It is timed on one model for a few epochs, and the time multiplied by 160 models and all epochs; ours is timed whole.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from spurbench.cards import DatasetCard
from spurbench.data import Examples, OwnFeatures
from spurbench.evaluation import evaluate
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.tasks import Prepared, Text
from spurbench.workbench import Features
from spurbench_methods import contrastive_adapter, group_dro

pytestmark = pytest.mark.slow
RULES = load_rules("v1")
BUDGET = RULES.tracks["head"]
MODELS = BUDGET.seeds * BUDGET.configurations
TRAIN, VAL, TEST = (3498, 184, 56, 1057), (467, 466, 133, 133), (2255, 2255, 642, 642)
D = 1024


@pytest.fixture(scope="module")
def waterbirds_size() -> Prepared:
    """Features of Waterbirds' size in which a class and a background leave marks; texts in which both are named."""
    rng = np.random.default_rng(0)
    group = np.concatenate([np.repeat(np.arange(4), part) for part in (TRAIN, VAL, TEST)])
    split = np.repeat([0, 1, 2], [sum(TRAIN), sum(VAL), sum(TEST)])
    order = rng.permutation(len(group))
    group, split = group[order].astype(np.int64), split[order].astype(np.int64)
    y, a = group // 2, group % 2
    marks = rng.normal(size=(4, D)).astype(np.float32)
    x = rng.normal(size=(len(y), D)).astype(np.float32) + 0.06 * marks[y] + 0.1 * marks[2 + a]
    own = OwnFeatures("made for the bench", x, marks[:2], marks[2:])
    examples = Examples([str(i) for i in range(len(y))], y, a, split, 2, 2, features=own)
    card = DatasetCard(
        name="bench", title="bench", classes=("0", "1"), attributes=("0", "1"), licence="none", own_features=True
    )
    unit = torch.nn.functional.normalize(torch.from_numpy(marks), dim=-1)
    text = Text(unit[:2], unit[2:], 100.0, None)
    source = Features({"embeddings": torch.from_numpy(x)}, None, None)
    return Prepared(card, examples, source, text, ("bench", "own"), torch.device("cpu"))


def train_split(prepared: Prepared) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    examples = prepared.examples
    rows = examples.rows("train")
    x = prepared.source.features("embeddings", rows)
    return x, torch.from_numpy(examples.y[rows]), torch.from_numpy(examples.groups[rows])


def report(benchmark: Any, ours: float, plain: float, floor: float) -> None:
    """`floor`: floating-point operations of the matrix products that cannot be avoided."""
    speed = gflops()
    benchmark.extra_info |= {
        "ours_s": round(ours, 1),
        "plain_s": round(plain),
        "ratio": round(plain / ours, 1),
        "floor_gflop": round(floor / 1e9),
        "floor_s": round(floor / 1e9 / speed, 1),
        "gflops_of_this_machine": round(speed),
    }
    print(f"\n{benchmark.name}: {benchmark.extra_info}")


def gflops() -> float:
    """What both cores make of a product of the shapes at hand."""
    a, b = torch.randn(1024, D), torch.randn(D, 2048)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2e-9 * 1024 * D * 2048 / min(times)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_whole(benchmark: Any, method: str, prepared: Prepared) -> float:
    thing = load_registries().methods.get(method)
    benchmark.pedantic(evaluate, args=(thing, prepared, RULES, range(BUDGET.seeds)), rounds=1)
    return float(benchmark.stats.stats.max)


def plain_group_dro(prepared: Prepared, epochs: int) -> None:
    """One head; the loop of the released `train.py`, without its logging."""
    x, y, groups = train_split(prepared)
    weights = 1 / torch.bincount(groups)[groups].double()
    loader = DataLoader(TensorDataset(x, y, groups), 128, sampler=WeightedRandomSampler(weights, len(x)))
    head = torch.nn.Linear(D, 2)
    optimiser = torch.optim.SGD(head.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    q = torch.full((4,), 0.25)
    for _ in range(epochs):
        for batch, labels, member in loader:
            losses = torch.nn.functional.cross_entropy(head(batch), labels, reduction="none")
            one_hot = (member == torch.arange(4)[:, None]).float()
            count = one_hot.sum(1)
            group_loss = (one_hot @ losses) / (count + (count == 0).float())
            q = q * torch.exp(0.01 * group_loss.detach())
            q = q / q.sum()
            optimiser.zero_grad()
            (group_loss @ q).backward()
            optimiser.step()


@pytest.mark.benchmark(group="16 configurations x 10 seeds of GroupDRO")
def test_group_dro(benchmark: Any, waterbirds_size: Prepared) -> None:
    ours = run_whole(benchmark, "group_dro", waterbirds_size)
    plain_group_dro(waterbirds_size, 1)
    epochs = group_dro.EPOCHS[-1]
    plain = seconds(lambda: plain_group_dro(waterbirds_size, 2)) / 2 * epochs * MODELS
    report(benchmark, ours, plain, MODELS * epochs * 4.0 * sum(TRAIN) * D * 2)


class PlainAdapter(torch.nn.Module):
    """The paper's adapter, spelled out."""

    def __init__(self, text: torch.Tensor) -> None:
        super().__init__()
        self.first, self.norm = torch.nn.Linear(D, 128, bias=False), torch.nn.BatchNorm1d(128)
        self.second, self.text = torch.nn.Linear(128, D, bias=False), text

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit vectors."""
        return torch.nn.functional.normalize(self.second(torch.relu(self.norm(self.first(x)))), dim=-1)


def plain_contrastive_adapter(prepared: Prepared, draws: int, anchors_limit: int) -> tuple[float, float]:
    """Seconds of (a contrastive epoch, a cross-entropy epoch) of one adapter; `draws` positives and negatives each."""
    x, y, _ = train_split(prepared)
    assert prepared.text is not None
    text = prepared.text.class_vectors
    model = PlainAdapter(text)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-5)
    unit = torch.nn.functional.normalize(x, dim=-1)
    right = (unit @ text.T).argmax(dim=1) == y
    anchors = torch.nonzero(~right)[:, 0]
    timed = anchors[:anchors_limit]

    def contrast() -> None:
        for index, anchor in enumerate(timed.tolist()):
            same = torch.nonzero((y == y[anchor]) & right)[:, 0]
            near = (unit[anchor] @ unit.T).topk(4096).indices
            other = near[torch.randperm(len(near))[:draws]]
            other = other[y[other] != y[anchor]]
            positives = same[torch.randperm(len(same))[:draws]]
            h = model(x[torch.cat([torch.tensor([anchor]), positives, other])])
            p, n = h[1 : 1 + len(positives)] @ h[0] / 0.1, h[1 + len(positives) :] @ h[0] / 0.1
            loss = torch.nn.functional.softplus(torch.logsumexp(n, 0) - p).mean()
            (loss / 128).backward()
            if index % 128 == 127:
                optimiser.step()
                optimiser.zero_grad()

    def classify() -> None:
        cells = [torch.nonzero((y == k) & (right == r))[:, 0] for k in (0, 1) for r in (True, False)]
        rows = torch.cat([cell[torch.randint(len(cell), (500,))] for cell in cells if len(cell)])
        for batch, labels in DataLoader(TensorDataset(x[rows], y[rows]), 128, shuffle=True):
            loss = torch.nn.functional.cross_entropy(100 * model(batch) @ text.T, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    contrast_seconds = seconds(contrast) * len(anchors) / max(1, len(timed))
    classify()
    return contrast_seconds, seconds(classify)


@pytest.mark.benchmark(group="16 configurations x 10 seeds of the contrastive adapter")
@pytest.mark.parametrize("draws", [2048, contrastive_adapter.POOL // 4], ids=["as released", "as few draws as ours"])
def test_contrastive_adapter(benchmark: Any, waterbirds_size: Prepared, draws: int) -> None:
    ours = run_whole(benchmark, "contrastive_adapter", waterbirds_size)
    contrast, classify = plain_contrastive_adapter(waterbirds_size, draws, anchors_limit=64)
    epochs = contrastive_adapter.EPOCHS[-1]
    plain = MODELS * epochs / 2 * (contrast + classify)
    x, y, _ = train_split(waterbirds_size)
    assert waterbirds_size.text is not None
    wrong = int(((x @ waterbirds_size.text.class_vectors.T).argmax(dim=1) != y).sum())
    rows = -(-wrong // contrastive_adapter.ANCHORS) * contrastive_adapter.POOL + wrong + 2000
    report(benchmark, ours, plain, MODELS * epochs / 2 * rows * 4.0 * D * 128)


@pytest.mark.benchmark(group="the whole head grid, Waterbirds' size")
def test_the_whole_head_grid(benchmark: Any, waterbirds_size: Prepared) -> None:
    methods = load_registries().methods
    needs_texts = {"group_prompt", "perception_clip", "orth_cal", "roboshot"}
    names = [name for name in methods.names() if name not in needs_texts and methods.get(name).card.track == "head"]
    taken: dict[str, float] = {}

    def grid() -> None:
        for name in names:
            taken[name] = seconds(
                lambda name=name: evaluate(methods.get(name), waterbirds_size, RULES, range(BUDGET.seeds))
            )

    benchmark.pedantic(grid, rounds=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    benchmark.extra_info |= {"peak_gib": round(peak, 2), **{name: round(value, 1) for name, value in taken.items()}}
    print(f"\n{sum(taken.values()):.0f} s, {peak:.2f} GiB: {benchmark.extra_info}")
