"""What was found, in words and numbers that the card and the report share."""

from __future__ import annotations

from ..table import ClassResult, Interval, Rule, Share

STATUS = {
    "unreadable": "cannot be read",
    "tiny": "too small",
    "duplicate": "the same file again",
    "near_duplicate": "nearly the same photo again",
    "burst": "one more of the same observation",
    "conflict": "stands under two classes or two backgrounds",
    "no_background": "no background is known",
}
"""Why a photo is left out."""
IN_SAMPLE = "on the photos that chose the pairs, where it is too large on average"


ONE_PERSON = (
    "Photos of one person, or of one camera trap, may be in both halves and in train and test; "
    "`--split-by photographer` keeps them together."
)


def percent(share: float | None) -> str:
    """A share as 12.3 %."""
    return "-" if share is None else f"{_signed(100 * share)} %"


def points(share: float | None) -> str:
    """A difference of shares as 12.3."""
    return "-" if share is None else _signed(100 * share)


def bounded(value: Interval | None) -> str:
    """A difference of shares with its interval, as 12.3 (8.0 to 16.1)."""
    return "-" if value is None else f"{points(value.estimate)} ({points(value.low)} to {points(value.high)})"


def p_value(p: float | None) -> str:
    """As many digits as mean something."""
    if p is None:
        return "-"
    return f"{p:.2g}" if p < 0.01 else f"{p:.3f}"


def share(value: Share) -> str:
    """Counts as 12 / 20, 60.0 %."""
    return f"{value.correct:,} / {value.total:,}, {percent(value.accuracy)}"


def of_pair(result: ClassResult, background: str, rule: Rule) -> Share:
    """A class before one of its pair's backgrounds, on the photos that its drop is reported on."""
    found = next(item for item in result.backgrounds if item.name == background)
    return found.discovery if rule.published else found.evaluation


def the_rule(rule: Rule) -> list[str]:
    """How classes and pairs were chosen, one sentence each."""
    least = f"{100 * rule.min_drop:g} points"
    if rule.published:
        return [
            "This is the published rule (Wang et al. 2024, arXiv 2403.11497, section 2): every photo helps to choose.",
            f"Of the backgrounds of a class with {rule.min_cell} or more photos, the one with the highest accuracy is "
            "easy, the one with the lowest hard.",
            f"A class is kept if the two differ by more than {least}. Nothing is tested, and the drop is reported on "
            "the photos that chose it: where all backgrounds are equally hard, such a rule keeps most classes all the "
            "same.",
        ]
    return [
        f"Photos were split into a discovery half and an evaluation half; photos of one {rule.split_by} stay together.",
        f"Of the backgrounds of a class with {rule.min_cell} or more photos in each half, the one with the highest "
        "accuracy on the discovery half is easy, the one with the lowest hard; one right and one wrong photo are added "
        "to each, so that a background is not best or worst by having few.",
        f"A class is kept if they differ by {least} or more there, and if a difference as large as that is chosen by "
        f"chance rarely enough: a permutation test with {rule.draws:,} draws that takes the choice of the pair into "
        f"account, at {rule.alpha:g} for all classes together (Holm).",
        f"Drops are reported on the evaluation half, which chose nothing, with {100 * rule.confidence:g} % intervals: "
        f"a bootstrap over {rule.split_by}s before one background, those of another being drawn apart.",
    ]


def limits(rule: Rule) -> list[str]:
    """Where the data set misleads, one sentence each."""
    chosen = ["Pairs were chosen and are reported on the same photos: some are noise, and all drops are too large."]
    return [
        *(chosen if rule.published else []),
        "Easy and hard are what this instrument finds easy and hard; models unlike it may drop less, or not at all.",
        "A background is a label for much that differs with it: distance, light, pose, season, who takes photos there.",
        "Photos were not drawn at random from the world, nor were classes: averages hold for these photos.",
        *([] if rule.published or rule.split_by == "photographer" else [ONE_PERSON]),
        "Only classes with a large drop are here: the data set says nothing of how common such drops are.",
    ]


def _signed(value: float) -> str:
    """One decimal; what rounds to nothing has no sign."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text
