"""What the commands share in printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, text: str) -> None:
    """Print text as it is: wrapped at words in a terminal, whole lines elsewhere."""
    from ..errors import plain

    console.print(plain(text), markup=False, highlight=False, soft_wrap=not console.is_terminal)


@contextmanager
def telling(console: Console) -> Iterator[Callable[[str], None]]:
    """Say what is being done: a line that changes in a terminal, lines elsewhere."""
    from rich.text import Text

    from ..errors import plain

    if not console.is_terminal:
        told = ""

        def tell(line: str) -> None:
            nonlocal told
            # How far it has come is news for those who watch.
            what = line.rstrip("0123456789,/ ")
            if what != told:
                typer.echo(plain(what), err=True)
            told = what

        yield tell
        return
    with console.status("looking at data and weights") as status:
        yield lambda line: status.update(Text(plain(line)))


def show_log(console: Console) -> None:
    """Show what the data sets have to say while they fetch: sources, sizes, retries."""
    import logging

    from rich.logging import RichHandler

    log = logging.getLogger("spurbench")
    log.setLevel(logging.INFO)
    # open_clip has the root logger print whatever reaches it, which would say everything twice.
    log.propagate = False
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    told: set[str] = set()

    def is_news(record: logging.LogRecord) -> bool:
        # Data that is read again has the same to say again.
        known = len(told)
        told.add(record.getMessage())
        return len(told) > known

    handler.addFilter(is_news)
    log.addHandler(handler)
