"""spurbench: benchmark and leaderboard for mitigating spurious correlations in CLIP models.

The harness. Mitigation methods live in `spurbench_methods`, data sets in `spurbench_datasets`; both reach the
harness through entry points, exactly as a third party's plugin does.
"""

__version__ = "0.1.0"
