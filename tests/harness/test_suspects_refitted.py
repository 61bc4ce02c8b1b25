"""A record's model on validation: right as often as the record counts, on photos that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spurbench.errors import MethodError, UsageError
from spurbench.execute import run_plan
from spurbench.executors.inline import InlineExecutor
from spurbench.keys import load_data
from spurbench.plan import Plan
from spurbench.record import Record, predictions_name, read_predictions
from spurbench.session import Session
from spurbench.suspects.cell import Cell, read_cell
from spurbench.suspects.looking import Look, look
from spurbench.suspects.refitted import refitted
from spurbench.suspects.words import Entry, Words

DIGITS, TINY = "digits-sticker:strength=0.9", "menagerie-rn"
PLUGIN = """
import os

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import LinearHead
from spurbench.space import Choice


class Centres:
    card = MethodCard("centres", "Centres of classes", "none", inputs=("embeddings",), trains="head",
                      supervision=Supervision(val_groups=True))
    space = {"scale": Choice(1.0, 2.0)}

    def fit(self, task, config):
        if os.environ.get("BROKEN"):
            raise ValueError("broken by hand")
        x, y = task.val.embeddings(), task.val.y
        weight = torch.stack([x[y == k].mean(dim=0) for k in range(task.n_classes)]) * config["scale"]
        return [LinearHead(weight, -(weight**2).sum(dim=1) / 2)]


class Lots:
    def __init__(self, n_classes):
        self.n_classes = n_classes

    def logits(self, view):
        return torch.randn(len(view.embeddings()), self.n_classes)


class Noisy:
    card = MethodCard("noisy", "Draws lots", "none", inputs=("embeddings",), trains="head")
    space = {}

    def fit(self, task, config):
        return [Lots(task.n_classes)]
"""
METHODS = ("erm", "dfr_val", "centres", "noisy", "zero_shot")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("refitted")
    (folder / "centres.py").write_text(PLUGIN)
    return Session(
        methods=",".join(METHODS), datasets=DIGITS, backbones=TINY, rules_name="quick", seeds=2, configs=2,
        results=folder / "results", cache=folder / "cache", data_root=folder, device="cpu",
        plugins=(str(folder / "centres.py"),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def plan(session: Session) -> Plan:
    executor = InlineExecutor(session.registries)
    run_plan(
        session.plan(), session.registries, executor, data_root=session.data_root, cache=session.cache, device="cpu",
        precision="fp32", memory_limit=2**30, listen=lambda *_: None,
    )  # fmt: skip
    return session.plan()


def cell_of(plan: Plan, method: str, seed: int = 0) -> Cell:
    return read_cell(next(row for row in plan.rows if row.method == method).path, seed)


def again(session: Session, cell: Cell) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    data = load_data(session.registries, DIGITS, session.data_root, session.setting.hashes, download=False)
    return refitted(session, cell, DIGITS, TINY, data, memory_limit=2**30, listen=lambda _: None)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("method", ["erm", "centres"])
def test_it_is_right_as_often_as_the_record_counts_where_it_was_not_fitted(
    session: Session, plan: Plan, method: str, seed: int
) -> None:
    cell = cell_of(plan, method, seed)
    rows, predicted, _ = again(session, cell)
    examples = plan.data[DIGITS].examples
    result = cell.record.seeds[seed]
    chosen = result.candidates[result.selected["worst_group"].candidate]
    n_groups = examples.n_classes * examples.n_attributes
    groups, right = examples.groups[rows], predicted == examples.y[rows]
    assert np.bincount(groups, minlength=n_groups).tolist() == result.selection_total
    assert np.bincount(groups[right], minlength=n_groups).tolist() == chosen.selection
    assert set(rows.tolist()) <= set(examples.rows("val").tolist())
    assert (len(rows) < len(examples.rows("val"))) == (method == "centres")
    assert 0 < right.sum() < len(rows)


def test_words_are_looked_for_in_these_photos_alone(session: Session, plan: Plan) -> None:
    cell = cell_of(plan, "centres")
    words = Words(tuple(Entry(word, "scene", f"with {word}") for word in ("water", "land")), "ab" * 32, "here")

    def found(cell: Cell | None, split: str = "val") -> Look:
        return look(
            session, DIGITS, TINY, words, seen_by=None, cell=cell, split=split, memory_limit=2**30,
            listen=lambda _: None,
        )  # fmt: skip

    mine, whole = found(cell), found(None)
    rows, predicted, _ = again(session, cell)
    assert (mine.model, mine.split) == ("centres", "val")
    np.testing.assert_array_equal(mine.rows, rows)
    np.testing.assert_array_equal(mine.predicted, predicted)
    at = np.searchsorted(whole.rows, rows)
    np.testing.assert_array_equal(mine.scores, whole.scores[at])
    np.testing.assert_array_equal(mine.embeddings, whole.embeddings[at])
    np.testing.assert_array_equal(found(cell, "test").predicted, cell.predicted)


def test_a_model_that_was_fitted_on_all_of_validation_is_refused(session: Session, plan: Plan) -> None:
    with pytest.raises(UsageError, match=r"dfr_val was fitted on all validation photos of digits-sticker.*--split out"):
        again(session, cell_of(plan, "dfr_val"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: {"key": "ab" * 32, "key_parts": {**record.key_parts, "method": "?"}}, r"\(method\); run its"),
        (lambda record: {"rules": "quick+configs=3"}, "cannot be made again"),
        (lambda record: {"rules": "v1+attributes=suspects@0123abcd"}, "was told suspects@0123abcd; leave --split out"),
        (lambda record: {"rules": "v7"}, "is of rules that are not here: .*v7"),
        (lambda record: {"rules": "quick+configs=0"}, "is of rules that are not here"),
    ],
)
def test_a_record_of_something_else_is_refused(
    session: Session, plan: Plan, change: Callable[[Record], dict[str, object]], message: str
) -> None:
    cell = cell_of(plan, "erm")
    other = Cell(cell.path, cell.record.model_copy(update=change(cell.record)), cell.seed, cell.predicted)
    with pytest.raises(UsageError, match=message):
        again(session, other)


def test_a_prompt_set_that_is_gone_is_named(session: Session, plan: Plan) -> None:
    cell = cell_of(plan, "zero_shot")
    other = Cell(cell.path, cell.record.model_copy(update={"rules": "quick+prompts=gone"}), 0, cell.predicted)
    with pytest.raises(UsageError, match="cannot be made again: .* has no prompt set 'gone'"):
        again(session, other)


def test_a_fit_that_raises_is_one_line(session: Session, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(plan, "centres")
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(MethodError, match="centres raised ValueError: broken by hand; --debug shows where"):
        again(session, cell)


def test_a_model_that_comes_out_otherwise_is_told(
    session: Session, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(plan, "erm")
    assert again(session, cell)[2] == ""
    arrays = read_predictions(cell.path, cell.record)
    changed = {name: array.copy() for name, array in arrays.items()}
    changed[predictions_name(0, "worst_group")][:3] += 1
    monkeypatch.setattr("spurbench.suspects.refitted.read_predictions", lambda *_: changed)
    note = "erm: fitted once more, it predicts another class for 3 test photos"
    assert again(session, cell)[2] == note
    words = Words(tuple(Entry(word, "scene", f"with {word}") for word in ("water", "land")), "ab" * 32, "here")
    found = look(
        session, DIGITS, TINY, words, seen_by=None, cell=cell, split="val", memory_limit=2**30, listen=lambda _: None
    )
    assert found.notes == (note,)


def test_a_model_that_draws_lots_draws_the_same_ones_each_time(session: Session, plan: Plan) -> None:
    cell = cell_of(plan, "noisy")
    (_, first, _), (_, second, _) = again(session, cell), again(session, cell)
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) > 1
