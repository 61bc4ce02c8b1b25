from __future__ import annotations

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given, settings

from spurbench.builder import splits
from spurbench.builder.table import ClassResult, Found, Rule
from spurbench.errors import UsageError
from spurbench.seeds import Seed

from .judged import judged, photos, single

SEED = Seed(("splits",))


def found(*labels: str, rule: Rule | None = None, left_out: str = "crab") -> Found:
    """Every class is easy before grass and hard before snow."""
    results = [
        ClassResult(label, (), "grass", "snow", 0.3, None, None, None, label != left_out, "") for label in labels
    ]
    return Found(rule or Rule(), tuple(results), None, None, None, None)


def counts(table: pd.DataFrame, columns: pd.DataFrame) -> dict[tuple[str, str, str], int]:
    """Photos by label, group and split."""
    return {key: len(part) for key, part in columns.groupby([table["label"], columns["group"], columns["split"]])}


def test_splits_of_single_photos_are_what_is_asked_for() -> None:
    table = judged(
        {
            ("bear", "grass"): (single(0, 200), single(0, 150)),
            ("bear", "snow"): (single(0, 100), single(0, 90)),
            ("bear", "rock"): (single(0, 50), single(0, 50)),
            ("crab", "grass"): (single(0, 50), single(0, 50)),
            ("crab", "snow"): (single(0, 50), single(0, 50)),
        }
    )
    columns = splits.assign(table, found("bear", "crab"), SEED)
    # 140 easy ones are 95 % of train beside 7.4 hard ones; what is not for train is for val.
    assert counts(table, columns) == {
        ("bear", "easy", "train"): 140,
        ("bear", "easy", "val"): 60,
        ("bear", "easy", "test"): 150,
        ("bear", "hard", "train"): 7,
        ("bear", "hard", "val"): 93,
        ("bear", "hard", "test"): 90,
        ("bear", "", ""): 100,
        ("crab", "", ""): 200,
    }
    assert (columns["split"] == "test").equals((columns["group"] != "") & (table["half"] == "evaluation"))
    fair = counts(table, splits.assign(table, found("bear", "crab"), SEED, easy_share=0.75))
    assert fair["bear", "hard", "train"] == 47
    # There are no more than val leaves.
    most = counts(table, splits.assign(table, found("bear", "crab"), SEED, easy_share=0.01))
    assert most["bear", "hard", "train"] == 70


def test_train_has_a_hard_photo_of_every_class() -> None:
    table = judged(
        {
            ("ant", "grass"): (single(0, 8), []),
            ("ant", "snow"): (single(0, 30), []),
            # Hard photos in bursts that are all too large for what train should get.
            ("bear", "grass"): (single(0, 40), []),
            ("bear", "snow"): ([(0, 9), (0, 7), (0, 9)], []),
            # One burst cannot be parted: val has it.
            ("dog", "grass"): (single(0, 40), []),
            ("dog", "snow"): ([(0, 30)], []),
        }
    )
    sizes = counts(table, splits.assign(table, found("ant", "bear", "dog"), SEED, easy_share=0.99))
    assert sizes["ant", "hard", "train"] == 1
    assert sizes["bear", "hard", "train"] == 7
    assert sizes["bear", "hard", "val"] == 18
    assert sizes["dog", "hard", "val"] == 30
    assert ("dog", "hard", "train") not in sizes


def test_the_published_rule_shares_all_photos_out() -> None:
    table = judged({("bear", "grass"): (single(0, 101), []), ("bear", "snow"): (single(0, 60), [])})
    sizes = counts(table, splits.assign(table, found("bear", rule=Rule(published=True)), SEED))
    assert {key[1:]: n for key, n in sizes.items()} == {
        ("easy", "train"): 51,
        ("easy", "val"): 20,
        ("easy", "test"): 30,
        ("hard", "train"): 30,
        ("hard", "val"): 12,
        ("hard", "test"): 18,
    }


rows = st.lists(
    st.tuples(
        st.sampled_from(["bear", "crab", "dog"]),
        st.sampled_from(["grass", "snow", "water"]),
        st.sampled_from(["", "o1", "o2", "o3", "o4"]),
        st.sampled_from(["", "ann", "bob", "cy"]),
    ),
    max_size=40,
)
rules = st.builds(Rule, published=st.booleans(), split_by=st.sampled_from(["observation", "photographer"]))


@given(rows, rules, st.randoms())
@settings(max_examples=40)
def test_units_stay_whole_and_order_does_not_matter(rows, rule, random) -> None:
    table = photos(rows)
    unit = table["photographer"] if rule.split_by == "photographer" else table["observation"]
    table["half"] = ["evaluation" if name in ("o2", "bob") and not rule.published else "discovery" for name in unit]
    columns = splits.assign(table, found("bear", "crab", "dog", rule=rule), SEED)
    stays = columns["split"][(unit != "") & (columns["group"] != "")]
    assert (stays.groupby(unit[stays.index]).nunique() == 1).all()
    assert ((columns["split"] != "") == (columns["group"] != "")).all()
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = splits.assign(table.iloc[order], found("bear", "crab", "dog", rule=rule), SEED)
    assert shuffled.sort_index().equals(columns)


def test_photos_with_a_status_are_in_no_split() -> None:
    table = judged(
        {("bear", "grass"): (single(0, 20), single(0, 20)), ("bear", "snow"): (single(0, 20), single(0, 20))}
    )
    table.loc[::3, ["status", "half"]] = "burst", ""
    columns = splits.assign(table, found("bear"), SEED)
    assert (columns[::3] == "").all(axis=None)
    assert (columns.drop(index=columns.index[::3]) != "").all(axis=None)


@pytest.mark.parametrize("easy_share", [0, 1, 1.5, float("nan")])
def test_shares_that_are_none_are_refused(easy_share) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        splits.assign(photos([]), found(), SEED, easy_share)
