"""What is suspected becomes what methods are told: a report as the spurious attribute in words."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..attribute_text import AttributeText
from ..errors import DataError, UsageError, one_line
from ..reading import read_checked, read_regular
from ..rules import Found, ToldAttribute
from .report import SuspectsReport
from .sentences import nothing


def told_attribute(path: Path) -> ToldAttribute:
    """The attribute that the chosen suspects of a report make.

    They may be of training or of validation, whose classes are known to whoever trains or chooses a configuration.

    Raises:
        UsageError: there is no such file, it was made on the photos that methods are judged on, or suspects nothing.
        DataError: it is no report, or a broken one, or does not say which photos it is about; names what is wrong.
    """
    report = read_checked(path, SuspectsReport, "report of `spurbench suspects`")
    if report is None:
        raise UsageError(f"--attributes: there is no file {path}; `spurbench suspects` makes one")
    if report.split == "test":
        raise UsageError(
            f"--attributes: {path} was made on the test photos, on which methods are judged; make it on "
            "others: spurbench suspects --split val"
        )
    if not report.chosen:
        raise UsageError(one_line(f"--attributes: {path} names no attribute: {nothing(report)}"))
    try:
        text = attribute_text(report)
    except ValueError as error:
        raise DataError(one_line(f"{path}: its words cannot be told to a method: {error}")) from error
    data = report.provenance.fingerprints.get("data")
    if data is None:
        raise DataError(f"{path} has no fingerprint of its photos and labels; make it again with `spurbench suspects`")
    content = hashlib.sha256(read_regular(path)).hexdigest()
    found = Found(
        report=content,
        split=report.split,
        model=report.model,
        backbone=report.backbone,
        seen_by=report.seen_by,
        words=report.words.sha256,
        permutations=report.permutations,
        chosen=[suspect.word for suspect in report.chosen],
    )
    return ToldAttribute(dataset=report.dataset, data=data, source=f"suspects@{content[:8]}", found=found, text=text)


def attribute_text(report: SuspectsReport) -> AttributeText:
    """The chosen suspects as contexts, the empty one among them; scenes; phrases that should make no difference; names.

    Which of them is which value of the attribute is not known, so there are no `values` and no `settings`. Raises
    ValueError for words that a prompt cannot hold.
    """
    phrases = tuple(dict.fromkeys(suspect.phrase for suspect in report.chosen))
    return AttributeText(
        contexts=("", *phrases),
        scenes=tuple(f"a photo of {noun(suspect.word, suspect.phrase)}." for suspect in report.chosen),
        # One phrase alone makes a pair with no phrase at all.
        pairs=phrases if len(phrases) > 1 else ("", *phrases),
        names=tuple(suspect.word for suspect in report.chosen),
    )


def noun(word: str, phrase: str) -> str:
    """The word with the article that it has in its phrase: `a forest` for `in a forest`, `water` for `on water`."""
    article = re.search(rf"\b(an?) {re.escape(word)}$", phrase)
    return f"{article[1]} {word}" if article else word
