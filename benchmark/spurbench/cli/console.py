"""What the commands share in printing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, text: str) -> None:
    """Print text as it is: wrapped at words in a terminal, whole lines elsewhere."""
    from ..errors import plain

    console.print(plain(text), markup=False, highlight=False, soft_wrap=not console.is_terminal)


def show_log(console: Console) -> None:
    """Show what the data sets have to say while they fetch: sources, sizes, retries."""
    import logging

    from rich.logging import RichHandler

    log = logging.getLogger("spurbench")
    log.setLevel(logging.INFO)
    log.addHandler(RichHandler(console=console, show_time=False, show_level=False, show_path=False))
