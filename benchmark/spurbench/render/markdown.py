"""leaderboard.md: readable on GitHub and in a terminal, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tabulate import tabulate

from ..board import Board, BoardRow, TrackRanking, by_track
from ..marking import markdown as _text
from ..planted.board import PlantedBoard
from ..published import Published
from . import TIED, TOLD, Column, budgets, columns_of, detectable, interval, percent, ranked_by, with_deviation
from .attention import HOW as HOW_ATTENTION
from .attention import TITLE, looks
from .planted import HOW, Table, summary, tables
from .published import how, published_tables

CHOSEN: Mapping[str, str] = MappingProxyType(
    {
        "worst_group": "the configuration with the best worst-group accuracy on validation (uses group labels)",
        "worst_class": "the configuration with the best worst-class accuracy on validation (no group labels)",
        "average": "the configuration with the best accuracy on validation (no group labels)",
    }
)
"""Selection rules in words."""
HOW_TO_READ = f"""\
## How to read it

- **WGA**: worst-group accuracy on test, mean ± sample deviation over seeds. **interval** (95 % unless the rules say
  otherwise): where the accuracy of the worst group lies for other test examples and other seeds (of a single seed: of
  that seed), its upper end corrected for the bias that the smallest of several noisy accuracies has; **bias** says how
  much of it is found, which is about half where many small groups are equally bad. **over seeds** is Student's t
  interval of the mean over seeds alone, silent about how few test examples the worst group has.
- Methods are ranked among those that were told as much (the track), over the seeds that all complete methods of a table
  have: **#** is the place in the track, and {TIED} marks those that a paired test on the same test examples and seeds
  (Holm over the track) does not tell from the best. That is not to be equal: a noisy method is hard to tell from
  anything. All that lead in this sense are bold. **to the best**: the difference in points, with an interval that holds
  for all comparisons of the track together (Bonferroni): a little wider than what Holm decides by, so that some that
  hold 0 stand beside methods that are told apart.
- Under rule `worst_group` the groups of validation photos choose the configuration of every method, of those that are
  told nothing as well; rules `worst_class` and `average` use no group labels.
- **acc_test** is the share of test examples that are right; **acc_train_weighted** weights group accuracies by
  the groups' shares of the training split (the "adjusted average"). Papers mix the two. **gap** = acc_test - WGA.
- **ECE**: expected calibration error, 15 bins. **AUROC**: one class against the others, averaged over classes.
- **supervision**: what the method was given beyond class labels; what it does not declare it cannot reach.
- **configs**: configurations tried per seed, the paper's own first where it has one; fewer than the budget where a
  method has no more. Selection is redone for each seed, and so is every stage of a method with two. **parameters**:
  trained ones; **s / seed**, **memory**: time and peak memory of a seed, where many are computed at once its share.
- **oracle**: with the candidate that is best on test. Nobody can choose so; it shows what choosing costs, and ranks
  nothing.
- **mean rank**: over data sets and backbones, 1 is best; methods that share a letter are not told apart (Wilcoxon's
  test over data sets, Holm). Methods that lack a table, or seeds (n/N), have no rank; nothing is filled in.
- **tier** self-reported: nobody else has run it yet.
"""


HOW_EASY_HARD = """\
- **easy**, **hard**: accuracy before easy and before hard backgrounds, averaged over classes that count the same;
  **drop** = easy - hard. **per image**: the same three, averaged over images. **drop interval**: how far
  another draw of test photos might take it (binomial). **negative**: classes whose hard photos are the easier ones.
"""
HOW_ATTRIBUTES = """\
- rules **+attributes=suspects@...**: methods are not told the data set's own words for the attribute, but those that
  `spurbench suspects` found to go with a model's errors; behind the @, how the sha256 of its report begins. Each record
  says which words, found where and by whom (`attribute_source`). Where **supervision** has `val labels`, the classes of
  all validation photos chose the words; no group label did.
"""
MOST_ACROSS, MOST_DOWN, BEST, MOST_TIED = 24, 240, 3, 3
"""Groups that a table has as columns, and as rows (of the best methods alone); beyond that they are left to JSON;
and how many methods the summary names that are as good as the best."""
LEVEL = 0.05
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def to_markdown(
    board: Board,
    planted: PlantedBoard | None = None,
    published: Sequence[Published] = (),
    others: Sequence[Board] = (),
) -> str:
    """The whole document.

    Args:
        planted: shown in the section "Discovery".
        published: shown in sections of their own, one per data set.
        others: boards of the same records under other selection rules, to compare the rules by.
    """
    lines = ["# Leaderboard", "", *_summary(board), ""]
    lines += [f"Selected by `{board.selection}`: {CHOSEN[board.selection]}.", ""]
    lines += _across(board)
    elsewhere = [(other, dict(other.tables())) for other in others]
    for (rules, dataset, backbone), rows in board.tables():
        lines += [f"## {_text(dataset)} · {_text(backbone)} · rules {_text(rules)}", ""]
        lines += [f"Budgets: {_text(budgets(rows))}{ranked_by(rows)}.", ""]
        for track, some in by_track(rows):
            lines += [f"### {_text(TOLD[track].capitalize())}", "", _table(some, columns_of(some)), ""]
            lines += [f"{detectable(some).capitalize()}.", ""] if detectable(some) else []
        lines += _folded("More numbers", _table(rows, columns_of(rows, detail=True)))
        lines += _by_selection(rows, [(other.selection, at[rules, dataset, backbone]) for other, at in elsewhere])
        lines += _groups(rows)
        lines += _attention(rows)
        lines += [f"- {_text(row.method)} failed: {_text(row.failure)}" for row in rows if row.failure]
        lines += [""] if any(row.failure for row in rows) else []
    if planted is not None and planted.tried:
        lines += _discovery(planted)
    lines += _published(published, board)
    of_easy_and_hard = HOW_EASY_HARD if any(row.easy_hard is not None for row in board.rows) else ""
    of_attributes = HOW_ATTRIBUTES if any("+attributes=" in row.rules for row in board.rows) else ""
    of_attention = HOW_ATTENTION if any(row.attention is not None for row in board.rows) else ""
    return "\n".join([*lines, HOW_TO_READ + of_easy_and_hard + of_attributes + of_attention])


def _attention(rows: Sequence[BoardRow]) -> list[str]:
    found = looks(rows)
    lines = [f"### {TITLE}", ""] if found else []
    for some in found:
        lines += [_text_table(some.table), "", *(f"- {_text(line)}" for line in some.lines), ""]
        by_group = [
            part for table in some.by_group for part in (f"**{_text(table.caption)}**", "", _text_table(table), "")
        ]
        lines += _folded(f"{some.table.caption}, per group", "\n".join(by_group[:-1])) if by_group else []
    return lines


def _discovery(planted: PlantedBoard) -> list[str]:
    lines = ["## Discovery", "", f"{summary(planted)}.", "", HOW, ""]
    for table in tables(planted):
        lines += [f"**{_text(table.caption)}**", "", _text_table(table), ""]
    return lines


def _published(values: Sequence[Published], board: Board) -> list[str]:
    lines = []
    for dataset in dict.fromkeys(value.dataset for value in values):
        mine = [value for value in values if value.dataset == dataset]
        lines += [f"## {_text(dataset)}, as published", "", how(mine), ""]
        for table in published_tables(mine, board):
            lines += [f"<details><summary>{_text(table.text.caption)}</summary>", "", _text_table(table.text), ""]
            lines += [*(f"- {_text(line)}" for line in table.below), "", "</details>", ""]
    return lines


def _text_table(table: Table) -> str:
    align = ["left" if place < table.words else "right" for place in range(len(table.headings))]
    body = [[_text(cell) for cell in row] for row in table.rows]
    headings = [_text(heading) for heading in table.headings]
    return tabulate(body, headings, "pipe", colalign=align, disable_numparse=True)


def _summary(board: Board) -> list[str]:
    """The best of each track of each table: what a hurried reader takes away."""
    if not board.rows:
        return ["No records yet: `spurbench run` makes them."]
    tracks = list(dict.fromkeys(track for _, rows in board.tables() for track, _ in by_track(rows)))
    body = []
    for (_, dataset, backbone), rows in board.tables():
        found = dict(by_track(rows))
        measure = " (class-averaged accuracy on hard photos)" if ranked_by(rows) else ""
        name = f"{_text(dataset)} · {_text(backbone)}{measure}"
        body.append([name, *(_leaders(found.get(track, [])) for track in tracks)])
    headings = ["best worst-group accuracy (%) of methods", *(TOLD[track] for track in tracks)]
    return [_pipe(headings, body, words=len(headings))]


def _leaders(rows: Sequence[BoardRow]) -> str:
    """The best of some rows of one track, with its interval, and how many the data do not tell from it."""
    first = [row for row in rows if row.rank == 1]
    if not first:
        return "nothing complete" if rows else "-"
    names = " and ".join(f"**{_text(row.method)}**" for row in first)
    known = interval(first[0].worst)
    text = f"{names} {with_deviation(first[0].score)}" + (f" ({known})" if known != "-" else "")
    tied = [_text(row.method) for row in rows if row.rank != 1 and row.leads]
    more = f" and {len(tied) - MOST_TIED} more" if len(tied) > MOST_TIED else ""
    return f"{text} {TIED} {', '.join(tied[:MOST_TIED])}{more}" if tied else text


def _across(board: Board) -> list[str]:
    lines = []
    for ranking in board.rankings:
        several = len({other.rules for other in board.rankings}) > 1
        rules = f", rules {_text(ranking.rules)}" if several else ""
        where = ", ".join(f"{_text(dataset)} on {_text(backbone)}" for dataset, backbone in ranking.tables)
        lines += [f"**Ranks of methods {TOLD[ranking.track]}**, over {len(ranking.tables)} tables ({where}){rules}", ""]
        lines += [_ranks(ranking), "", *_too_few(ranking), *_incomplete(ranking)]
    return ["## Across data sets and backbones", "", *lines] if lines else []


def _ranks(ranking: TrackRanking) -> str:
    body = [
        [
            _text(method),
            f"{ranking.mean_ranks[place]:.1f}",
            _bounds(ranking, place),
            "".join(letter for letter, group in zip(LETTERS, ranking.groups, strict=False) if place in group),
        ]
        for place, method in enumerate(ranking.methods)
    ]
    return _pipe(["method", "mean rank", "interval", "not told apart"], body, words=1)


def _bounds(ranking: TrackRanking, place: int) -> str:
    """The interval of a mean rank; none where it is everything that ranks can be."""
    low, high = ranking.low[place], ranking.high[place]
    return "-" if (low, high) == (1, len(ranking.methods)) else f"{low:.1f} to {high:.1f}"


def _too_few(ranking: TrackRanking) -> list[str]:
    """What Wilcoxon's test could find at best: with n data sets its smallest p is 2^(1 - n), and Holm multiplies it."""
    n, methods = len({dataset for dataset, _ in ranking.tables}), len(ranking.methods)
    smallest = min(1.0, 2.0 ** (1 - n) * methods * (methods - 1) / 2)
    if smallest <= LEVEL:
        return []
    least = f": p cannot be below {smallest:.2g}" if smallest < 1 else ""
    return [f"{n} data sets are too few to tell any two of {methods} methods apart{least}.", ""]


def _incomplete(ranking: TrackRanking) -> list[str]:
    if not ranking.incomplete:
        return []
    of = len(ranking.tables)
    return [f"Not in every table: {', '.join(f'{_text(method)} {n}/{of}' for method, n in ranking.incomplete)}.", ""]


def _by_selection(rows: Sequence[BoardRow], others: Sequence[tuple[str, Sequence[BoardRow]]]) -> list[str]:
    """WGA of each method under each rule, with its place in the track, and what the test oracle would choose."""
    if not others:
        return []
    by_method = [{row.method: row for row in some} for _, some in others]
    body = []
    for row in rows:
        cells = (found.get(row.method) for found in by_method)
        body.append(
            [_text(row.method), _placed(row), *map(_placed, cells), percent(row.oracle.mean if row.oracle else None)]
        )
    headings = ["method", rows[0].selection, *(rule for rule, _ in others), "oracle"]
    return _folded("Worst-group accuracy by selection rule (place in the track)", _pipe(headings, body, words=1))


def _placed(row: BoardRow | None) -> str:
    if row is None or row.score is None:
        return "-"
    return percent(row.score.mean) + (f" ({row.rank})" if row.rank is not None else "")


def _folded(title: str, table: str) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", table, "", "</details>", ""]


def _pipe(headings: Sequence[str], body: Sequence[Sequence[str]], words: int) -> str:
    """A table of cells that are Markdown already; the first `words` columns are left-aligned."""
    align = ["left" if place < words else "right" for place in range(len(headings))]
    return tabulate(body, [_text(heading) for heading in headings], "pipe", colalign=align, disable_numparse=True)


def _table(rows: Sequence[BoardRow], columns: Sequence[Column]) -> str:
    body = [[_cell(column, row) for column in columns] for row in rows]
    align = ["right" if column.numeric else "left" for column in columns]
    return tabulate(body, [_text(c.title) for c in columns], "pipe", colalign=align, disable_numparse=True)


def _cell(column: Column, row: BoardRow) -> str:
    text = _text(column.cell(row))
    return f"**{text}**" if row.leads and not column.detail and column.title in ("method", "WGA") else text


def _groups(rows: list[BoardRow]) -> list[str]:
    """Accuracies per group: methods down and groups across, or the other way round where there are many groups."""
    names = list(dict.fromkeys(group.group for row in rows for group in row.groups))
    if len(names) > MOST_DOWN:
        text = f"{len(names)} groups: `spurbench export --what groups` has the accuracy of each."
        return [text, ""]
    title = "Accuracy per group (test, all seeds together)"
    if len(names) <= MOST_ACROSS:
        body = [[_text(row.method), *_cells(row, names)] for row in rows]
        headings = ["method", *map(_text, names)]
    else:
        best = [row for row in rows if row.groups][:BEST]
        title += "; of the best methods" if len(best) < len(rows) else ""
        columns = [_cells(row, names) for row in best]
        body = [[_text(name), *cells] for name, *cells in zip(names, *columns, strict=True)]
        headings = ["group", *(_text(row.method) for row in best)]
    align = ["left", *["right"] * (len(headings) - 1)]
    table = tabulate(body, headings, "pipe", colalign=align, disable_numparse=True)
    return [f"<details><summary>{title}</summary>", "", table, "", "</details>", ""]


def _cells(row: BoardRow, names: list[str]) -> list[str]:
    known = {group.group: f"{percent(group.accuracy)} ({group.correct}/{group.total})" for group in row.groups}
    return [known.get(name, "-") for name in names]
