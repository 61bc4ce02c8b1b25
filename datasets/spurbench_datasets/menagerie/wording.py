"""The menagerie's places, species and sticker in words: of the captions where its CLIPs shall understand them."""

from __future__ import annotations

from spurbench.attribute_text import AttributeText, Concepts

from .animals import SPECIES
from .captions import LAND, WATER, with_article
from .places import OUTDOORS, PLACES

_PHRASES = {place.name: place.phrase for place in PLACES[:OUTDOORS]}
_ANYWHERE = "a beautiful day {}"
"""A caption that names a place and no animal, and still says something without the place."""


def _taken(*phrases: str) -> tuple[str, ...]:
    return tuple(f"a photo taken {phrase}." for phrase in phrases)


def _opposites(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Pairs of places, as photos of nothing but them."""
    taken = [_taken(*(_PHRASES.get(name, name) for name in pair)) for pair in pairs]
    return tuple((one, other) for one, other in taken)


def _told_apart(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Pairs of species, as photos of nothing else."""
    return tuple((f"a photo of {with_article(one)}.", f"a photo of {with_article(other)}.") for one, other in pairs)


GROUND = AttributeText(
    values=(LAND, WATER),
    contexts=("", LAND, WATER, *_PHRASES.values()),
    class_free=_ANYWHERE,
    scenes=_taken(LAND, WATER, *_PHRASES.values()),
    pairs=(LAND, WATER, *(_PHRASES[name] for name in ("forest", "meadow", "lake", "sea"))),
    names=("land", "water"),
    # No caption says "bird": the place is named as in the caption above, and what stands in it is left open.
    settings=(f"beautiful day {LAND}", f"beautiful day {WATER}"),
)
PLACE = AttributeText(
    # Neither value of the attribute can be said or named: which place is the habitat depends on the species.
    contexts=("", *_PHRASES.values()),
    class_free=_ANYWHERE,
    scenes=_taken(*_PHRASES.values()),
    pairs=tuple(_PHRASES.values()),
)
STICKER = AttributeText(
    # "Red" and "sticker" are in no caption of the menagerie: other CLIPs understand them, its own do not.
    values=("", "with a red sticker"),
    class_free="a photo of an animal {}.",
    scenes=("a photo of a red sticker.", "a red sticker on a photo."),
    names=("plain photo", "red sticker"),
    settings=("mammal", "mammal with a red sticker"),
)

BIRD_CONCEPTS = Concepts(
    reject=_opposites((LAND, WATER), ("forest", "lake"), ("meadow", "sea"), ("forest", "sea"), ("meadow", "lake")),
    accept=_told_apart(("pheasant", "duck"), ("pigeon", "gull"), ("ostrich", "heron")),
)
ANIMAL_CONCEPTS = Concepts(
    reject=_opposites((LAND, WATER), ("lake", "desert"), ("sea", "forest"), ("snow", "meadow"), ("street", "mountain")),
    # Species that look alike stand beside each other.
    accept=_told_apart(*((SPECIES[i].name, SPECIES[i + 1].name) for i in range(0, len(SPECIES), 2))),
)
STICKER_CONCEPTS = Concepts(
    reject=(("a photo with a red sticker.", "a photo."), ("a red sticker.", "a plain photo.")),
    accept=_told_apart(("wolf", "dog"), ("goat", "sheep"), ("wolf", "goat")),
)
