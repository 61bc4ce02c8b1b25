"""Records: exact round trips, strict reading, predictions that cannot be swapped, files that survive a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

import spurbench.record as module
from spurbench.errors import DataError
from spurbench.files import digest, original_name
from spurbench.jobs import failed
from spurbench.record import (
    GROUPS,
    MOST,
    Candidate,
    Record,
    SeedResult,
    array_hash,
    json_schema,
    predictions_name,
    read_predictions,
    read_record,
    read_records,
    record_path,
    to_json,
    write_record,
)

TOTAL = [3, 1, 2, 4]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.tuples(*(st.integers(0, total) for total in TOTAL)).map(list)
CONFIGS = st.dictionaries(TEXT, FLOATS | st.integers(-(2**53), 2**53) | TEXT | st.booleans(), max_size=3)
CANDIDATES = st.builds(
    Candidate, st.integers(0, 1), st.integers(0, 5), st.none() | COUNTS, st.none() | COUNTS, TEXT, st.none() | FLOATS
)


GROUP = np.repeat(np.arange(4), TOTAL).astype(np.int16)


def predicted(seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(abs(seed)).integers(0, 2, 10).astype(np.int16)


def right(seed: int) -> list[int]:
    """Correct per group of what was predicted, counted one by one."""
    guesses = list(zip(GROUP.tolist(), predicted(seed).tolist(), strict=True))
    return [sum(guess == group // 2 for member, guess in guesses if member == group) for group in range(4)]


def predictions(*seeds: int) -> dict[str, NDArray[np.int16]]:
    arrays = {predictions_name(seed, "worst_group"): predicted(seed) for seed in seeds}
    return {GROUPS: GROUP, **arrays}


def seed_result(seed: int = 0, **changes: object) -> dict[str, Any]:
    """A seed's result; unless told otherwise, what was selected has the counts of the first candidate."""
    tried: Any = changes.get("candidates") or [Candidate(0, 0, [1, 1, 1, 1], right(seed))]
    return {
        "seed": seed,
        "status": "ok",
        "selection_total": TOTAL,
        "test_total": TOTAL,
        "configs": [{"C": 1.0}],
        "candidates": tried,
        "selected": {
            "worst_group": {
                "candidate": 0,
                "test": tried[0].test or right(seed),
                "predictions": array_hash(predicted(seed)),
            }
        },
        "environment": {"python": "3"},
        **changes,
    }


def document(**changes: object) -> dict[str, Any]:
    parts = changes.get("key_parts", {"protocol": 1, "space": {"C": {"choice": [1.0, 0.1]}}})
    return {
        "rules": "v1",
        "dataset": "birds",
        "backbone": "ViT-B/16",
        "method": "erm",
        "key": digest(parts),
        "key_parts": parts,
        "title": "ERM",
        "paper": "",
        "supervision": [],
        "trains": "linear head",
        "refit": False,
        "prompts": "",
        "classes": ["landbird", "waterbird"],
        "attributes": ["land", "water"],
        "train_total": [10, 1, 1, 10],
        "budget": {"seeds": 3, "configurations": 8},
        "confidence": 0.95,
        "test_groups": array_hash(predictions()[GROUPS]),
        "times": {"updated": "2026-01-01T00:00:00+00:00", "seconds": {"0": 1.5}},
        "seeds": [seed_result()],
        **changes,
    }


def record(**changes: object) -> Record:
    return Record.model_validate(document(**changes))


def written(results: Path, *seeds: int) -> tuple[Path, Record]:
    made = record(seeds=[seed_result(seed) for seed in seeds or (0,)])
    path = record_path(results, made.rules, made.dataset, made.backbone, made.method)
    write_record(path, made, predictions(*seeds or (0,)))
    return path, made


@given(
    st.lists(CONFIGS, min_size=2, max_size=2),
    st.lists(CANDIDATES, max_size=2),
    COUNTS,
    TEXT,
    st.dictionaries(TEXT, FLOATS | TEXT, max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_json_gives_back_exactly_the_record(
    configs: list[dict[str, Any]], others: list[Candidate], counts: list[int], title: str, parts: dict[str, Any]
) -> None:
    first = seed_result(configs=configs, candidates=[Candidate(0, 0, None, counts), *others])
    made = record(title=title, key_parts=parts, seeds=[first, seed_result(5)])
    back = Record.model_validate_json(to_json(made))
    assert back == made
    assert back.seeds[0].configs == configs
    assert back.seeds[0].candidates[1:] == others
    assert all(isinstance(candidate, Candidate) for candidate in back.seeds[0].candidates)
    assert {**json.loads(to_json(made)), "attention": None} == json.loads(made.model_dump_json())
    assert '"attention"' not in to_json(made).partition('\n "seeds": [')[2]


@pytest.mark.parametrize("value", [1, 1.0, True, False, 0, "1", "true", 0.1, 1e-300, 12345678901234567])
def test_hyper_parameters_keep_their_type_and_every_bit(value: float | int | str | bool) -> None:
    made = Record.model_validate_json(to_json(record(seeds=[seed_result(configs=[{"x": value}])])))
    kept = made.seeds[0].configs[0]["x"]
    assert (kept, type(kept)) == (value, type(value))


def test_failed_seeds_and_empty_records_round_trip() -> None:
    failure = {"seed": 1, "status": "failed", "failure": {"message": 'no "memory"\n', "traceback": "a\nb"}}
    for seeds in ([], [failure], [seed_result(), failure]):
        made = record(seeds=seeds)
        assert Record.model_validate_json(to_json(made)) == made
    assert [result.seed for result in made.done] == [0]


def test_a_key_part_called_seeds_does_not_break_the_file() -> None:
    made = record(key_parts={"seeds": []})
    assert Record.model_validate_json(to_json(made)) == made


def test_a_failure_that_names_a_file_in_another_encoding_can_be_written(tmp_path: Path) -> None:
    message = "cannot open " + b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    made = record(seeds=[failed(0, DataError(message), message), failed(1, message)])
    write_record(tmp_path / "erm.json", made, predictions())
    assert read_record(tmp_path / "erm.json") == made
    assert all(result.failure and "cannot open caf\ufffd.jpg" in result.failure.message for result in made.seeds)


def test_a_failure_holds_no_control_characters() -> None:
    made = failed(0, ValueError("\x1b[31mred\x07"), "a\x1bb\n\tc").failure
    assert made is not None
    assert "red" in made.message
    assert made.traceback.startswith("a")
    assert made.traceback.endswith("b\n\tc")
    assert not {"\x1b", "\x07"} & set(made.message + made.traceback)


def test_one_line_per_candidate_so_that_a_diff_shows_what_changed() -> None:
    one, other = Candidate(0, 0, None, [0, 0, 0, 0]), Candidate(0, 0, None, [0, 0, 0, 1])
    before = to_json(record(seeds=[seed_result(candidates=[one, one, one])])).splitlines()
    after = to_json(record(seeds=[seed_result(candidates=[one, other, one])])).splitlines()
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_candidates_are_rows_and_configurations_stand_once() -> None:
    """A record holds hundreds of candidates: a row names its configuration by number."""
    configs = [{"C": 1.0}, {"C": 0.1}]
    tried = [Candidate(c, s, None, [0, 0, 0, 0], "lost", 1e-7) for c in (0, 1) for s in (0, 1)]
    made = json.loads(to_json(record(seeds=[seed_result(configs=configs, candidates=tried)])))
    assert made["seeds"][0]["configs"] == configs
    assert made["seeds"][0]["candidates"] == [[c, s, None, [0, 0, 0, 0], "lost", 1e-7] for c in (0, 1) for s in (0, 1)]


def test_both_files_come_back(tmp_path: Path) -> None:
    path, made = written(tmp_path, 0, 1)
    assert read_record(path) == made
    arrays = read_predictions(path, made)
    assert sorted(arrays) == ["0.worst_group", "1.worst_group", "group"]
    for name, array in predictions(0, 1).items():
        assert np.array_equal(arrays[name], array)
        assert arrays[name].dtype == np.int16


def test_writing_twice_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = record()
    write_record(tmp_path / "a.json", made, predictions(0))
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    write_record(tmp_path / "b.json", made, dict(reversed(predictions(0).items())))
    for suffix in (".npz", ".json"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_an_absent_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "absent.json") is None


def test_a_folder_in_the_place_of_a_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, a pipe or a device"):
        read_record(tmp_path)


@given(st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=30)
def test_a_record_cut_anywhere_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "erm.json"
    text = to_json(record()).rstrip().encode()
    path.write_bytes(text[: int(share * len(text))])
    with pytest.raises(DataError, match=r"erm\.json is (empty|cut short)"):
        read_record(path)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tiers": "reproduced"}, "tiers"),
        ({"tier": "trusted"}, "tier"),
        ({"schema_version": 3}, "schema_version"),
        ({"schema_version": 5}, "schema_version"),
        ({"budget": {"seeds": 3, "configurations": 8, "steps": 1}}, "budget.steps"),
        ({"seeds": [seed_result(extra=1)]}, "seeds.0.extra"),
        ({"seeds": [seed_result(seed=-1)]}, "seeds.0.seed"),
        ({"seeds": [{**seed_result(), "candidates": [[0, 0, None, None, "", None, 1]]}]}, "seeds.0.candidates.0"),
        ({"seeds": [{**seed_result(), "candidates": [[0]]}]}, "seeds.0.candidates.0.1"),
        ({"seeds": [{**seed_result(), "candidates": [[-1, 0]]}]}, "seeds.0.candidates.0.0"),
        ({"seeds": [{**seed_result(), "candidates": [[0, -1]]}]}, "seeds.0.candidates.0.1"),
        ({"seeds": [{**seed_result(), "candidates": [[0, 0, [1.5]]]}]}, "seeds.0.candidates.0.2.0"),
        (
            {"seeds": [{**seed_result(), "candidates": [{"config": 0, "snapshot": 0, "tset": [1]}]}]},
            "candidates.0.tset",
        ),
        ({"seeds": [seed_result(configs=[{"C": None}])]}, "seeds.0.configs.0.C"),
        ({"seeds": [seed_result(configs={"C": 1.0})]}, "seeds.0.configs"),
        ({"seeds": [seed_result(selected={"oracle": {}})]}, "seeds.0.selected"),
        ({"train_total": [1.5]}, "train_total.0"),
        ({"key": None}, "key"),
        ({"environment": {"python": "3"}}, "environment"),
    ],
)
def test_unknown_keys_and_wrong_types_are_refused_with_their_place(
    tmp_path: Path, changes: dict[str, object], where: str
) -> None:
    path = tmp_path / "erm.json"
    path.write_text(json.dumps(document(**changes)))
    with pytest.raises(DataError, match=where):
        read_record(path)


@pytest.mark.parametrize("missing", ["rules", "dataset", "method", "key", "seeds", "train_total", "times"])
def test_a_missing_key_is_refused_by_name(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "erm.json"
    path.write_text(json.dumps({name: value for name, value in document().items() if name != missing}))
    with pytest.raises(DataError, match=f"{missing}: Field required"):
        read_record(path)


def test_a_new_record_is_self_reported() -> None:
    assert record().tier == "self-reported"


def test_the_environment_is_that_of_each_seed() -> None:
    made = record(seeds=[seed_result(0, environment={"torch": "2.3"}), seed_result(1, environment={"torch": "2.4"})])
    assert [result.environment for result in Record.model_validate_json(to_json(made)).seeds] == [
        {"torch": "2.3"},
        {"torch": "2.4"},
    ]
    without = seed_result()
    del without["environment"]
    assert SeedResult.model_validate(without).environment == {}


def candidate(**changes: Any) -> list[Candidate]:
    return [Candidate(**{"config": 0, "snapshot": 0, **changes})]


def selected(**changes: object) -> dict[str, object]:
    return {"worst_group": {"candidate": 0, "test": [0, 0, 0, 0], "predictions": "", **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        {"candidates": candidate(test=[4, 1, 2, 4])},
        {"candidates": candidate(test=[-1, 1, 2, 4])},
        {"candidates": candidate(test=[3, 1, 2])},
        {"candidates": candidate(selection=[3, 1, 2, 4, 0])},
        {"candidates": candidate(selection=[3, 2, 2, 4])},
        {"selected": selected(test=[3, 1, 2, 5])},
        {"candidates": candidate(config=1)},
        {"candidates": candidate(config=-1)},
        {"candidates": candidate(snapshot=-1)},
        {"configs": []},
        {"selected": selected(candidate=1)},
        {"selected": selected(candidate=-1)},
        {"selected": {}},
        {"status": "failed"},
        {"failure": {"message": "but ok"}},
    ],
)
def test_counts_and_states_that_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    SeedResult.model_validate(seed_result())
    with pytest.raises(ValidationError):
        SeedResult.model_validate(seed_result(**changes))


@pytest.mark.parametrize("seeds", [[0, 0], [1, 0]])
def test_seeds_must_ascend(seeds: list[int]) -> None:
    with pytest.raises(ValidationError, match="ascending"):
        record(seeds=[seed_result(seed) for seed in seeds])


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["a", "b", "c"]},
        {"train_total": [1, 2, 3]},
        {"train_total": [-1, 0, 0, 0]},
        {"train_total": [MOST + 1, 1, 1, 1]},
        {"seeds": [seed_result(0), seed_result(1, test_total=[3, 1, 2, 5])]},
        {"seeds": [seed_result(0, selection_total=[MOST + 1, 1, 2, 4])]},
        {"seeds": [seed_result(0, test_total=[3, 1, 2, MOST + 1])]},
    ],
)
def test_counts_that_do_not_fit_the_groups_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"do not fit \d groups|seeds disagree|train_total\.0\n"):
        record(**changes)


def test_the_largest_counts_are_taken() -> None:
    assert record(train_total=[MOST, 0, 0, 0]).train_total[0] == MOST


def test_a_seed_without_test_examples_is_refused() -> None:
    nothing = [0, 0, 0, 0]
    tried = [Candidate(0, 0, None, nothing)]
    with pytest.raises(ValidationError, match="no test examples"):
        record(seeds=[seed_result(test_total=nothing, candidates=tried)])


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 1.5, 95])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        record(confidence=confidence)


@pytest.mark.parametrize("test", [[3, 1, 2, 1], [0, 0, 0, 0], None])
def test_without_a_refit_the_counts_are_those_of_the_chosen_candidate(test: list[int] | None) -> None:
    chosen = {"worst_group": {"candidate": 1, "test": [1, 0, 1, 2], "predictions": ""}}
    tried = [Candidate(0, 0, None, counts) for counts in ([1, 0, 1, 2], test)]
    seeds = [seed_result(candidates=tried, selected=chosen)]
    with pytest.raises(ValidationError, match="chosen candidate"):
        record(seeds=seeds, refit=False)
    assert record(seeds=seeds, refit=True).seeds[0].selected["worst_group"].test == [1, 0, 1, 2]


def test_a_key_that_is_not_the_hash_of_its_parts_is_refused() -> None:
    with pytest.raises(ValidationError, match="key"):
        record(key="f" * 64)


@pytest.mark.parametrize("array", [predicted(0)[:-1], 1 - predicted(0), np.zeros(0, np.int16)])
def test_changed_predictions_are_noticed(tmp_path: Path, array: NDArray[np.int16]) -> None:
    path, made = written(tmp_path)
    np.savez_compressed(path.with_suffix(".npz"), **{**predictions(0), "0.worst_group": array})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"does not hold the array '0\.worst_group'.*: either was changed; restore it"):
        read_predictions(path, made)


@pytest.mark.parametrize("group", range(4))
def test_counts_that_are_not_those_of_the_predictions_are_noticed(tmp_path: Path, group: int) -> None:
    wrong = right(0)
    wrong[group] += 1 if wrong[group] < TOTAL[group] else -1
    tried = [Candidate(0, 0, None, wrong)]
    path, made = tmp_path / "erm.json", record(seeds=[seed_result(candidates=tried)])
    write_record(path, made, predictions(0))
    with pytest.raises(DataError, match=r"seed 0, worst_group are not those of the predictions.*: either was changed"):
        read_predictions(path, made)


def test_predictions_of_another_length_than_the_groups_are_noticed(tmp_path: Path) -> None:
    short = predicted(0)[:-1]
    chosen = {"worst_group": {"candidate": 0, "test": right(0), "predictions": array_hash(short)}}
    path, made = tmp_path / "erm.json", record(seeds=[seed_result(selected=chosen)])
    write_record(path, made, {**predictions(0), "0.worst_group": short})
    with pytest.raises(DataError, match="not those of the predictions"):
        read_predictions(path, made)


@given(st.integers(0, 9))
def test_one_changed_prediction_changes_the_hash(place: int) -> None:
    changed = predicted(0)
    changed[place] += 1
    assert array_hash(changed) != array_hash(predicted(0))
    assert array_hash(predicted(0).astype(">i2")) == array_hash(predicted(0))


@pytest.mark.parametrize("group", [None, np.zeros(10, np.int16), np.repeat(np.arange(4), TOTAL)[:5]])
def test_changed_groups_are_noticed(tmp_path: Path, group: NDArray[np.int16] | None) -> None:
    path, made = written(tmp_path)
    arrays = {name: array for name, array in {**predictions(0), GROUPS: group}.items() if array is not None}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="does not hold the array 'group'"):
        read_predictions(path, made)


@pytest.mark.parametrize("content", [b"", b"PK", b"words"])
def test_a_broken_predictions_file_is_named(tmp_path: Path, content: bytes) -> None:
    path, made = written(tmp_path)
    path.with_suffix(".npz").write_bytes(content)
    with pytest.raises(DataError, match=r"erm\.npz is not a readable npz file"):
        read_predictions(path, made)


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    path, made = written(tmp_path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(DataError, match=r"erm\.npz is missing.*run the command that made it again"):
        read_predictions(path, made)


def test_predictions_are_never_unpickled(tmp_path: Path) -> None:
    path, made = written(tmp_path)
    np.savez(path.with_suffix(".npz"), **{"0.worst_group": np.array([print], dtype=object)})
    with pytest.raises(DataError, match="pickle"):
        read_predictions(path, made)


def test_a_kill_between_the_two_files_leaves_the_old_record_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, old = written(tmp_path, 0)

    def killed(target: Path, content: bytes) -> None:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        target.write_bytes(content)

    monkeypatch.setattr(module, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        write_record(path, record(seeds=[seed_result(0), seed_result(1)]), predictions(0, 1))
    assert read_record(path) == old
    assert np.array_equal(read_predictions(path, old)["0.worst_group"], predicted(0))
    assert list(read_records(tmp_path)) == [old]


NAMES = st.text("aB1./:+@ é%", min_size=1, max_size=8)


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_record_lives_where_its_names_say_reversibly(rules: str, dataset: str, backbone: str, method: str) -> None:
    parts = record_path(Path("results"), rules, dataset, backbone, method).parts
    assert parts[0] == "results"
    assert len(parts) == 5
    names = [original_name(part) for part in (*parts[1:4], parts[4].removesuffix(".json"))]
    assert names == [rules, dataset, backbone, method]


def test_records_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for method in ("b", "a", "c.x"):
        made = record(method=method)
        write_record(record_path(tmp_path, "v1", "birds", "ViT-B/16", method), made, predictions(0))
    assert [made.method for made in read_records(tmp_path)] == ["a", "b", "c.x"]


@pytest.mark.parametrize("field", ["rules", "dataset", "backbone", "method"])
def test_a_record_in_the_wrong_place_is_an_error_that_names_the_right_one(tmp_path: Path, field: str) -> None:
    made = record(**{field: "other"})
    write_record(record_path(tmp_path, "v1", "birds", "ViT-B/16", "erm"), made, predictions(0))
    right = record_path(tmp_path, made.rules, made.dataset, made.backbone, made.method)
    with pytest.raises(DataError, match="belongs in") as caught:
        list(read_records(tmp_path))
    assert str(right) in str(caught.value)


def test_published_numbers_and_hidden_files_are_no_records(tmp_path: Path) -> None:
    path, made = written(tmp_path)
    for other in (tmp_path / "published" / "a" / "b" / "c.json", path.parent / "._erm.json"):
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text("not a record")
    assert list(read_records(tmp_path)) == [made]


def test_hidden_folders_hold_no_records(tmp_path: Path) -> None:
    path, made = written(tmp_path)
    copy = path.parent.parent / ".ipynb_checkpoints" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert list(read_records(tmp_path)) == [made]


def test_the_schema_refuses_extra_keys_everywhere() -> None:
    schema = json.loads(json_schema())
    objects = [schema, *schema["$defs"].values()]
    assert {part["additionalProperties"] for part in objects if part.get("type") == "object"} == {False}
