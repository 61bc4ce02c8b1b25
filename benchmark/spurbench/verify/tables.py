"""Published tables against each other, without data: class-wise values give class averages, easy less hard drops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from ..published import Published, PublishedClass, Triple, triples
from . import Check, Status

CUT = 0.015
"""Points between a mean of class-wise values and a printed one: those are off by 0.005 at most, and printed means seem
to be cut off after two digits rather than rounded."""
ROUNDED = 0.0105
"""Points between a printed drop and printed easy less hard: each is off by 0.005 at most, the sum shown by 0.01."""
EXACT = 0.0051
KNOWN_MEANS = {("ViT-B/32-gelu:laion400m_e31", "easy"): 67.18, ("ViT-B/32", "hard"): 45.77}
"""What the class-wise tables give where the source prints another mean."""
NO_FRACTION = {(291, "ViT-B/32", "hard")}
"""Accuracies that are no k of n photos, whatever k: misprints of the source."""


def table_checks(values: Sequence[Published], classes: Sequence[PublishedClass]) -> Iterator[Check]:
    """All checks that need no data, in order: means, counts, fractions, drops."""
    for backbone in classes[0].accuracies:
        printed = headline(values, "zero_shot", backbone)
        for group in ("easy", "hard"):
            yield _mean(backbone, group, printed, classes)
    yield from _counts(classes)
    yield from _fractions(classes)
    yield from _drops(values)


def headline(values: Sequence[Published], method: str, backbone: str) -> Triple | None:
    """The first printed row of a model in the headline setting: class-averaged, all ImageNet classes, synset names."""
    for triple in triples(values):
        first = triple.first
        setting = first.average, first.label_space, first.prompts
        if (first.method, first.backbone) == (method, backbone) and setting in (
            ("class", "1v1000", "synset"),
            ("class", "1v1000", ""),
        ):
            return triple
    return None


def _mean(backbone: str, group: str, printed: Triple | None, classes: Sequence[PublishedClass]) -> Check:
    part, what = f"means over {len(classes)} classes", f"{backbone}, {group}"
    found = fmean(entry.accuracies[backbone][group == "hard"] for entry in classes)
    expected = None if printed is None else printed.easy if group == "easy" else printed.hard
    if printed is None or expected is None:
        return Check(part, what, "off", found, None, "class-wise values without a printed mean")
    if abs(found - expected) <= CUT:
        return Check(part, what, "agrees", found, expected)
    if abs(found - KNOWN_MEANS.get((backbone, group), -1.0)) <= EXACT:
        reason = f"{printed.first.where} prints another number than the class-wise tables give"
        return Check(part, what, "known", found, expected, reason)
    return Check(part, what, "off", found, expected, f"further from {printed.first.where} than rounding takes it")


def _counts(classes: Sequence[PublishedClass]) -> Iterator[Check]:
    part = "photos"
    printed, fitting = sum(entry.n_easy_printed for entry in classes), sum(entry.n_easy for entry in classes)
    for entry in classes:
        if entry.n_easy_printed != entry.n_easy:
            right = _all_fractions(entry, entry.n_easy) and not _all_fractions(entry, entry.n_easy_printed)
            reason = (
                f"{entry.n_easy_printed} is printed; the accuracies are shares of {entry.n_easy} photos and not of "
                f"{entry.n_easy_printed}. So there are {fitting:,} easy photos, not {printed:,}"
            )
            wrong = f"the accuracies do not tell {entry.n_easy_printed} from {entry.n_easy} photos"
            what = f"{entry.name}, easy"
            status: Status = "known" if right else "off"
            yield Check(part, what, status, entry.n_easy, entry.n_easy_printed, reason if right else wrong)


def _all_fractions(entry: PublishedClass, n: int) -> bool:
    return all(_is_fraction(easy, n) for easy, _ in entry.accuracies.values())


def _is_fraction(percent: float, n: int) -> bool:
    return abs(100 * round(percent * n / 100) / n - percent) <= EXACT


def _fractions(classes: Sequence[PublishedClass]) -> Iterator[Check]:
    part, good = "class-wise accuracies", 0
    for entry in classes:
        for backbone, pair in entry.accuracies.items():
            for group, percent, n in zip(("easy", "hard"), pair, (entry.n_easy, entry.n_hard), strict=True):
                if _is_fraction(percent, n):
                    good += 1
                    continue
                nearest = 100 * round(percent * n / 100) / n
                known = (entry.imagenet_idx, backbone, group) in NO_FRACTION
                what = f"{entry.name}, {backbone}, {group}"
                reason = f"no share of {n} photos; the nearest is {nearest:.2f}"
                yield Check(part, what, "known" if known else "off", nearest, percent, reason)
    yield Check(part, f"{good:,} are shares of the photos in their group", "agrees")


def _drops(values: Sequence[Published]) -> Iterator[Check]:
    part, good = "drops: easy less hard", 0
    marked = {value.place for value in values if value.metric == "drop" and "not easy minus hard" in value.note}
    for triple in triples(values):
        if triple.easy is None or triple.hard is None or triple.drop is None:
            continue
        found = triple.easy - triple.hard
        if abs(found - triple.drop) <= ROUNDED:
            good += 1
            continue
        first = triple.first
        what = f"{first.where}: {first.model}, {first.pretraining}"
        status: Status = "known" if first.place in marked else "off"
        yield Check(part, what, status, found, triple.drop, "one of the three is misprinted")
    yield Check(part, f"{good:,} are that, to rounding", "agrees")
