"""Reports and tables of suspects: every number counted again one by one, telling photos, the same bytes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spurbench.findings.report import Provenance, Tally
from spurbench.record import json_schema
from spurbench.seeds import Seed
from spurbench.suspects import report
from spurbench.suspects.account import COLUMNS, EACH, Account, make_report, take_account, to_csv
from spurbench.suspects.looking import Look
from spurbench.suspects.presence import agreement
from spurbench.suspects.report import CANDIDATES, ClassRow, Suspect, SuspectsReport
from spurbench.suspects.words import Entry, Words

MakeStudy = Callable[..., Any]
Suspects = Callable[..., SuspectsReport]
ORIGIN = Provenance(seed=0, fingerprints={"data": "00"}, environment={"spurbench": "0"})
NAMES = ("water", "land", "=1+1", "fog", "rain", "mud")


def an_account(study: Any, seed: int = 0, bound: bool = True, names: Sequence[str] = NAMES) -> Account:
    """Random scores; with `bound`, the model errs where the first word is, and only there."""
    rng = np.random.default_rng(seed)
    y = study.examples.y[study.rows]
    scores, embeddings = rng.random((len(y), len(names))), rng.standard_normal((len(y), 12))
    wrong = scores[:, 0] > 0.7 if bound else rng.random(len(y)) < 0.4
    look = Look(
        card=study.card,
        examples=study.examples,
        backbone="tiny",
        seen_by="tiny",
        model="zero-shot",
        split="val",
        prompts="photo",
        rows=study.rows,
        predicted=np.where(wrong, (y + 1) % 3, y),
        words=Words(tuple(Entry(name, "scene", f"in {name}") for name in names), "ab" * 32, "here"),
        excluded=("cat",),
        indistinct=("kettle",),
        embeddings=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        scores=scores,
        fingerprints={},
    )
    return take_account(look, Seed(("test", seed)), min_photos=3, permutations=199)


@settings(max_examples=25)
@given(seed=st.integers(0, 99), bound=st.booleans())
def test_every_number_is_what_counting_one_by_one_gives(make_study: MakeStudy, seed: int, bound: bool) -> None:
    study = make_study(n=90, seed=seed)
    account = an_account(study, seed, bound)
    look = account.look
    made = make_report(account, ORIGIN, top=4)
    right = [int(look.predicted[i]) == int(look.y[i]) for i in range(len(look.rows))]
    assert (made.right.hits, made.right.total) == (sum(right), len(right))
    assert [one.rank for one in made.suspects] == [1, 2, 3, 4, 5, 6]
    nats = [one.information for one in made.suspects]
    assert nats == sorted(nats, reverse=True)
    for suspect in made.suspects:
        word = NAMES.index(suspect.word)
        for row in suspect.classes:
            k = study.card.classes.index(row.label)
            own = [i for i in range(len(right)) if look.y[i] == k]
            shown = [i for i in own if look.scores[i, word] > account.presence.thresholds[k, word]]
            rest = [i for i in own if i not in shown]
            assert (row.present.hits, row.present.total) == (sum(right[i] for i in shown), len(shown))
            assert (row.absent.hits, row.absent.total) == (sum(right[i] for i in rest), len(rest))
            if shown and rest:
                gap = sum(right[i] for i in shown) / len(shown) - sum(right[i] for i in rest) / len(rest)
                assert row.gap == pytest.approx(gap)
    p = account.separation.p_value
    assert made.n_suspects_below_level == sum(value <= 0.05 for value in p.tolist())
    told = account.placebo.information
    for suspect in made.suspects:
        as_much = sum(value >= suspect.information - 1e-9 for value in told.tolist())
        assert suspect.placebo == (1 + as_much) / (1 + len(told))
    assert (made.directions, made.n_directions_below_level) == (999, int((account.placebo.p_value <= 0.05).sum()))
    small = [one for one in made.suspects if one.p_value <= 0.05]
    assert made.n_suspects_beyond_directions == sum(one.placebo <= 0.05 for one in small)


def test_the_word_that_errors_hang_on_comes_first_and_survives(make_study: MakeStudy) -> None:
    account = an_account(make_study(n=120))
    made = make_report(account, ORIGIN, top=3)
    assert made.suspects[0].word == "water"
    assert made.suspects[0].p_value == 1 / 200
    assert made.chosen[0].word == "water"
    assert made.n_suspects_below_level == len(made.chosen)
    of_all = agreement(account.presence.present, account.look.y)
    for place, suspect in enumerate(made.suspects):
        here = NAMES.index(suspect.word)
        expected = [of_all[NAMES.index(other.word), here] for other in made.suspects[:place]]
        assert suspect.agreement == pytest.approx(expected, abs=1e-6)


def test_telling_photos_are_the_extremes_of_the_most_telling_class(make_study: MakeStudy) -> None:
    study = make_study(n=150)
    account = an_account(study)
    look, suspect = account.look, make_report(account, ORIGIN, top=1).suspects[0]
    telling = max(suspect.classes, key=lambda row: row.information * (row.present.total + row.absent.total))
    k = study.card.classes.index(telling.label)
    threshold = account.presence.thresholds[k, 0]
    expected: list[int] = []
    # Photos with the word are wrong more often here.
    for there, hit in ((True, False), (False, True), (True, True), (False, False)):
        some = [
            i
            for i in range(len(look.rows))
            if look.y[i] == k and (look.scores[i, 0] > threshold) == there and bool(look.right[i]) == hit
        ]
        some.sort(key=lambda i: -abs(look.scores[i, 0] - threshold))
        expected += [int(look.rows[i]) for i in some[:EACH]]
    assert [photo.row for photo in suspect.photos] == expected
    for photo in suspect.photos:
        i = look.rows.tolist().index(photo.row)
        assert photo.id == study.examples.ids[photo.row]
        assert photo.presence == pytest.approx(look.scores[i, 0] - threshold, abs=1e-6)
        assert photo.present == (look.scores[i, 0] > threshold)
        assert photo.right == bool(look.right[i])


def test_the_table_has_every_word_and_class_and_no_formula(make_study: MakeStudy) -> None:
    study = make_study(n=90, classes=("cat", "@dog", "cow\nbell"))
    account = an_account(study)
    rows = list(csv.DictReader(io.StringIO(to_csv(account))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(NAMES) * 3
    made = make_report(account, ORIGIN, top=len(NAMES))
    assert [row["word"] for row in rows[::3]] == [one.word.replace("=", "'=") for one in made.suspects]
    assert {row["class"] for row in rows} == {"cat", "'@dog", "cow\nbell"}
    for row, of_class in zip(rows, (found for one in made.suspects for found in one.classes), strict=True):
        assert float(row["placebo"]) in {one.placebo for one in made.suspects}
        assert float(row["class_information"]) == of_class.information
        assert int(row["right_with"]) == of_class.present.hits
        assert int(row["without"]) == of_class.absent.total
        assert (row["gap"] == "") == (of_class.gap is None)


def test_a_class_without_photos_is_left_out_and_one_without_errors_says_nothing(make_study: MakeStudy) -> None:
    study = make_study(n=90)
    # All of the third class become the first.
    y = np.where(study.examples.y == 2, 0, study.examples.y)
    study = type(study)(**{**vars(study), "examples": type(study.examples)(**{**vars(study.examples), "y": y})})
    made = make_report(an_account(study), ORIGIN, top=1)
    assert [row.label for row in made.suspects[0].classes] == ["cat", "dog"]
    account = an_account(study)
    flawless = Look(**{**vars(account.look), "predicted": account.look.y})
    none = make_report(take_account(flawless, Seed(("test",)), permutations=99), ORIGIN, top=2)
    assert none.n_suspects_below_level == 0
    assert none.chosen == []
    assert all(one.information == 0 and one.p_value == 1 and one.photos == [] for one in none.suspects)


def test_names_that_are_no_unicode_are_spelled(make_study: MakeStudy) -> None:
    ids = [f"photo-{row}\udcff.png" for row in range(200)][: 90 // 2 + 90]
    made = make_report(an_account(make_study(n=90, ids=ids)), ORIGIN, top=1)
    assert all("\\udcff" in photo.id for photo in made.suspects[0].photos)
    assert SuspectsReport.model_validate_json(made.to_json().encode()) == made


def test_the_same_input_gives_the_same_bytes(make_study: MakeStudy) -> None:
    one, two = (an_account(make_study(n=90)) for _ in range(2))
    assert make_report(one, ORIGIN, top=3).to_json() == make_report(two, ORIGIN, top=3).to_json()
    assert to_csv(one) == to_csv(two)


def test_at_most_four_are_chosen_and_only_below_the_level(make_study: MakeStudy) -> None:
    made = make_report(an_account(make_study(n=90)), ORIGIN, top=1)
    suspect = made.suspects[0]

    def several(p: list[float], placebo: list[float]) -> SuspectsReport:
        some = [
            Suspect(
                **{
                    **suspect.model_dump(),
                    "rank": i,
                    "word": f"w{i}",
                    "p_value": value,
                    "placebo": share,
                    "agreement": [0.0] * (i - 1),
                }
            )
            for i, (value, share) in enumerate(zip(p, placebo, strict=True), 1)
        ]
        return SuspectsReport(**{**made.model_dump(), "suspects": [one.model_dump() for one in some]})

    p = [0.01, 0.05, 0.05, 0.051, 0.2]
    beyond = several(p, [0.001, 0.05, 0.051, 0.01, 0.3])
    assert [one.word for one in beyond.survivors] == ["w1", "w2", "w3"]
    assert [one.word for one in beyond.chosen] == ["w1", "w2"]
    # Where no word is better than directions that mean nothing, all that survive are handed on.
    assert [one.word for one in several(p, [0.06, 0.1, 0.2, 0.3, 0.9]).chosen] == ["w1", "w2", "w3"]
    assert len(several([0.01] * 12, [0.01] * 12).chosen) == 4


def test_a_word_that_is_handed_on_brings_the_one_that_is_seen_where_it_is_not(make_suspects: Suspects) -> None:
    words = [(f"w{i}", f"with w{i}", 0.01 if i < 9 else 0.06) for i in range(11)]

    def chosen(beyond: int, **pairs: float) -> str:
        agreement = [[pairs.get(f"w{j}w{i}", 0.0) for j in range(i)] for i in range(len(words))]
        placebo = [0.01] * beyond + [0.06] * (len(words) - beyond)
        return " ".join(one.word for one in make_suspects(words, placebo=placebo, agreement=agreement).chosen)

    assert chosen(1) == "w0"
    assert chosen(1, w0w3=-0.2, w0w5=-0.3, w0w6=0.9) == "w0 w5"
    # Words that nothing is known of, or that come too late in the list, are no counterparts.
    assert chosen(1, w0w8=-0.9, w0w10=-0.9) == "w0"
    # One that is there already will do, and one is enough for two.
    assert chosen(2, w0w1=-0.2, w0w5=-0.9) == "w0 w1"
    assert chosen(2, w0w1=-0.19, w0w5=-0.9, w1w5=-0.2) == "w0 w1 w5"
    assert chosen(1, w0w5=-0.19) == "w0"
    # One that was brought brings none itself.
    assert chosen(1, w0w2=-0.3, w2w3=-0.9) == "w0 w2"
    assert chosen(2, w0w5=-0.9, w1w5=-0.5, w1w6=-0.6) == "w0 w1 w5"
    assert chosen(4, w0w5=-0.9, w1w6=-0.9) == "w0 w1 w2 w3 w5 w6"
    assert chosen(0, w0w3=-0.3, w4w5=-0.9) == "w0 w1 w2 w3"


def test_what_is_handed_on_does_not_hang_on_how_many_words_are_shown(make_study: MakeStudy) -> None:
    account = an_account(make_study(n=90), names=tuple(f"w{i}" for i in range(20)))
    few, many = (make_report(account, ORIGIN, top=top) for top in (1, 20))
    assert (len(few.suspects), len(many.suspects)) == (CANDIDATES, 20)
    assert few.chosen == many.chosen


def test_what_contradicts_itself_is_no_report(make_study: MakeStudy) -> None:
    made = make_report(an_account(make_study(n=90)), ORIGIN, top=2).model_dump()
    twice = [made["suspects"][0], {**made["suspects"][0], "rank": 2}]
    alone = {**made["suspects"][1], "agreement": []}
    for changes in (
        {"suspects": twice},
        {"suspects": [made["suspects"][0], alone]},
        {"suspects": made["suspects"][1:]},
        {"unknown": 1},
        {"level": 1.5},
        {"n_directions_below_level": 1000},
        {"n_suspects_beyond_directions": 99},
    ):
        with pytest.raises(ValidationError):
            SuspectsReport(**{**made, **changes})
    three, two = Tally(hits=1, total=3), Tally(hits=1, total=2)
    with pytest.raises(ValidationError, match="a gap of"):
        ClassRow(label="cat", present=three, absent=two, threshold=0, information=0, gap=0.5, p_value=1)


def test_the_committed_schema_is_that_of_the_model() -> None:
    assert Path(report.__file__).with_name("report.schema.json").read_text() == json_schema(SuspectsReport)
    schema = json.loads(json_schema(SuspectsReport))
    assert all(part["additionalProperties"] is False for part in (schema, *schema["$defs"].values()))


def test_a_report_and_a_record_s_predictions_are_read_without_torch() -> None:
    modules = "spurbench.suspects.report, spurbench.suspects.cell, spurbench.suspects.words"
    code = f"import sys, {modules}, spurbench.render.suspects_terminal; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
