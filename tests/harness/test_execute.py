"""What is known of where a record's models look stays when the record grows, and goes with the models it was of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spurbench.amending import with_attention
from spurbench.attention import Attention
from spurbench.cards import DatasetCard, MethodCard
from spurbench.data import Examples, OwnFeatures
from spurbench.execute import RecordWriter
from spurbench.files import digest
from spurbench.jobs import Finished, failed
from spurbench.plan import Cell, Row
from spurbench.record import (
    Record,
    SeedResult,
    array_hash,
    predictions_name,
    read_predictions,
    read_record,
    record_path,
)
from spurbench.rules import load_rules

GROUPS = np.repeat(np.arange(4), (5, 4, 3, 6))
RULES = ("worst_group", "average")
PARTS = {"protocol": 1}


def examples() -> Examples:
    """Test examples of GROUPS, and a training example of each group."""
    y, a = np.concatenate([np.arange(4), GROUPS]) // 2, np.concatenate([np.arange(4), GROUPS]) % 2
    split = np.repeat([0, 2], [4, len(GROUPS)])
    return Examples(
        [f"p{i}" for i in range(len(y))],
        y,
        a,
        split,
        2,
        2,
        features=OwnFeatures("RN50", np.zeros((len(y), 1), np.float32)),
    )


def fitted(seed: int) -> Finished:
    """A seed's result, as an executor sends it; the same each time."""
    predicted = np.random.default_rng(seed).integers(0, 2, (len(RULES), len(GROUPS))).astype(np.int16)
    counts = [[int((own[g == GROUPS] == g // 2).sum()) for g in range(4)] for own in predicted]
    result = {
        "seed": seed,
        "status": "ok",
        "selection_total": [1] * 4,
        "test_total": np.bincount(GROUPS).tolist(),
        "configs": [{}, {}],
        "candidates": [[place, 0, [1] * 4, count] for place, count in enumerate(counts)],
        "selected": {
            rule: {"candidate": place, "test": counts[place], "predictions": array_hash(predicted[place])}
            for place, rule in enumerate(RULES)
        },
    }
    arrays = {predictions_name(seed, rule): own for rule, own in zip(RULES, predicted, strict=True)}
    return Finished(SeedResult.model_validate(result), arrays, 1.0)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Record]:
    """Compute some seeds of a row, and return what its record is then."""
    path = record_path(tmp_path, "quick", "birds", "RN50", "erm")
    method = MethodCard("erm", "ERM", "")
    card = DatasetCard("birds", "birds", ("landbird", "waterbird"), ("land", "water"), "none")

    def compute(seeds: Sequence[int], parts: dict[str, Any] = PARTS, lost: Sequence[int] = ()) -> Record:
        cells = tuple(Cell(seed, "missing") for seed in seeds)
        row = Row("birds", "RN50", "erm", "birds", "RN50", cells, path, digest(parts), parts)
        writer = RecordWriter(row, load_rules("quick"), method, card, examples(), "cpu", tmp_path / "locks")
        for seed in seeds:
            writer.add(Finished(failed(seed, "lost"), {}, 1.0) if seed in lost else fitted(seed))
        record = read_record(path)
        assert record is not None
        read_predictions(path, record)
        return record

    return compute


@pytest.fixture
def looked_into(
    run: Callable[..., Record], tmp_path: Path, make_attention: Callable[..., Any]
) -> tuple[Path, Attention, dict[str, NDArray[np.int16]]]:
    """The path of a record of seeds 0 and 1, and the attention in it."""
    record = run([0, 1])
    path = record_path(tmp_path, "quick", "birds", "RN50", "erm")
    attention, arrays = make_attention(record, GROUPS, photos=(2, 3, 1, 0))
    with_attention(path, record, attention, arrays, locks=tmp_path / "locks")
    return path, attention, arrays


def kept_arrays(path: Path) -> set[str]:
    with np.load(path.with_suffix(".npz")) as held:
        return {name for name in held.files if name.count(".") == 2}


def test_more_seeds_leave_it(run: Callable[..., Record], looked_into: Any) -> None:
    path, attention, arrays = looked_into
    record = run([2, 3])
    assert [result.seed for result in record.done] == [0, 1, 2, 3]
    assert record.attention == attention
    held = read_predictions(path, record)
    assert all(np.array_equal(held[name], array) for name, array in arrays.items())
    assert kept_arrays(path) == set(arrays)


def test_seeds_that_are_done_again_lose_theirs(run: Callable[..., Record], looked_into: Any) -> None:
    path, attention, arrays = looked_into
    record = run([0])
    assert [result.seed for result in record.done] == [0, 1]
    assert record.attention == attention.of({"1"})
    assert kept_arrays(path) == {name for name in arrays if name.startswith("1.")}
    assert run([1]).attention is None
    assert kept_arrays(path) == set()


def test_a_seed_that_fails_when_done_again_loses_it_too(run: Callable[..., Record], looked_into: Any) -> None:
    path, attention, arrays = looked_into
    record = run([1], lost=[1])
    assert [result.seed for result in record.done] == [0]
    assert record.attention == attention.of({"0"})
    assert kept_arrays(path) == {name for name in arrays if name.startswith("0.")}


def test_another_key_leaves_nothing(run: Callable[..., Record], looked_into: Any) -> None:
    path, _, _ = looked_into
    assert run([0, 1], {"protocol": 2}).attention is None
    assert kept_arrays(path) == set()


def test_what_was_never_looked_into_has_none(run: Callable[..., Record]) -> None:
    assert run([0]).attention is None
    assert run([1]).attention is None


def test_a_record_whose_attention_was_tampered_with_is_moved_aside(
    run: Callable[..., Record], looked_into: Any
) -> None:
    path, _, _ = looked_into
    text = path.read_text()
    path.write_text(text.replace('"layer": "layer4"', '"layer": 4'))
    assert [result.seed for result in run([2]).done] == [2]
    assert '"layer": 4' in path.with_suffix(".json.broken").read_text()
