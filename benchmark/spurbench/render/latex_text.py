"""Text from anywhere as LaTeX that says just that, in ASCII, which every engine reads."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# A bracket or a star at the start of a row would be an argument of the line break before it.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "[": "{[}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
"""Combining marks that every font encoding has a command for."""
_LIGATURES = {"--", ",,", "''"}
"""What fonts would make one character of."""


def latex(text: str) -> str:
    """One line of LaTeX text: nothing in it is a command, ends a cell, or begins a comment.

    Letters with the accents of European languages are composed; other characters are named, as in `[U+202E]`.
    """
    letters = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(f"{_letter(one)}{{}}" if pair in _LIGATURES else _letter(one) for one, pair in _pairs(letters))


def _pairs(letters: str) -> Iterator[tuple[str, str]]:
    """Each letter, and with the one that follows it."""
    return ((letter, letters[place : place + 2]) for place, letter in enumerate(letters))


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter.isascii() and letter.isprintable():
        return letter
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"{_SPECIAL['[']}U+{ord(letter):04X}]"
