"""The committed JSON Schema is the records', and the committed records follow it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spurbench import record

REPOSITORY = Path(__file__).parents[2]
SCHEMA = Path(record.__file__).with_name("record.schema.json")
RECORDS = [path for path in sorted((REPOSITORY / "results").glob("*/*/*/*.json")) if "published" not in path.parts]


def test_the_committed_schema_is_that_of_the_model() -> None:
    assert SCHEMA.read_text() == record.json_schema()


def test_unknown_keys_are_refused_everywhere() -> None:
    schema = json.loads(SCHEMA.read_text())
    objects = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in objects if "properties" in part)


def test_a_candidate_is_a_row_of_as_many_columns_as_it_has_fields() -> None:
    row = json.loads(record.json_schema())["$defs"]["Candidate"]
    assert row["type"] == "array"
    assert row["minItems"] == 2
    assert row["maxItems"] == len(row["prefixItems"]) == len(record.Candidate._fields)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_records_are_whole_and_have_their_predictions(path: Path) -> None:
    found = record.read_record(path)
    assert found is not None
    assert found.tier == "self-reported"
    arrays = record.read_predictions(path, found)
    groups = arrays[record.GROUPS]
    n_attributes = len(found.attributes)
    for result in found.done:
        for rule, selected in result.selected.items():
            predicted = arrays[record.predictions_name(result.seed, rule)]
            right = predicted == groups // n_attributes
            correct = [int(right[groups == group].sum()) for group in range(len(selected.test))]
            assert correct == selected.test, "counts are those of the predictions"
