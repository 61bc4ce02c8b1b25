"""Text from anywhere as Markdown that says just that."""

from __future__ import annotations

import re

from .errors import plain

# Underscores inside a word are plain text in GitHub's Markdown; escaping them would only hurt reading it as text.
_SPECIAL = re.compile(r"([\\`*{}\[\]<>|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def markdown(value: str) -> str:
    """Names and messages come from anywhere: nothing in them is Markdown or HTML, and all of it is one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(plain(value).split())).replace("\\<", "&lt;").replace("\\>", "&gt;")
