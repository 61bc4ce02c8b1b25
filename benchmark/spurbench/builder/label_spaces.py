"""What a zero-shot model tells photos apart into: the classes at hand, ImageNet's, or anybody's list."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import imagenet
from ..errors import DataError, UsageError

CLASSES, IMAGENET, OPENAI = "classes", "imagenet", "imagenet-openai"
MOST = 100_000
"""Labels beyond which a list is a slip."""


@dataclass(frozen=True)
class LabelSpace:
    """What photos are told apart into.

    Attributes:
        name: CLASSES, IMAGENET, OPENAI, or a file's name.
        labels: all different, in order.
        names: how prompts say them, one each; they may repeat.
        places: of the classes at hand, by name, their index in `labels`.
        imagenet: whether the labels are ImageNet-1K's, in its order.
    """

    name: str
    labels: tuple[str, ...]
    names: tuple[str, ...]
    places: dict[str, int]
    imagenet: bool = False


def open_label_space(asked: str, classes: Sequence[str]) -> LabelSpace:
    """The label space that `--labels` names, with the classes at hand found in it.

    Args:
        asked: `classes`; `imagenet` (WordNet's names, as CounterAnimal has them), `imagenet-openai` (as OpenAI cleaned
            them); or a file with one label per line.
        classes: names of the classes that there are photos of, all different.

    Raises:
        UsageError: no such file.
        DataError: a file that is no list of labels, or classes that are not in the label space, or not told apart.
    """
    ordered = sorted(classes)
    if asked == CLASSES:
        if len(ordered) < 2:
            raise DataError(
                f"there is one class only, {ordered[0]!r}: a zero-shot model needs others to take it for. Add classes, "
                "or labels to tell it apart from: --labels imagenet, or --labels FILE with one per line"
            )
        spoken = tuple(_spoken(name) for name in ordered)
        return LabelSpace(CLASSES, spoken, spoken, {name: place for place, name in enumerate(ordered)})
    if asked in (IMAGENET, OPENAI):
        labels = imagenet.labels()
        names = imagenet.synset_names() if asked == IMAGENET else _openai_names()
        return LabelSpace(asked, labels, names, _places(ordered, _imagenet_places(names), asked), imagenet=True)
    labels = _read(Path(asked).expanduser())
    places = _places(ordered, {_folded(label): [place] for place, label in enumerate(labels)}, asked)
    return LabelSpace(Path(asked).name, labels, labels, places)


def _spoken(name: str) -> str:
    """A class's name as a prompt says it: folders often have _ where a name has a space."""
    return re.sub(r"[_\s]+", " ", name).strip()


def _folded(name: str) -> str:
    return re.sub(r"[_\s-]+", " ", name).strip().casefold()


def _openai_names() -> tuple[str, ...]:
    import open_clip

    return tuple(open_clip.IMAGENET_CLASSNAMES)


@cache
def _imagenet_places(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Where a name may stand: as a whole, as one of its lemmas, or with its number in front, as in official folders."""
    found: dict[str, list[int]] = {}

    def add(name: str, index: int) -> None:
        places = found.setdefault(_folded(name), [])
        if index not in places:
            places.append(index)

    synsets = imagenet.synset_names()
    for index, (name, synset) in enumerate(zip(names, synsets, strict=True)):
        for text in (name, synset):
            add(text, index)
            add(f"{index} {text}", index)
    # A lemma counts where no class has it as its whole name: "crane" is the name of two, "fox" of none.
    whole = set(found)
    for index, synset in enumerate(synsets):
        for lemma in synset.split(","):
            if _folded(lemma) not in whole:
                add(lemma, index)
    return found


def _places(classes: Sequence[str], known: dict[str, list[int]], asked: str) -> dict[str, int]:
    absent = [name for name in classes if _folded(name) not in known]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(classes)} classes are not among the labels '{asked}': {_hints(absent, known)}. "
            "Rename the class, or use --labels classes or a list of your own"
        )
    unclear = [name for name in classes if len(known[_folded(name)]) > 1]
    if unclear:
        first = unclear[0]
        numbers = " or ".join(f"'{index} {first}'" for index in known[_folded(first)])
        raise DataError(f"class {first!r} is more than one of the labels '{asked}': call it {numbers}")
    places = {name: known[_folded(name)][0] for name in classes}
    by_place: dict[int, str] = {}
    for name, place in places.items():
        if place in by_place:
            raise DataError(
                f"classes {by_place[place]!r} and {name!r} are the same label of '{asked}'; put them together"
            )
        by_place[place] = name
    return places


def _hints(absent: Sequence[str], known: dict[str, list[int]]) -> str:
    def hint(name: str) -> str:
        near = difflib.get_close_matches(_folded(name), known, n=1, cutoff=0.75)
        return f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")

    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    return ", ".join(map(hint, absent[:5])) + more


def _read(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise UsageError(
            f"--labels takes {CLASSES}, {IMAGENET}, {OPENAI} or a file with one label per line; there is no file {path}"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a list of labels: {error}") from error
    labels = tuple(line.strip() for line in lines if line.strip())
    if not 2 <= len(labels) <= MOST:
        raise DataError(f"{path} has {len(labels)} labels; a label space has 2 to {MOST:,}, one per line")
    if len({_folded(label) for label in labels}) < len(labels):
        seen: set[str] = set()
        twice = next(label for label in labels if _folded(label) in seen or seen.add(_folded(label)))  # type: ignore[func-returns-value]
        raise DataError(f"{path}: the label {twice!r} stands there twice")
    return labels
