"""Whose models there are to be explained."""

from __future__ import annotations

from ..backbones import resolve
from ..errors import UsageError
from ..record import read_record, record_path
from ..session import Session


def methods_with_records(session: Session) -> list[str]:
    """Names of the methods that have a record of the session's one data set and backbone under its rules, sorted.

    Raises:
        UsageError: none has.
        WeightsError: the backbone is not here.
        DataError: a record that cannot be read.
    """
    dataset = session.registries.datasets.get(session.dataset_names()[0]).card.name
    backbone = resolve(session.registries.backbones, session.backbone_names()[0], session.setting).card.name
    folder = record_path(session.results, session.rules.name, dataset, backbone, "any").parent
    records = (read_record(path) for path in sorted(folder.glob("*.json")))
    names = sorted(record.method for record in records if record is not None)
    if not names:
        raise UsageError(f"there is no record in {folder} whose model could be explained; name methods, --methods")
    return names
