"""Which data sets and backbones of some results are meant."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Sequence

from .errors import UnknownNameError

Place = tuple[str, str]
"""(data set, backbone)."""


def places(known: Iterable[Place], datasets: Sequence[str] | None, backbones: Sequence[str] | None) -> set[Place]:
    """The known places on the data sets and backbones that two lists of patterns name; None names all.

    Raises UnknownNameError for a pattern that nothing matches.
    """
    known = set(known)
    some = matching("data set of the results", {dataset for dataset, _ in known}, datasets)
    others = matching("backbone of the results", {backbone for _, backbone in known}, backbones)
    return {place for place in known if place[0] in some and place[1] in others}


def matching(kind: str, names: Collection[str], patterns: Sequence[str] | None) -> set[str]:
    """The names that patterns stand for: `all`, names, globs, and `!pattern`, which takes away (alone, from all).

    A name is always itself, whatever marks of a glob are in it. Raises UnknownNameError for a pattern without a match.
    """
    if patterns is None:
        return set(names)

    def found(pattern: str) -> set[str]:
        if pattern == "all":
            return set(names)
        some = {pattern} & set(names) or {name for name in names if fnmatch.fnmatchcase(name, pattern)}
        if not some:
            raise UnknownNameError(kind, pattern, names)
        return some

    kept = [pattern for pattern in patterns if not pattern.startswith("!")] or ["all"]
    gone = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return set().union(*map(found, kept)).difference(*map(found, gone))
