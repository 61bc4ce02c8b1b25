"""The vocabulary: what ships, what people may write, what a mistake in it is told as, and which words name a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spurbench.attribute_text import is_template, phrase_after
from spurbench.cards import DatasetCard, PromptSet
from spurbench.errors import DataError, UsageError
from spurbench.suspects.words import LONGEST, MOST_BYTES, MOST_WORDS, SHIPPED, Entry, Words, load_words, without_classes
from spurbench_datasets.menagerie.animals import SPECIES
from spurbench_datasets.menagerie.places import OUTDOORS, PLACES

PLAIN = re.compile(r"[a-z]+(?:[ -][a-z]+)*")


def card(classes: Sequence[str], *said: Sequence[str]) -> DatasetCard:
    prompts = tuple(PromptSet(f"p{i}", ("a {}.",), class_names=tuple(names)) for i, names in enumerate([(), *said]))
    return DatasetCard("d", "d", tuple(classes), ("a",), "none", prompts=prompts)


def vocabulary(*words: str) -> Words:
    return Words(tuple(Entry(word, "thing", f"with {word}") for word in words), "00", "test")


def kept(words: Sequence[str], classes: Sequence[str], *said: Sequence[str]) -> list[str]:
    left, dropped = without_classes(vocabulary(*words), card(classes, *said))
    names = [entry.word for entry in left.entries]
    assert sorted([*names, *dropped]) == sorted(words)
    assert [word for word in words if word in names] == names
    assert [word for word in words if word in dropped] == list(dropped)
    return names


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_ships_is_a_vocabulary_of_many_kinds_in_plain_words() -> None:
    words = load_words()
    entries = words.entries
    assert 600 <= len(entries) <= 1000
    assert len({entry.word for entry in entries}) == len({entry.phrase for entry in entries}) == len(entries)
    for entry in entries:
        assert PLAIN.fullmatch(entry.word), entry
        assert entry.phrase.endswith(entry.word), entry
        assert PLAIN.fullmatch(entry.phrase), entry
    kinds = {entry.kind for entry in entries}
    assert {"scene", "light", "plant", "material", "colour", "food", "clothing", "person", "picture"} <= kinds
    assert words.source == "shipped"
    assert load_words() is words


def test_its_articles_fit_its_words() -> None:
    for entry in load_words().entries:
        article = re.search(r"\b(an?) (\w)", entry.phrase)
        if article and entry.word != "uniform":
            assert (article[1] == "an") == (article[2] in "aeiou") or entry.word == "x-ray", entry


def test_no_two_lists_of_the_file_have_one_name() -> None:
    # A mapping that says one key twice keeps the second alone.
    nodes = yaml.compose(SHIPPED.read_text(encoding="utf-8"))
    assert isinstance(nodes, yaml.MappingNode)
    for mapping in (nodes, *(value for _, value in nodes.value)):
        keys = [key.value for key, _ in mapping.value]
        assert len(set(keys)) == len(keys)


def test_it_knows_the_places_of_the_menagerie_and_none_of_its_animals() -> None:
    known = {entry.word for entry in load_words().entries}
    assert {"land", "water"} <= known
    assert {place.name for place in PLACES[:OUTDOORS]} - known == set()
    assert not known & {species.name for species in SPECIES}


def test_ones_own_words_take_their_phrases_from_the_line_the_shipped_list_or_the_rule(tmp_path: Path) -> None:
    path = written(
        tmp_path / "mine.txt",
        "# what I suspect\n\n  Water \nsnow | on   top of snow\nowl perch\ngizmos\n"
        "gizmo # sold here\nWATER | under water\n",
    )
    words = load_words(path)
    assert words.entries == (
        Entry("Water", "scene", "on water"),
        Entry("snow", "light", "on top of snow"),
        Entry("owl perch", "own", "with an owl perch"),
        Entry("gizmos", "own", "with gizmos"),
        Entry("gizmo", "own", "with a gizmo"),
    )
    assert words.source == "mine.txt"


def test_the_shipped_file_is_a_file_that_people_may_write(tmp_path: Path) -> None:
    copy = written(tmp_path / "copy.yml", SHIPPED.read_text(encoding="utf-8"))
    assert (load_words(copy).entries, load_words(copy).sha256) == (load_words().entries, load_words().sha256)
    marked = tmp_path / "marked.yaml"
    marked.write_text("scene: {'on {}': [water]}", encoding="utf-8-sig")
    assert load_words(marked).entries == (Entry("water", "scene", "on water"),)


def test_the_hash_is_of_what_is_said_however_it_is_written(tmp_path: Path) -> None:
    one = load_words(written(tmp_path / "a.txt", "water | on water\nice | on ice\n"))
    same = load_words(written(tmp_path / "b.txt", "# remarks\nwater|on water\r\n\r\nice|on  ice"))
    turned = load_words(written(tmp_path / "c.txt", "ice | on ice\nwater | on water\n"))
    other = load_words(written(tmp_path / "d.txt", "water | on water\nice | in ice\n"))
    assert one.sha256 == same.sha256
    assert len({one.sha256, turned.sha256, other.sha256}) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("water\na {} b\n", r"line 2: 'a {} b' has braces or control characters"),
        ("water\n\nice | on \x1b[31mice", r"line 3: .* has braces or control characters"),
        ("water | on water | in water", r"line 1: more than one \|"),
        ("water\n | on water", r"line 2: there is no word; write WORD or WORD \| PHRASE"),
        ("water |", r"line 1: there is no word"),
        (f"{'w' * (LONGEST + 1)}", rf"line 1: .*\.\.\. has {LONGEST + 1} characters"),
        ("# nothing\n\n", r"names no word; write one a line"),
        (
            "\n".join(f"w{i}" for i in range(MOST_WORDS + 1)),
            r"line 5001: .*more than 5,000 words",
        ),
    ],
)
def test_a_mistake_in_a_list_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path / "mine.txt", text)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}(, |: ){says}") as error:
        load_words(path)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scene: [", r", line 1: cannot be read as YAML: "),
        ("!!python/object/apply:os.system ['true']", r", line 1: cannot be read as YAML: could not determine a constr"),
        ("[" * 1500, r": cannot be read as YAML"),
        ("[water, land]", r": must map kinds to phrases to words, such as "),
        ("scene: [water]", r", scene: must map kinds to phrases"),
        ("1: {}", r": must map kinds"),
        ("scene: {on: [water]}", r", scene: must map kinds"),
        ("scene: {over: [water]}", r", scene, over: a phrase has one {}"),
        ("scene: {'{} {}': [water]}", r", scene, {} {}: a phrase has one {}"),
        ("scene: {'on {}': water}", r", scene, on {}: must be a list of words, such as \[water, land\], not 'water'"),
        ("scene: {'on {}': [water, no]}", r", scene, on {}: False is no word; put it in quotation marks"),
        ("scene: {'on {}': ['a{}']}", r", scene, on {}: 'a{}' has braces"),
        ("scene: {'on {}': []}", r": names no word"),
        ("", r": must map kinds"),
        ("a: &a [w0, w1]\nb: {'on {}': *a}", r", a: must map kinds"),
    ],
)
def test_a_mistake_in_yaml_is_told_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path / "mine.yaml", text)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}{says}"):
        load_words(path)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("scene: {'on {}': [water]}\nobject: {'with {}': [box]}\nscene: {'in {}': [fog]}\n", 3, "scene"),
        ("scene:\n  'on {}': [water]\n  'in {}': [fog]\n  \"on {}\": [land]\n", 4, "on {}"),
    ],
)
def test_a_key_that_stands_twice_is_refused_not_overruled(tmp_path: Path, text: str, line: int, key: str) -> None:
    path = written(tmp_path / "mine.yaml", text)
    with pytest.raises(DataError, match=rf"mine\.yaml, line {line}: .*'{re.escape(key)}' stands there twice; put its"):
        load_words(path)
    # What one mapping takes over from another is said once, and may be said otherwise.
    path = written(path, "one: &one {'on {}': [water]}\ntwo: {<<: *one, 'on {}': [land]}\n")
    assert [entry.word for entry in load_words(path).entries] == ["water", "land"]


def test_few_bytes_that_stand_for_many_words_are_refused(tmp_path: Path) -> None:
    many = "\n".join(f"k{i}: {{'on {{}}': *w}}" for i in range(MOST_WORDS // 50 + 1))
    path = written(tmp_path / "many.yaml", f"k: {{'on {{}}': &w [{', '.join(f'w{i}' for i in range(50))}]}}\n{many}")
    with pytest.raises(DataError, match="more than 5,000 words"):
        load_words(path)


def test_what_is_no_list_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file .*nowhere.txt with words"):
        load_words(tmp_path / "nowhere.txt")
    with pytest.raises(UsageError, match="there is no file"):
        load_words(tmp_path)
    (tmp_path / "photo.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"photo.txt: is not text in UTF-8; save it as such"):
        load_words(tmp_path / "photo.txt")
    (tmp_path / "large.txt").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(DataError, match=r"large.txt: 1,048,577 bytes are more than"):
        load_words(tmp_path / "large.txt")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_by_name(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    said = None
    try:
        words = load_words(path)
    except DataError as error:
        said = str(error)
    if said is not None:
        assert said.startswith(str(path))
        return
    assert words.entries
    folded = [entry.word.casefold() for entry in words.entries]
    assert len(set(folded)) == len(folded)
    for entry in words.entries:
        for part in (entry.word, entry.phrase):
            assert part == part.strip()
            assert not set("{}\n\t\0") & set(part)
        assert is_template(phrase_after("{}", entry.phrase))


def test_the_names_of_classes_and_their_heads_are_left_out_and_what_modifies_them_stays() -> None:
    words = ["land", "water", "bird", "Birds", "landbird", "sea", "nest", "bird bath"]
    assert kept(words, ["landbird", "waterbird"]) == ["land", "water", "sea", "nest", "bird bath"]
    assert kept(words, ["land bird", "sea bird"]) == ["land", "water", "landbird", "sea", "nest", "bird bath"]


def test_every_prompt_sets_names_count() -> None:
    words = ["sparrow", "gull", "c1", "beach"]
    assert kept(words, ["c0", "c1"]) == ["sparrow", "gull", "beach"]
    assert kept(words, ["c0", "c1"], ["Sparrows", "house-sparrow"], ["x", "sea gull"]) == ["beach"]


@pytest.mark.parametrize(
    ("word", "label", "names_it"),
    [
        ("boxes", "Box", True),
        ("box", "boxes", True),
        ("berries", "berry", True),
        ("woman", "women", True),
        ("leaf", "maple leaves", True),
        ("glass", "glasses", True),
        ("dress", "dres", False),
        ("oak tree", "tree", True),
        ("tree house", "tree", False),
        ("swimming pool", "Swimming_Pool", True),
        ("pool", "swimming pool", True),
        ("swimming", "swimming pool", False),
        ("tile pool", "swimming pool", False),
        ("hair", "chair", False),
        ("table", "stable", False),
        ("fish", "catfish", True),
        ("fish tank", "catfish", False),
        ("snow", "snow leopard", False),
        ("tree", "ﬁr-TREE", True),
        ("?!", "sticker", False),
    ],
)
def test_what_names_a_class(word: str, label: str, names_it: bool) -> None:
    assert kept([word, "nothing"], [label, "zzz"]) == (["nothing"] if names_it else [word, "nothing"])


NAMES = st.lists(st.from_regex(r"[a-z]{3,8}( [a-z]{3,8})?", fullmatch=True), min_size=2, max_size=6, unique=True)


@given(classes=NAMES, words=NAMES, turn=st.randoms(use_true_random=False))
def test_what_is_left_out_depends_on_the_names_alone(classes: list[str], words: list[str], turn: object) -> None:
    left = kept(words, classes)
    # Whoever says the names, in whatever order and case, and however often it is done.
    assert set(kept(words[::-1], classes[::-1])) == set(left)
    assert kept(words, [f"c{k}" for k in range(len(classes))], [name.upper() for name in classes]) == left
    assert kept(left, classes) == left if left else True
    # No class is left, whole or by its last word; a word of which no letter occurs in any name stays.
    assert not set(left) & {*classes, *(name.split()[-1] for name in classes)}
    assert kept(["0123"], classes) == ["0123"]
    more = kept(words, [*classes, "qqqq zzzz"])
    assert set(more) <= set(left)


def test_a_list_without_some_words_is_known_by_the_hash_of_the_whole(tmp_path: Path) -> None:
    words = load_words(written(tmp_path / "mine.txt", "bird\nwater\n"))
    left, dropped = without_classes(words, card(["bird", "cat"]))
    assert (left.sha256, left.source, dropped) == (words.sha256, "mine.txt", ("bird",))
