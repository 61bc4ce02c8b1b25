"""A comparison as a line that sums it up and tables of text, whatever they are written into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from ..comparison import Measure, MethodComparison, Pair, ResultsComparison
from . import TIED, percent
from .planted import Table

TITLES = {
    "wga": "worst-group accuracy",
    "hard": "class-averaged accuracy on hard photos",
    "acc_test": "accuracy on test",
}
NUMBERS = ("A", "B", "B - A", "interval", "p (Holm)")


def method_summary(found: MethodComparison) -> str:
    """Over how many tables B is better, and by how much."""
    compared = sum(bool(pair.measures) for pair in found.pairs)
    head = f"A = {found.a}, B = {found.b}, selected by {found.selection}"
    means = [
        f"{TITLES[one.measure]} {percent(one.mean, signed=True)} points{' on average' * (one.tables > 1)} ({one.rules})"
        for one in found.across
        if one.measure != "acc_test"
    ]
    return "; ".join([f"{head}: {compared} of {_many(len(found.pairs), 'table')} compared", *means])


def method_tables(found: MethodComparison) -> Iterator[Table]:
    """A table of each measure, then what was not compared or not tested, and what to know."""
    for name, title in TITLES.items():
        rows = [
            (_place(pair), _seeds(pair.seeds), *_numbers(one))
            for pair in found.pairs
            for one in pair.measures
            if one.name == name
        ]
        if rows:
            caption = f"{title}, %; B - A in points, paired by test examples and seeds"
            yield Table(caption, ("table", "seeds", *NUMBERS), tuple(rows))
    several = [one for one in found.across if one.tables > 1]
    if several:
        lines = [
            (
                *(one.rules, TITLES[one.measure]),
                *map(str, (one.tables, one.better, one.worse)),
                *(percent(one.mean, signed=True), _p(one.p)),
            )
            for one in several
        ]
        headings = ("rules", "measure", "tables", "B higher", "B lower", "B - A", "p (Wilcoxon)")
        yield Table("Over all tables; the test takes them for independent", headings, tuple(lines), 2)
    untested: dict[tuple[str, str], list[str]] = {}
    for one in several:
        untested.setdefault((one.rules, one.why_not), []).append(TITLES[one.measure])
    remarks = [(f"all · {rules}", f"{', '.join(names)}: {why}") for (rules, why), names in untested.items() if why]
    remarks += [(_place(pair), text) for pair in found.pairs for text in (pair.why_not, *pair.notes) if text]
    if remarks:
        yield Table("Not compared, not tested, or to be read with care", ("table", "why"), tuple(remarks), 2)


def method_notes(found: MethodComparison) -> Iterator[str]:
    """What stands below the tables: how to read them beside the leaderboard."""
    if any(one.test for pair in found.pairs for one in pair.measures):
        yield (
            "p (Holm) is adjusted over the tables of one measure here, on the leaderboard over the methods of a track; "
            "seeds are those that A and B have, on the leaderboard those that every complete method of a table has."
        )


def results_summary(found: ResultsComparison) -> str:
    """What changed, in a line; that nothing did, plainly."""
    changed = len(found.changed) + len(found.changed_planted)
    counts = [
        (changed, "changed"),
        (len(found.added), "in B alone"),
        (len(found.removed), "in A alone"),
        (len(found.rekeyed), "with another key and the same numbers"),
    ]
    told = ", ".join(f"{n} {what}" for n, what in counts if n)
    if found.apart:
        text = f"nothing in common: {found.apart}"
    elif not told:
        text = f"nothing changed: {_records(found.unchanged)} the same"
    else:
        text = f"records: {told}, {found.unchanged} the same; {_many(len(found.ranks), 'rank change')}"
        if found.bests:
            text += f"; another best, or others not told from it, in {_many(len(found.bests), 'track')}"
    unreadable = [
        f"{_many(n, 'file')} of {side} cannot be read and {'counts' if n == 1 else 'count'} as missing"
        for n, side in zip(found.unreadable, "AB", strict=True)
        if n
    ]
    return "; ".join([text, *unreadable])


def results_heading(found: ResultsComparison) -> str:
    """What A and B are."""
    return f"A = {found.a}, B = {found.b}, selected by {found.selection}"


def rank_tables(found: ResultsComparison) -> Iterator[Table]:
    """Who leads now, and every rank that changed."""
    if found.bests:
        yield Table(
            f"Best of a track, of the methods that both rank; {TIED}: not told from it",
            ("table", "track", "A", "B"),
            tuple(
                (_where(*one.where), one.track, _best(one.a, one.tied_a), _best(one.b, one.tied_b))
                for one in found.bests
            ),
            4,
        )
    if found.ranks:
        yield Table(
            "Ranks, of the methods that both rank; then of those that one of them ranks, among all of its own",
            ("table", "track", "method", "A", "B"),
            tuple((_where(*one.where), one.track, one.method, _rank(one.a), _rank(one.b)) for one in found.ranks),
            3,
        )


def record_tables(found: ResultsComparison) -> Iterator[Table]:
    """The records behind it: changed, added, removed, and under another key; none of two sets that share nothing."""
    if found.apart and found.added and found.removed:
        return
    for name, title in TITLES.items():
        rows = [
            (_cell(one.cell), _seeds(one.seeds), *_numbers(measure))
            for one in found.changed
            for measure in one.measures
            if measure.name == name
        ]
        if rows:
            yield Table(f"Changed: {title}, %; B - A in points", ("record", "seeds", *NUMBERS), tuple(rows))
    remarks = [(_cell(one.cell), ", ".join(one.fields), one.why_not or "-") for one in found.changed]
    if remarks:
        yield Table(
            "Changed: what differs, and why it is not tested", ("record", "fields", "no test"), tuple(remarks), 3
        )
    for title, cells in (
        ("Changed planted settings", found.changed_planted),
        ("In B alone", found.added),
        ("In A alone", found.removed),
        ("Another key, the same numbers", found.rekeyed),
    ):
        if cells:
            tables = groupby(cells, key=lambda cell: cell[:3])
            lines = [(_where(*where), ", ".join(cell[3] for cell in some)) for where, some in tables]
            yield Table(title, ("table", "records"), tuple(lines), 2)


def _numbers(one: Measure) -> tuple[str, ...]:
    values = (percent(one.a), percent(one.b), percent(one.difference, signed=True))
    if one.test is None:
        return (*values, "-", "-")
    interval = f"{percent(one.test.low, signed=True)} to {percent(one.test.high, signed=True)}"
    return (*values, interval, _p(one.adjusted))


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _place(pair: Pair) -> str:
    return _where(pair.rules, pair.dataset, pair.backbone)


def _where(rules: str, dataset: str, backbone: str) -> str:
    return f"{dataset} · {backbone} · {rules}"


def _cell(cell: Sequence[str]) -> str:
    rules, dataset, backbone, method = cell
    return f"{_where(rules, dataset, backbone)} · {method}"


def _seeds(seeds: tuple[int, int, int]) -> str:
    a, b, both = seeds
    return str(both) if a == b == both else f"{both} of {a} and {b}"


def _best(first: Iterable[str], tied: Iterable[str]) -> str:
    return ", ".join([*first, *(f"{TIED} {method}" for method in tied)])


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)


def _many(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'' if n == 1 else 's'}"


def _records(n: int) -> str:
    return f"{_many(n, 'record')} {'is' if n == 1 else 'are'}"
