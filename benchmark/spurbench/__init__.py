"""spurbench: benchmark and leaderboard for mitigating spurious correlations in CLIP models.

The harness. Mitigation methods live in `spurbench_methods`, data sets in `spurbench_datasets`; both reach the
harness through entry points, exactly as a third party's plugin does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .frames import load_results

__all__ = ["__version__", "load_results"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`load_results`, imported when it is asked for: a program that only wants the version does not wait for it."""
    if name == "load_results":
        from .frames import load_results

        return load_results
    raise AttributeError(f"module 'spurbench' has no attribute '{name}'")
