"""Photos of the menagerie: rendered in batches, one by one, and decoded from JPEG files for comparison."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spurbench_datasets.menagerie.corpus import Corpus
from spurbench_datasets.menagerie.renderer import render

PHOTOS = 512
SCENES = Corpus(photos=PHOTOS, correlation=0.5).scenes()


@pytest.mark.benchmark(group="512 photos")
def test_rendered_in_batches(benchmark: Any) -> None:
    render(SCENES.rows(slice(0, 1)))
    assert len(benchmark(render, SCENES).images) == PHOTOS


@pytest.mark.benchmark(group="512 photos")
def test_rendered_one_by_one(benchmark: Any) -> None:
    render(SCENES.rows(slice(0, 1)))
    benchmark(lambda: [render(SCENES.rows([row])) for row in range(PHOTOS)])


@pytest.mark.benchmark(group="512 photos")
def test_decoded_from_jpeg(benchmark: Any) -> None:
    files = []
    for pixels in render(SCENES).images:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "jpeg", quality=90)
        files.append(stream.getvalue())
    benchmark(lambda: [np.asarray(Image.open(io.BytesIO(content))) for content in files])
