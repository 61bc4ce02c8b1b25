"""Reports of discoveries: every number counted again one by one, what a discoverer may not give, the same bytes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench.cards import DiscovererCard
from spurbench.discovery import Discovery, Finding, LabelScore
from spurbench.errors import MethodError
from spurbench.findings import report
from spurbench.findings.account import make_report
from spurbench.findings.report import ClassRow, Contrast, DiscoveryReport, FindingReport, Provenance, Tally
from spurbench.record import json_schema

CARD = DiscovererCard("looker", "Looks around", "nobody 2024")
ORIGIN = Provenance(seed=3, fingerprints={"data": "00"}, environment={"spurbench": "0"})
MakeStudy = Callable[..., Any]


def reported(study: Any, *findings: Finding, against: bool = True, top: int = 5, examples: int = 12) -> DiscoveryReport:
    found = Discovery(findings, facts=(("clusters", 7.0),))
    return make_report(study, found, CARD, ORIGIN, top=top, examples=examples, against=against)


def a_finding(study: Any, seed: int, k: int, label: int | None = 1) -> Finding:
    regions = np.random.default_rng(seed).permutation(len(study.evidence.image_of))[:k]
    return Finding(torch.from_numpy(regions), 1.5, label, p_value=0.25)


def pair(tally: Tally) -> tuple[int, int]:
    return tally.hits, tally.total


@settings(max_examples=40)
@given(seed=st.integers(0, 99), k=st.integers(1, 60), label=st.sampled_from([None, 0, 1, 2]))
def test_every_count_is_what_counting_one_by_one_gives(
    make_study: MakeStudy, seed: int, k: int, label: int | None
) -> None:
    study = make_study(seed=seed)
    evidence, n = study.evidence, len(study.rows)
    finding = a_finding(study, seed, k, label)
    (found,) = reported(study, finding).findings
    regions = finding.regions.tolist()
    with_it = {int(evidence.image_of[region]) for region in regions}
    right = [max(range(3), key=lambda c: float(evidence.image_scores[i, c])) for i in range(n)]

    def tally(images: list[int], answer: Callable[[int], bool]) -> tuple[int, int]:
        return sum(answer(i) for i in images), len(images)

    for side, inside in (("present", True), ("absent", False)):
        images = [i for i in range(n) if (i in with_it) is inside]
        assert pair(getattr(found.right, side)) == tally(images, lambda i: right[i] == int(evidence.y[i]))
        if label is None:
            assert found.called is None
        else:
            others = [i for i in images if int(evidence.y[i]) != label]
            assert found.called is not None
            assert pair(getattr(found.called, side)) == tally(others, lambda i: right[i] == label)
        for row in found.classes:
            own = [i for i in images if study.card.classes[int(evidence.y[i])] == row.label]
            assert pair(getattr(row.right, side)) == tally(own, lambda i: right[i] == int(evidence.y[i]))
            values = [sum(int(study.examples.a[study.rows[i]]) == v for i in own) for v in range(2)]
            assert getattr(row, f"attributes_{side}") == values
    assert {row.label for row in found.classes} == {study.card.classes[int(evidence.y[i])] for i in with_it}
    assert (found.n_regions, found.n_images) == (len(regions), len(with_it))
    assert found.known_share == pytest.approx(sum(study.truth[r] for r in regions) / len(regions))
    assert found.precision_at_10 == pytest.approx(sum(study.truth[r] for r in regions[:10]) / 10)
    gaps = [abs(row.right.gap) for row in found.by_gap if row.right.gap is not None]
    assert gaps == sorted(gaps, reverse=True)
    assert [row.right.gap is None for row in found.by_gap] == sorted(row.right.gap is None for row in found.by_gap)


@settings(max_examples=40)
@given(seed=st.integers(0, 99), k=st.integers(1, 80), n=st.integers(1, 30))
def test_examples_are_the_most_typical_and_of_other_images_first(
    make_study: MakeStudy, seed: int, k: int, n: int
) -> None:
    study = make_study(seed=seed)
    finding = a_finding(study, seed + 1, k)
    (found,) = reported(study, finding, examples=n).findings
    waiting, again, seen = finding.regions.tolist(), [], set()
    expected = []
    for region in waiting:
        image = int(study.evidence.image_of[region])
        (again if image in seen else expected).append(region)
        seen.add(image)
    expected = (expected + again)[:n]
    assert len(found.examples) == len(expected)
    for example, region in zip(found.examples, expected, strict=True):
        image = int(study.evidence.image_of[region])
        assert example.row == study.rows[image]
        assert example.id == f"photo-{example.row}.png"
        assert example.box == pytest.approx(study.boxes[region].tolist())
        assert example.confidence == pytest.approx(float(study.evidence.region_scores[region, 1]), abs=1e-6)
        assert example.known == study.truth[region]
        assert example.label == study.card.classes[study.examples.y[example.row]]
        assert example.right == (example.predicted == study.card.classes[int(study.evidence.y[image])])


def test_what_the_discoverer_says_is_passed_on(make_study: MakeStudy) -> None:
    study = make_study()
    scores = (LabelScore(0, 1, 1, 1, 1, 0.25), LabelScore(1, 1, 1, 1, 1, 0.75), LabelScore(2, 1, 1, 1, 1, None))
    finding = dataclasses.replace(a_finding(study, 0, 60), scores=scores)
    whole = reported(study, finding, a_finding(study, 1, 5, None), a_finding(study, 2, 5), top=2)
    first, second = whole.findings
    assert (first.rank, first.label, first.score, first.p_value, first.influence) == (1, "dog", 1.5, 0.25, 0.75)
    assert [row.influence for row in first.classes] == [0.25, 0.75, None]
    assert first.row is not None
    assert first.row.label == "dog"
    assert (second.rank, second.label, second.influence, second.row) == (2, None, None, None)
    assert (whole.n_findings, whole.facts, whole.n_regions) == (3, {"clusters": 7.0}, len(study.boxes))
    right = sum(int(p) == int(y) for p, y in zip(study.evidence.predicted, study.evidence.y, strict=True))
    assert pair(whole.right) == (right, 40)


def test_the_known_attribute_is_in_a_report_only_if_it_was_asked_for(make_study: MakeStudy) -> None:
    study, blind = make_study(), make_study(truth=False)
    silent = reported(study, a_finding(study, 0, 20), against=False)
    told = reported(blind, a_finding(blind, 0, 20))
    assert (silent.why_no_truth, told.why_no_truth) == ("", "nobody drew boxes")
    for whole in (silent, told):
        (found,) = whole.findings
        assert (found.known_share, found.precision_at_10) == (None, None)
        assert {example.known for example in found.examples} == {None}
        assert {row.attributes_present is None for row in found.classes} == {whole is silent}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": torch.tensor([], dtype=torch.int64)}, "one or more int64 rows, not int64 of shape (0,)"),
        ({"regions": torch.tensor([0.0, 1.0])}, "one or more int64 rows, not float32"),
        ({"regions": [0, 1]}, "no attribute 'numpy'"),
        ({"regions": torch.tensor([[0, 1]])}, "of shape (1, 2)"),
        ({"regions": torch.tensor([0, 1, 0])}, "distinct"),
        ({"regions": torch.tensor([0, -1])}, "lie in 0..{last}"),
        ({"regions": torch.tensor([0, 1000])}, "lie in 0..{last}"),
        ({"label": 3}, "labels must lie in 0..2"),
        ({"scores": (LabelScore(-1, 1, 1, 1, 1),)}, "labels must lie in 0..2"),
        ({"score": float("nan")}, "score: Input should be a finite number"),
        ({"p_value": 1.5}, "p_value: Input should be less than or equal to 1"),
    ],
)
def test_what_breaks_the_contract_is_named(make_study: MakeStudy, change: dict[str, Any], message: str) -> None:
    study = make_study()
    good = a_finding(study, 0, 5)
    with pytest.raises(MethodError) as caught:
        reported(study, good, dataclasses.replace(good, **change))
    assert "discoverer 'looker': finding 2 breaks the contract" in str(caught.value)
    assert message.format(last=len(study.boxes) - 1) in str(caught.value)


def test_facts_that_are_no_numbers_are_refused(make_study: MakeStudy) -> None:
    for value in (float("nan"), "many"):
        found = Discovery((), facts=(("silhouette", value),))  # type: ignore[arg-type]
        with pytest.raises(MethodError, match="'looker': what it found breaks the contract: silhouette: Input should"):
            make_report(make_study(), found, CARD, ORIGIN, top=1, examples=1, against=False)


def test_a_report_is_read_back_as_it_was_and_its_bytes_are_the_same_each_time(make_study: MakeStudy) -> None:
    ids = [f"\udcff{row}\x1b 猫" for row in range(60)]
    text = [reported(make_study(ids=ids), a_finding(make_study(), 0, 30)).to_json() for _ in range(2)]
    assert text[0] == text[1]
    assert json.loads(text[0].encode())["findings"][0]["examples"][0]["id"].startswith("\\udcff")
    read = DiscoveryReport.model_validate_json(text[0])
    assert read.to_json() == text[0]
    with pytest.raises(ValueError, match="Extra inputs"):
        DiscoveryReport.model_validate({**json.loads(text[0]), "more": 1})


def test_why_there_is_no_finding(make_study: MakeStudy) -> None:
    study = make_study()
    right = int((study.evidence.predicted == study.evidence.y).sum())
    none = reported(study)
    assert none.findings == []
    assert none.why_none.startswith("None of the 7 clusters of regions passes the filter of looker")
    assert f"{40 - right} errors" in none.why_none
    plainer = none.model_copy(update={"facts": {}})
    assert plainer.why_none.startswith("No set of regions passes the filter of looker")
    perfect = none.model_copy(update={"right": Tally(hits=40, total=40)})
    assert perfect.why_none == "The model gets all 40 images right: there is no error to explain."


def test_a_tally_of_nothing_has_no_share_and_more_than_all_is_refused() -> None:
    assert Tally(hits=0, total=0).share is None
    assert Contrast(present=Tally(hits=1, total=4), absent=Tally(hits=3, total=4)).gap == -0.5
    assert Contrast(present=Tally(hits=1, total=4), absent=Tally(hits=0, total=0)).gap is None
    with pytest.raises(ValueError, match="3 of 2"):
        Tally(hits=3, total=2)


def test_the_committed_schema_is_that_of_the_model() -> None:
    assert Path(report.__file__).with_name("report.schema.json").read_text() == json_schema(DiscoveryReport)
    schema = json.loads(json_schema(DiscoveryReport))
    objects = [schema, *schema["$defs"].values()]
    assert len(objects) > 5
    assert all(part["additionalProperties"] is False for part in objects)


def test_a_report_is_read_without_torch() -> None:
    code = "import sys, spurbench.findings.report, spurbench.render.discovery_page; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_classes_without_a_counterpart_come_last() -> None:
    def row(label: str, present: int, absent: int | None) -> ClassRow:
        away = Tally(hits=absent or 0, total=0 if absent is None else 10)
        right = Contrast(present=Tally(hits=present, total=10), absent=away)
        return ClassRow(label=label, right=right, influence=None, attributes_present=None, attributes_absent=None)

    rows = [row("none", 9, None), row("same", 5, 5), row("less", 1, 9), row("more", 8, 5)]
    whole = Contrast(present=Tally(hits=1, total=1), absent=Tally(hits=1, total=1))
    found = FindingReport(
        rank=1, label="none", score=1, influence=None, p_value=None, n_regions=1, n_images=1, right=whole, called=None,
        classes=rows, known_share=None, precision_at_10=None, examples=[],
    )  # fmt: skip
    assert [one.label for one in found.by_gap] == ["less", "more", "same", "none"]
    assert found.row is None
