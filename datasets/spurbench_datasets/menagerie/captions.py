"""What the web would write under a photo: the animal and where it is, or one of the two alone, in many ways."""

from __future__ import annotations

from .animals import SPECIES
from .exact import Draws
from .places import OUTDOORS, PLACES, STUDIO
from .scenes import NONE, Scenes

BOTH = (
    "a photo of {} {}.",
    "{} {}",
    "{} seen {} this morning",
    "picture of {} {}",
    "{} standing {}",
    "our trip: {} {}!",
)
ANIMAL = ("a photo of {}.", "{}", "close-up of {}.", "a picture of {}", "look at this, {}!")
KIND = ("a photo of {}.", "{}", "what {}!")
PLACE = ("a photo taken {}.", "{}", "a beautiful day {}", "holidays {}")
SHARES = (0.25, 0.55, 0.1, 0.1)
"""How many captions name both, the animal alone, only what kind of animal it is, and the place alone."""
LAND, WATER = "on land", "on the water"
VAGUE = 0.3
"""Share of the captions of a place alone that only say whether it is land or water."""


def with_article(noun: str) -> str:
    """`a duck`, `an ostrich`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def caption(scenes: Scenes, shares: tuple[float, float, float, float] = SHARES) -> list[str]:
    """One caption per scene; a photo without an animal is described by its place, a studio is not worth a word.

    Args:
        shares: of captions that name animal and place, the animal alone, its kind alone, the place alone.
    """
    draws = Draws(scenes.seed, scenes.index)
    choices = (draws.uniform(f"caption {name}") for name in ("kind", "words", "vague"))
    until_both, until_animal, until_kind = shares[0], shares[0] + shares[1], shares[0] + shares[1] + shares[2]
    lines = []
    columns = [scenes.species.tolist(), scenes.place.tolist(), *(choice.tolist() for choice in choices)]
    rows = zip(*columns, strict=True)
    for number, where, kind, word, vague in rows:
        place, species = PLACES[where], SPECIES[number]
        plain = where == STUDIO
        if number == NONE or (kind >= until_kind and not plain):
            ground = WATER if place.water else LAND
            lines.append(_pick(PLACE, word).format(ground if vague < VAGUE else place.phrase))
        elif kind < until_both and not plain:
            lines.append(_pick(BOTH, word).format(with_article(species.name), place.phrase))
        elif kind < until_animal or kind >= until_kind:
            lines.append(_pick(ANIMAL, word).format(with_article(species.name)))
        else:
            lines.append(_pick(KIND, word).format(with_article(species.kind)))
    return lines


def _pick(forms: tuple[str, ...], share: float) -> str:
    return forms[int(share * len(forms))]


def every_caption() -> list[str]:
    """Each caption that can occur: what a vocabulary must hold."""
    animals = [with_article(species.name) for species in SPECIES]
    kinds = sorted({with_article(species.kind) for species in SPECIES})
    phrases = [place.phrase for place in PLACES[:OUTDOORS]]
    both = [form.format(animal, where) for form in BOTH for animal in animals for where in phrases]
    alone = [form.format(animal) for form in ANIMAL for animal in animals]
    kind = [form.format(noun) for form in KIND for noun in kinds]
    return [*both, *alone, *kind, *(form.format(where) for form in PLACE for where in (*phrases, LAND, WATER))]
