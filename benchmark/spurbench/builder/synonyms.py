"""Many words for one background: which name each has, and people's own lists of such words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..errors import DataError

BUILT_IN = Path(__file__).with_name("synonyms.yaml")
_GROUP = re.compile(r"(common|counter)-(?=.)", re.IGNORECASE)


def folded(name: str) -> str:
    """The name in lower case, with one space for each run of spaces, `_` and `-`: what it is compared by."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


@dataclass(frozen=True)
class Synonyms:
    """Names of backgrounds, and the words for each.

    Attributes:
        names: one for each background, folded, in the order of the files.
        of: from each folded word, and each name, to the name.
    """

    names: tuple[str, ...]
    of: Mapping[str, str]

    def name(self, written: str) -> str:
        """The one name of a background as someone wrote it; a word that is nowhere listed is its own name.

        The prefixes of the official layout, `common-` and `counter-`, are no part of it.
        """
        word = folded(_GROUP.sub("", written.strip(), count=1))
        return self.of.get(word, word)

    def under(self, own: Synonyms) -> Synonyms:
        """These, overridden by someone's own: what is listed there has its name there, and so have our names' words."""
        of = {word: own.of.get(name, name) for word, name in self.of.items()} | dict(own.of)
        names = (*(name for name in self.names if of[name] == name), *own.names)
        return Synonyms(tuple(dict.fromkeys(names)), of)


@cache
def built_in() -> Synonyms:
    """The words that come with the builder."""
    return read(BUILT_IN)


def with_own(path: Path | None) -> Synonyms:
    """The built-in words, and those of a file of one's own over them. Raises DataError."""
    return built_in() if path is None else built_in().under(read(path))


def read_words(path: Path, synonyms: Synonyms) -> tuple[str, ...]:
    """The backgrounds of a text file, one a line, by their one names in its order; lines that begin with # are remarks.

    Raises:
        DataError: it cannot be read, or has fewer than two.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8: {error}") from error
    names = tuple(dict.fromkeys(synonyms.name(line) for line in lines if line.strip() and not line.startswith("#")))
    if len(names) < 2:
        raise DataError(f"{path}: names {len(names)} backgrounds; there must be two or more to choose from, one a line")
    return names


def read(path: Path) -> Synonyms:
    """Read a YAML file: each name of a background with a list of other words for it.

    Raises:
        DataError: it cannot be read, or is something else; every mistake is named in one message.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(given, dict) or not given:
        raise DataError(f"{path}: must name backgrounds, each with a list of other words: grass: [lawn, meadow]")
    of: dict[str, str] = {}
    mistakes = [mistake for name, words in given.items() for mistake in _add(of, name, words)]
    if mistakes:
        raise DataError(f"{path}: " + "\n  ".join(mistakes))
    return Synonyms(tuple(dict.fromkeys(of.values())), of)


def _add(of: dict[str, str], name: Any, words: Any) -> list[str]:
    """Add a background; says what is wrong with it."""
    words = [] if words is None else words
    if not isinstance(words, list):
        return [f"the words for {name!r} must be a list, such as [lawn, meadow], not {words!r}"]
    wrong = []
    canonical = folded(name) if isinstance(name, str) else ""
    for word in (name, *words):
        # YAML takes an unquoted `no` for a truth and `1` for a number.
        text = folded(word) if isinstance(word, str) else ""
        if not text:
            wrong.append(f"{word!r} of {name!r} is no word; put it in quotation marks")
        elif of.setdefault(text, canonical) != canonical:
            wrong.append(f"'{text}' stands under both '{of[text]}' and '{canonical}'; leave it under one")
    return wrong
