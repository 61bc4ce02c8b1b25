"""`counteranimal-ft`: which photos are for what, recomputed from its description."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spurbench.data import Examples
from spurbench.errors import DataError, UsageError
from spurbench_datasets.counteranimal.layout import Layout
from spurbench_datasets.counteranimal.official import CounterAnimal
from spurbench_datasets.counteranimal.published import published_classes
from spurbench_datasets.counteranimal.training import UNUSED, CounterAnimalFinetune, split_photos

if TYPE_CHECKING:
    from conftest import AnimalLayout

TRAIN, VAL, TEST = range(3)


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory, counteranimal_layout: Callable[..., AnimalLayout]) -> AnimalLayout:
    return counteranimal_layout(tmp_path_factory.mktemp("data") / "counteranimal" / "LAION-final", n=7)


def splits(examples: Examples) -> dict[str, int]:
    return dict(zip(examples.ids, examples.split.tolist(), strict=True))


def layout(cells: dict[tuple[int, int], int]) -> Layout:
    rows = [(f"{c} x/{g}/{i}.jpg", c, g) for (c, g), n in sorted(cells.items()) for i in range(n)]
    ids, classes, groups = zip(*rows, strict=True)
    return Layout(Path("nowhere"), {c: "x" for c, _ in sorted(cells)}, ids, classes, groups)


def test_the_classes_are_those_that_are_there(laid: AnimalLayout) -> None:
    root = laid.folder.parents[1]
    data = CounterAnimalFinetune()
    before = data.card
    examples = data.load(root)
    assert data.card == before
    assert data.card.imagenet == tuple(published_classes())
    assert data.card.classes == tuple(one.name for one in published_classes().values())
    official = CounterAnimal().load(root)
    index = dict(zip(official.ids, official.y.tolist(), strict=True))
    group = dict(zip(official.ids, official.a.tolist(), strict=True))
    for i, y, a in zip(examples.ids, examples.y.tolist(), examples.a.tolist(), strict=True):
        assert data.card.imagenet[y] == index[i]
        assert a == group[i]
    assert examples.photos is not None
    row = next(row for row, i in enumerate(examples.ids) if i.endswith(".PNG"))
    grey = laid.photos[examples.ids[row]][2]
    assert examples.photos.open([row])[0].getpixel((5, 5)) == (grey, 255 - grey, grey // 2)
    assert [some.name for some in data.card.prompts][:2] == ["synset", "synset_stop"]
    assert not data.card.attribute_prompts


def test_a_part_of_the_archive_is_a_data_set_of_its_own_classes(
    tmp_path: Path, counteranimal_layout: Callable[..., AnimalLayout]
) -> None:
    laid = counteranimal_layout(tmp_path / "LAION-final", [(517, "crane"), (134, "crane"), (9, "ostrich")])
    data = CounterAnimalFinetune()
    examples = data.load(tmp_path)
    assert data.card.imagenet == (9, 134, 517)
    assert data.card.classes == ("ostrich", "crane (134)", "crane (517)")
    assert data.card.prompt_set(None).class_names == ("ostrich", "crane", "crane")
    elsewhere = CounterAnimalFinetune(f"{laid.folder}:hard=0.2")
    assert elsewhere.card.name.startswith("counteranimal-ft:LAION-final@")
    assert elsewhere.card.name.endswith(":hard=0.2")
    assert set(elsewhere.load(tmp_path).ids) >= set(examples.ids)


def test_more_hard_photos_leave_the_other_splits_as_they_are(laid: AnimalLayout) -> None:
    root = laid.folder.parents[1]
    few, more, every = (splits(CounterAnimalFinetune(f"hard={h}").load(root)) for h in ("0.05", "0.4", "all"))
    assert set(few) < set(more) < set(every) == set(laid.photos)
    for i, split in few.items():
        assert more[i] == every[i] == split
    for smaller in (few, more):
        assert all(split == TRAIN and laid.photos[i][1] == 1 for i, split in every.items() if i not in smaller)


def test_a_split_does_not_depend_on_the_order_of_the_photos(laid: AnimalLayout, tmp_path: Path) -> None:
    given = layout({(3, 0): 40, (3, 1): 30, (7, 0): 21, (7, 1): 9})
    turned = given.only(range(len(given.ids))[::-1])
    assert split_photos(turned, 0.1)[::-1] == split_photos(given, 0.1)
    copy = tmp_path / "counteranimal" / "LAION-final"
    shutil.copytree(laid.folder, copy)
    assert splits(CounterAnimalFinetune().load(tmp_path)) == splits(
        CounterAnimalFinetune().load(laid.folder.parents[1])
    )


@given(
    easy=st.integers(3, 500),
    hard=st.integers(3, 300),
    share=st.one_of(st.none(), st.floats(0.001, 0.999)),
)
def test_every_split_has_every_group_in_the_stated_shares(easy: int, hard: int, share: float | None) -> None:
    given = layout({(9, 0): easy, (9, 1): hard, (10, 0): 4, (10, 1): 3})
    found = split_photos(given, share)
    counts = Counter(zip(given.classes, given.groups, found, strict=True))
    for group, n in enumerate((easy, hard)):
        train, val, test, unused = (counts[9, group, split] for split in (TRAIN, VAL, TEST, UNUSED))
        assert train + val + test + unused == n
        assert min(train, val, test) >= 1
        assert abs(val - 0.2 * n) < 1
        assert abs(train + unused - 0.5 * n) < 1
    assert counts[9, 0, UNUSED] == 0
    n_easy, n_hard = counts[9, 0, TRAIN], counts[9, 1, TRAIN]
    if share is None or counts[9, 1, UNUSED] == 0:
        assert abs(n_hard - 0.5 * hard) < 1
    else:
        # The nearest number of photos to the share.
        assert n_hard == 1 or abs(n_hard - n_easy * share / (1 - share)) <= 0.5 + 1e-9


def test_with_the_published_counts_five_in_a_hundred_are_hard() -> None:
    cells = {(n, g): one.counts[g] for n, one in published_classes().items() for g in (0, 1)}
    given = layout(cells)
    found = Counter(zip(given.groups, split_photos(given, 0.05), strict=True))
    assert abs(found[1, TRAIN] / (found[0, TRAIN] + found[1, TRAIN]) - 0.05) < 0.005
    every = Counter(zip(given.groups, split_photos(given, None), strict=True))
    assert sum(every.values()) == 7408 + 5926


def test_too_few_photos_to_be_split_are_named(
    tmp_path: Path, counteranimal_layout: Callable[..., AnimalLayout]
) -> None:
    laid = counteranimal_layout(tmp_path / "LAION-final", [(9, "ostrich"), (10, "brambling")])
    for path in sorted((laid.folder / "9 ostrich" / "counter-sky").glob("*.*"))[2:]:
        path.unlink()
    with pytest.raises(DataError, match="class 9 has 2 hard photos; to be split it needs three"):
        CounterAnimalFinetune().load(tmp_path)


@pytest.mark.parametrize("hard", ["0", "1", "-0.1", "nan", "some", ""])
def test_shares_that_are_none_are_refused(hard: str) -> None:
    with pytest.raises(UsageError, match=f"hard must lie between 0 and 1, or be all, not '{hard}'"):
        CounterAnimalFinetune(f"hard={hard}")


def test_a_share_has_one_spelling_in_names() -> None:
    names = [CounterAnimalFinetune(argument).card.name for argument in ("", "hard=0.050", "hard=0.20", "hard=all")]
    assert names == ["counteranimal-ft", "counteranimal-ft", "counteranimal-ft:hard=0.2", "counteranimal-ft:hard=all"]
