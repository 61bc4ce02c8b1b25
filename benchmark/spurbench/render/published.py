"""The section "as published" of the board: what papers print, own numbers beside it, nothing ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..board import Board, BoardRow
from ..published import Published, Triple, triples
from .planted import Table

HOW_PUBLISHED = """\
Numbers as their sources print them, in percent: easy / hard / drop. They are not ranked, and the board above does not
depend on them. A letter in brackets marks values that are known to be unreliable, and leads to the reason. **ours**:
own records of the same model, in brackets how far easy and hard are from the first column."""
TITLES = {
    "zero_shot": "CLIP models, zero-shot",
    "own_head": "supervised models, with their own classifiers",
    "lvlm": "language models that are shown the photo",
}
ALL_LABELS = "1v1000"
Setting = tuple[str, str, str, str]


@dataclass(frozen=True)
class PublishedTable:
    """A table, and what is said below it: where its columns are from, and why values are marked."""

    text: Table
    below: tuple[str, ...]


def published_tables(values: Sequence[Published], board: Board) -> Iterator[PublishedTable]:
    """The tables of one data set, one for each way of classifying: a row per model, a column per setting and source."""
    found = triples(values)
    for method, title in TITLES.items():
        mine = [triple for triple in found if triple.first.method == method]
        if mine:
            yield _table(title, mine, [row for row in board.rows if row.method == method])


def _table(title: str, found: Sequence[Triple], rows: Sequence[BoardRow]) -> PublishedTable:
    settings = list(dict.fromkeys(map(_setting, found)))
    sources = list(dict.fromkeys(triple.first.source for triple in found))
    names = {setting: _named(setting, settings[0], sources) for setting in settings}
    marks = {note: _letters(place) for place, note in enumerate(dict.fromkeys(t.note for t in found if t.note))}
    models: dict[tuple[str, str], dict[Setting, Triple]] = {}
    for triple in found:
        models.setdefault((triple.first.model, triple.first.pretraining), {})[_setting(triple)] = triple

    body = []
    for (model, pretraining), cells in models.items():
        written = [_cell(cells[setting], marks) if setting in cells else "-" for setting in settings]
        body.append((model, pretraining, *written, _ours(cells, rows)))
    kept = [
        place for place in range(len(settings) + 3) if place < 2 or any(row[place] not in ("", "-") for row in body)
    ]
    headings = ("model", "trained on", *names.values(), "ours")
    below = [f"{names[setting]}: {_origin(setting, found)}" for setting in settings]
    below += [f"({mark}) {note}" for note, mark in marks.items()]
    text = Table(
        f"{title}: {len(models)}",
        tuple(headings[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in body),
        words=2,
    )
    return PublishedTable(text, tuple(below))


def _setting(triple: Triple) -> Setting:
    first = triple.first
    return first.source, first.label_space, first.prompts, first.average


def _named(setting: Setting, headline: Setting, sources: Sequence[str]) -> str:
    source, label_space, prompts, average = setting
    parts = [label_space]
    parts += [prompts] if prompts != headline[2] else []
    parts += ["per image"] if average == "image" else []
    parts += ["reproduced"] if source != sources[0] else []
    return ", ".join(parts)


def _origin(setting: Setting, found: Sequence[Triple]) -> str:
    """Source, tables and prompts of a column."""
    source, _, prompts, average = setting
    places = dict.fromkeys(triple.first.where for triple in found if _setting(triple) == setting)
    said = f", prompts {prompts}" if prompts else ""
    return f"{source}, {', '.join(places)}; averaged over {'images' if average == 'image' else 'classes'}{said}"


def _letters(place: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    rest, letter = divmod(place, 26)
    return (_letters(rest - 1) if rest else "") + chr(ord("a") + letter)


def _cell(triple: Triple, marks: dict[str, str]) -> str:
    numbers = " / ".join(f"{value:.2f}" for value in (triple.easy, triple.hard, triple.drop) if value is not None)
    return f"{numbers} ({marks[triple.note]})" if triple.note else numbers


def beside(values: Sequence[Published], board: Board) -> list[str]:
    """A line for each own row of which a source prints easy and hard accuracy by the same prompts, comparing them."""
    lines = []
    met: set[int] = set()
    for triple in triples(values):
        row = own_row(triple, board.rows)
        if row is not None and id(row) not in met and (told := _against(triple, row)):
            met.add(id(row))
            doubt = f"; doubtful: {triple.note}" if triple.note else ""
            where = f"{triple.first.source}, {triple.first.where}"
            lines.append(f"{row.backbone}, {row.method}: {told}; {where}: {_cell(triple, {triple.note: '!'})}{doubt}")
    return lines


def _ours(cells: dict[Setting, Triple], rows: Sequence[BoardRow]) -> str:
    """Own numbers of a model's backbones, each against the first published ones of that very backbone."""
    told = []
    for backbone in dict.fromkeys(triple.first.backbone for triple in cells.values()):
        triple = next(triple for triple in cells.values() if triple.first.backbone == backbone)
        row = own_row(triple, rows)
        told.append("" if row is None else _against(triple, row))
    return "; ".join(filter(None, told))


def _against(triple: Triple, row: BoardRow) -> str:
    """Own numbers, and how far easy and hard are from the printed ones; "" where either has none."""
    cell = row.easy_hard
    if cell is None or triple.easy is None or triple.hard is None:
        return ""
    easy, hard, drop = (100 * value.mean for value in (cell.easy, cell.hard, cell.drop))
    return f"{easy:.2f} / {hard:.2f} / {drop:.2f} ({easy - triple.easy:+.2f} / {hard - triple.hard:+.2f})"


def own_row(triple: Triple, rows: Sequence[BoardRow]) -> BoardRow | None:
    """The own record of what a published row describes, complete and by the same prompts; None where there is none.

    Own numbers are averaged over classes, and records of fewer labels have them in the data set's name.
    """
    first = triple.first
    if first.average != "class":
        return None
    dataset = first.dataset if first.label_space == ALL_LABELS else f"{first.dataset}:labels={first.label_space}"
    same = (
        row
        for row in rows
        if (row.dataset, row.method, row.backbone) == (dataset, first.method, first.backbone)
        and row.prompts == first.prompts and row.status == "complete" and row.easy_hard is not None
    )  # fmt: skip
    return next(same, None)
