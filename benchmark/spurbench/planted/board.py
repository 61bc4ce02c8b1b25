"""Planted records -> tables: who finds what was planted, and who leaves it alone. Torch-free, like all of reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from .. import metrics
from ..stats import Estimate, estimate
from .record import Judged, PlantedRecord, PlantedSeed
from .validity import THRESHOLD

THRESHOLDS = (0.1, 0.2, 0.3, 0.4)
"""Of tau_eval, as the paper raises it."""
KS = (1, 5, 10, 20, 50)
MODEL = "(model under study)"
"""Stands among the mitigations for the model that was not mitigated."""


@dataclass(frozen=True)
class Finder:
    """How well one discoverer finds what was planted in one base under one backbone.

    Attributes:
        precision: Precision@10, mean over settings of the mean over seeds, with Student's t interval over settings.
        by_strength: the same for each Cramer's V, with the number of settings; None where there is none.
        settings, models: how many valid ones it was asked about.
        named: share of models for which it names the class that the feature was planted with; None if it names none.
    """

    base: str
    backbone: str
    discoverer: str
    precision: Estimate
    by_strength: tuple[tuple[float, float | None, int], ...]
    settings: int
    models: int
    named: float | None


@dataclass(frozen=True)
class Trend:
    """One discoverer's Precision@10, over all bases and backbones, as something is changed.

    Attributes:
        points: (what is changed to, estimate or None where no setting is left, number of settings).
    """

    discoverer: str
    points: tuple[tuple[float, Estimate | None, int], ...]


@dataclass(frozen=True)
class Mended:
    """How well one mitigation does, over the settings where discovery succeeded in every seed that counts.

    Attributes:
        image_worst, image_overall, region_worst, region_overall: accuracies over settings.
    """

    backbone: str
    method: str
    image_worst: Estimate
    image_overall: Estimate
    region_worst: Estimate
    region_overall: Estimate
    settings: int
    models: int


@dataclass(frozen=True)
class PlantedBoard:
    """Everything that planted records say.

    Attributes:
        tried, valid: settings, and those whose model uses the shortcut in every seed; models of the latter.
        strengths: Cramer's V of the columns of `finders`.
    """

    tried: int
    valid: int
    models: int
    strengths: tuple[float, ...]
    finders: tuple[Finder, ...]
    by_threshold: tuple[Trend, ...]
    by_k: tuple[Trend, ...]
    mended: tuple[Mended, ...]


def make_planted_board(records: Iterable[PlantedRecord]) -> PlantedBoard:
    """The tables of some records; their order depends on the records' content alone."""
    every = sorted(records, key=lambda record: (record.base, record.backbone, record.dataset))
    valid = [record for record in every if record.valid_at(THRESHOLD)]
    names = sorted({name for record in valid for result in record.seeds for name in result.found})
    by_threshold = [
        Trend(name, tuple((t, *_over([r for r in valid if r.valid_at(t)], name, 10)) for t in THRESHOLDS))
        for name in names
    ]
    by_k = [Trend(name, tuple((k, *_over(valid, name, k)) for k in KS)) for name in names]
    return PlantedBoard(
        tried=len(every),
        valid=len(valid),
        models=sum(len(record.seeds) for record in valid),
        strengths=tuple(sorted({record.strength for record in valid})),
        finders=tuple(_finders(valid)),
        by_threshold=tuple(sorted(by_threshold, key=_best_first)),
        by_k=tuple(sorted(by_k, key=lambda trend: _best_first(trend, KS.index(10)))),
        mended=tuple(_mended(valid)),
    )


def _over(records: Sequence[PlantedRecord], name: str, k: int) -> tuple[Estimate | None, int]:
    """Precision@k over the settings in which the discoverer was asked, and how many there are."""
    means = [mean for record in records if (mean := _precision(record, name, k)) is not None]
    return (estimate(means) if means else None), len(means)


def _precision(record: PlantedRecord, name: str, k: int) -> float | None:
    """Mean over the seeds that the discoverer was asked about; None where there are none."""
    values = [result.found[name].precision_at(k) for result in record.seeds if name in result.found]
    return fmean(values) if values else None


def _best_first(trend: Trend, place: int = 0) -> tuple[float, str]:
    found = trend.points[place][1]
    return (-found.mean if found is not None else 1.0), trend.discoverer


def _finders(valid: Sequence[PlantedRecord]) -> list[Finder]:
    strengths = sorted({record.strength for record in valid})
    found = []
    for base, backbone in sorted({(record.base, record.backbone) for record in valid}):
        here = [record for record in valid if (record.base, record.backbone) == (base, backbone)]
        rows = []
        for name in sorted({name for record in here for result in record.seeds for name in result.found}):
            precision, settings = _over(here, name, 10)
            if precision is None:
                continue
            columns = []
            for strength in strengths:
                mean, n = _over([record for record in here if record.strength == strength], name, 10)
                columns.append((strength, None if mean is None else mean.mean, n))
            answers = [
                (record.label, result.found[name]) for record in here for result in record.seeds if name in result.found
            ]
            labels = [(label, answer.label) for label, answer in answers]
            named = (
                fmean(label == said for label, said in labels) if any(said is not None for _, said in labels) else None
            )
            rows.append(Finder(base, backbone, name, precision, tuple(columns), settings, len(answers), named))
        found += sorted(rows, key=lambda row: (-row.precision.mean, row.discoverer))
    return found


Case = tuple[PlantedRecord, PlantedSeed]


def _mended(valid: Sequence[PlantedRecord]) -> list[Mended]:
    found = []
    for backbone in sorted({record.backbone for record in valid}):
        here = [record for record in valid if record.backbone == backbone]
        cases = [(record, result) for record in here for result in record.seeds if result.mitigated]
        names = sorted({name for _, result in cases for name in result.mitigated})
        # The same models for all: leaving out one that a mitigation failed on would favour it.
        cases = [case for case in cases if all(_judged(case[1], name) is not None for name in names)]
        rows = [_one_mended(backbone, name, cases) for name in [MODEL, *names] if cases]
        found += sorted(rows, key=lambda row: (-row.image_worst.mean, row.method))
    return found


def _one_mended(backbone: str, name: str, cases: Sequence[Case]) -> Mended:
    columns: dict[str, dict[str, list[float]]] = {}
    for record, result in cases:
        judged = _judged(result, name)
        assert judged is not None
        for side, counts in (("image", judged.image), ("region", judged.region)):
            for kind, measure in (("worst", metrics.worst_group_accuracy), ("overall", metrics.accuracy)):
                by_setting = columns.setdefault(f"{side}_{kind}", {})
                by_setting.setdefault(record.dataset, []).append(measure(counts, record.test_total))
    estimates = {
        column: estimate([fmean(values) for values in by_setting.values()]) for column, by_setting in columns.items()
    }
    settings = len({record.dataset for record, _ in cases})
    # Pins are the family's, the same for all: the name alone says which method it is.
    return Mended(backbone=backbone, method=name.partition(":")[0], settings=settings, models=len(cases), **estimates)


def _judged(result: PlantedSeed, name: str) -> Judged | None:
    if name == MODEL:
        return result.judged
    item = result.mitigated.get(name)
    return None if item is None else item.judged
