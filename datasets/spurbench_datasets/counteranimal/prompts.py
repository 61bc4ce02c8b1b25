"""How CounterAnimal's classes are put into words: the paper's template and its variants, and OpenAI's names."""

from __future__ import annotations

from spurbench.cards import PromptSet

_PAPER = "Wang et al. 2024, arXiv 2403.11497"


def prompts(names: tuple[str, ...], *, synsets: bool) -> tuple[PromptSet, ...]:
    """The named prompt sets, the headline one first.

    Args:
        names: how prompts say the classes, unless they take OpenAI's names for them.
        synsets: whether the names are of ImageNet's synsets, and OpenAI's names for the classes exist.
    """
    base = "synset" if synsets else "names"
    sets = (
        PromptSet(
            base,
            ("A photo of {}",),
            source=f"{_PAPER}, section 2, as reproduced: without its full stop (meric-karadag/clip_spurious_features)",
            class_names=names,
        ),
        PromptSet(f"{base}_stop", ("A photo of {}.",), source=f"{_PAPER}, section 2", class_names=names),
        PromptSet(
            f"{base}80", open_clip_list="OPENAI_IMAGENET_TEMPLATES", source=f"{_PAPER}, Table 10", class_names=names
        ),
    )
    if not synsets:
        return sets
    radford = "Radford et al. 2021, arXiv 2103.00020, section 3.1.4"
    listed = "IMAGENET_CLASSNAMES"
    return (
        *sets,
        PromptSet("openai", ("a photo of a {}.",), source=radford, open_clip_names=listed),
        PromptSet("openai80", open_clip_list="OPENAI_IMAGENET_TEMPLATES", source=radford, open_clip_names=listed),
    )
