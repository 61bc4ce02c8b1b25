"""A planted thing in words: photos show it or not."""

from __future__ import annotations

from spurbench.attribute_text import AttributeText, Concepts

from .menagerie.captions import with_article

_UNCOUNTED = ("broccoli", "scissors", "skis")


def noun(feature: str) -> str:
    """`a couch`, `an umbrella`, `skis`."""
    return feature if feature in _UNCOUNTED else with_article(feature)


def presence(feature: str, kind: str) -> AttributeText:
    """The attribute with the values without and with `feature`; `kind` is a noun for what all classes are."""
    both = f"with {noun(feature)}"
    return AttributeText(
        values=("", both),
        class_free=f"a photo of {noun(kind)} {{}}.",
        scenes=(f"a photo of {noun(feature)}.", f"close-up of {noun(feature)}."),
        names=("plain photo", feature),
        settings=(kind, f"{kind} {both}"),
    )


def presence_concepts(feature: str, accept: tuple[tuple[str, str], ...]) -> Concepts:
    """Concepts that have nothing to do with the classes, for `feature`, and those that tell them apart."""
    there = noun(feature)
    return Concepts(
        reject=((f"a photo with {there}.", "a photo."), (f"a photo of {there}.", "a plain photo.")), accept=accept
    )
