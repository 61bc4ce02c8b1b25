"""`explain`: the models of some records, looked into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..amending import LOCKS, attentive, with_attention
from ..backbones import resolve
from ..board.attention import AttentionCell, attention_cell
from ..cards import DatasetCard
from ..data import Examples, Ints
from ..errors import UnknownNameError
from ..explanation import Drawn, How, Maps, Subject
from ..explanation.draw import check, draw
from ..keys import LoadedData
from ..localisation import Located, centred, uniform
from ..masks import ObjectMasks
from ..metrics import group_accuracies, worst_group_accuracy
from ..provenance import environment, modules_hash, source_hash
from ..regions import Frames
from ..regions.placing import photo_sizes
from ..rules import Selection
from ..session import Session
from ..stats.means import group_means
from ..study import Listen
from ..workbench import LazyTower, ViewedPhotos
from . import Baseline, Explanation, Panel
from .doubts import doubts
from .measure import CODE, attention, measures
from .models import Recorded, completed, possible, recorded
from .sample import drawn, known_objects, shown


def explain(
    session: Session,
    *,
    how: How,
    selection: Selection,
    groups: Sequence[str] | None,
    per_group: int,
    measure: int,
    replace: bool,
    memory_limit: int,
    listen: Listen,
) -> Explanation:
    """Look into the models that a rule chose, of the session's methods on its one data set under its one backbone.

    The numbers enter the records, but for those that hold numbers that were measured in another way.

    Args:
        how: maps are drawn.
        selection: the rule.
        groups: whose photos are shown, by name; None: of all.
        per_group: photos shown of each.
        measure: photos of each group that the numbers are over, at most.
        replace: numbers in records that were measured in another way.
        listen: told what is being done.

    Raises:
        UsageError: groups or layers that there are not; no method that can run here.
        DataError, WeightsError, MethodError: what cannot be looked into.
    """
    wanted = _numbers(session.registries.datasets.get(session.dataset_names()[0]).card, groups)
    plan, notes = possible(session)
    row = plan.rows[0]
    data = plan.data[row.dataset_spec]
    backbone = resolve(session.registries.backbones, row.backbone_spec, session.setting)
    tower = LazyTower(backbone, session.torch_device)
    order = drawn(data.examples)
    listen("looking at the tower and at where the objects are")
    for line in notes:
        listen(line)
    # Whatever is wrong with photos, masks or layers is told before hours of fitting.
    check(tower(), how, session.torch_device)
    masks, why = known_objects(data, tower, order, measure)
    rows = shown(order, wanted, per_group, None if masks is None else masks.rows)
    looked = np.union1d(rows, np.empty(0, np.int64) if masks is None else masks.rows)
    plan = completed(session, plan, memory_limit, listen)
    found = recorded(session, plan, selection, memory_limit, listen)
    picture = _draw(tower, data, looked, found, how, session, memory_limit, listen)
    of, panels = _by_record(found, picture.of), []
    # Before anything is written: maps of another model than the record's must not enter it.
    for some, maps in zip(found, of, strict=True):
        notes += doubts(some, maps, looked, data.examples, session.torch_device)
    blob: Located | None = None
    baselines: tuple[Baseline, ...] = ()
    if masks is not None:
        blob = centred(masks.shown)
        baselines = _baselines(masks, blob, data.examples, plan.rules.confidence)
    places = np.searchsorted(looked, rows)
    for some, maps in zip(found, of, strict=True):
        cell = None
        if masks is not None and blob is not None:
            inside = _of(maps, np.searchsorted(looked, masks.rows))
            said, arrays = attention(some.models, inside, masks, blob, data.examples, selection, picture, how)
            seen = attentive(some.record, said)
            cell = attention_cell(seen, selection, {**some.arrays, **arrays}, len(some.models))
            locks = session.cache / LOCKS
            if with_attention(some.row.path, some.record, said, arrays, locks=locks, replace=replace) is None:
                notes.append(
                    f"{some.row.method}: the record keeps the numbers that it holds, which were measured in another "
                    "way (maps, layer, score or photos); --replace puts these in their place"
                )
        panels.append(_panel(some, maps[0], places, rows, data.examples, selection, cell))
    return Explanation(
        card=data.card,
        examples=data.examples,
        backbone=row.backbone,
        rules=plan.rules.name,
        selection=selection,
        how=how,
        kind=picture.kind,
        layer=picture.layer,
        split="test",
        rows=rows,
        frames=_frames(data.examples, rows, tower),
        objects=None if masks is None else masks.shown[np.searchsorted(masks.rows, rows)],
        panels=tuple(panels),
        baselines=baselines,
        why_no_objects=why,
        left_out={} if masks is None else masks.left_out,
        notes=tuple(notes),
        provenance={
            "data": data.fingerprint,
            "backbone": backbone.fingerprint,
            "maps": modules_hash(CODE),
            **{f"method {some.row.method}": source_hash(some.models[0].method) for some in found},
            **environment(session.torch_device),
        },
    )


def _numbers(card: DatasetCard, names: Sequence[str] | None) -> list[int]:
    """Groups by number. Raises UnknownNameError."""
    known = list(card.groups)
    for name in names or ():
        if name not in known:
            raise UnknownNameError("group", name, known)
    return [group for group, name in enumerate(known) if names is None or name in names]


def _frames(examples: Examples, rows: Ints, tower: LazyTower) -> NDArray[np.float32]:
    """(n, 4) edges of the view in shares of each photo; beyond 0..1 where the view shows padding."""
    assert examples.photos is not None
    frames = Frames(tower().preprocess)
    edges = np.empty((len(rows), 4), dtype=np.float32)
    for place, size in enumerate(photo_sizes(examples.photos, rows.tolist()).tolist()):
        frame = frames.of(*size)
        scale, offset = np.array(frame.scale), np.array(frame.offset)
        edges[place] = np.concatenate([-offset / scale, (1 - offset) / scale])
    return edges


def _draw(
    tower: LazyTower,
    data: LoadedData,
    rows: Ints,
    found: Sequence[Recorded],
    how: How,
    session: Session,
    memory_limit: int,
    listen: Listen,
) -> Drawn:
    """Maps of the rows' photos, of every model in order. Raises WeightsError, MethodError, UsageError."""
    assert data.examples.photos is not None
    subjects = [
        Subject(some.row.method, model.method.card.inputs, model.predictor) for some in found for model in some.models
    ]
    return draw(
        tower(),
        subjects,
        ViewedPhotos(data.examples.photos, rows.tolist(), tower()),
        data.examples.y[rows],
        how,
        candidates=data.examples.candidates,
        device=session.torch_device,
        memory_limit=memory_limit,
        progress=lambda done, total: listen(f"drawing maps, photos {done:,}/{total:,}"),
    )


def _by_record(found: Sequence[Recorded], maps: Sequence[Maps]) -> list[Sequence[Maps]]:
    """The maps of each record's models."""
    ends = np.cumsum([len(some.models) for some in found]).tolist()
    return [maps[end - len(some.models) : end] for some, end in zip(found, ends, strict=True)]


def _of(maps: Sequence[Maps], inside: Ints) -> list[Maps]:
    """The maps of some of the photos; seeds that share maps still do."""
    parts: dict[int, Maps] = {}
    for one in maps:
        parts.setdefault(id(one), Maps(one.true[inside], one.confused[inside], one.rival[inside], one.logits[inside]))
    return [parts[id(one)] for one in maps]


def _panel(
    some: Recorded,
    maps: Maps,
    places: Ints,
    rows: Ints,
    examples: Examples,
    selection: Selection,
    cell: AttentionCell | None,
) -> Panel:
    """One method's column; the maps shown are those of its first seed."""
    first = some.models[0]
    results = {result.seed: result for result in some.record.done}
    chosen = [(results[model.seed].selected[selection].test, results[model.seed].test_total) for model in some.models]
    accuracies = [group_accuracies(correct, total) for correct, total in chosen]
    return Panel(
        method=some.row.method,
        title=some.record.title,
        seed=first.seed,
        predicted=first.predicted[np.searchsorted(examples.rows("test"), rows)].astype(np.int64),
        maps=Maps(maps.true[places], maps.confused[places], maps.rival[places], maps.logits[places]),
        wga=float(np.mean([worst_group_accuracy(correct, total) for correct, total in chosen])),
        accuracy=tuple(
            None if column[0] is None else float(np.mean([value for value in column if value is not None]))
            for column in zip(*accuracies, strict=True)
        ),
        attention=cell,
    )


def _baselines(masks: ObjectMasks, blob: Located, examples: Examples, confidence: float) -> tuple[Baseline, ...]:
    n_groups = examples.n_classes * examples.n_attributes
    groups = examples.groups[masks.rows]

    def baseline(name: str, located: Located) -> Baseline:
        aiou, pointing, energy = (
            group_means(values[None], groups, n_groups, confidence) for values in measures(located).values()
        )
        return Baseline(name, aiou, pointing, energy)

    return (
        baseline("the same everywhere", uniform(masks.shown)),
        baseline("a blob in the middle", blob),
    )
