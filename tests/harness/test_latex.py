"""LaTeX: structure that compiles, the best bold and its equals starred, and names that are text and nothing else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.board import Board, BoardRow, Standing, make_board
from spurbench.record import Record
from spurbench.render.latex import to_latex
from spurbench.render.latex_text import latex
from spurbench.stats import Difference, WorstGroup

Make = Callable[..., Record]
KNOWN = {
    "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "textbf", "dagger", "pm",
    "multicolumn", "emph",
}  # fmt: skip
WORDS = {
    "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "textasciigrave",
    "char", "times", "cdot", "leq", "geq", "rightarrow", "ldots", "ss", "ae", "AE", "oe", "OE", "o", "O", "l", "L",
    "i", "pm", "u", "r", "H", "v", "c",
}  # fmt: skip


def tokens(text: str) -> list[str]:
    """Control words, control symbols, and single characters, as TeX reads them; comments are gone."""
    text = re.sub(r"(?<!\\)%[^\n]*\n?", "", text)
    return re.findall(r"\\[A-Za-z]+|\\.|.", text, flags=re.DOTALL)


def check(text: str) -> None:
    """Balanced braces and environments, known commands alone, as many cells in each row as columns."""
    assert text.isascii()
    depth, environments = 0, []
    for token in tokens(text):
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        if re.fullmatch(r"\\[A-Za-z]+", token):
            assert token[1:] in KNOWN | WORDS, token
    assert depth == 0
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            environments.append(name)
        else:
            assert environments.pop() == name
    assert not environments
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) + len(re.findall(r"\\\w+rule", body)) == len(body.splitlines())
        spans = [int(row.split("{")[1].split("}")[0]) for row in rows if row.startswith(r"\multicolumn")]
        assert set(spans) == {len(columns)}
        cells = [len(re.findall(r"(?<!\\)&", row)) for row in rows if not row.startswith(r"\multicolumn")]
        assert set(cells) == {len(columns) - 1}
    assert len(re.findall(r"\\label\{", text)) == len(set(re.findall(r"\\label\{([^}]*)\}", text)))


@given(st.text(max_size=30))
def test_no_text_is_anything_but_text(text: str) -> None:
    made = latex(text)
    assert made.isascii()
    assert made.isprintable()
    depth = 0
    for token in tokens(made):
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        assert token not in {"&", "#", "_", "~", "^", "%"} or f"\\{token}{{" in made
        if re.fullmatch(r"\\[A-Za-z]+", token):
            assert token[1:] in WORDS
    assert depth == 0
    assert not re.match(r"\s*[\[*]", made), "an argument of the line break before it"
    assert not re.search(r",,|''", made)
    assert ("--" in made) == bool(set("–—") & set(unicodedata.normalize("NFC", text)))


def test_each_character_means_itself() -> None:
    assert latex("50 % of a_b & c#1 {x} $5") == r"50 \% of a\_b \& c\#1 \{x\} \$5"
    assert latex("~^\\") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert latex("Gödel, Łoś, naïve, Škoda") == r"G\"{o}del, \L{}o\'{s}, na\"{i}ve, \v{S}koda"
    assert latex("84.1 ± 1.9 – 中\u202e") == r"84.1 $\pm$ 1.9 -- {[}U+4E2D]{[}U+202E]"
    assert latex("a\n\tb  c") == "a b c"
    assert latex("---") == "-{}-{}-"
    assert latex("[x]*") == "{[}x]{*}"


def table(make: Make, *rows: Any) -> list[Record]:
    return [
        make([[n, 10] * 2 for n in counts], [10] * 4, method=method, supervision=told, train_total=[5] * 4, **more)
        for method, counts, told, more in rows
    ]


def board(make: Make) -> Board:
    records = table(
        make,
        ("best", [9, 9], [], {}),
        ("near", [8, 9], [], {}),
        ("far", [2, 3], [], {}),
        ("told", [7, 7], ["train_groups"], {}),
        ("best", [6, 5], [], {"backbone": "ViT-B/16"}),
    )
    made = make_board(records)
    known = Difference(-0.05, -0.1, 0.05, 0.4, 0.04, 0.1)

    def tied(row: BoardRow) -> BoardRow:
        standing = Standing("best", known, 0.4, row.method == "near")
        worst = WorstGroup(0.85, -0.01, 0.86, 0.801, 0.95, 0.02, 0.03, 5.0) if row.method == "near" else None
        return replace(row, standing=standing if row.method in ("near", "far") else None, worst=worst)

    return replace(made, rows=tuple(map(tied, made.rows)))


def test_the_best_of_each_track_is_bold_and_its_equals_are_starred(easy_hard_record: Make) -> None:
    text = to_latex(board(easy_hard_record))
    check(text)
    assert text.count(r"\begin{table}") == 2
    first = text.split(r"\end{table}")[0]
    assert r"told nothing of the attribute}} \\" + "\n" + r"best & \textbf{90.0} & - & 95.0 & 5.0 & 2 \\" in first
    assert "\n" + r"near & 85.0 $\pm$ 7.1$^{*}$ & 80.1 to 95.0 & 92.5 & 7.5 & 2 \\" in first
    assert "\n" + r"far & 25.0 $\pm$ 7.1 & - & 62.5 & 37.5 & 2 \\" in first
    assert r"told & \textbf{70.0} & - & 85.0 & 15.0 & 2 \\" in first
    assert first.index("far") < first.index(r"\emph{told the groups of training photos}")
    assert r"\label{tab:v1-animals-RN50}" in first
    assert r"selected by worst\_group" in first
    assert "over 2 seeds" in first
    assert r"(2 seeds $\times$ 1 configurations)" in first


def test_merged_there_is_one_table_with_a_column_for_each_place(easy_hard_record: Make) -> None:
    text = to_latex(board(easy_hard_record), merged=True)
    check(text)
    assert text.count(r"\begin{table}") == 1
    assert " & animals & animals \\\\\nmethod & RN50 & ViT-B/16 \\\\" in text
    assert r"best & \textbf{90.0} & \textbf{55.0 $\pm$ 7.1} \\" in text
    assert r"told & \textbf{70.0} & - \\" in text


def test_a_row_without_a_rank_is_never_bold(easy_hard_record: Make) -> None:
    made = make_board(table(easy_hard_record, ("partial", [9], [], {"budget": {"seeds": 3, "configurations": 1}})))
    for merged in (False, True):
        text = to_latex(made, merged=merged)
        check(text)
        assert r"90.0$^{\dagger}$" in text
        assert r"\textbf" not in text
    assert r"& 1/3 \\" in to_latex(made)


def test_easy_and_hard_photos_have_their_own_columns(easy_hard_record: Make) -> None:
    text = to_latex(make_board([easy_hard_record([[9, 4, 8, 6], [9, 5, 8, 6]], [10] * 4)]))
    check(text)
    assert "method & easy & hard & drop & seeds" in text
    assert r"zero\_shot & 85.0 & \textbf{52.5 $\pm$ 3.5} & 32.5 & 2 \\" in text
    assert "class-averaged accuracy on hard photos" in text


NASTY = "\\input{/etc/passwd} % & # $x$ _ ~ ^ {\n\\\\ [*] <script> \u202e \x1b[31m é"


@pytest.mark.parametrize("merged", [False, True])
def test_hostile_names_are_inert_everywhere(merged: bool, easy_hard_record: Make) -> None:
    names = {"dataset": NASTY, "backbone": NASTY, "rules": NASTY}
    text = to_latex(make_board([easy_hard_record([5, 4, 3, 2], [10] * 4, method=NASTY, **names)]), merged=merged)
    check(text)
    assert r"\textbackslash{}input\{/etc/passwd\} \%" in text
    assert "{[}U+202E]" in text
    assert "{[}U+001B]" in text
    assert not re.search(r"\\input\b", text)
    assert all(unicodedata.category(letter) != "Cc" or letter == "\n" for letter in text)


def test_labels_that_read_alike_are_told_apart(easy_hard_record: Make) -> None:
    records = [easy_hard_record([5, 4], [10] * 2, dataset=name, classes=["c0"]) for name in ("a b", "a-b", "a/b")]
    text = to_latex(make_board(records))
    check(text)
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:v1-a-b-RN50", "tab:v1-a-b-RN50-2", "tab:v1-a-b-RN50-3"]


def test_nothing_gives_no_table() -> None:
    assert r"\begin" not in to_latex(Board("worst_group", ()))


def test_a_quotation_mark_is_no_accent_of_what_follows() -> None:
    assert latex('"a" "') == r"\char34{}a\char34{} \char34{}"
