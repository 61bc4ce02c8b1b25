"""Where animals, stickers and companions are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spurbench.keys import LoadedData
from spurbench.masks import object_masks
from spurbench_datasets.menagerie.companion import MenagerieCompanion
from spurbench_datasets.menagerie.renderer import render
from spurbench_datasets.menagerie.view import EDGE
from spurbench_datasets.menagerie.wild import MenagerieWild
from spurbench_datasets.menagerie.worlds import MenagerieAnimals, MenagerieBirds, MenagerieSticker, World

ROWS = np.array([5399, 3, 0, 17, 3, 4, 7, 2400, 2401, 2402, 60, 61, 62, 63, 64, 65, 66])
WORLDS = (MenagerieBirds, MenagerieAnimals, MenagerieSticker, MenagerieCompanion)


def literally(mask: NDArray[np.uint8]) -> list[float]:
    """The box of what is at least half covered, in shares of the edge."""
    pixels = [(x, y) for y in range(EDGE) for x in range(EDGE) if mask[y, x] >= 128]
    if not pixels:
        return [np.nan] * 4
    across, down = zip(*pixels, strict=True)
    return [min(across) / EDGE, min(down) / EDGE, (max(across) + 1) / EDGE, (max(down) + 1) / EDGE]


@pytest.mark.parametrize("kind", WORLDS)
def test_objects_are_the_boxes_of_the_animals_in_the_photos(kind: type[World]) -> None:
    world = kind()
    places = world.places(Path("nowhere"), ROWS)
    expected = [literally(mask) for mask in render(world.scenes().rows(ROWS)).animal]
    assert places.objects.dtype == places.boxes.dtype == np.float32
    assert np.array_equal(places.objects, np.array(expected, dtype=np.float32), equal_nan=True)
    assert np.array_equal(places.boxes[:, 0], places.objects)
    assert not np.isnan(places.objects).any()


@pytest.mark.parametrize("kind", [MenagerieBirds, MenagerieAnimals])
def test_all_but_the_animal_is_spurious_where_the_place_is(kind: type[World]) -> None:
    places = kind().places(Path("nowhere"), ROWS)
    assert places.spurious is None
    assert places.boxes.shape == (len(ROWS), 1, 4)


def test_stickers_are_found() -> None:
    world = MenagerieSticker()
    places, attribute = world.places(Path("nowhere"), ROWS), world.load(Path("nowhere")).a[ROWS]
    expected = [literally(mask) for mask in render(world.scenes().rows(ROWS)).sticker]
    assert places.spurious is not None
    assert np.array_equal(places.spurious, np.array(expected, dtype=np.float32), equal_nan=True)
    assert np.array_equal(places.boxes[:, 1], places.spurious, equal_nan=True)
    assert (~np.isnan(places.spurious[:, 0])).tolist() == (attribute == 1).tolist()
    assert 0 < attribute.sum() < len(ROWS)


def test_companions_of_the_planted_species_are_spurious_and_others_are_only_there() -> None:
    world = MenagerieCompanion()
    scenes, attribute = world.scenes().rows(ROWS), world.load(Path("nowhere")).a[ROWS]
    places = world.places(Path("nowhere"), ROWS)
    expected = np.array([literally(mask) for mask in render(scenes).companion], dtype=np.float32)
    assert places.spurious is not None
    assert np.array_equal(places.boxes[:, 1], expected, equal_nan=True)
    assert np.array_equal(places.spurious[attribute == 1], expected[attribute == 1])
    assert np.isnan(places.spurious[attribute == 0]).all()
    assert not np.isnan(expected[(attribute == 0) & (scenes.companion >= 0)]).any()
    assert ((attribute == 0) & (scenes.companion >= 0)).any()


def test_animals_that_nobody_sees_have_no_box_and_boxes_that_are_there_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = MenagerieSticker()
    shown = render(world.scenes().rows(ROWS))
    hidden = shown.animal.copy()
    hidden[:4] = 127
    monkeypatch.setattr(world, "_shown", lambda rows: shown._replace(animal=hidden))
    places = world.places(Path("nowhere"), ROWS)
    assert places.spurious is not None
    assert np.isnan(places.objects[:4]).all()
    assert not np.isnan(places.objects[4:]).any()
    assert np.array_equal(places.boxes[:4, 0], places.spurious[:4], equal_nan=True)
    assert np.isnan(places.boxes[:4, 1]).all()


@pytest.mark.parametrize("kind", WORLDS)
def test_only_the_rows_that_are_asked_for_are_rendered(kind: type[World]) -> None:
    world = kind()
    several = world.places(Path("nowhere"), ROWS)
    none = world.places(Path("nowhere"), ROWS[:0])
    assert len(none.boxes) == len(none.objects) == 0
    one = world.places(Path("nowhere"), ROWS[1:2])
    assert np.array_equal(one.objects[0], several.objects[1])
    assert np.array_equal(one.boxes[0], several.boxes[1], equal_nan=True)


@pytest.mark.parametrize("kind", [*WORLDS, MenagerieWild])
def test_masks_are_what_the_renderer_shows_of_the_animals(kind: type[World]) -> None:
    world = kind()
    found = world.masks(Path("nowhere"), ROWS[1:8])
    expected = render(world.scenes().rows(ROWS[1:8])).animal
    assert len(found) == 7
    for mask, animal in zip(found, expected, strict=True):
        assert mask is not None
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, animal)


def test_a_tower_that_sees_photos_as_they_are_sees_the_animals_there() -> None:
    from open_clip.transform import image_transform

    world = MenagerieSticker()
    data = LoadedData(world, world.load(Path("nowhere")), "fingerprint")
    found = object_masks(data, ROWS, image_transform(EDGE, is_train=False))
    assert (found.objects, found.left_out) == ("masks", {})
    assert np.array_equal(found.rows, np.unique(ROWS))
    assert np.array_equal(found.shown, render(world.scenes().rows(found.rows)).animal >= 128)


def test_animals_that_nobody_sees_have_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    world = MenagerieBirds()
    shown = render(world.scenes().rows(ROWS))
    hidden = shown.animal.copy()
    hidden[2:4] = 127
    monkeypatch.setattr(world, "_shown", lambda rows: shown._replace(animal=hidden))
    found = world.masks(Path("nowhere"), ROWS)
    assert [mask is None for mask in found] == np.isnan(world.places(Path("nowhere"), ROWS).objects[:, 0]).tolist()
    assert [mask is None for mask in found[:5]] == [False, False, True, True, False]
