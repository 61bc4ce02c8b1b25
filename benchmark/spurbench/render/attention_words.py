"""What is said of where the models look: how it was measured, who beats a blind map, how accuracy goes with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from ..board import AttentionCell, BoardRow
from ..stats import GroupMeans, RankCorrelation, rank_correlation
from . import percent

MEASURES: Mapping[str, Callable[[AttentionCell], GroupMeans]] = MappingProxyType(
    {"AIoU": lambda cell: cell.aiou, "pointing": lambda cell: cell.pointing, "energy": lambda cell: cell.energy}
)
KINDS = {"grad-cam": "Grad-CAM", "relevance": "relevance through attention"}
SCORES = {"odds": "the odds of the class", "logit": "the logit of the class"}
FEWEST = 4
"""Methods of which a correlation says something."""
CONFIDENCE = 0.95
MOST_NAMED = 8
"""Methods that are named in a line; more are counted."""


@dataclass(frozen=True)
class Seen:
    """A row that has attention."""

    row: BoardRow
    cell: AttentionCell

    @property
    def how(self) -> dict[str, object]:
        """Only numbers that were measured alike are compared: what must be the same, in words."""
        cell = self.cell
        return {
            "code": cell.code,
            "kind of map": cell.kind,
            "layer": cell.layer,
            "score": cell.score,
            "photos or masks": (cell.masks, cell.objects, cell.photos),
            "thresholds": cell.thresholds,
            "reference maps": (cell.area, tuple(sorted(cell.centre.items()))),
        }

    @property
    def family(self) -> str:
        """The method without what is pinned of it."""
        return self.row.method.partition(":")[0]


def lines(seen: Sequence[Seen], score: str, blob: str, first: Seen | None) -> list[str]:
    """What stands below a table of rows that were measured alike.

    Args:
        score: name of what rows are ranked by.
        blob: name of the reference row.
        first: one of the rows of the table above that were measured otherwise; None for the first table.
    """
    counts = Counter(each.cell.seeds for each in seen)
    models = max(counts, key=lambda count: (counts[count], count))
    alike = [each for each in seen if each.cell.seeds == models]
    return [
        _way(alike[0].cell),
        *_otherwise(seen[0], first),
        *_other_models(seen, models),
        _beaten(seen, blob),
        *_correlations(alike, score),
        *_changed(seen),
    ]


def correlations(seen: Sequence[tuple[str, float, AttentionCell]]) -> dict[str, RankCorrelation | None]:
    """Of accuracy with each measure's mean over groups, across methods; None where it is not known.

    Rows of one method are one pair, of means: variants of a method are no independent witnesses. The intervals hold at
    95 % for all measures together (Bonferroni).

    Args:
        seen: method without what is pinned of it, accuracy, attention.
    """
    families: dict[str, list[tuple[float, AttentionCell]]] = {}
    for family, accuracy, cell in seen:
        families.setdefault(family, []).append((accuracy, cell))
    scores = [fmean(accuracy for accuracy, _ in some) for some in families.values()]
    each = 1 - (1 - CONFIDENCE) / len(MEASURES)
    return {
        name: rank_correlation(
            scores, [fmean(of(cell).balanced.mean for _, cell in some) for some in families.values()], each
        )
        for name, of in MEASURES.items()
    }


def _way(cell: AttentionCell) -> str:
    """How the numbers were measured."""
    photos = [count for count in cell.photos if count]
    each = f"{min(photos)} to {max(photos)}" if min(photos) < max(photos) else f"{photos[0]}"
    return (
        f"Measured by {KINDS[cell.kind]} at {cell.layer} of {SCORES[cell.score]}, on {sum(photos)} test photos "
        f"({each} of each group) whose objects are known by {cell.objects}, with {_models(cell.seeds)} of each method."
    )


def _otherwise(one: Seen, first: Seen | None) -> list[str]:
    if first is None:
        return []
    other = [name for name, value in one.how.items() if value != first.how[name]]
    return [f"Not to be compared with the first table: measured with other {', '.join(other)}."]


def _other_models(seen: Sequence[Seen], models: int) -> list[str]:
    other = [f"{each.row.method} {each.cell.seeds}" for each in seen if each.cell.seeds != models]
    return [f"With another number of models, and left out of correlations: {', '.join(other)}."] if other else []


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"


def _beaten(seen: Sequence[Seen], blob: str) -> str:
    """Which methods look at the object more than a map that knows nothing."""
    cell = seen[0].cell
    told = []
    for name in ("pointing", "energy"):
        blind = fmean(share for share, photos in zip(cell.centre[name], cell.photos, strict=True) if photos)
        above = [each.row.method for each in seen if MEASURES[name](each.cell).balanced.low > blind]
        told.append(f"{percent(blind)} for {name} ({_who(above, len(seen))})")
    return f"{blob.capitalize()}, which knows nothing of the photo, gets {' and '.join(told)}."


def _who(above: Sequence[str], methods: int) -> str:
    """Which of some methods are above something."""
    if not above:
        return "no method is clearly above it"
    who = f"{len(above)} of {methods} methods" if len(above) > MOST_NAMED or len(above) == methods else ", ".join(above)
    return f"above it with the whole interval: {who}"


def _correlations(alike: Sequence[Seen], score: str) -> list[str]:
    """Of complete methods with the same number of models."""
    known = [
        (one.family, one.row.looked.mean, one.cell)
        for one in alike
        if one.row.rank is not None and one.row.looked is not None
    ]
    families = len({family for family, _, _ in known})
    if families < FEWEST:
        are = "method is" if families == 1 else "methods are"
        return [f"{families} complete {are} too few for a correlation with {score}."]
    found = {name: value for name, value in correlations(known).items() if value is not None}
    if not found:
        return []
    told = (f"{name} {_rho(value.rho)} ({_rho(value.low)} to {_rho(value.high)})" for name, value in found.items())
    once = " (variants of one count once, by their mean)" if families < len(known) else ""
    return [
        f"Spearman's rank correlation with {score} over {families} methods{once}, with intervals of 95 % for all "
        f"measures together: {', '.join(told)}. Methods resemble each other, so that these intervals are too narrow, "
        "and they describe these methods only. Gains over any one method, such as zero-shot, rank as the values "
        "themselves do: their correlation is the same."
    ]


def _rho(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def _changed(seen: Sequence[Seen]) -> list[str]:
    changed = [f"{each.row.method} {each.cell.changed}" for each in seen if each.cell.changed]
    if not changed:
        return []
    return [f"Predictions of models made again that are not those of the record, over all seeds: {', '.join(changed)}."]
