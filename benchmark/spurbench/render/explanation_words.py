"""What an explanation says, in words that need no further reading: for the terminal, the sheet and the page alike."""

from __future__ import annotations

from ..explained.report import BaselineRow, ExplanationReport, MethodRow, Numbers, Span
from ..findings.words import percent, shown

COLOURS = (
    "Colour: how strongly a place speaks for the class, none for little, ever darker for more. Each map has a scale of "
    "its own, up to its strongest place: colours compare places of one map, not two maps."
)
OUTLINE = "The double line is the object's outline; inside: the share of the own class's map that lies there."
WRONG = "A red frame with a cross: the model takes this photo for another class."
RIVAL = (
    "For each method, left: what speaks for the photo's own class; right: for the rival, its likeliest other "
    "class. Where there is no colour, nothing speaks for it."
)
VIEW = "Dimmed at the edges: what the model does not see of the photo."
NOTHING = "nothing speaks for it"
KINDS = {"grad-cam": "Grad-CAM", "relevance": "transformer relevance"}
MOST_NAMED = 6
"""Methods that a sentence names; more are counted."""
SCORES = {"odds": "the logarithm of a class's odds", "logit": "a class's logit"}


def measured_on(report: ExplanationReport) -> str:
    """How the maps were drawn and over what they were measured, in a sentence."""
    drawn = f"{KINDS[report.kind]} at {shown(report.layer)}, of {SCORES[report.score]}"
    counts = [sum(group.photos for group in method.groups) for method in report.methods]
    if not report.objects:
        return f"Maps: {drawn}."
    return (
        f"Maps: {drawn}. Numbers: {max(counts):,} {report.split} photos with {report.objects}, "
        f"{_models(report)}; intervals over photos and seeds."
    )


def whose(report: ExplanationReport) -> str:
    """Of which models the maps are that are shown, and of which the numbers, in a sentence."""
    seeds: dict[int, list[str]] = {}
    for method in report.methods:
        seeds.setdefault(method.seed, []).append(shown(method.name))
    spelled = " and ".join(
        f"seed {seed}" + (f" ({', '.join(names)})" if len(seeds) > 1 else "") for seed, names in seeds.items()
    )
    numbers = f"; numbers: {_models(report)}" if report.objects else ""
    return f"Maps: {spelled}{numbers}. The photos of a group are shown as they were drawn at random, not picked."


def _models(report: ExplanationReport) -> str:
    """How many models the numbers are over: of each method, or method by method where they differ."""
    counts: dict[int, list[str]] = {}
    for method in report.methods:
        counts.setdefault(method.seeds, []).append(shown(method.name))
    return ", ".join(
        f"{_plural(count, 'model')} of {'each method' if len(counts) == 1 else ' and '.join(names)}"
        for count, names in counts.items()
    )


def conclusion(report: ExplanationReport) -> str:
    """Which method looks at the object most and which least, in a sentence; why it is not known, where it is not."""
    known = [(method, method.balanced.energy) for method in report.methods if method.balanced is not None]
    if not known:
        return f"How much of it is the object is not known: {shown(report.why_no_objects)}"
    (most, high), (least, low) = (choose(known, key=lambda pair: pair[1].mean) for choose in (max, min))
    blind = _beside_blind(report)
    if most is least:
        return f"{shown(most.name)}: {percent(high.mean)} of its map lies in the object.{blind}"
    if low.high >= high.low:
        shares = " to ".join(dict.fromkeys((percent(low.mean), percent(high.mean))))
        return f"No method looks at the object clearly more than another: {shares} of their maps lie there.{blind}"
    return (
        f"{shown(most.name)} looks at the object most: {percent(high.mean)} of its map lies there; "
        f"{shown(least.name)} least: {percent(low.mean)}.{blind}"
    )


def _beside_blind(report: ExplanationReport) -> str:
    """How methods do beside maps that know nothing of the photo, the best of which they have to beat."""
    if not report.baselines:
        return ""
    told = ", ".join(f"{shown(one.name)} {percent(one.balanced.energy.mean)}" for one in report.baselines)
    energy, pointing = (
        max(getattr(one.balanced, measure).mean for one in report.baselines) for measure in ("energy", "pointing")
    )
    numbers = [(method.name, method.balanced) for method in report.methods if method.balanced is not None]
    above = [name for name, found in numbers if found.energy.low > energy]
    if not above:
        beaten = "No method clearly beats these maps."
    elif len(above) == len(numbers):
        beaten = "All methods clearly beat these maps." if len(above) > 1 else "It clearly beats these maps."
    else:
        who = ", ".join(map(shown, above)) if len(above) <= MOST_NAMED else f"{len(above)} of {len(numbers)} methods"
        beaten = f"Only {who} clearly {'beat' if len(above) > 1 else 'beats'} these maps."
    blunt = all(found.pointing.low <= pointing for _, found in numbers)
    points = f" None points at the object clearly more often than they do ({percent(pointing)})." if blunt else ""
    return f" Of maps that know nothing of the photo: {told}. {beaten}{points}"


def spanned(span: Span | None, to: str = " to ") -> str:
    """A mean with the bounds of its interval, in whole percent, as 31 (28 to 34)."""
    if span is None:
        return "-"
    return f"{_whole(span.mean)} ({_whole(span.low)}{to}{_whole(span.high)})"


def in_group(method: MethodRow, group: int) -> list[str]:
    """What a method's column is headed with in one group: accuracy, and the numbers where they are known."""
    row = method.groups[group]
    said = [f"{percent(row.accuracy)} right"]
    if row.numbers is not None:
        said += [
            f"{percent(row.numbers.energy.mean)} in the object",
            f"points at it {percent(row.numbers.pointing.mean)}",
        ]
    return said


def lines(report: ExplanationReport) -> list[tuple[str, float | None, Numbers | None, bool]]:
    """The rows of the table on top: name, worst-group accuracy, balanced numbers, and whether it is a baseline."""
    methods = [(method.name, method.wga, method.balanced, False) for method in report.methods]
    baselines: list[BaselineRow] = report.baselines
    return [*methods, *((baseline.name, None, baseline.balanced, True) for baseline in baselines)]


def left_out(report: ExplanationReport) -> list[str]:
    """Photos that were not measured, by reason."""
    return [
        f"{_plural(count, 'photo')} {'was' if count == 1 else 'were'} not measured: {shown(reason)}"
        for reason, count in report.left_out.items()
    ]


def shown_groups(report: ExplanationReport) -> list[int]:
    """Numbers of the groups whose photos are shown, in their order."""
    return list(dict.fromkeys(photo.group for photo in report.photos))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _whole(share: float) -> str:
    return percent(share).removesuffix(" %")
