"""Results as pandas tables: one row per board row, per seed, or per group of a seed.

Shares are floats (0..1), counts integers, times seconds, memory bytes; what is not known is missing, never 0.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from os import PathLike
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from .attention import MEASURES as SEEN
from .attention import UNIT, attention_name
from .board import TRACKS, AttentionCell, BoardRow, leading, make_row, only_seeds, track_of
from .comparison import by_fault
from .errors import UsageError
from .leaderboard import Everything, read_everything
from .record import GROUPS, Record, SeedResult
from .rules import Selection
from .stats import Estimate

if TYPE_CHECKING:
    import pandas as pd

What = Literal["rows", "seeds", "groups"]
TEXT, COUNT, NUMBER, FLAG, TRACK = "string", "Int64", "float64", "boolean", "track"
PLACE = {"rules": TEXT, "dataset": TEXT, "backbone": TEXT, "track": TRACK}
MEASURES = (
    "wga", "acc_test", "acc_train_weighted", "balanced", "gap", "oracle", "calibration_error", "auroc",
)  # fmt: skip
EASY_HARD = ("easy", "hard", "drop", "easy_images", "hard_images", "drop_images")
OVER_SEEDS = ("", "_std", "_seeds_low", "_seeds_high")
WORST = ("low", "high", "bias", "corrected", "error_seeds", "error_examples")
COLUMNS: Mapping[What, Mapping[str, str]] = {
    "rows": {
        **PLACE,
        "rank": COUNT,
        **dict.fromkeys(("method", "title", "paper", "supervision", "selection", "prompts", "status", "tier"), TEXT),
        **dict.fromkeys(("seeds", "seeds_expected", "n_configs", "n_candidates"), COUNT),
        "budget": TEXT,
        **{f"{name}{part}": NUMBER for name in (*MEASURES, *EASY_HARD) for part in OVER_SEEDS},
        **{f"wga_{part}": NUMBER for part in WORST},
        "drop_draw_low": NUMBER,
        "drop_draw_high": NUMBER,
        "easy_hard_classes": COUNT,
        "easy_hard_left_out": COUNT,
        "easy_hard_negative": NUMBER,
        **{f"attention_{name}{part}": NUMBER for name in SEEN for part in ("", "_low", "_high")},
        "attention_area": NUMBER,
        **dict.fromkeys((f"attention_{name}" for name in ("maps", "layer", "score", "objects")), TEXT),
        **dict.fromkeys(("attention_photos", "attention_seeds", "attention_changed"), COUNT),
        "ranked_by": TEXT,
        "best": TEXT,
        **{f"difference{part}": NUMBER for part in ("", "_low", "_high", "_p", "_detectable")},
        "leads": FLAG,
        "parameters": COUNT,
        "seconds": NUMBER,
        "seconds_per_seed": NUMBER,
        "peak_memory": COUNT,
        "failure": TEXT,
        "key": TEXT,
    },
    "seeds": {
        **PLACE,
        "method": TEXT,
        "selection": TEXT,
        "seed": COUNT,
        "status": TEXT,
        "shown": FLAG,
        **dict.fromkeys((*MEASURES, *EASY_HARD), NUMBER),
        "config": TEXT,
        "snapshot": COUNT,
        "parameters": COUNT,
        "seconds": NUMBER,
        "peak_memory": COUNT,
        "failure": TEXT,
    },
    "groups": {
        **PLACE,
        "method": TEXT,
        "selection": TEXT,
        "seed": COUNT,
        "shown": FLAG,
        "class": TEXT,
        "attribute": TEXT,
        "correct": COUNT,
        "total": COUNT,
        "accuracy": NUMBER,
        "attention_photos": COUNT,
        **{f"attention_{name}": NUMBER for name in (*SEEN, "area")},
    },
}
"""Every column of each table, in order, with its dtype; `track` is an ordered category, from the least told on."""


def load_results(
    path: str | PathLike[str] = "results",
    selection: Selection = "worst_group",
    what: What = "rows",
    *,
    strict: bool = False,
) -> pd.DataFrame:
    """The records of a results folder as one table.

    What each table has, besides `rules`, `dataset`, `backbone`, `track` (an ordered category) and `method`:

    - `rows`: the leaderboard. `wga`, `acc_test` and the other measures are means over seeds (shares, 0..1). `wga_low`
      and `wga_high` are the leaderboard's interval, over test examples and seeds, the one to plot and to quote, and
      missing where it has none; `wga_bias`, `wga_corrected` and the standard errors `wga_error_*` are those of
      `stats.WorstGroup`. Over seeds alone, on these very test examples, every measure has a sample deviation `*_std`
      and Student's interval `*_seeds_low`, `*_seeds_high`. `rank` is within the track of a table; `best` is the first
      of the track, `difference` that to it with its interval and its p-value adjusted by Holm; `leads` is true for the
      best of its track, and for what the data do not tell from it. `attention_aiou`, `attention_pointing` and
      `attention_energy` say where its models look, with an interval over photos and seeds each; `attention_area` is the
      energy of a map that is the same everywhere; missing where nobody measured it.
    - `seeds`: one row for each seed of each record, failed ones with `status` failed; `config` is the chosen
      configuration as JSON; `shown` says whether the leaderboard's means contain the seed.
    - `groups`: one row for each seed and each group with test examples: `correct` of `total`, and `accuracy`; where the
      seed's model looks in the group's photos, as above.

    Example:
        >>> import spurbench
        >>> rows = spurbench.load_results("results")
        >>> best = rows[rows["rank"] == 1]
        >>> list(zip(best["track"], best["method"], best["wga"]))
        [('none', 'erm', 0.5), ('train groups', 'group_dro', 0.75)]
        >>> seeds = spurbench.load_results("results", what="seeds")
        >>> seeds.groupby("method")["wga"].agg(["mean", "count"]).to_dict("index")
        {'erm': {'mean': 0.5, 'count': 3}, 'group_dro': {'mean': 0.75, 'count': 3}}

    Args:
        path: the results folder.
        selection: how configurations are chosen from validation: worst_group, worst_class or average.
        what: rows, seeds or groups.
        strict: raise for a file that cannot be read, rather than warn and leave it out.

    Raises UsageError for a folder that is not there or another `selection` or `what`; DataError if strict.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"there is no results folder {folder}; `spurbench run` makes one")
    everything = read_everything(folder, strict=strict)
    for message in by_fault(everything.broken):
        warnings.warn(f"left out: {message}", stacklevel=2)
    return frame(everything, selection, what)


def frame(everything: Everything, selection: Selection, what: What) -> pd.DataFrame:
    """The table of some results; its columns are `COLUMNS[what]`. Raises UsageError for another selection or table."""
    import pandas as pd

    if what not in COLUMNS:
        raise UsageError(f"there is no table '{what}' of results; there are {', '.join(COLUMNS)}")
    if selection not in ("worst_group", "worst_class", "average"):
        raise UsageError(f"there is no selection '{selection}'; there are worst_group, worst_class and average")
    if what == "rows":
        lines = list(_rows(everything.rows(selection)))
    elif what == "seeds":
        lines = [line for found in _by_seed(everything, selection) for line in _seed(*found)]
    else:
        lines = list(_groups(everything, selection))
    made = {}
    for name, dtype in COLUMNS[what].items():
        values = [line.get(name) for line in lines]
        kind = pd.CategoricalDtype(list(TRACKS), ordered=True) if dtype == TRACK else dtype
        made[name] = pd.Series(values, dtype=kind)
    table: pd.DataFrame = pd.DataFrame(made)
    return table


def _rows(rows: Iterable[BoardRow]) -> Iterator[dict[str, Any]]:
    for row in rows:
        line: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS["rows"] if hasattr(row, name)}
        line.update(_estimates(row), failure=row.failure or None)
        if row.worst is not None:
            line.update({f"wga_{part}": getattr(row.worst, part) for part in WORST})
        if row.easy_hard is not None:
            cell = row.easy_hard
            line.update(drop_draw_low=cell.drop_low, drop_draw_high=cell.drop_high, easy_hard_classes=cell.classes)
            line.update(easy_hard_left_out=cell.left_out, easy_hard_negative=cell.negative)
        if row.attention is not None:
            line.update(_attention(row.attention))
        if row.standing is not None:
            found = row.standing.difference
            line.update(
                best=row.standing.best,
                difference=found.difference,
                difference_low=found.low,
                difference_high=found.high,
                difference_p=row.standing.adjusted,
                difference_detectable=found.detectable,
            )
        yield line


def _estimates(row: BoardRow) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for name in (*MEASURES, *EASY_HARD):
        found: Estimate | None = getattr(row if name in MEASURES else row.easy_hard, name, None)
        if found is not None:
            bounds = (found.mean, found.std, found.low, found.high)
            values |= {f"{name}{part}": value for part, value in zip(OVER_SEEDS, bounds, strict=True)}
        else:
            values[name] = None
    return values


def _attention(cell: AttentionCell) -> dict[str, Any]:
    """Where the models of a row look: of the groups that were looked at, each counting the same."""
    line: dict[str, Any] = {
        "attention_area": fmean(area for area, photos in zip(cell.area, cell.photos, strict=True) if photos),
        "attention_maps": cell.kind,
        "attention_photos": sum(cell.photos),
    }
    for name in SEEN:
        found = getattr(cell, name).balanced
        line |= {
            f"attention_{name}{part}": value for part, value in zip(("", "_low", "_high"), astuple(found), strict=True)
        }
    return line | {
        f"attention_{name}": getattr(cell, name) for name in ("layer", "score", "objects", "seeds", "changed")
    }


def _by_seed(everything: Everything, selection: Selection) -> Iterator[tuple[Record, SeedResult, dict[str, Any]]]:
    """Every seed of every record, with the cells that all its lines begin with; tables as on the board."""
    tables: dict[tuple[str, str, str], list[Record]] = {}
    for record in everything.records:
        tables.setdefault((record.rules, record.dataset, record.backbone), []).append(record)
    for where in sorted(tables):
        common = min((n for n in map(leading, tables[where]) if n), default=0)
        for record in sorted(tables[where], key=lambda record: record.method):
            start = dict(zip(PLACE, (*where, track_of(record.supervision)), strict=True))
            start |= {"method": record.method, "selection": selection}
            for result in record.seeds:
                shown = selection in result.selected and (not leading(record) or result.seed < common)
                yield record, result, {**start, "seed": result.seed, "shown": shown}


def _seed(record: Record, result: SeedResult, start: dict[str, Any]) -> Iterator[dict[str, Any]]:
    row = make_row(only_seeds(record, {result.seed}), start["selection"], result.seed + 1)
    line = {**start, **_estimates(row), "status": result.status}
    line |= {"seconds": record.times.seconds.get(str(result.seed)), "parameters": row.parameters}
    line["peak_memory"] = record.times.peak_memory.get(str(result.seed))
    line["failure"] = result.failure.message if result.failure is not None else None
    chosen = result.selected.get(start["selection"])
    if chosen is not None:
        candidate = result.candidates[chosen.candidate]
        line["config"] = json.dumps(result.configs[candidate.config], sort_keys=True, ensure_ascii=False)
        line["snapshot"] = candidate.snapshot
    yield line


def _groups(everything: Everything, selection: Selection) -> Iterator[dict[str, Any]]:
    of, looked = None, {}
    for record, result, start in _by_seed(everything, selection):
        if record is not of:
            of, looked = record, _looked(everything, record, selection)
        chosen = result.selected.get(selection)
        if chosen is None:
            continue
        names = ((label, value) for label in record.classes for value in record.attributes)
        for group, ((label, value), correct, total) in enumerate(
            zip(names, chosen.test, result.test_total, strict=True)
        ):
            if total:
                numbers = {"correct": correct, "total": total, "accuracy": correct / total}
                yield {**start, "class": label, "attribute": value, **numbers, **looked.get((result.seed, group), {})}


def _looked(everything: Everything, record: Record, selection: Selection) -> dict[tuple[int, int], dict[str, float]]:
    """Where the models of a record look, by seed and group."""
    attention, found = record.attention, {}
    if attention is None:
        return {}
    arrays = everything.arrays(record)
    for seed in (int(seed) for seed, rules in attention.seeds.items() if selection in rules):
        for group, photos in enumerate(attention.photos):
            if photos:
                line: dict[str, float] = {"attention_photos": photos, "attention_area": attention.area[group]}
                for name in SEEN:
                    values = arrays[attention_name(seed, selection, name)]
                    line[f"attention_{name}"] = values[(values >= 0) & (arrays[GROUPS] == group)].mean() / UNIT
                found[seed, group] = line
    return found
