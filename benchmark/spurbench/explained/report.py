"""`ExplanationReport`: every number of an explanation, as a document that the sheets are made of; needs no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ..attention import MEASURES, Count, Share
from ..localisation import locate
from ..rules import Strict

if TYPE_CHECKING:
    from ..board.attention import AttentionCell
    from ..stats.means import Interval
    from . import Baseline, Explanation, Panel

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Span(Strict):
    """A mean, and the bounds of its interval over photos and seeds."""

    mean: Share
    low: Share
    high: Share


class Numbers(Strict):
    """What maps say of some photos."""

    aiou: Span
    """Adjusted IoU, averaged over thresholds."""
    pointing: Span
    energy: Span


class GroupRow(Strict):
    """One method in one group."""

    accuracy: Share | None
    """On test, averaged over the models looked into; None for a group without photos."""
    photos: Count
    """Measured."""
    numbers: Numbers | None
    """None where no photo was measured."""


class MethodRow(Strict):
    """One method."""

    name: str
    title: str
    seed: Count
    """Whose model's maps are shown."""
    seeds: Count
    """Models that were measured; 0 where it is not known where the objects are."""
    wga: Share
    groups: list[GroupRow]
    balanced: Numbers | None
    """The mean over groups, each counting the same."""
    curve: list[Share]
    """Balanced mean of the adjusted IoU at each threshold."""
    changed: Count
    """Photos for which the models made again predict another class than the record has."""


class BaselineRow(Strict):
    """Maps that know nothing of the photo."""

    name: str
    groups: list[Numbers | None]
    balanced: Numbers


class Verdict(Strict):
    """What one method's model says of one photo."""

    predicted: str
    rival: str
    """The class that it takes the photo for most, of all but its own."""
    energy: Share | None
    """The share of the map of the photo's own class that lies in the object; None where that is not known."""


class PhotoRow(Strict):
    """One photo that is shown."""

    id: str
    """In the data set; bytes that are not UTF-8 are spelled `\\udcXX`."""
    row: Count
    label: str
    attribute: str
    group: Count
    """Its number, class by class."""
    frame: tuple[Finite, Finite, Finite, Finite]
    """Left, top, right, bottom of what the tower sees of it, in shares of its width and height."""
    verdicts: list[Verdict]
    """In the order of the methods."""


class ExplanationReport(Strict):
    """What several methods' models look at in one data set's photos."""

    schema_version: Literal[1] = 1
    dataset: str
    title: str
    backbone: str
    rules: str
    selection: str
    split: str
    kind: Literal["grad-cam", "relevance"]
    layer: str
    score: Literal["odds", "logit"]
    objects: str
    """What it is known from where the objects are: masks or boxes; empty where it is not known."""
    classes: list[str]
    attributes: list[str]
    groups: list[str]
    area: list[Share]
    """Mean share of the view that the object covers, per group; empty where it is not known."""
    thresholds: list[Share]
    methods: list[MethodRow]
    baselines: list[BaselineRow]
    photos: list[PhotoRow]
    """Group by group."""
    left_out: dict[str, Count]
    """Photos that were not measured, by reason."""
    why_no_objects: str
    notes: list[str]
    provenance: dict[str, str]

    def to_json(self) -> str:
        """The document, one line per number, names as they are."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def make_report(explanation: Explanation) -> ExplanationReport:
    """The numbers of an explanation, and what is said of each photo shown."""
    card = explanation.card
    measured = next((panel.attention for panel in explanation.panels if panel.attention is not None), None)
    return ExplanationReport(
        dataset=card.name,
        title=card.title,
        backbone=explanation.backbone,
        rules=explanation.rules,
        selection=explanation.selection,
        split=explanation.split,
        kind=explanation.kind,
        layer=explanation.layer,
        score=explanation.how.score,
        objects=measured.objects if measured else "",
        classes=list(card.classes),
        attributes=list(card.attributes),
        groups=list(card.groups),
        area=list(measured.area) if measured else [],
        thresholds=list(measured.thresholds) if measured else [],
        methods=[_method(panel) for panel in explanation.panels],
        baselines=[_baseline(baseline) for baseline in explanation.baselines],
        photos=_photos(explanation),
        left_out=explanation.left_out,
        why_no_objects=explanation.why_no_objects,
        notes=list(explanation.notes),
        provenance=explanation.provenance,
    )


def _method(panel: Panel) -> MethodRow:
    cell = panel.attention
    by_group = [None] * len(panel.accuracy) if cell is None else _by_group(cell)
    photos = (0,) * len(panel.accuracy) if cell is None else cell.photos
    return MethodRow(
        name=panel.method,
        title=panel.title,
        seed=panel.seed,
        seeds=cell.seeds if cell else 0,
        wga=panel.wga,
        groups=[
            GroupRow(accuracy=accuracy, photos=count, numbers=numbers)
            for accuracy, count, numbers in zip(panel.accuracy, photos, by_group, strict=True)
        ],
        balanced=_balanced(cell) if cell else None,
        curve=list(cell.curve) if cell else [],
        changed=cell.changed if cell else 0,
    )


def _baseline(baseline: Baseline) -> BaselineRow:
    return BaselineRow(name=baseline.name, groups=_by_group(baseline), balanced=_balanced(baseline))


def _photos(explanation: Explanation) -> list[PhotoRow]:
    card, examples = explanation.card, explanation.examples
    energies = [_energies(explanation, panel) for panel in explanation.panels]
    found = []
    for place, row in enumerate(explanation.rows.tolist()):
        left, top, right, bottom = explanation.frames[place].tolist()
        verdicts = [
            Verdict(
                predicted=card.classes[int(panel.predicted[place])],
                rival=card.classes[int(panel.maps.rival[place])],
                energy=energy[place],
            )
            for panel, energy in zip(explanation.panels, energies, strict=True)
        ]
        photo = PhotoRow(
            # As JSON has it: lone surrogates cannot be encoded.
            id=examples.ids[row].encode(errors="backslashreplace").decode(),
            row=row,
            label=card.classes[int(examples.y[row])],
            attribute=card.attributes[int(examples.a[row])],
            group=int(examples.groups[row]),
            frame=(left, top, right, bottom),
            verdicts=verdicts,
        )
        found.append(photo)
    return found


def _energies(explanation: Explanation, panel: Panel) -> Sequence[float | None]:
    """Of each photo shown; rounding takes no sum beyond its whole."""
    if explanation.objects is None:
        return [None] * len(explanation.rows)
    ids = [explanation.examples.ids[row] for row in explanation.rows.tolist()]
    found = locate(panel.maps.true, panel.maps.confused, explanation.objects, ids).energy
    shares: list[float] = np.clip(found, 0, 1).tolist()
    return shares


def _by_group(measured: AttentionCell | Baseline) -> list[Numbers | None]:
    return [_numbers(spans) for spans in zip(*(getattr(measured, name).groups for name in MEASURES), strict=True)]


def _balanced(measured: AttentionCell | Baseline) -> Numbers:
    return Numbers(**{name: _span(getattr(measured, name).balanced) for name in MEASURES})


def _numbers(spans: tuple[Interval | None, ...]) -> Numbers | None:
    found = {name: _span(span) for name, span in zip(MEASURES, spans, strict=True) if span is not None}
    return Numbers(**found) if found else None


def _span(interval: Interval) -> Span:
    return Span(mean=interval.mean, low=interval.low, high=interval.high)
