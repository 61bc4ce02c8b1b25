"""What a suspect says, in words that need no further reading: for the terminal, the page and messages alike."""

from __future__ import annotations

from collections.abc import Callable

from ..findings.words import p_value, percent, quoted, shown
from .report import ClassRow, Suspect, SuspectsReport

HOW_TO_READ = (
    "With, without: right answers among the photos of a class that show the word, and among those that do not, as the "
    "texts of a CLIP see it. Suspects are suspicions: look before you believe."
)
INFORMATION = (
    "Information: how much it tells about whether the model is right that a photo shows the word, once its class is "
    "known, in thousandths of a nat. Suspects are ranked by it."
)
P_VALUE = (
    "p: how often some word would tell as much if being right had nothing to do with what photos look like (the right "
    "answers of each class shuffled); adjusted for all the words that were looked for."
)
PLACEBO = (
    "Placebo: the share of random directions of the same embedding, which mean nothing, that tell at least as much as "
    "the word."
)

MUCH = 0.5
"""Of agreement between words, from -1 to 1."""


def directions(report: SuspectsReport) -> str:
    """What a small p-value says where directions that mean nothing have one too, and how many words tell more."""
    share = 100 * report.n_directions_below_level / report.directions
    few, survive, beyond = f"{report.level:g}", report.n_suspects_below_level, report.n_suspects_beyond_directions
    start = (
        f"Of 100 directions that mean nothing, {share:.0f} have p up to {few} as well: by itself a small p says that "
        "errors are not independent of what photos look like, not that the word is their cause."
    )
    if not beyond:
        return f"{start} None of the {survive:,} words with such a p has placebo up to {few}."
    rest = "" if beyond == survive else ": the others are no better than chance directions"
    return (
        f"{start} Placebo is up to {few} for {beyond:,} of the {survive:,} words with such a p, and would be for "
        f"{report.level * report.words.n:.0f} of {report.words.n:,} random directions{rest}."
    )


def handed_on(report: SuspectsReport) -> str:
    """Which words are told to methods."""
    if report.split == "test":
        return "--attributes takes words that were found on validation or training photos, none that were on test."
    level, beyond = f"{report.level:g}", report.n_suspects_beyond_directions
    why = f"p and placebo up to {level}" if beyond else f"p up to {level}, though no better than chance directions"
    rest = [quoted(one.word) for one in report.chosen if beyond and one.placebo > report.level]
    first = [word for word in (quoted(one.word) for one in report.chosen) if word not in rest]
    also = f", and for what is seen on other photos {', '.join(rest)}" if rest else ""
    return f"--attributes tells methods {', '.join(first)} ({why}){also}."


def company(suspect: Suspect, report: SuspectsReport) -> str:
    """Which of the other suspects the same photos show, and which others do; nothing where there are none."""
    others = [(other, report.agreement(suspect, other)) for other in report.survivors if other is not suspect]
    same = [quoted(other.word) for other, agreement in others if agreement >= MUCH]
    apart = [quoted(other.word) for other, agreement in others if agreement <= -MUCH]
    said = [f"by much the same photos as {', '.join(same)}"] if same else []
    said += [f"by others than {', '.join(apart)}"] if apart else []
    return f"Shown {'; '.join(said)}." if said else ""


def telling(suspect: Suspect) -> ClassRow | None:
    """The class that tells most about a suspect, by its information times its photos; None where no class has photos
    with the word and without.
    """
    rows = [row for row in suspect.classes if row.gap is not None]
    return max(rows, key=lambda row: row.information * (row.present.total + row.absent.total), default=None)


def summary(
    suspect: Suspect,
    text: type[str] = str,
    named: Callable[[str], str] = shown,
    said: Callable[[str], str] = quoted,
) -> str:
    """The suspect in a sentence, by the class that tells most: `duck: right in 41 % with 'water', 90 % without`.

    Args:
        text: what the sentence is made of, such as `markupsafe.Markup`, which escapes what is put in.
        named: how a class is put in.
        said: how the word is.
    """
    row = telling(suspect)
    if row is None:
        return text("No class has photos with {} and without.").format(said(suspect.word))
    sentence = text("{}: right in {} with {}, {} without; p {}")
    return sentence.format(
        named(row.label),
        percent(row.present.share),
        said(suspect.word),
        percent(row.absent.share),
        _compared(suspect.p_value),
    )


def nothing(report: SuspectsReport) -> str:
    """Why no word is suspected, as a sentence."""
    errors = report.right.total - report.right.hits
    if not errors:
        return f"The model gets all {report.right.total:,} photos right: there is no error to explain."
    enough = report.min_photos
    asked = (min(row.present.total, row.absent.total) >= enough for one in report.suspects for row in one.classes)
    if report.suspects and not any(asked):
        return (
            f"No word could be asked about: there is no class in which {enough} photos show one and {enough} do not "
            "(--min-photos)."
        )
    smallest = min((suspect.p_value for suspect in report.suspects), default=None)
    least = "" if smallest is None else f" (the smallest p {_compared(smallest)}, {report.permutations:,} permutations)"
    return (
        f"No word survives: of the {report.words.n:,} that were looked for, none goes with the model's {errors:,} "
        f"errors more than chance allows{least}."
    )


def _compared(p: float) -> str:
    """`< 0.001` or `= 0.031`."""
    said = p_value(p)
    return said if said.startswith("<") else f"= {said}"
