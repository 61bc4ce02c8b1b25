"""Suspects in the terminal: 80 columns, hostile names, the sentence where nothing survives."""

from __future__ import annotations

import io
from typing import Any

from rich.cells import cell_len
from rich.console import Console

from spurbench.findings.report import Provenance, Tally
from spurbench.render.suspects_terminal import print_suspects
from spurbench.suspects.report import ClassRow, Suspect, SuspectsReport, WordList

HOSTILE = "\x1b[31m[bold]esrever\u202e\u2066\nשלום"


def a_row(label: str, present: tuple[int, int], absent: tuple[int, int], nats: float, p: float) -> ClassRow:
    shown, rest = (Tally(hits=hits, total=total) for hits, total in (present, absent))
    gap = None if shown.share is None or rest.share is None else shown.share - rest.share
    return ClassRow(
        label=label, present=shown, absent=rest, threshold=0.2, information=nats, gap=gap, p_value=p
    )  # fmt: skip


ROWS = (
    a_row("waterbird", (71, 206), (320, 326), 0.273, 0.0001),
    a_row("landbird", (1221, 1233), (559, 635), 0.029, 0.0001),
    a_row("no bird", (5, 9), (0, 0), 0.0, 1.0),
)


def a_report(p: list[float], rows: tuple[ClassRow, ...] = ROWS, **changes: Any) -> SuspectsReport:
    suspects = [
        Suspect(
            rank=i, word=f"{'water' * i}", kind="scene", phrase="on water", information=0.083, p_value=value,
            placebo=0.03, agreement=[0.0] * (i - 1), classes=list(rows), photos=[],
        )
        for i, value in enumerate(p, 1)
    ]  # fmt: skip
    made: dict[str, Any] = {
        "dataset": "birds", "title": "Birds", "backbone": "RN50", "seen_by": "ViT-B/16", "model": "erm",
        "split": "test", "prompts": "photo", "words": WordList(sha256="ab", n=640), "excluded": ["bird"],
        "indistinct": [], "classes": ["waterbird", "landbird"], "right": Tally(hits=2171, total=2400),
        "min_photos": 10, "permutations": 9999, "directions": 999, "n_directions_below_level": 417,
        "n_suspects_below_level": sum(value <= 0.05 for value in p),
        "n_suspects_beyond_directions": sum(value <= 0.05 for value in p),
        "suspects": suspects, "provenance": Provenance(seed=0, fingerprints={}, environment={}),
    }  # fmt: skip
    return SuspectsReport(**{**made, **changes})


def printed(report: SuspectsReport, width: int = 80, top: int = 20) -> str:
    out = io.StringIO()
    print_suspects(report, Console(file=out, width=width, force_terminal=True, color_system=None), top)
    assert all(cell_len(line) <= width for line in out.getvalue().splitlines())
    return out.getvalue()


def test_a_line_says_word_class_accuracies_gap_information_and_p() -> None:
    lines = printed(a_report([0.0001, 0.2])).splitlines()
    (first,) = (line for line in lines if line.split()[:2] == ["water", "waterbird"])
    assert " ".join(first.split()) == "water waterbird 34 % 206 98 % 326 -63.7 0.083 < 0.001 0.030"
    second = lines[lines.index(first) + 1]
    assert " ".join(second.split()) == "landbird 99 % 1,233 88 % 635 +11.0"
    assert "waterwater" not in "".join(lines), "what chance explains is in the report alone"
    assert "no bird" not in "".join(lines)


def test_what_was_looked_at_is_told() -> None:
    text = " ".join(printed(a_report([0.001])).split())
    assert "Birds (birds) RN50, erm; 2,400 test photos, 90 % right" in text
    assert "640 words (1 naming a class: left out) seen by ViT-B/16; 9,999 permutations" in text
    both = " ".join(printed(a_report([0.001], indistinct=["kettle", "sofa"])).split())
    assert "(1 naming a class, 2 unknown to it: left out)" in both


def test_words_beyond_the_first_ones_are_counted() -> None:
    text = printed(a_report([0.001, 0.002], n_suspects_below_level=1042))
    assert "and 1,040 more words with p up to 0.05" in text
    assert "more words" not in printed(a_report([0.001, 0.002]))
    assert "and 1 more words" in printed(a_report([0.001, 0.002]), top=1)
    assert "waterwater" not in printed(a_report([0.001, 0.002]), top=1)


def test_how_many_directions_that_mean_nothing_survive_is_told_and_which_words_are_handed_on() -> None:
    def told(**changes: Any) -> str:
        return " ".join(printed(a_report([0.001, 0.002, 0.003], **changes)).split())

    some = told(n_suspects_beyond_directions=2)
    assert "Of 100 directions that mean nothing, 42 have p up to 0.05 as well" in some
    assert (
        "Placebo is up to 0.05 for 2 of the 3 words with such a p, and would be for 32 of 640 random directions: the "
        "others are no better than chance directions."
    ) in some
    assert "the others" not in told(n_suspects_beyond_directions=3)
    takes = "--attributes takes words that were found on validation or training photos, none that were on test."
    assert takes in some
    val = told(split="val")
    words = "'water', 'waterwater', 'waterwaterwater'"
    assert f"--attributes tells methods {words} (p and placebo up to 0.05)." in val
    none = told(split="val", n_suspects_beyond_directions=0)
    one = " ".join(printed(a_report([0.001], split="val")).split())
    assert "--attributes tells methods 'water' (p" in one
    assert "None of the 3 words with such a p has placebo up to 0.05." in none
    assert f"tells methods {words} (p up to 0.05, though no better than chance directions)." in none


def test_where_nothing_survives_a_sentence_says_so() -> None:
    text = " ".join(printed(a_report([0.34])).split())
    assert "No word survives: of the 640 that were looked for, none goes with the model's 229 errors" in text
    assert "0.340" in text
    flawless = printed(a_report([1.0], right=Tally(hits=9, total=9)))
    assert "there is no error to explain" in " ".join(flawless.split())


def test_names_from_anywhere_cannot_break_the_table() -> None:
    rows = (a_row(HOSTILE, (71, 206), (320, 326), 0.273, 0.0001), a_row("x" * 70, (1, 20), (19, 20), 0.1, 0.001))
    text = printed(a_report([0.001], rows, title=HOSTILE, dataset="d" * 79, backbone=HOSTILE))
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert "[bold]esrever" in text
