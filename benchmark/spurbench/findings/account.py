"""From findings to the numbers of a report. Counts are made from the evidence, whoever found the regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ..cards import DiscovererCard
from ..data import Ints
from ..discovery import Discovery, Finding
from ..errors import MethodError
from .report import (
    ClassRow,
    Contrast,
    DiscovererName,
    DiscoveryReport,
    Example,
    FindingReport,
    Finite,
    Provenance,
    Tally,
)

if TYPE_CHECKING:
    from ..study import Study

Bools = NDArray[np.bool_]
AT = 10
"""How many of the most typical regions Precision@10 looks at."""


def make_report(
    study: Study,
    discovery: Discovery,
    card: DiscovererCard,
    provenance: Provenance,
    *,
    top: int,
    examples: int,
    against: bool,
) -> DiscoveryReport:
    """The first `top` findings with up to `examples` of each one's regions.

    Args:
        against: compare with the spurious attribute that the data set knows.

    Raises:
        MethodError: what the discoverer gave is not what its contract says; names the discoverer and the finding.
    """
    right = (study.evidence.predicted == study.evidence.y).numpy()
    with _contract_of(card, "what it found"):
        facts = TypeAdapter(dict[str, Finite]).validate_python(dict(discovery.facts))
    findings = []
    for rank, finding in enumerate(discovery.findings[:top], 1):
        with _contract_of(card, f"finding {rank}"):
            findings.append(_Account(study, finding, against).report(rank, examples))
    return DiscoveryReport(
        dataset=_text(study.card.name),
        title=_text(study.card.title),
        backbone=_text(study.backbone),
        model=_text(study.model),
        regions=_text(study.regions),
        split=study.split,
        discoverer=DiscovererName(name=card.name, title=card.title, paper=card.paper),
        classes=[_text(name) for name in study.card.classes],
        attributes=[_text(name) for name in study.card.attributes],
        n_regions=len(study.evidence.image_of),
        right=_tally(right, np.ones(len(right), dtype=bool)),
        facts=facts,
        n_findings=len(discovery.findings),
        findings=findings,
        against=against,
        why_no_truth=_text(study.why_no_truth) if against and study.truth is None else "",
        provenance=provenance,
    )


@contextmanager
def _contract_of(card: DiscovererCard, part: str) -> Iterator[None]:
    """What cannot be made sense of inside is the discoverer's fault: a MethodError that says so."""
    try:
        yield
    except (ValueError, TypeError, AttributeError) as error:
        raise MethodError(f"discoverer '{card.name}': {part} breaks the contract: {_first(error)}") from error


class _Account:
    """One finding and the images that have one of its regions."""

    def __init__(self, study: Study, finding: Finding, against: bool) -> None:
        evidence = study.evidence
        self.study, self.finding, self.against = study, finding, against
        self.y: Ints = evidence.y.numpy()
        self.predicted: Ints = evidence.predicted.numpy()
        self.image_of: Ints = evidence.image_of.numpy()
        self.regions = _checked(finding, len(self.image_of), evidence.n_classes)
        self.truth = study.truth if against else None
        self.present: Bools = np.zeros(len(self.y), dtype=bool)
        self.present[self.image_of[self.regions]] = True

    def report(self, rank: int, examples: int) -> FindingReport:
        """Everything there is to say of the finding. Raises ValueError."""
        everyone, label = np.ones_like(self.present), self.finding.label
        known = [score.influence for score in self.finding.scores if score.influence is not None]
        shown = None if self.truth is None else self.truth[self.regions]
        return FindingReport(
            rank=rank,
            label=None if label is None else self._name(label),
            score=self.finding.score,
            influence=max(known, default=None),
            p_value=self.finding.p_value,
            n_regions=len(self.regions),
            n_images=int(self.present.sum()),
            right=self._contrast(self.predicted == self.y, everyone),
            called=None if label is None else self._contrast(self.predicted == label, self.y != label),
            classes=[self._class(k) for k in np.unique(self.y[self.present]).tolist()],
            known_share=None if shown is None else float(shown.mean()),
            precision_at_10=None if shown is None else float(shown[:AT].sum() / AT),
            examples=[self._example(region) for region in self._typical(examples)],
        )

    def _contrast(self, hit: Bools, among: Bools) -> Contrast:
        return Contrast(present=_tally(hit, among & self.present), absent=_tally(hit, among & ~self.present))

    def _class(self, k: int) -> ClassRow:
        member, influence = self.y == k, {score.label: score.influence for score in self.finding.scores}
        values = self.study.examples.a[self.study.rows] if self.against else None
        a = len(self.study.card.attributes)
        return ClassRow(
            label=self._name(k),
            right=self._contrast(self.predicted == k, member),
            influence=influence.get(k),
            attributes_present=None if values is None else _counts(values[member & self.present], a),
            attributes_absent=None if values is None else _counts(values[member & ~self.present], a),
        )

    def _typical(self, n: int) -> Sequence[int]:
        """The first `n` regions: those that are the first of their image, then the others, each in their order."""
        _, first = np.unique(self.image_of[self.regions], return_index=True)
        another = np.setdiff1d(np.arange(len(self.regions)), first)
        chosen: list[int] = self.regions[np.concatenate([np.sort(first), another])[:n]].tolist()
        return chosen

    def _example(self, region: int) -> Example:
        image, label = int(self.image_of[region]), self.finding.label
        row = int(self.study.rows[image])
        left, top, right, bottom = (round(float(share), 6) for share in self.study.boxes[region])
        alone = None if label is None else round(float(self.study.evidence.region_scores[region, label]), 6)
        return Example(
            id=_text(self.study.examples.ids[row]),
            row=row,
            box=(left, top, right, bottom),
            label=self._name(int(self.y[image])),
            predicted=self._name(int(self.predicted[image])),
            confidence=alone,
            known=None if self.truth is None else bool(self.truth[region]),
        )

    def _name(self, k: int) -> str:
        return _text(self.study.card.classes[k])


def _checked(finding: Finding, m: int, n_classes: int) -> Ints:
    """(k,) the finding's regions. Raises ValueError unless they are distinct rows of the evidence's m regions."""
    regions: Ints = finding.regions.numpy()
    if regions.ndim != 1 or regions.dtype != np.int64 or not len(regions):
        raise ValueError(f"its regions are one or more int64 rows, not {regions.dtype} of shape {regions.shape}")
    if regions.min() < 0 or regions.max() >= m or len(np.unique(regions)) != len(regions):
        raise ValueError(f"its regions must be distinct and lie in 0..{m - 1}")
    labels = [score.label for score in finding.scores] + ([] if finding.label is None else [finding.label])
    if any(not 0 <= label < n_classes for label in labels):
        raise ValueError(f"its labels must lie in 0..{n_classes - 1}")
    return regions


def _tally(hit: Bools, among: Bools) -> Tally:
    return Tally(hits=int((hit & among).sum()), total=int(among.sum()))


def _counts(values: Ints, n: int) -> list[int]:
    return [int(count) for count in np.bincount(values, minlength=n)]


def _text(name: str) -> str:
    """A name as valid Unicode: those of files may hold bytes that are not."""
    return name.encode("utf-8", "backslashreplace").decode()


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors()[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
