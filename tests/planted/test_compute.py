"""One planted model, computed for real on digits: its counts, and what discoverers are told they found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spurbench.cards import DiscovererCard
from spurbench.discovery import Discovery, Evidence, Finding
from spurbench.planted import compute
from spurbench.planted.compute import PlantedWorker
from spurbench.planted.family import Base, Setting
from spurbench.planted.jobs import Done, PlantedEvent, PlantedJob
from spurbench.planted.plan import make_rows
from spurbench.planted.pool import Inline
from spurbench.planted.record import PlantedSeed, read_planted
from spurbench.planted.run import run_rows
from spurbench.seeds import Seed
from spurbench.session import Session

MODEL = "clip_finetune:lr=0.0003:epochs=1:text=all"
MEND = "upsampled_ft:epochs=1:first_lr=0.0003:lr=0.0003:text=all"
BASE = Base(
    name="digits", dataset="digits-sticker:strength={strength}:label={label}", labels=["3"], model=MODEL,
    mitigations=[MEND],
)  # fmt: skip
SETTING = Setting(BASE, "3", 0.95, "menagerie-rn")


@dataclass
class InOrder:
    """Suspects the regions as they come, from one on."""

    card = DiscovererCard("in_order", "in order", "-")
    start: int = 0

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        return Discovery((Finding(torch.arange(self.start, len(evidence.image_of)), 1.0, label=3),))


class Raising:
    """Cannot be asked."""

    card = DiscovererCard("raising", "raises", "-")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        raise ZeroDivisionError("a bug of its own")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    found = Session(cache=tmp_path / "cache", data_root=tmp_path, results=tmp_path / "results", device="cpu")
    for kind in (InOrder, Raising):
        found.registries.discoverers.add(kind.card.name, "test", lambda kind=kind: kind)
    return found


def jobs(session: Session, *discoverers: str, mitigate: bool = False) -> tuple[PlantedJob, ...]:
    (row,) = make_rows(session, [SETTING], 1, discoverers, mitigate=mitigate, memory_limit=2**30)
    assert not row.reason
    return row.jobs


def computed(session: Session, job: PlantedJob) -> PlantedSeed:
    events: list[PlantedEvent] = []
    PlantedWorker(session.registries)(job, events.append)
    assert isinstance(events[-1], Done)
    assert sum(isinstance(event, Done) for event in events) == 1
    return events[-1].result


@pytest.fixture
def guilty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch is not enough to learn a shortcut: every model counts as using it, and every discovery as a success."""
    monkeypatch.setattr(compute, "THRESHOLD", -2.0)
    monkeypatch.setattr("spurbench.planted.plan.THRESHOLD", -2.0)
    monkeypatch.setattr("spurbench.planted.plan.ENOUGH", -1.0)


@pytest.mark.usefixtures("guilty")
def test_a_model_is_judged_and_whoever_is_asked_is_told_the_truth(session: Session) -> None:
    (job,) = jobs(session, "in_order", "raising", mitigate=True)
    result = computed(session, job)
    assert result.failure is None
    examples: Any = session.registries.datasets.get(SETTING.dataset).load(session.data_root)
    pixels = np.stack([np.asarray(image) for image in examples.photos.open(examples.rows("val")[:50].tolist())])
    red = (pixels == (255, 0, 0)).all(axis=-1)
    quarters = [red[:, top : top + 28, left : left + 28].all(axis=(1, 2)) for top in (0, 28) for left in (0, 28)]
    assert result.found["in_order"].hits == np.stack(quarters, axis=1).ravel()[:50].astype(int).tolist()
    assert result.found["in_order"].label == 3
    assert (result.regions, result.planted_regions) == (4 * 240, 120)
    assert result.found["raising"].findings == 0
    assert "ZeroDivisionError: a bug of its own" in result.found["raising"].error
    total = examples.group_totals("test")
    mended = next(iter(result.mitigated.values()))
    assert mended.error == ""
    for judged in (result.judged, mended.judged):
        assert judged is not None
        for counts in (judged.image, judged.region):
            assert all(0 <= count <= of for count, of in zip(counts, total, strict=True))
    again = computed(session, job)
    assert again == result, "the same job gives the same bits"


@pytest.mark.usefixtures("guilty")
def test_only_who_was_not_asked_is_asked(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = jobs(session, "in_order")
    before = computed(session, job)
    asked = replace(job, before=before)
    monkeypatch.setattr(compute, "fit_once", None)
    assert computed(session, asked) == before, "nothing is trained where nothing is missing"
    other = replace(asked, discoverers=(("in_order", "another key"),))
    failed = computed(session, other)
    assert failed.status == "failed", "whose key has changed is asked again, and that takes the model"


def test_nobody_is_asked_about_a_model_that_does_not_use_the_shortcut(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "THRESHOLD", 2.0)
    (job,) = jobs(session, "in_order")
    result = computed(session, job)
    assert (result.status, result.found, result.regions) == ("ok", {}, 0)


@pytest.mark.usefixtures("guilty")
def test_records_hold_what_was_computed_and_nothing_is_done_twice(session: Session) -> None:
    rows = make_rows(session, [SETTING], 1, ["in_order"], mitigate=False, memory_limit=2**30)
    heard: list[PlantedEvent] = []
    run_rows(rows, [Inline(session.registries)], session.cache / "locks", lambda row, job, event: heard.append(event))
    record = read_planted(rows[0].path)
    assert record is not None
    assert (record.base, record.model, record.label, record.strength) == ("digits", MODEL_NAME, 3, 0.95)
    assert record.seeds[0].found["in_order"].findings == 1
    again = make_rows(session, [SETTING], 1, ["in_order"], mitigate=False, memory_limit=2**30)
    assert (again[0].jobs, again[0].done) == ((), tuple(record.seeds))
    more = make_rows(session, [SETTING], 2, ["in_order"], mitigate=False, memory_limit=2**30)
    assert [job.seed for job in more[0].jobs] == [1]
    forced = replace(session, force=True)
    assert len(make_rows(forced, [SETTING], 1, ["random"], mitigate=False, memory_limit=2**30)[0].jobs) == 1


MODEL_NAME = "clip_finetune:epochs=1:lr=0.0003:text=all"


def test_a_data_set_in_which_nothing_is_planted_is_left_out(session: Session) -> None:
    base = Base(name="birds", dataset="menagerie-birds:correlation={strength}", labels=["x"], model=MODEL)
    (row,) = make_rows(
        session, [Setting(base, "x", 0.9, "menagerie-rn")], 1, ["random"], mitigate=False, memory_limit=2**30
    )
    assert "does not say what is planted" in row.reason
    assert row.jobs == ()
