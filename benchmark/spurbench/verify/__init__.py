"""Whether published numbers hold: against each other (`tables`), and against models run on the data (`models`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["agrees", "known", "off", "unchecked"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        part: what it is part of, e.g. `class-wise tables`.
        what: in words.
        status: `known` where it is off in a way that is known and explained; `unchecked` where something is missing.
        found, expected: the numbers, where there are two to compare.
        reason: what is known, off or missing, and how to get it.
    """

    part: str
    what: str
    status: Status
    found: float | None = None
    expected: float | None = None
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """Found minus expected."""
        return None if self.found is None or self.expected is None else self.found - self.expected
