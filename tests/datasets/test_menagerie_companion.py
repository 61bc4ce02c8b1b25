from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.stats.contingency import association, crosstab

from spurbench.cards import SPLITS
from spurbench.data import Examples
from spurbench.errors import UsageError
from spurbench.files import HashCache
from spurbench_datasets.menagerie.animals import NAMES
from spurbench_datasets.menagerie.companion import COMPANIONS, MenagerieCompanion
from spurbench_datasets.menagerie.renderer import render
from spurbench_datasets.menagerie.scenes import NONE, Scenes
from spurbench_datasets.menagerie.worlds import RenderedPhotos

UNLIKELY = 1e-3
"""The samples are fixed: a p-value below this is a pattern, not bad luck."""
FINGERPRINT = "bae171988b6827e7b38dd2504fdb13262d19a1f7354baf5d1786f93ab2f9a451"
"""sha256 of the first photos."""
STALE = "photos look different than those that features were cached of: raise APPEARANCE in menagerie/worlds.py"


@pytest.fixture(scope="module")
def examples() -> Examples:
    return MenagerieCompanion().load(Path("nowhere"))


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return MenagerieCompanion().scenes()


def test_the_planted_companion_is_where_the_attribute_says(examples: Examples, scenes: Scenes) -> None:
    assert np.array_equal(scenes.companion == NAMES.index("duck"), examples.a == 1)
    card = MenagerieCompanion().card
    assert [NAMES[number] for number in scenes.species] == [card.classes[y] for y in examples.y]
    assert card.attributes == ("no duck", "duck")


def test_every_second_photo_without_it_has_another_companion_that_is_no_class(
    examples: Examples, scenes: Scenes
) -> None:
    without = scenes.companion[examples.a == 0]
    others = without[without != NONE]
    assert stats.binomtest(len(others), len(without), 0.5).pvalue > UNLIKELY
    kinds, counts = np.unique(others, return_counts=True)
    expected = {"pheasant", "gull", "pigeon", "heron", "ostrich", "camel", "horse"}
    assert {NAMES[number] for number in kinds} == expected
    assert stats.chisquare(counts).pvalue > UNLIKELY
    table = crosstab(examples.y[examples.a == 0], without).count
    assert stats.chi2_contingency(table).pvalue > UNLIKELY, "other companions go with no class"


@pytest.mark.parametrize(
    ("argument", "strength", "label", "companion"),
    [
        ("", 0.9, "dog", "duck"),
        ("strength=0.5:label=wolf:companion=camel", 0.5, "wolf", "camel"),
        ("label=3:strength=0", 0.0, "sheep", "duck"),
        ("companion=heron:strength=1", 1.0, "dog", "heron"),
    ],
)
def test_it_goes_with_one_species_in_training_alone(argument: str, strength: float, label: str, companion: str) -> None:
    world = MenagerieCompanion(argument)
    examples, scenes = world.load(Path("nowhere")), world.scenes()
    assert np.array_equal(scenes.companion == NAMES.index(companion), examples.a == 1)
    assert world.card.classes[world.planted_label] == label
    found = {s: np.array(examples.group_totals(s)).reshape(-1, 2) for s in SPLITS}
    assert association(found["train"], method="cramer") == pytest.approx(strength, abs=0.005)
    assert (found["train"].sum(axis=1) == 600).all()
    if strength > 0:
        assert found["train"][:, 1].argmax() == world.planted_label
    assert found["val"].tolist() == [[75, 75]] * 4
    assert found["test"].tolist() == [[300, 300]] * 4
    assert world.card.name == "menagerie-companion" + (f":{argument}" if argument else "")


def test_species_and_companions_are_as_often_in_every_place(examples: Examples, scenes: Scenes) -> None:
    for column in (scenes.species, examples.a, scenes.companion):
        assert stats.chi2_contingency(crosstab(column, scenes.place).count).pvalue > UNLIKELY


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("companion=dog", "companion must be one of duck, pheasant, .*, not 'dog'"),
        ("companion=duk", "not 'duk'; did you mean duck?"),
        ("label=duck", "label must be one of wolf, dog, goat, sheep, not 'duck'"),
        ("strength=7", "menagerie-companion: strength must lie in 0 to 1, not 7"),
        ("friend=duck", r"'friend=duck' is not one of its parameters \(strength=0.9, label=dog, companion=duck\)"),
    ],
)
def test_bad_parameters_are_named(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MenagerieCompanion(argument)


def test_companions_can_be_seen(scenes: Scenes) -> None:
    scenes = scenes.rows(slice(3400, None))
    covered = render(scenes, scene=False).companion.sum(axis=(1, 2), dtype=np.int64) / 255
    assert not covered[scenes.companion == NONE].any()
    assert (covered[scenes.companion == NAMES.index("duck")] >= 60).mean() > 0.94
    for name in COMPANIONS:
        of_it = covered[scenes.companion == NAMES.index(name)]
        assert (of_it >= 60).mean() > 0.85, name
        assert (of_it >= 25).mean() > 0.96, name


def test_companions_that_stand_apart_are_hidden_less_and_are_as_often_on_either_side(scenes: Scenes) -> None:
    some = scenes.rows(np.flatnonzero(scenes.companion != NONE)[:500])
    apart, anywhere = (render(replace(some, apart=value), scene=False).companion for value in (True, False))
    covered = [masks.sum(axis=(1, 2), dtype=np.int64) / 255 for masks in (apart, anywhere)]
    assert np.median(covered[0]) > np.median(covered[1]) * 1.1
    left, right = (masks.sum(axis=(1, 2), dtype=np.int64) for masks in (apart[:, :, :32], apart[:, :, 32:]))
    assert stats.binomtest(int((left > right).sum()), len(some), 0.5).pvalue > UNLIKELY
    assert (np.minimum(left, right) < 0.25 * (left + right)).mean() > 0.9, "at one side, not in the middle"


def test_standing_apart_moves_companions_and_nothing_else(scenes: Scenes) -> None:
    some = scenes.rows(slice(200))
    moved, kept = render(some), render(replace(some, apart=False))
    alone = some.companion == NONE
    assert np.array_equal(moved.images[alone], kept.images[alone])
    assert np.array_equal(moved.animal, kept.animal)
    differ = (moved.companion != kept.companion).any(axis=(1, 2))
    assert differ[~alone].mean() > 0.9
    assert not differ[alone].any()


def test_standing_apart_is_part_of_the_fingerprint(scenes: Scenes) -> None:
    some = scenes.rows(slice(20))
    ids = ["any"] * 20
    one, other = (RenderedPhotos(replace(some, apart=v)).fingerprint(ids, HashCache(None)) for v in (True, False))
    assert one != other


def test_photos_are_the_ones_that_features_were_cached_of(scenes: Scenes) -> None:
    pixels = render(scenes.rows(slice(96))).images
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == FINGERPRINT, STALE
