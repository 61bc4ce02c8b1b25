"""Every species in every place: who is where, and how often."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spurbench_datasets.menagerie.animals import SPECIES
from spurbench_datasets.menagerie.places import NAMES as PLACES
from spurbench_datasets.menagerie.wild import MenagerieWild


def test_the_attribute_is_the_place_and_the_habitat_the_most_frequent_one(tmp_path: Path) -> None:
    data = MenagerieWild()
    examples, scenes = data.load(tmp_path), data.scenes()
    np.testing.assert_array_equal(examples.y, scenes.species)
    np.testing.assert_array_equal(examples.a, scenes.place)
    assert (examples.split == 2).all()
    assert examples.group_totals("test") == list(data.card.counts["test"])
    for number, species in enumerate(SPECIES):
        counts = np.bincount(examples.a[examples.y == number], minlength=len(PLACES))
        assert PLACES[int(counts.argmax())] == species.habitat
        assert sorted(counts)[:-1] == [50] * (len(PLACES) - 1)
        assert counts.max() == 150


def test_photos_show_it(tmp_path: Path) -> None:
    examples = MenagerieWild().load(tmp_path)
    assert examples.photos is not None
    snow, desert = (
        np.flatnonzero((examples.a == PLACES.index(name)) & (examples.y == 6)) for name in ("snow", "desert")
    )
    bright = [
        np.mean([np.asarray(image)[..., 2].mean() for image in examples.photos.open(rows[:20].tolist())])
        for rows in (snow, desert)
    ]
    assert bright[0] > bright[1] + 20, "snow is bluer than sand"
