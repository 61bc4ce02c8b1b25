"""The committed JSON Schema is the records', and the committed records follow it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spurbench import record
from spurbench.planted import record as planted

REPOSITORY = Path(__file__).parents[2]
SCHEMA = Path(record.__file__).with_name("record.schema.json")
PLANTED = Path(planted.__file__).with_name("record.schema.json")
RECORDS = [path for path in sorted((REPOSITORY / "results").glob("*/*/*/*.json")) if "published" not in path.parts]


def test_the_committed_schemas_are_those_of_the_models() -> None:
    assert SCHEMA.read_text() == record.json_schema()
    assert PLANTED.read_text() == record.json_schema(planted.PlantedRecord)


@pytest.mark.parametrize("path", [SCHEMA, PLANTED], ids=["records", "planted records"])
def test_unknown_keys_are_refused_everywhere(path: Path) -> None:
    schema = json.loads(path.read_text())
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


def test_committed_planted_records_are_whole_and_none_failed() -> None:
    found = list(planted.read_all_planted(REPOSITORY / "results"))
    assert sum(len(made.seeds) for made in found) >= 20
    assert all(result.status == "ok" for made in found for result in made.seeds)
    asked = {name for made in found for result in made.seeds for name in result.found}
    assert {"ravl", "random", "george", "domino", "distilling_failures", "yang_detector"} <= asked
    assert not any(answer.error for made in found for result in made.seeds for answer in result.found.values())
