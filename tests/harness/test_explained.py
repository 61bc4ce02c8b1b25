"""Which photos are looked at, whose models, and what is said where they are not what they seem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spurbench.data import Examples, Ints
from spurbench.errors import DataError, MethodError, UsageError
from spurbench.explained import sample
from spurbench.explained.doubts import doubts, predicted
from spurbench.explained.measure import measures
from spurbench.explained.models import possible
from spurbench.explained.names import methods_with_records
from spurbench.explanation import Maps
from spurbench.localisation import centred, uniform
from spurbench.masks import ObjectMasks
from spurbench.plan import Cell, Plan, Row
from spurbench.provenance import environment
from spurbench.rules import load_rules
from spurbench.session import Session


@dataclass
class Pictures:
    n: int

    def __len__(self) -> int:
        return self.n


def examples(n: int = 60, candidates: NDArray[np.bool_] | None = None, n_classes: int = 2) -> Examples:
    rng = np.random.default_rng(0)
    return Examples(
        ids=[f"photo {i}" for i in range(n)],
        y=rng.integers(0, n_classes, n),
        a=rng.integers(0, 2, n),
        split=rng.integers(0, 3, n),
        n_classes=n_classes,
        n_attributes=2,
        photos=Pictures(n),  # type: ignore[arg-type]
        candidates=candidates,
    )


def test_every_test_photo_is_drawn_once_within_its_group_and_always_alike() -> None:
    data = examples()
    order = sample.drawn(data)
    for group, some in enumerate(order):
        assert sorted(some.tolist()) == [row for row in data.rows("test").tolist() if data.groups[row] == group]
    np.testing.assert_equal(order, sample.drawn(data))
    assert any(some.tolist() != sorted(some.tolist()) for some in order)


def known(missing: set[int], monkeypatch: pytest.MonkeyPatch, most: int, data: Examples) -> tuple[Any, list[int]]:
    """What is measured where some photos have no mask, and how many masks were asked for at a time."""
    asked: list[int] = []

    def object_masks(_: object, rows: Ints, __: object) -> ObjectMasks:
        asked.append(len(rows))
        have = np.array([row for row in rows.tolist() if row not in missing], dtype=np.int64)
        shown = np.ones((len(have), 2, 2), dtype=np.bool_)
        left_out = {"no mask": len(rows) - len(have)} if len(have) < len(rows) else {}
        return ObjectMasks(have, shown, "masks", left_out, "hash")

    monkeypatch.setattr(sample, "object_masks", object_masks)
    dataset = SimpleNamespace()
    loaded: Any = SimpleNamespace(dataset=dataset, examples=data, root=Path(), card=SimpleNamespace(name="birds"))
    tower: Any = lambda: SimpleNamespace(preprocess=None)  # noqa: E731
    return sample.known_objects(loaded, tower, sample.drawn(data), most), asked


@pytest.mark.parametrize("most", [1, 3, 100])
def test_photos_without_a_mask_make_room_for_the_next_of_their_group(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    data = examples()
    missing = set(data.rows("test")[::2].tolist())
    (masks, why), asked = known(missing, monkeypatch, most, data)
    wanted: list[int] = []
    for some in sample.drawn(data):
        wanted += [row for row in some.tolist() if row not in missing][:most]
    assert (masks.rows.tolist(), why) == (sorted(wanted), "")
    assert sum(masks.left_out.values()) == sum(asked) - len(wanted)


def test_masks_of_no_photo_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = examples()
    n = len(data.rows("test"))
    with pytest.raises(DataError, match=rf"of no photo where the object is \({n} photos: no mask\)"):
        known(set(range(60)), monkeypatch, 100, data)


def test_photos_shown_are_the_first_of_their_group_that_are_known() -> None:
    order = [np.array([4, 2, 9]), np.array([], dtype=np.int64), np.array([7, 1])]
    assert sample.shown(order, [0, 1, 2], 2, None).tolist() == [4, 2, 7, 1]
    assert sample.shown(order, [2, 0], 2, np.array([1, 2, 9])).tolist() == [1, 2, 9]
    assert sample.shown(order, [0], 0, None).tolist() == []


def looked_into(data: Examples, logits: NDArray[np.float32], classes: Ints, recorded: Ints, version: str) -> Any:
    model = SimpleNamespace(seed=0, predicted=classes.astype(np.int16), recorded=recorded.astype(np.int16))
    made = {**environment("cpu"), "torch": version}
    record = SimpleNamespace(done=[SimpleNamespace(seed=0, environment=made)])
    some: Any = SimpleNamespace(row=SimpleNamespace(method="mine"), models=[model], record=record)
    rows = data.rows("test")
    maps = Maps(np.zeros((len(rows), 1, 1), np.float32), np.zeros((len(rows), 1, 1), np.float32), rows, logits)
    return doubts(some, [maps], rows, data, "cpu")


def test_a_model_that_is_what_it_seems_needs_no_word() -> None:
    data = examples()
    classes = np.arange(len(data.rows("test"))) % 2
    logits = np.eye(2, dtype=np.float32)[classes]
    assert looked_into(data, logits, classes, classes, environment("cpu")["torch"]) == []


def test_a_model_that_came_out_otherwise_is_told_with_the_reason() -> None:
    data = examples()
    classes = np.arange(len(data.rows("test"))) % 2
    recorded = classes.copy()
    recorded[:3] = 1 - recorded[:3]
    logits = np.eye(2, dtype=np.float32)[classes]
    (note,) = looked_into(data, logits, classes, recorded, environment("cpu")["torch"])
    assert "mine: fitted once more, it predicts another class for 3 test photos" in note
    assert "the versions are the same" in note
    (note,) = looked_into(data, logits, classes, recorded, "0.1")
    assert f"other versions: torch 0.1, now {environment('cpu')['torch']}" in note


def test_maps_of_another_model_are_refused() -> None:
    data = examples()
    classes = np.arange(len(data.rows("test"))) % 2
    zero = np.zeros((len(classes), 2), dtype=np.float32)
    with pytest.raises(MethodError, match="method 'mine' predicts otherwise where gradients are asked for"):
        looked_into(data, zero, classes, classes, "2")


def test_classes_that_are_none_for_a_photo_are_not_predicted_for_it() -> None:
    among = np.array([[True, True, False], [True, True, False], [False, True, True]])
    data = examples(candidates=among, n_classes=3)
    rows = data.rows("test")
    logits = np.tile(np.array([1.0, 2.0, 3.0], dtype=np.float32), (len(rows), 1))
    maps = Maps(np.zeros((len(rows), 1, 1), np.float32), np.zeros((len(rows), 1, 1), np.float32), rows, logits)
    assert predicted(maps, rows, data).tolist() == [1 if y < 2 else 2 for y in data.y[rows].tolist()]


def test_what_is_kept_of_each_photo_is_the_mean_over_thresholds() -> None:
    masks = np.zeros((2, 8, 8), dtype=np.bool_)
    masks[:, 2:6, 2:6] = True
    masks[1, 2:4] = False
    found = measures(uniform(masks))
    assert list(found) == ["aiou", "pointing", "energy"]
    np.testing.assert_allclose(found["energy"], [0.25, 0.125])
    blob = centred(masks)
    np.testing.assert_allclose(measures(blob)["aiou"], blob.aiou.mean(axis=1))


def test_no_record_is_told(tmp_path: Path) -> None:
    session = Session(datasets="menagerie-birds", backbones="menagerie-rn", results=tmp_path, cache=tmp_path / "c")
    with pytest.raises(UsageError, match=r"there is no record in .*menagerie-rn whose model could be explained"):
        methods_with_records(session)


def planned(*states: tuple[str, str]) -> Any:
    """A session whose plan has a method in each of some states; one without a reason is here."""
    rows = tuple(
        Row(
            "birds", "tiny", f"m{place}", "birds", "tiny", (Cell(0, status, reason),),  # type: ignore[arg-type]
            Path(f"m{place}.json"), key="ab" if status != "impossible" and not reason else "",
        )
        for place, (status, reason) in enumerate(states)
    )  # fmt: skip
    return SimpleNamespace(plan=lambda: Plan(load_rules("v1"), rows, {}))


def test_methods_that_cannot_run_are_left_out_and_said_to_be() -> None:
    plan, why = possible(planned(("done", ""), ("impossible", "it needs words"), ("missing", "")))
    assert [row.method for row in plan.rows] == ["m0", "m2"]
    assert why == ["m1 cannot run on birds and is left out: it needs words"]
    assert possible(planned(("stale", "")))[1] == []


def test_where_no_method_can_run_or_data_are_not_here_that_is_said() -> None:
    with pytest.raises(UsageError, match="no model to explain: m0 cannot run on birds and is left out: it needs words"):
        possible(planned(("impossible", "it needs words")))
    with pytest.raises(DataError, match="no such folder"):
        possible(planned(("done", ""), ("missing", "no such folder")))
