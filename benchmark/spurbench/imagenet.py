"""ImageNet-1K's classes in the words of their synsets, as timm lists them. Imports neither timm nor torch."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .errors import DataError

SIZE = 1000


@cache
def synset_names() -> tuple[str, ...]:
    """The words of each class's synset, e.g. `ostrich, Struthio camelus`, by ImageNet-1K index. `crane` is two classes.

    Raises:
        DataError: this timm has no such lists.
    """
    # timm itself would import torch, for which listing data sets does not wait.
    spec = importlib.util.find_spec("timm")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    try:
        lists = Path(folders[0]) / "data" / "_info"
        words = dict(_lines(lists / "imagenet_synset_to_lemma.txt", "\t"))
        names = tuple(words[synset] for synset, *_ in _lines(lists / "imagenet_synsets.txt", None))
    except (OSError, LookupError, ValueError) as error:
        raise DataError(f"timm's lists of ImageNet's classes cannot be read ({error}); install timm anew") from error
    if len(names) != SIZE:
        raise DataError(f"timm's list of ImageNet-1K's classes has {len(names)}, not {SIZE}; install timm anew")
    return names


def distinct(names: Sequence[str], numbers: Sequence[int]) -> tuple[str, ...]:
    """The names, those that occur more than once with the class's number behind: `crane (517)`."""
    often = Counter(names)
    return tuple(
        name if often[name] == 1 else f"{name} ({number})" for name, number in zip(names, numbers, strict=True)
    )


def labels() -> tuple[str, ...]:
    """The 1,000 classes by names that are all different."""
    return distinct(synset_names(), range(SIZE))


def _lines(path: Path, separator: str | None) -> list[list[str]]:
    return [line.split(separator, 1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
