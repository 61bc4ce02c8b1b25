"""The words that are looked for in photos: a list that comes with the program, people's own, and which to leave out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..attribute_text import is_template
from ..cards import DatasetCard
from ..errors import DataError, UsageError, plain
from ..files import digest

SHIPPED = Path(__file__).with_name("words.yaml")
MOST_WORDS = 5_000
"""Every one is embedded in every prompt, and every one more makes all p-values larger."""
MOST_BYTES = 2**20
LONGEST = 100
"""Characters of a word or phrase; text towers read some sixty words at most."""
OWN = "own"
"""The kind of words that a file gives without one, and that the program does not know."""
_PLURALS = {"men": "man", "women": "woman", "children": "child", "people": "person", "leaves": "leaf", "teeth": "tooth"}
_TEXT = "tag:yaml.org,2002:str"
SHORTEST_MODIFIER = 3
"""Letters before a head: `land` + `bird` is a compound, `c` + `hair` is not."""


class _OnceLoader(yaml.SafeLoader):
    """YAML's safe loader, which would keep the last of several values of a key; here a key may stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == _TEXT:
                if key.value in keys:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{_short(key.value)} stands there twice; put its words into one list",
                        key.start_mark,
                    )  # fmt: skip
                keys.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Entry:
    """A word, or a short noun phrase without an article.

    Attributes:
        kind: what sort of word it is, e.g. `scene`.
        phrase: how it follows a noun, e.g. `on water`.
    """

    word: str
    kind: str
    phrase: str


@dataclass(frozen=True)
class Words:
    """A vocabulary: no word twice, whatever its case.

    Attributes:
        entries: in the order of the list.
        sha256: over all that the list said, before any word was left out.
        source: `shipped`, or the file's name.
    """

    entries: tuple[Entry, ...]
    sha256: str
    source: str


def load_words(path: Path | None = None) -> Words:
    """The list that comes with the program or, with a path, one's own.

    A file that ends in `.yaml` or `.yml` maps kinds to phrases with one `{}` to lists of words, as `words.yaml` here
    does. Any other is text in UTF-8 with one word a line, perhaps with its phrase, `water | on water`; what follows a
    `#` is a remark. A word without a phrase has that of the shipped list, or `with a WORD` (`with WORDS`).

    Raises:
        UsageError: there is no such file.
        DataError: it cannot be read, or holds something else; names the place and how to mend it.
    """
    if path is None:
        return shipped()
    if not path.is_file():
        raise UsageError(f"there is no file {path} with words")
    text = _text_of(path)
    found = _from_yaml(text, path) if path.suffix.lower() in (".yaml", ".yml") else _from_lines(text, path)
    return _words(found, path.name, path)


@cache
def shipped() -> Words:
    """The list that comes with the program."""
    return _words(_from_yaml(_text_of(SHIPPED), SHIPPED), "shipped", SHIPPED)


def without_classes(words: Words, card: DatasetCard) -> tuple[Words, tuple[str, ...]]:
    """The words that name no class of a data set, and those that do, in their order.

    A class is named by what its card calls it, and by what any of its prompt sets does. A word names it if it is that
    name or the head of it (`bird` of `landbird` and of `ground bird`), or if that name is the head of the word (as an
    `oak tree` is a `tree`), in the singular or the plural. That a model takes a photo of a landbird for one more often
    where `bird` fits it says nothing of what goes along with landbirds. What only modifies a name stays, `land`
    here: of the names of ImageNet-1K alone every second word would be gone, `snow` for a leopard, `water` for an ouzel.
    """
    called = (*card.classes, *(name for prompts in card.prompts for name in prompts.class_names))
    names = {_singular(name) for name in called}
    heads = {tail for name in names for tail in _tails(name)}
    compounds = {name[-1][cut:] for name in names for cut in range(SHORTEST_MODIFIER, len(name[-1]))}

    def names_a_class(own: tuple[str, ...]) -> bool:
        return own in heads or not names.isdisjoint(_tails(own)) or (len(own) == 1 and own[0] in compounds)

    kept = tuple(entry for entry in words.entries if not names_a_class(_singular(entry.word)))
    dropped = tuple(entry.word for entry in words.entries if names_a_class(_singular(entry.word)))
    return replace(words, entries=kept), dropped


def parts_of(name: str) -> list[str]:
    """The words that a name is made of, in lower case."""
    return re.findall(r"[^\W_]+", name.casefold())


def _tails(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """`(swimming, pool)` and `(pool,)`."""
    return (parts[start:] for start in range(len(parts)))


def _singular(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, each without the ending of a plural, as far as simple rules go."""
    return tuple(_one(part) for part in parts_of(name)) or ("",)


def _one(part: str) -> str:
    if part in _PLURALS:
        return _PLURALS[part]
    if len(part) > 3 and part.endswith("ies"):
        return f"{part[:-3]}y"
    if part.endswith(("ches", "shes", "sses", "xes")):
        return part[:-2]
    return part[:-1] if len(part) > 2 and part.endswith("s") and not part.endswith(("ss", "us", "is")) else part


def _text_of(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path}: {size:,} bytes are more than a list of words has; give at most {MOST_BYTES:,}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: is not text in UTF-8; save it as such: {error}") from error


def _from_lines(text: str, path: Path) -> Iterator[tuple[str, Entry]]:
    """Each word of a text file, with where it stands."""
    known = {entry.word: entry for entry in shipped().entries}
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0]
        if not said.strip():
            continue
        where = f"{path}, line {number}"
        word, bar, phrase = said.partition("|")
        if "|" in phrase:
            raise DataError(f"{where}: more than one |; write WORD or WORD | PHRASE, such as water | on water")
        word = checked(word, where)
        known_as = known.get(word.casefold(), Entry(word, OWN, _default_phrase(word)))
        yield where, Entry(word, known_as.kind, checked(phrase, where) if bar else known_as.phrase)


def _from_yaml(text: str, path: Path) -> Iterator[tuple[str, Entry]]:
    """Each word of a YAML file, with where it stands."""
    try:
        given = yaml.load(text, _OnceLoader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: cannot be read as YAML: {error.problem}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error
    for kind, phrases in _mapping(given, f"{path}"):
        for phrase, words in _mapping(phrases, f"{path}, {kind}"):
            where = f"{path}, {kind}, {phrase}"
            if not is_template(phrase):
                raise DataError(f"{where}: a phrase has one {{}} for its words and no other braces, such as 'on {{}}'")
            if not isinstance(words, list):
                raise DataError(f"{where}: must be a list of words, such as [water, land], not {_short(words)}")
            for word in words:
                if not isinstance(word, str):
                    raise DataError(f"{where}: {_short(word)} is no word; put it in quotation marks")
                said = checked(word, where)
                yield where, Entry(said, checked(kind, where), checked(phrase.replace("{}", said), where))


def _mapping(given: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise DataError(f"{where}: must map kinds to phrases to words, such as scene: {{'on {{}}': [water, land]}}")
    return given.items()


def checked(text: str, where: str) -> str:
    """A word or phrase with single blanks. Raises DataError for one that no prompt can hold, naming `where`."""
    said = " ".join(text.split())
    if not said:
        raise DataError(f"{where}: there is no word; write WORD or WORD | PHRASE, such as water | on water")
    if set("{}") & set(said) or plain(said) != said:
        raise DataError(f"{where}: {_short(said)} has braces or control characters; write words only")
    if len(said) > LONGEST:
        raise DataError(f"{where}: {_short(said)} has {len(said)} characters; at most {LONGEST} are read")
    return said


def _default_phrase(word: str) -> str:
    """`with a sticker`, `with an owner`, `with stickers`."""
    if _one(word.split()[-1].casefold()) != word.split()[-1].casefold():
        return f"with {word}"
    return f"with {'an' if word[0].casefold() in 'aeiou' else 'a'} {word}"


def _short(thing: Any) -> str:
    said = plain(repr(thing))
    return said if len(said) <= 40 else f"{said[:37]}..."


def _words(found: Iterable[tuple[str, Entry]], source: str, path: Path) -> Words:
    """A vocabulary; of words that differ in case alone the first is kept. Raises DataError for none or too many."""
    entries: dict[str, Entry] = {}
    for number, (where, entry) in enumerate(found, 1):
        if number > MOST_WORDS:
            raise DataError(f"{where}: these are more than {MOST_WORDS:,} words; give fewer, or in several files")
        entries.setdefault(entry.word.casefold(), entry)
    if not entries:
        raise DataError(f"{path}: names no word; write one a line, such as water | on water")
    kept = tuple(entries.values())
    return Words(kept, digest([[entry.word, entry.kind, entry.phrase] for entry in kept]), source)
