"""A model made again is the model of the record: the same classes for every test example, under every rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spurbench.errors import MethodError
from spurbench.execute import run_plan
from spurbench.executors.inline import InlineExecutor
from spurbench.jobs import Job
from spurbench.plan import Plan, Row
from spurbench.record import read_predictions
from spurbench.remade import Remade, remake
from spurbench.rules import Selection
from spurbench.session import Session
from spurbench.workbench import Workbench

METHODS = ("erm", "dfr_val", "rwg", "subg+george", "jtt", "zero_shot", "orth_proj")
"""Batched ones and others; one that is fitted once more on all of validation, one with inferred groups, some that train
nothing."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("remade")
    return Session(
        methods=",".join(METHODS), datasets="gaussians", rules_name="quick", seeds=2, configs=2,
        results=folder / "results", cache=folder / "cache", data_root=folder / "data", device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def plan(session: Session) -> Plan:
    executor = InlineExecutor(session.registries)
    run_plan(
        session.plan(), session.registries, executor, data_root=session.data_root, cache=session.cache, device="cpu",
        precision="fp32", memory_limit=2**30, listen=lambda *_: None,
    )  # fmt: skip
    return session.plan()


def again(session: Session, plan: Plan, row: Row, seed: int, selection: Selection) -> Remade:
    job = Job(
        row.key, row.dataset_spec, row.backbone_spec, row.method, (seed,), plan.rules, session.data_root,
        session.cache, "cpu", "fp32", 2**30, isolated=False,
    )  # fmt: skip
    method = session.registries.methods.fresh(row.method)
    prepared = Workbench(session.registries, job).prepare(job, method, lambda _: None)
    assert row.record is not None
    return remake(method, prepared, plan.rules, row.record, read_predictions(row.path, row.record), seed, selection)


@pytest.mark.parametrize("name", METHODS)
def test_every_rule_of_every_seed_comes_back_to_the_bit(session: Session, plan: Plan, name: str) -> None:
    row = next(row for row in plan.rows if row.method == name)
    assert row.record is not None
    assert [result.seed for result in row.record.done] == [0, 1]
    for result in row.record.done:
        for selection in result.selected:
            found = again(session, plan, row, result.seed, selection)
            assert (found.seed, len(found.recorded)) == (result.seed, sum(result.test_total))
            np.testing.assert_array_equal(found.predicted, found.recorded)


def test_seeds_and_rules_are_not_mixed_up(session: Session, plan: Plan) -> None:
    """Otherwise the test above could not fail: some models of these records do differ."""
    recorded = []
    for row in plan.rows:
        assert row.record is not None
        arrays = read_predictions(row.path, row.record)
        recorded += [arrays[name] for name in arrays if name != "group"]
    assert len({array.tobytes() for array in recorded}) > len(METHODS)


def test_a_seed_or_rule_without_a_result_is_told(session: Session, plan: Plan) -> None:
    with pytest.raises(MethodError, match="erm: seed 7 has no result under the rule worst_group"):
        again(session, plan, plan.rows[0], 7, "worst_group")


def test_a_fit_that_gives_fewer_snapshots_than_it_did_is_told(session: Session, plan: Plan) -> None:
    row = plan.rows[0]
    assert row.record is not None
    result = row.record.seeds[0]
    late = [candidate._replace(snapshot=9) for candidate in result.candidates]
    changed = row.record.model_copy(update={"seeds": [result.model_copy(update={"candidates": late})]})
    job = Job(
        row.key, row.dataset_spec, row.backbone_spec, row.method, (0,), plan.rules, session.data_root, session.cache,
        "cpu", "fp32", 2**30, isolated=False,
    )  # fmt: skip
    method = session.registries.methods.fresh(row.method)
    prepared = Workbench(session.registries, job).prepare(job, method, lambda _: None)
    arrays = read_predictions(row.path, row.record)
    with pytest.raises(MethodError, match="erm gave 1 snapshots, the record chose number 9"):
        remake(method, prepared, plan.rules, changed, arrays, 0, "worst_group")


def test_what_a_run_keeps_on_disk_is_left_alone(session: Session, plan: Plan, tmp_path: Path) -> None:
    row = next(row for row in plan.rows if row.method == "erm")
    scratch = session.cache / "scratch" / f"{row.key[:32]}-cpu"
    scratch.mkdir(parents=True)
    (scratch / "epoch").write_text("of a run that is going on")
    again(session, plan, row, 0, "worst_group")
    assert (scratch / "epoch").read_text() == "of a run that is going on"
