"""Published numbers against models: evaluated on the data by the machinery of `run`, as far as both are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..board import make_board
from ..easy_hard import ATTRIBUTES, EasyHard, easy_hard
from ..errors import SpurbenchError, plain
from ..execute import run_plan
from ..executors.inline import InlineExecutor
from ..jobs import Event
from ..keys import LoadedData, load_data
from ..plan import Request, Row, make_plan
from ..published import Published, PublishedClass, Triple
from ..record import read_record
from ..session import Session
from . import Check, Status
from .tables import headline

Model = tuple[str, str]
MODELS: dict[str, tuple[Model, ...]] = {
    "counteranimal": (
        ("own_head", "torchvision:resnet50"),
        ("own_head", "torchvision:vit_b_16"),
        ("zero_shot", "ViT-B/32:laion2b_s34b_b79k"),
        ("zero_shot", "ViT-B/16"),
        ("zero_shot", "ViT-L/14:laion400m_e31"),
        ("zero_shot", "ViT-B/32:laion400m_e31"),
        ("zero_shot", "ViT-B/32-gelu:laion400m_e31"),
    )
}
"""Method and backbone of the models to run, by data set: the first two have no text and test layout and metric alone,
the last two are the model that chose the photos, with either activation."""
SHOWN = 5
"""Classes that are named where numbers of photos differ."""
ABOUT = 1.0
"""Tolerance, in points, where all that is printed is doubtful or reproduced on fewer photos: enough to tell the two
activations apart, which are three points from each other."""


def data_checks(session: Session, dataset: str, classes: Sequence[PublishedClass]) -> tuple[list[Check], bool]:
    """Photos on this machine against the counts; and whether the data is here."""
    part, setting = "photos on disk", session.setting
    try:
        data = load_data(session.registries, dataset, session.data_root, setting.hashes, download=setting.fetch)
        checks = list(_counts(part, data, classes))
    except SpurbenchError as error:
        return [Check(part, dataset, "unchecked", reason=plain(str(error)))], False
    return checks, True


def _counts(part: str, data: LoadedData, classes: Sequence[PublishedClass]) -> Iterator[Check]:
    if tuple(data.card.attributes) != ATTRIBUTES or len(data.card.classes) <= max(c.imagenet_idx for c in classes):
        reason = "it does not tell easy from hard photos of ImageNet's classes, so that counts cannot be compared"
        yield Check(part, data.card.name, "unchecked", reason=reason)
        return
    total = data.examples.group_totals("test")
    for a, group in enumerate(ATTRIBUTES):
        expected = {c.imagenet_idx: c.n_easy if group == "easy" else c.n_hard for c in classes}
        differing = [
            f"{index}: {total[2 * index + a]:,}, not {n:,}"
            for index, n in expected.items()
            if total[2 * index + a] != n
        ]
        found, wanted = sum(total[a::2]), sum(expected.values())
        status: Status = "agrees" if not differing and found == wanted else "off"
        more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        reason = f"classes that differ: {'; '.join(differing[:SHOWN])}{more}" if differing else ""
        yield Check(part, f"{group} photos of {len(classes)} classes", status, found, wanted, reason)


def model_checks(
    session: Session,
    dataset: str,
    values: Sequence[Published],
    tolerance: float,
    listen: Callable[[Row, Event], None],
    models: Sequence[Model] | None = None,
) -> Iterator[Check]:
    """Run each model and compare easy and hard accuracy with the first row printed for it. Yields as it goes.

    Args:
        session: where things are; records are written to its results folder, and those there are used again.
        tolerance: points; ABOUT where it is larger and the printed row is not one to rely on.
        models: (method, backbone) each; those of MODELS for None.
    """
    executor = InlineExecutor(session.registries)
    try:
        for method, backbone in MODELS[dataset] if models is None else models:
            what = f"{backbone}, {method}"
            printed = headline(values, method, backbone)
            if printed is None:
                yield Check("models", what, "unchecked", reason="no number of it is printed anywhere")
                continue
            found = _run(session, dataset, (method, backbone), executor, listen)
            if isinstance(found, Check):
                yield replace(found, what=what)
            else:
                # Whose numbers stand first is the original; others made them again.
                yield from _compared(
                    what, found, printed, tolerance, reproduced=printed.first.source != values[0].source
                )
    finally:
        executor.close()


def _run(
    session: Session, dataset: str, model: Model, executor: InlineExecutor, listen: Callable[[Row, Event], None]
) -> EasyHard | Check:
    """What a model gives on the test photos, or a check that says why there is nothing."""
    unchecked = Check("models", "", "unchecked")
    method, backbone = model
    request = Request(
        [dataset], [backbone], [method], session.rules, 1, session.data_root, session.results, session.setting
    )
    try:
        plan = make_plan(session.registries, request)
        (row,) = plan.rows
        if (row.todo() and not row.key) or any(cell.status == "impossible" for cell in row.cells):
            return replace(unchecked, reason=plain(row.cells[0].reason))
        run_plan(
            plan,
            session.registries,
            executor,
            data_root=session.data_root,
            cache=session.cache,
            device=session.torch_device,
            precision=session.precision,
            memory_limit=2 * 2**30,
            listen=listen,
        )
    except SpurbenchError as error:
        return replace(unchecked, reason=plain(str(error)))
    record = read_record(row.path)
    assert record is not None
    if not record.done:
        (shown,) = make_board([record]).rows
        return replace(unchecked, status="off", reason=f"failed: {plain(shown.failure)}")
    result = record.done[0]
    found = easy_hard(result.selected[session.rules.selection[0]].test, result.test_total)
    return found or replace(unchecked, reason="no class has both easy and hard photos")


def _compared(what: str, found: EasyHard, printed: Triple, tolerance: float, *, reproduced: bool) -> Iterator[Check]:
    about = max(tolerance, ABOUT) if reproduced or not printed.reliable else tolerance
    where = f"{printed.first.source}, {printed.first.where}"
    for group, share, expected in (("easy", found.easy, printed.easy), ("hard", found.hard, printed.hard)):
        if expected is not None:
            status: Status = "agrees" if abs(100 * share - expected) <= about else "off"
            yield Check("models", f"{what}, {group}", status, 100 * share, expected, f"{where}; within {about:g}")
