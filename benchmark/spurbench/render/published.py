"""The sections "as published" of the board: what papers print, own numbers beside it, nothing ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..beside import Beside, own_row
from ..beside import beside as stand_beside
from ..board import Board, BoardRow
from ..published import EASY_HARD, SIGNED, Metric, Published, Triple, triples
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
HOW_METHODS = """\
Numbers as their sources print them, in percent, ± the deviation over runs where it is printed. They are not ranked, and
the board above does not depend on them. A letter in brackets leads to what the source did otherwise, or to why a value
is not to be relied on. **ours**: own complete records of the same data set, backbone, method and metric, mean over
seeds, in brackets how far that is from the printed value, in points."""
NAMES: dict[Metric, str] = {"wga": "WGA", "average_unstated": "average, unstated which", "wga_gain": "WGA gain"}
Setting = tuple[str, str, str, str]


@dataclass(frozen=True)
class PublishedTable:
    """A table, and what is said below it: where its columns are from, and why values are marked."""

    text: Table
    below: tuple[str, ...]


def how(values: Sequence[Published]) -> str:
    """What to say above the tables of one data set."""
    kinds = {value.metric in EASY_HARD for value in values}
    return "\n\n".join(text for kind, text in ((True, HOW_PUBLISHED), (False, HOW_METHODS)) if kind in kinds)


def published_tables(values: Sequence[Published], board: Board) -> Iterator[PublishedTable]:
    """The tables of one data set.

    Easy, hard and drop: a table for each way of classifying, with a row per model and a column per setting and source.
    All else in one table, a row per value.
    """
    found = triples(values)
    for method in dict.fromkeys((*TITLES, *(triple.first.method for triple in found))):
        mine = [triple for triple in found if triple.first.method == method]
        if mine:
            yield _table(TITLES.get(method, method), mine, [row for row in board.rows if row.method == method])
    others = stand_beside((value for value in values if value.metric not in EASY_HARD), board.rows)
    if others:
        yield _methods(others)


def _methods(found: Sequence[Beside]) -> PublishedTable:
    said = [_said(item.printed) for item in found]
    marks = {text: _letters(place) for place, text in enumerate(dict.fromkeys(filter(None, said)))}
    body = []
    for item, text in zip(found, said, strict=True):
        value = item.printed
        mark = f" ({marks[text]})" if text else ""
        where = f"{value.source}, {value.where}"
        body.append((value.method, value.backbone, _measured(value), where, _printed(value) + mark, _compared(item)))
    headings = ("method", "backbone", "measure", "source", "published", "ours")
    kept = len(headings) - (not any(row[-1] for row in body))
    methods = len({item.printed.method for item in found})
    table = Table(f"methods: {methods}", headings[:kept], tuple(row[:kept] for row in body), words=4)
    return PublishedTable(table, tuple(f"({mark}) {text}" for text, mark in marks.items()))


def _said(value: Published) -> str:
    """What there is to know of a value besides the number."""
    return "; ".join(filter(None, (value.protocol, value.note)))


def _measured(value: Published) -> str:
    """Metric, baseline and split in words."""
    name = NAMES.get(value.metric, value.metric)
    over = f" over {value.over}" if value.over else ""
    return f"{name}{over}{'' if value.split == 'test' else f', {value.split} split'}"


def _printed(value: Published) -> str:
    number = _decimals(value.value, sign="+" if value.metric in SIGNED else "")
    return number if value.std is None else f"{number} ± {_decimals(value.std)}"


def _decimals(number: float, sign: str = "") -> str:
    """One decimal, or two where the second says something: sources print either."""
    text = f"{number:{sign}.2f}"
    return text[:-1] if text.endswith("0") else text


def _compared(item: Beside) -> str:
    """The own number, and how far it is from the printed one; "" where there is none."""
    if item.own is None:
        return ""
    own = f"{item.own:{'+' if item.printed.metric in SIGNED else ''}.1f}"
    return own if item.difference is None else f"{own} ({item.difference:+.1f})"


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
    """Lines that compare own rows with what sources print of them: of easy and hard accuracy by the same prompts one
    line for each row, of all else one for each printed value.
    """
    lines = []
    met: set[int] = set()
    for triple in triples(values):
        row = own_row(triple.first, board.rows)
        if row is not None and id(row) not in met and (told := _against(triple, row)):
            met.add(id(row))
            doubt = f"; doubtful: {triple.note}" if triple.note else ""
            where = f"{triple.first.source}, {triple.first.where}"
            lines.append(f"{row.backbone}, {row.method}: {told}; {where}: {_cell(triple, {triple.note: '!'})}{doubt}")
    for item in stand_beside((value for value in values if value.metric not in EASY_HARD), board.rows):
        if item.own is not None:
            value, said = item.printed, _said(item.printed)
            lines.append(
                f"{value.backbone}, {value.method}, {_measured(value)}: {_compared(item)}; {value.source}, "
                f"{value.where}: {_printed(value)}{f'; there: {said}' if said else ''}"
            )
    return lines


def _ours(cells: dict[Setting, Triple], rows: Sequence[BoardRow]) -> str:
    """Own numbers of a model's backbones, each against the first published ones of that very backbone."""
    told = []
    for backbone in dict.fromkeys(triple.first.backbone for triple in cells.values()):
        triple = next(triple for triple in cells.values() if triple.first.backbone == backbone)
        row = own_row(triple.first, rows)
        told.append("" if row is None else _against(triple, row))
    return "; ".join(filter(None, told))


def _against(triple: Triple, row: BoardRow) -> str:
    """Own numbers, and how far easy and hard are from the printed ones; "" where either has none."""
    cell = row.easy_hard
    if cell is None or triple.easy is None or triple.hard is None:
        return ""
    easy, hard, drop = (100 * value.mean for value in (cell.easy, cell.hard, cell.drop))
    return f"{easy:.2f} / {hard:.2f} / {drop:.2f} ({easy - triple.easy:+.2f} / {hard - triple.hard:+.2f})"
