"""Cached features outlive the code that made them: whoever changes that code must say whether they are still right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import spurbench
from spurbench import features
from spurbench.regions import source

ROOT = Path(spurbench.__file__).parent
PINNED = (
    2,
    {
        "backbones/cutting.py": "53e30b7285502125",
        "backbones/towers.py": "8e5a3f520c06052c",
        "encode.py": "c8f1483df8616194",
        "images.py": "65b333f18a65eafe",
    },
)
PINNED_REGIONS = (
    1,
    {
        "backbones/roi.py": "de54cd6b2878463b",
        "backbones/spatial.py": "6edf0f51d1c4887c",
        "regions/features.py": "d542415328980340",
        "regions/frame.py": "62c1caba8b573b47",
        "regions/geometry.py": "9a9bb7eed1f7a7d2",
        "regions/proposals.py": "9d8d38d74e99b884",
        "regions/source.py": "9aaf302e92fbf39e",
    },
)


@pytest.mark.parametrize(
    ("name", "found", "pinned"), [("features", features, PINNED), ("regions.source", source, PINNED_REGIONS)]
)
def test_code_that_makes_features_changes_only_with_a_decision_about_their_format(
    name: str, found: object, pinned: tuple[int, dict[str, str]]
) -> None:
    now = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest()[:16] for name in pinned[1]}
    assert (found.FORMAT, now) == pinned, (  # type: ignore[attr-defined]
        f"code that makes cached features changed: raise {name}.FORMAT if they come out differently, "
        "and pin the new hashes here either way"
    )
