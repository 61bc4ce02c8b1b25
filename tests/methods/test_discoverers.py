"""Discoverers on evidence with a planted object: what they find first, what they say of it, and what stops them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from spurbench.discovery import Discoverer, Discovery, Evidence
from spurbench.discovery.precision import precision_at
from spurbench.discovery.significance import Gaps
from spurbench.errors import MethodError, UsageError
from spurbench.seeds import Seed
from spurbench_methods.discovery import ravl
from spurbench_methods.discovery.distilling_failures import DistillingFailures
from spurbench_methods.discovery.domino import Domino
from spurbench_methods.discovery.george import George
from spurbench_methods.discovery.random_regions import RandomRegions
from spurbench_methods.discovery.ravl import RaVL
from spurbench_methods.discovery.yang_detector import YangDetector, mutual_information

K, D = 4, 16
PLANTED, EMPTY = K, K + 1
HELPED = 2
SEED = Seed(("discover",))


@dataclass(frozen=True)
class World:
    """Evidence, and what each region shows: a class, the planted object, or nothing."""

    evidence: Evidence
    shows: torch.Tensor

    @property
    def truth(self) -> torch.Tensor:
        return self.shows == PLANTED


def make_world(n: int = 160, reliance: float = 4.0, noise: float = 0.12, seed: int = 0) -> World:
    """Images of three regions: the class's object, nothing, and in half of them the planted object in place of nothing.

    The model takes the planted object for class HELPED, the more so the larger the reliance.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) % K
    planted = rng.permutation(n) % 2 == 0
    shows = np.stack([y, np.full(n, EMPTY), np.where(planted, PLANTED, EMPTY)], axis=1).ravel()
    embeddings = np.eye(D)[shows] + 0.5 / np.sqrt(D) + noise * rng.normal(size=(3 * n, D))
    logits = rng.normal(scale=0.3, size=(3 * n, K))
    logits[shows < K, shows[shows < K]] += 2
    logits[shows == PLANTED, HELPED] += reliance
    image_of = np.repeat(np.arange(n), 3)
    summed = logits.reshape(n, 3, K).sum(axis=1)

    def unit(x: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1)

    def softmax(x: np.ndarray) -> torch.Tensor:
        return torch.softmax(torch.from_numpy(x).float(), dim=1)

    evidence = Evidence(
        y=torch.from_numpy(y),
        image_embeddings=unit(embeddings.reshape(n, 3, D).sum(axis=1)),
        image_scores=softmax(summed),
        image_of=torch.from_numpy(image_of),
        region_embeddings=unit(embeddings),
        region_scores=softmax(logits),
    )
    return World(evidence, torch.from_numpy(shows))


ALL: list[Callable[[], Discoverer]] = [RaVL, RandomRegions, George, Domino, DistillingFailures, YangDetector]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def check_contract(found: Discovery, evidence: Evidence) -> None:
    m = len(evidence.image_of)
    for finding in found.findings:
        assert finding.regions.dtype == torch.int64
        assert len(torch.unique(finding.regions)) == len(finding.regions) > 0
        assert 0 <= int(finding.regions.min()) <= int(finding.regions.max()) < m
        assert finding.label is None or 0 <= finding.label < K
        assert [score.label for score in finding.scores] == sorted({score.label for score in finding.scores})
    scores = [finding.score for finding in found.findings]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("make", ALL)
def test_the_contract_is_met_silently_and_the_seed_decides(
    make: Callable[[], Discoverer], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = make().discover(world.evidence, SEED)
    assert capsys.readouterr() == ("", "")
    check_contract(found, world.evidence)
    again = make().discover(world.evidence, SEED)
    assert [f.regions.tolist() for f in found.findings] == [f.regions.tolist() for f in again.findings]
    assert [(f.score, f.label, f.p_value) for f in found.findings] == [
        (f.score, f.label, f.p_value) for f in again.findings
    ]


@pytest.mark.parametrize("make", [RaVL, George, DistillingFailures])
def test_the_planted_object_is_found(make: Callable[[], Discoverer], world: World) -> None:
    top = make().discover(world.evidence, SEED).findings[0]
    assert precision_at(top.regions, world.truth, 10) == 1.0


def test_ravl_says_what_it_found(world: World) -> None:
    evidence = world.evidence
    found = RaVL().discover(evidence, SEED)
    top = found.findings[0]
    assert top.label == HELPED
    assert found.centers is not None
    # No permutation reaches such a gap; adjusted for all clusters, of which most are no findings.
    assert top.p_value == pytest.approx(len(found.centers) / 10_000)
    assert len(found.findings) < len(found.centers)
    facts = dict(found.facts)
    assert facts["clusters"] == len(found.centers)
    assert 2 * K <= facts["clusters"] < 5 * K
    assert -1 <= facts["silhouette"] <= 1
    # Its regions are those that no other center is nearer to, the nearest first.
    cosine = evidence.region_embeddings @ found.centers.T
    assert top.center is not None
    own = int((found.centers @ top.center).argmax())
    members = torch.nonzero(cosine.argmax(dim=1) == own)[:, 0]
    assert set(top.regions.tolist()) == set(members.tolist())
    assert (cosine[top.regions, own].diff() <= 0).all()
    images = set(evidence.image_of[members].tolist())
    wrong = evidence.predicted != evidence.y
    for row in top.scores:
        of_class = [i for i in range(len(evidence.y)) if evidence.y[i] == row.label]
        assert row.n_in == sum(i in images for i in of_class)
        assert row.n_in + row.n_out == len(of_class)
        assert row.correct_in == sum(i in images and not wrong[i] for i in of_class)
        assert row.correct_in + row.correct_out == sum(not wrong[i] for i in of_class)
    assert max(row.influence or 0 for row in top.scores) > 0.9
    hurt = {row.label for row in top.scores if row.influence is not None}
    assert hurt <= set(range(K)) - {HELPED}
    assert hurt


def survivors(argument: str, evidence: Evidence) -> list[list[int]]:
    return [sorted(f.regions.tolist()) for f in RaVL(argument).discover(evidence, SEED).findings]


def test_each_filter_of_ravl_keeps_what_it_says(world: World) -> None:
    evidence = world.evidence
    released, paper = survivors("filter=released", evidence), survivors("", evidence)
    weighted, unweighted = survivors("score=weighted", evidence), survivors("score=unweighted", evidence)
    assert [cluster for cluster in paper if cluster in released] == released
    assert [cluster for cluster in weighted if cluster in paper] == paper
    assert sorted(weighted) == sorted(unweighted)
    assert len(weighted) > len(paper)
    for finding in RaVL("filter=released").discover(evidence, SEED).findings:
        gaps = [s.correct_in / s.n_in - s.correct_out / s.n_out for s in finding.scores if s.n_out]
        assert max(gaps) > 0 > min(gaps)
    for finding in RaVL("score=unweighted").discover(evidence, SEED).findings:
        gaps = [s.correct_in / s.n_in - s.correct_out / s.n_out for s in finding.scores if s.n_out]
        assert finding.score == pytest.approx(sum(map(abs, gaps)))
    for finding in RaVL().discover(evidence, SEED).findings:
        weights = [2 * min(s.n_in, s.n_out) / (s.n_in + s.n_out) for s in finding.scores if s.n_out]
        gaps = [s.correct_in / s.n_in - s.correct_out / s.n_out for s in finding.scores if s.n_out]
        assert finding.score == pytest.approx(sum(w * abs(gap) for w, gap in zip(weights, gaps, strict=True)))
        assert max(s.influence or 0 for s in finding.scores) >= ravl.INFLUENCE


def test_the_released_filter_does_not_count_images_of_one_region(world: World) -> None:
    evidence = world.evidence
    last = torch.arange(len(evidence.image_of)) % 3 == 2
    # Without the object the class that it helps is taken for another.
    predicted = torch.where((evidence.y == HELPED) & ~world.truth[last], 0, evidence.predicted)
    spread = torch.nn.functional.normalize(
        evidence.region_embeddings[last] + 0.05 * torch.randn(160, D, generator=SEED.torch()), dim=1
    )
    lone = replace(
        evidence,
        image_scores=torch.eye(K)[predicted],
        image_of=evidence.image_of[last],
        region_embeddings=spread,
        region_scores=evidence.region_scores[last],
    )
    assert RaVL().discover(lone, SEED).findings
    assert RaVL("filter=released").discover(lone, SEED).findings == ()
    assert RaVL("filter=released:score=weighted").discover(lone, SEED).findings


def test_a_class_that_always_has_the_object_is_not_called_helped(world: World) -> None:
    # It cannot be compared with images without; of those that can, the least hurt class is named.
    evidence = world.evidence
    image, has = torch.arange(160), torch.zeros(160, dtype=torch.bool)
    has[evidence.image_of[world.truth]] = True
    predicted = torch.where(has & (image >= 8), HELPED, evidence.y)
    kept = (evidence.y != HELPED) | has
    row = torch.cumsum(kept, dim=0) - 1
    of_kept = kept[evidence.image_of]
    always = Evidence(
        y=evidence.y[kept],
        image_embeddings=evidence.image_embeddings[kept],
        image_scores=torch.eye(K)[predicted][kept],
        image_of=row[evidence.image_of[of_kept]],
        region_embeddings=evidence.region_embeddings[of_kept],
        region_scores=evidence.region_scores[of_kept],
    )
    top = RaVL().discover(always, SEED).findings[0]
    gaps = {s.label: s.correct_in / s.n_in - s.correct_out / s.n_out for s in top.scores if s.n_out}
    assert HELPED not in gaps
    assert max(gaps.values()) < 0
    assert top.label == max(gaps, key=lambda k: gaps[k])


def test_ravl_has_one_name_for_each_way_to_write_it() -> None:
    assert RaVL().card.name == RaVL("score=full").card.name == RaVL("filter=paper:score=full").card.name == "ravl"
    assert RaVL("score=weighted:filter=released").card.name == "ravl:filter=released:score=weighted"
    assert RaVL("filter=paper:score=weighted").card.name == "ravl:score=weighted"
    for argument in ("filter", "fliter=paper", "score=weighted:score=full"):
        with pytest.raises(UsageError, match=r"write ravl\[:filter=paper\]\[:score=full\], each once"):
            RaVL(argument)
    with pytest.raises(UsageError, match="score must be one of full, weighted, unweighted, not 'heavy'"):
        RaVL("score=heavy")


@pytest.mark.parametrize("make", [RaVL, lambda: RaVL("score=unweighted"), George, DistillingFailures, YangDetector])
def test_a_model_that_is_always_right_relies_on_nothing(make: Callable[[], Discoverer], world: World) -> None:
    evidence = replace(world.evidence, image_scores=torch.eye(K)[world.evidence.y])
    assert make().discover(evidence, SEED).findings == ()


@pytest.mark.parametrize("make", ALL)
def test_odd_evidence_is_no_trouble(make: Callable[[], Discoverer], world: World) -> None:
    # Images without regions, with one, a class of one image, a class of none, and regions that coincide.
    evidence = world.evidence
    keep = (evidence.image_of >= 6) & ~((evidence.image_of < 30) & (torch.arange(len(evidence.image_of)) % 3 > 0))
    y = torch.where(evidence.y == 3, 0, evidence.y)
    y[80] = 3
    embeddings = evidence.region_embeddings[keep]
    embeddings[40:60] = embeddings[40]
    odd = replace(
        evidence,
        y=y,
        image_of=evidence.image_of[keep],
        region_embeddings=embeddings,
        region_scores=evidence.region_scores[keep],
    )
    check_contract(make().discover(odd, SEED), odd)
    check_contract(make().discover(replace(odd, y=y.clamp(max=2)), SEED), odd)


@pytest.mark.parametrize("make", ALL)
def test_no_regions_and_no_numbers_are_said(make: Callable[[], Discoverer], world: World) -> None:
    evidence = world.evidence
    name = make().card.name
    none = replace(
        evidence,
        image_of=evidence.image_of[:0],
        region_embeddings=evidence.region_embeddings[:0],
        region_scores=evidence.region_scores[:0],
    )
    with pytest.raises(MethodError, match=f"{name}: there are no regions"):
        make().discover(none, SEED)
    for part in ("region_embeddings", "region_scores"):
        broken = getattr(evidence, part).clone()
        broken[7, 1] = torch.nan
        with pytest.raises(MethodError, match=f"{name}: .* not finite"):
            make().discover(replace(evidence, **{part: broken}), SEED)


@pytest.mark.parametrize("make", [RaVL, YangDetector])
def test_too_few_distinct_regions_are_said(make: Callable[[], Discoverer], world: World) -> None:
    same = torch.eye(D)[torch.arange(len(world.shows)) % 8]
    with pytest.raises(MethodError, match=f"{make().card.name}: 8 clusters .* 9 distinct regions; of 480 there are 8"):
        make().discover(replace(world.evidence, region_embeddings=same), SEED)
    enough = torch.eye(D)[torch.arange(len(world.shows)) % 9]
    assert dict(make().discover(replace(world.evidence, region_embeddings=enough), SEED).facts)["clusters"] == 8


def test_random_is_a_permutation_of_all(world: World) -> None:
    (finding,) = RandomRegions().discover(world.evidence, SEED).findings
    assert sorted(finding.regions.tolist()) == list(range(480))
    assert (
        finding.regions.tolist() != RandomRegions().discover(world.evidence, Seed(("x",))).findings[0].regions.tolist()
    )


def test_georges_score_is_how_much_worse_the_images_are(world: World) -> None:
    evidence = world.evidence
    right = (evidence.predicted == evidence.y).numpy()
    y, image = evidence.y.numpy(), evidence.image_of.numpy()
    for finding in George().discover(evidence, SEED).findings:
        images = {int(image[r]) for r in finding.regions}
        (k,) = {int(y[i]) for i in images}
        assert finding.score == pytest.approx(right[y == k].mean() - np.mean([right[i] for i in images]))
        assert finding.score > 0


def test_failing_regions_lie_in_images_that_fail(world: World) -> None:
    evidence = world.evidence
    wrong = evidence.predicted != evidence.y
    found = DistillingFailures().discover(evidence, SEED).findings
    assert found
    for finding in found:
        images = evidence.image_of[finding.regions]
        assert len(torch.unique(evidence.y[images])) == 1
        assert 0 < finding.score <= 0.5
    assert wrong[evidence.image_of[found[0].regions[:10]]].double().mean() > 0.8


def test_yang_keeps_the_top_of_each_class_above_the_threshold(world: World) -> None:
    evidence = world.evidence
    found = YangDetector().discover(evidence, SEED)
    assert found.findings
    assert found.centers is not None
    y, right = evidence.y.numpy(), (evidence.predicted == evidence.y).numpy()
    label = (evidence.region_embeddings @ found.centers.T).argmax(dim=1).numpy()
    expected: dict[int, tuple[float, int]] = {}
    for k in range(K):
        of_class = np.flatnonzero(y == k)
        words = []
        for c in range(len(found.centers)):
            present = np.isin(of_class, evidence.image_of.numpy()[label == c])
            if present.sum() >= 10 and not present.all():
                gap = right[of_class][present].mean() - right[of_class][~present].mean()
                words.append((mutual_info_score(present, right[of_class]), gap, c))
        for _, gap, c in sorted(words, reverse=True)[:5]:
            if gap >= 0.1 and gap > expected.get(c, (0.0, 0))[0]:
                expected[c] = (gap, k)
    ranked = sorted(expected.items(), key=lambda item: -item[1][0])
    assert [(f.score, f.label) for f in found.findings] == [(pytest.approx(gap), k) for _, (gap, k) in ranked]
    for finding, (c, _) in zip(found.findings, ranked, strict=True):
        assert sorted(finding.regions.tolist()) == np.flatnonzero(label == c).tolist()


def test_yang_asks_for_ten_images_of_the_class() -> None:
    assert YangDetector().discover(make_world(n=9 * K, seed=1).evidence, SEED).findings == ()


def test_mutual_information_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 5, size=(4, 6, 3))
    tables[1], tables[3] = np.minimum(tables[0], tables[1]), np.minimum(tables[2], tables[3])
    found = mutual_information(Gaps(*(torch.from_numpy(table) for table in tables)))
    for c in range(6):
        for k in range(3):
            n_in, ok_in, n_out, ok_out = tables[:, c, k]
            present = [1] * n_in + [0] * n_out
            right = [1] * ok_in + [0] * (n_in - ok_in) + [1] * ok_out + [0] * (n_out - ok_out)
            expected = mutual_info_score(present, right) if present else 0.0
            assert float(found[c, k]) == pytest.approx(expected, abs=1e-12)
