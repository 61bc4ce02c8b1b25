"""Cached features outlive the code that made them: whoever changes that code must say whether they are still right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import spurbench
from spurbench.features import FORMAT

ROOT = Path(spurbench.__file__).parent
PINNED = (
    2,
    {
        "backbones/cutting.py": "53e30b7285502125",
        "backbones/towers.py": "9f5af68cb3df70ae",
        "encode.py": "858a4c3e764073fd",
        "images.py": "27a34744099ba62f",
    },
)


def test_code_that_makes_features_changes_only_with_a_decision_about_their_format() -> None:
    now = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest()[:16] for name in PINNED[1]}
    assert (FORMAT, now) == PINNED, (
        "code that makes cached features changed: raise features.FORMAT if they come out differently, "
        "and pin the new hashes here either way"
    )
