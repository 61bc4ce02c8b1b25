"""The command line: parse, call, print."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script. Exit status: 2 for a wrong call, 1 for what failed, 130 when interrupted."""
    try:
        # Importing the commands takes long enough to be interrupted.
        from .app import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
