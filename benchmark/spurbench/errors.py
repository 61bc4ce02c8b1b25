"""What can go wrong, said once: each message names what, where, and how to mend it.

The command line prints these without a traceback. `exit_status` is 2 for a wrong call and 1 for anything that went
wrong while doing what was rightly asked for.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9), which rearrange what follows."""


class SpurbenchError(Exception):
    """Base class of every error whose message is meant for the user."""

    exit_status = 1


class UsageError(SpurbenchError):
    """The call itself is wrong: an unknown name, a bad value, a file that is not there."""

    exit_status = 2


class InterruptedRunError(SpurbenchError):
    """The user stopped a run."""

    exit_status = 130


class UnknownNameError(UsageError):
    """A name that no registry knows, with the nearest names there are."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        folded = {candidate.casefold(): candidate for candidate in known}
        near = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {_shortened(known)}"
        where = f" (`spurbench list {kind}s` shows all)" if kind in ("method", "dataset", "backbone") else ""
        super().__init__(f"unknown {kind} '{name}'; {hint}{where}")
        self.suggestions = near


class PluginError(UsageError):
    """A plugin that cannot be imported or does not meet the contract."""


class SupervisionError(SpurbenchError):
    """A method asked for information that its card does not declare."""


class DataError(SpurbenchError):
    """Data that is absent, broken, or not what its card says."""


class UnknownObjectsError(DataError):
    """Nobody says where the objects are in photos; nothing is broken. The message says how to supply it."""


class WeightsError(SpurbenchError):
    """Weights of a backbone that are absent, broken, or do not fit the architecture."""


class ConfigurationError(SpurbenchError):
    """One configuration has no usable result, e.g. it diverged: it is lost, the others are not."""


class MethodError(SpurbenchError):
    """A method that breaks its contract: wrong shape, no candidates, inputs that it does not declare."""


def plain(text: str) -> str:
    """Text without control characters, and without those that turn the direction of writing around: names and messages
    come from anywhere, a terminal obeys what it is sent, and what surrounds a name must read as it is written.
    """
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _rules_others(c) else "�" for c in text)


def one_line(text: str) -> str:
    """Plain text on one line, as a message is."""
    return " ".join(plain(text).splitlines())


def _rules_others(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _TURNING


def inert(text: str) -> str:
    """Text that no spreadsheet runs as a formula: an apostrophe stands before what could be one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n", "\r")) else text


def _shortened(names: list[str], most: int = 12) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return ", ".join(names[:most]) + f", ... ({len(names) - most} more)"
