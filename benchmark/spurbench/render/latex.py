"""A board as LaTeX tables with booktabs: one for each data set and backbone, or one for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ..board import AttentionCell, Board, BoardRow, Track, by_track
from ..stats import GroupMeans
from . import TOLD, budgets, interval, percent, ranked_by, with_deviation
from .attention_words import MEASURES
from .latex_text import latex

PREAMBLE = r"""% Made by spurbench export. The document needs \usepackage{booktabs} (and textcomp before LaTeX 2020).
% Bold: the best of its track. Star: the data do not tell it from the best. Dagger: seeds are missing, so no rank.
"""
Cell = Callable[[BoardRow], str]


def to_latex(board: Board, *, merged: bool = False) -> str:
    """Tables in ASCII, which every engine reads; no table for an empty board.

    Args:
        merged: one table for each version of the rules, with a column for each data set and backbone.
    """
    labels: set[str] = set()
    if merged:
        tables = [
            _merged(rules, [row for row in board.rows if row.rules == rules], board.selection, labels)
            for rules in dict.fromkeys(row.rules for row in board.rows)
        ]
    else:
        tables = [_single(where, rows, board.selection, labels) for where, rows in board.tables()]
    return "\n".join([PREAMBLE, *tables])


def _single(where: tuple[str, str, str], rows: list[BoardRow], selection: str, labels: set[str]) -> str:
    rules, dataset, backbone = where
    columns: list[tuple[str, Cell]]
    if ranked_by(rows):
        columns = [
            ("easy", lambda row: percent(row.easy_hard.easy.mean) if row.easy_hard else "-"),
            ("hard", _score),
            ("drop", lambda row: percent(row.easy_hard.drop.mean) if row.easy_hard else "-"),
        ]
    else:
        columns = [
            ("WGA", _score),
            ("interval", lambda row: latex(interval(row.worst))),
            (latex("acc_test"), lambda row: percent(row.acc_test.mean) if row.acc_test else "-"),
            ("gap", lambda row: percent(row.gap.mean) if row.gap else "-"),
        ]
    if any(row.attention for row in rows):
        columns += [(name, _looks(of)) for name, of in MEASURES.items()]
    columns.append(("seeds", lambda row: f"{row.seeds}" if row.rank else f"{row.seeds}/{row.seeds_expected}"))
    caption = f"{dataset}, {backbone}: {_what(rows)}. {_terms(rules, rows, selection)}"
    if any(row.worst for row in rows):
        caption += " The interval is over test examples and seeds."
    if any(row.attention for row in rows):
        caption += " AIoU, pointing and energy: where activation maps of test photos lie, groups counting the same."
    blocks = [
        (track, [[latex(row.method), *(cell(row) for _, cell in columns)] for row in some])
        for track, some in by_track(rows)
    ]
    headings = [["method", *(heading for heading, _ in columns)]]
    return _table(headings, blocks, caption, _label((rules, dataset, backbone), labels))


def _looks(of: Callable[[AttentionCell], GroupMeans]) -> Cell:
    return lambda row: "-" if row.attention is None else percent(of(row.attention).balanced.mean)


def _merged(rules: str, rows: list[BoardRow], selection: str, labels: set[str]) -> str:
    places = list(dict.fromkeys((row.dataset, row.backbone) for row in rows))
    blocks = []
    for track, some in by_track(rows):
        scores = {(row.method, row.dataset, row.backbone): _score(row) for row in some}
        methods = list(dict.fromkeys(row.method for row in some))
        cells = [[latex(method), *(scores.get((method, *where), "-") for where in places)] for method in methods]
        blocks.append((track, cells))
    headings = [["", *(latex(dataset) for dataset, _ in places)]]
    headings.append(["method", *(latex(backbone) for _, backbone in places)])
    caption = f"{_what(rows)}. {_terms(rules, rows, selection)}"
    return _table(headings, blocks, caption[0].upper() + caption[1:], _label((rules,), labels))


def _score(row: BoardRow) -> str:
    """What a row is ranked by, marked where it leads its track, or has no rank."""
    text = latex(with_deviation(row.score))
    if row.rank == 1:
        return rf"\textbf{{{text}}}"
    if row.leads:
        return f"{text}$^{{*}}$"
    return rf"{text}$^{{\dagger}}$" if row.rank is None and row.score is not None else text


def _what(rows: Sequence[BoardRow]) -> str:
    measures = {"wga": "worst-group accuracy", "hard": "class-averaged accuracy on hard photos"}
    ranked = " or, where ranked by it, ".join(
        measures[name] for name in measures if name in {r.ranked_by for r in rows}
    )
    return f"{ranked} on test, in percent, mean over seeds ± their sample deviation, which is no interval"


def _terms(rules: str, rows: Sequence[BoardRow], selection: str) -> str:
    seeds = sorted({row.seeds for row in rows if row.rank is not None})
    over = f", over {' or '.join(map(str, seeds))} seeds" if seeds else ""
    terms = f"Rules {rules} ({budgets(rows).replace(' x ', ' × ')}){over}, selected by {selection}"
    return f"{terms}; best of each block, of methods that are told as much, in bold."


def _table(headings: list[list[str]], blocks: Sequence[tuple[Track, list[list[str]]]], caption: str, label: str) -> str:
    width = len(headings[0])

    def written() -> Iterator[str]:
        yield from (r"\begin{table}", r"\centering", rf"\caption{{{latex(caption)}}}", rf"\label{{{label}}}")
        yield rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}"
        yield r"\toprule"
        yield from (rf"{' & '.join(cells)} \\" for cells in headings)
        for track, lines in blocks:
            yield from (r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{latex(TOLD[track])}}}}} \\")
            yield from (rf"{' & '.join(cells)} \\" for cells in lines)
        yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}", "")

    return "\n".join(written())


def _label(parts: Sequence[str], labels: set[str]) -> str:
    """A label of letters, digits and dashes, which no other table has."""
    base = "tab:" + "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)
    label, n = base, 1
    while label in labels:
        n += 1
        label = f"{base}-{n}"
    labels.add(label)
    return label
