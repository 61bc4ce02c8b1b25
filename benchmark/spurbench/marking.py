"""Text from anywhere as Markdown that says just that."""

from __future__ import annotations

import re

from .errors import plain

# Underscores inside a word are plain text in GitHub's Markdown; escaping them would only hurt reading it as text.
_SPECIAL = re.compile(r"([\\`*{}\[\]<>|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_LINKED = re.compile(r"(?<![A-Za-z0-9])@(?=[A-Za-z0-9])|@(?=[A-Za-z0-9_-]+\.)|#(?=[0-9])|\bGH-(?=[0-9])", re.IGNORECASE)
"""How people and issues are mentioned, and addresses of mail written; a comment in the middle leaves just the text.

An entity would not do: GitHub looks for mentions once entities are characters again."""
_ADDRESS = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
"""What GitHub's Markdown takes for the address of a page."""


def markdown(value: str) -> str:
    """Names and messages come from anywhere: nothing in them is Markdown or HTML, mentions anybody or leads anywhere,
    and all of it is one line.
    """
    text = " ".join(plain(value).split()).replace("&", "&amp;")
    text = _SPECIAL.sub(r"\\\1", text).replace("\\<", "&lt;").replace("\\>", "&gt;")
    return _ADDRESS.sub(lambda found: f"&#{ord(found[0])};", _LINKED.sub(r"\g<0><!-- -->", text))
