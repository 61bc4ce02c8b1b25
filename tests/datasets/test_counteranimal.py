"""`counteranimal` against the folders it was read from, and against what was published."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import pytest
from timm.data import ImageNetInfo

from spurbench.cards import DatasetCard
from spurbench.errors import DataError, UsageError
from spurbench.files import HashCache
from spurbench_datasets.counteranimal.official import CounterAnimal
from spurbench_datasets.counteranimal.published import compare_counts, published_classes

if TYPE_CHECKING:
    from conftest import AnimalLayout

LayOut = Callable[..., "AnimalLayout"]
FEW = [(9, "ostrich, Struthio camelus"), (134, "crane"), (517, "crane")]


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory, counteranimal_layout: LayOut) -> AnimalLayout:
    return counteranimal_layout(tmp_path_factory.mktemp("data") / "counteranimal" / "LAION-final")


@pytest.fixture
def few(tmp_path: Path, counteranimal_layout: LayOut) -> AnimalLayout:
    return counteranimal_layout(tmp_path / "few", FEW, cut=False)


def root_of(laid: AnimalLayout) -> Path:
    return laid.folder.parents[1]


def test_every_photo_is_there_once_with_its_class_and_group(laid: AnimalLayout) -> None:
    data = CounterAnimal()
    data.prepare(root_of(laid), download=False)
    examples = data.load(root_of(laid))
    found = {i: (int(y), int(a)) for i, y, a in zip(examples.ids, examples.y, examples.a, strict=True)}
    assert found == {path: (index, group) for path, (index, group, _) in laid.photos.items()}
    assert (examples.split == 2).all()
    assert (examples.n_classes, examples.n_attributes, data.card.attributes) == (1000, 2, ("easy", "hard"))
    assert sorted(set(examples.y.tolist())) == sorted(published_classes())
    assert examples.photos is not None
    for row in range(0, len(examples), 17):
        grey = laid.photos[examples.ids[row]][2]
        if examples.ids[row] != laid.cut:
            middle = np.asarray(examples.photos.open([row])[0], int)[8, 10]
            assert abs(middle - (grey, 255 - grey, grey // 2)).max() < 12


def test_a_photo_that_is_cut_short_is_shown_and_named(laid: AnimalLayout, caplog: pytest.LogCaptureFixture) -> None:
    examples = CounterAnimal().load(root_of(laid))
    assert [f"1 photos are cut short; of each is shown what is there: {laid.cut}" in m for m in caplog.messages].count(
        True
    ) == 1
    assert examples.photos is not None
    images = examples.photos.open(range(len(examples)))
    assert len(images) == len(laid.photos)
    assert np.asarray(images[examples.ids.index(laid.cut)]).std() > 20


def test_the_order_is_that_of_the_paths_and_the_place_does_not_matter(laid: AnimalLayout, tmp_path: Path) -> None:
    (tmp_path / "LAION-final").symlink_to(laid.folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "counteranimal").symlink_to(laid.folder)
    roots = [root_of(laid), tmp_path, tmp_path / "elsewhere", laid.folder, laid.folder.parent]
    loaded = [CounterAnimal().load(root) for root in roots]
    for examples in loaded:
        assert list(examples.ids) == list(loaded[0].ids)
        assert examples.y.tolist() == loaded[0].y.tolist()
    ids = [i.split("/") for i in loaded[0].ids]
    assert ids == sorted(ids)


def test_classes_are_said_by_their_synsets(laid: AnimalLayout, caplog: pytest.LogCaptureFixture) -> None:
    data = CounterAnimal()
    data.load(root_of(laid))
    assert "called otherwise" not in caplog.text
    info = ImageNetInfo("imagenet-1k")
    synset = data.card.prompt_set(None)
    assert (synset.name, synset.templates) == ("synset", ("A photo of {}",))
    published = {number: one.name for number, one in published_classes().items()}
    for number, said in enumerate(synset.class_names):
        words = info.index_to_description(number, detailed=False)
        assert said == published.get(number, words), number
        if number != 349:
            assert said == words
    assert synset.class_names[134] == synset.class_names[517] == "crane"
    assert (data.card.classes[134], data.card.classes[517]) == ("crane (134)", "crane (517)")
    assert data.card.classes[9] == "ostrich, Struthio camelus"
    assert data.card.imagenet == tuple(range(1000))


def test_the_prompt_sets_are_those_of_the_paper_and_of_openai() -> None:
    card = CounterAnimal().card
    assert [some.name for some in card.prompts] == ["synset", "synset_stop", "synset80", "openai", "openai80"]
    assert card.prompt_set("synset_stop").templates == ("A photo of {}.",)
    assert card.prompt_set("openai").templates == ("a photo of a {}.",)
    for name in ("synset80", "openai80"):
        assert len(getattr(open_clip, card.prompt_set(name).open_clip_list)) == 80
    for name in ("openai", "openai80"):
        assert len(getattr(open_clip, card.prompt_set(name).open_clip_names)) == 1000
    assert all(some.source for some in card.prompts)


def test_it_is_listed_without_torch_and_timm() -> None:
    code = (
        "import sys; from spurbench_datasets.counteranimal.official import CounterAnimal;"
        "from spurbench_datasets.counteranimal.training import CounterAnimalFinetune;"
        "CounterAnimal(), CounterAnimalFinetune(); print({'torch', 'timm', 'gdown', 'open_clip'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_published_table_agrees_with_the_facts(shared_data: Path) -> None:
    facts = json.loads((shared_data / "published" / "counteranimal.json").read_text())
    columns = ("imagenet_idx", "name", "easy_bg", "hard_bg", "n_easy_fig3", "n_easy_inferred", "n_hard")
    expected = [tuple(row[column] for column in columns) for row in facts["classes"]]
    found = [
        (one.imagenet_idx, one.name, one.easy_bg, one.hard_bg, one.n_easy_printed, one.n_easy, one.n_hard)
        for one in published_classes().values()
    ]
    assert found == expected


def test_photos_as_many_as_published_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    counts = {number: one.counts for number, one in published_classes().items()}
    compare_counts(counts)
    assert caplog.messages == []
    compare_counts({**counts, 83: (25, 87)})
    [message] = caplog.messages
    for word in ("7,174 easy", "5,926 hard", "7,408", "class 83 easy: 25 photos, 259 published"):
        assert word in message


def test_a_class_more_or_less_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    counts = {number: one.counts for number, one in published_classes().items() if number != 9}
    compare_counts({**counts, 5: (1, 2)})
    [message] = caplog.messages
    assert "class 9 easy: 0 photos, 206 published; class 9 hard: 0 photos" in message
    assert "class 5: not one of the published" in message


def test_a_folder_elsewhere_has_a_name_of_its_own_and_is_not_counted(
    few: AnimalLayout, tmp_path: Path, caplog: pytest.LogCaptureFixture, counteranimal_layout: LayOut
) -> None:
    data = CounterAnimal(str(few.folder))
    assert data.card.name.startswith("counteranimal:few@")
    examples = data.load(tmp_path / "nowhere")
    assert set(examples.y.tolist()) == {9, 134, 517}
    assert caplog.messages == []
    counteranimal_layout(tmp_path / "other" / "few", FEW, seed=1)
    assert CounterAnimal(str(tmp_path / "other" / "few")).card.name != data.card.name
    assert CounterAnimal(str(few.folder)).card == data.card


def test_a_folder_that_is_called_otherwise_is_said_as_it_is_called(
    few: AnimalLayout, caplog: pytest.LogCaptureFixture
) -> None:
    (few.folder / "9 ostrich, Struthio camelus").rename(few.folder / "9 big bird")
    card = CounterAnimal(str(few.folder)).card
    assert card.prompt_set(None).class_names[9] == "big bird"
    assert card.classes[9] == "ostrich, Struthio camelus"
    assert "9 is 'big bird', not 'ostrich, Struthio camelus'" in caplog.text


def test_a_folder_with_a_number_alone_is_said_by_its_synset(few: AnimalLayout) -> None:
    (few.folder / "9 ostrich, Struthio camelus").rename(few.folder / "9")
    assert CounterAnimal(str(few.folder)).card.prompt_set(None).class_names[9] == "ostrich, Struthio camelus"


def test_imagenets_names_are_compared_where_the_archive_has_them(
    few: AnimalLayout, caplog: pytest.LogCaptureFixture
) -> None:
    info = ImageNetInfo("imagenet-1k")
    names = [f"{i}\t{info.index_to_description(i, detailed=False)}" for i in range(1000)]
    (few.folder / "imagenet_names.txt").write_text("\n".join(names))
    CounterAnimal(str(few.folder)).load(few.folder)
    assert caplog.messages == []
    names[7] = "7\trooster"
    (few.folder / "imagenet_names.txt").write_text("\n".join(names))
    CounterAnimal(str(few.folder)).load(few.folder)
    assert "7 is 'rooster', not 'cock'" in caplog.text


def built(few: AnimalLayout, labels: str = "0\tyak\n1\tcrane\n2\tcrane\n3\tgnu\n") -> Path:
    for number, (index, _) in enumerate(FEW):
        next(few.folder.glob(f"{index} *")).rename(few.folder / f"{number} {('yak', 'crane', 'crane')[number]}")
    (few.folder / "label_names.txt").write_text(labels)
    return few.folder


def test_a_built_data_set_brings_its_labels(few: AnimalLayout, caplog: pytest.LogCaptureFixture) -> None:
    data = CounterAnimal(str(built(few)))
    examples = data.load(few.folder)
    assert data.card.classes == ("yak", "crane (1)", "crane (2)", "gnu")
    assert data.card.prompt_set(None).class_names == ("yak", "crane", "crane", "gnu")
    assert [some.name for some in data.card.prompts] == ["names", "names_stop", "names80"]
    assert data.card.imagenet == ()
    assert set(examples.y.tolist()) == {0, 1, 2}
    assert caplog.messages == []


def test_a_built_data_set_may_bring_imagenets_labels(few: AnimalLayout, caplog: pytest.LogCaptureFixture) -> None:
    next(few.folder.glob("134 *")).rename(few.folder / "349 bighorn")
    next(few.folder.glob("517 *")).rename(few.folder / "517 crane (517)")
    info = ImageNetInfo("imagenet-1k")
    names = [info.index_to_description(number, detailed=False) for number in range(1000)]
    listed = [
        f"{number}\t{name} ({number})" if name == "crane" else f"{number}\t{name}" for number, name in enumerate(names)
    ]
    (few.folder / "label_names.txt").write_text("\n".join(listed))
    data = CounterAnimal(str(few.folder))
    assert set(data.load(few.folder).y.tolist()) == {9, 349, 517}
    assert list(data.card.prompt_set(None).class_names) == names
    assert data.card.imagenet == tuple(range(1000))
    assert data.card.prompt_set("openai").open_clip_names
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("0\tyak\n2\tgnu\n", "must number two or more labels from 0, without gaps"),
        ("0\tyak\n", "must number two or more labels from 0"),
        ("0\tyak\n1 gnu\n", "line 2: '1 gnu' is not a new number, a tab, and a name"),
        ("0\tyak\n0\tgnu\n", "line 2: .* is not a new number"),
        ("0\tyak\n1\tgnu\n", "class '2 crane' is not among .*label_names.txt, which go from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(few: AnimalLayout, labels: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CounterAnimal(str(built(few, labels)))


def candidates(size: int = 3, **change: Any) -> dict[str, Any]:
    among = {"9": [9, 10, 12], "134": [0, 134, 999], "517": [517, 134, 1]}
    made = {"size": size, "backbone": "b", "fingerprint": "f", "prompts": "synset", "data": "d", "candidates": among}
    return {**made, **change}


def test_photos_are_told_apart_among_a_few_labels(few: AnimalLayout) -> None:
    (few.folder / "candidates-3.json").write_text(json.dumps(candidates()))
    data = CounterAnimal(f"{few.folder}:labels=1v3")
    among = data.load(few.folder).candidates
    assert among is not None
    for label, allowed in {9: [9, 10, 12], 134: [0, 134, 999], 517: [1, 134, 517]}.items():
        assert np.flatnonzero(among[label]).tolist() == allowed
    assert among[10].all()
    assert data.card.name.endswith(":labels=1v3")
    everything = CounterAnimal(str(few.folder)).load(few.folder)
    assert everything.candidates is None


def test_all_labels_may_be_asked_for_by_their_number(few: AnimalLayout) -> None:
    data = CounterAnimal(f"{few.folder}:labels=1v1000")
    assert data.load(few.folder).candidates is None
    assert data.card == CounterAnimal(str(few.folder)).card


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "make it anew"),
        (json.dumps(candidates(more=1)), "more: Extra inputs"),
        (json.dumps(candidates(size=4)), "class 9 needs 4 different candidates, it has 3"),
        (json.dumps(candidates(candidates={"9": [9, 9, 1]})), "class 9 needs 3 different candidates, it has 2"),
        (json.dumps(candidates(candidates={"9": [1, 2, 3]})), "class 9 is not among its own candidates"),
        (json.dumps(candidates(candidates={"9": [9, 1, 2]})), "photos of class 134, but no candidates"),
        (
            json.dumps(candidates(candidates={"9": [9, 1, 1000], "134": [134, 1, 2], "517": [517, 1, 2]})),
            r"the candidates of class 9 must lie in 0..999",
        ),
        (json.dumps(candidates(2, candidates={"9": [9, 1]})), "has 2 candidates for each class, not 3"),
    ],
)
def test_broken_candidates_are_refused(few: AnimalLayout, content: str, message: str) -> None:
    (few.folder / "candidates-3.json").write_text(content)
    with pytest.raises(DataError, match=rf"candidates-3\.json.*{message}"):
        CounterAnimal(f"{few.folder}:labels=1v3").load(few.folder)


def test_absent_candidates_say_how_to_make_them(laid: AnimalLayout, few: AnimalLayout) -> None:
    command = "`spurbench candidates counteranimal --backbone ViT-B/32:laion400m_e31`"
    with pytest.raises(DataError, match=command) as caught:
        CounterAnimal("labels=1v20").load(root_of(laid))
    assert str(root_of(laid) / "counteranimal" / "candidates-20.json") in str(caught.value)
    with pytest.raises(DataError, match=f"candidates counteranimal:{few.folder} --backbone .* --size 5`"):
        CounterAnimal(f"{few.folder}:labels=1v5").load(few.folder)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("labels=20", "labels must be 1vN, such as 1v20, not '20'"),
        ("labels=1v1", "labels must be 1vN"),
        ("label=1v20", "'label' is not one of its parameters .*did you mean labels"),
        ("nowhere", "there is no folder nowhere"),
    ],
)
def test_wrong_arguments_are_refused(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CounterAnimal(argument)


def test_names_and_label_spaces_make_data_of_their_own(few: AnimalLayout) -> None:
    (few.folder / "candidates-3.json").write_text(json.dumps(candidates()))

    def fingerprint(argument: str) -> tuple[str, DatasetCard]:
        data = CounterAnimal(argument)
        return data.load(few.folder).fingerprint(data.card, HashCache(None)), data.card

    one, other = fingerprint(str(few.folder)), fingerprint(f"{few.folder}:labels=1v3")
    assert one[0] != other[0]
    assert one[1].name != other[1].name
    assert fingerprint(str(few.folder)) == one
