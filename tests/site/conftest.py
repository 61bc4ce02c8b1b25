"""A small page, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .made import chromium, fill, page_of


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of 2 data sets x 2 backbones x 8 methods, two of them in each track."""
    return fill(tmp_path_factory.mktemp("small") / "results", 2, 2, 8)


@pytest.fixture(scope="session")
def small_page(small: Path) -> Path:
    """Its page, in a file."""
    file = small.parent / "index.html"
    file.write_text(page_of(small), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium."""
    with chromium() as running:
        yield running
