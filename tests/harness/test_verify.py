"""What is verified of published numbers: tables against each other, models of known accuracy against made-up print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from spurbench.jobs import Event
from spurbench.plan import Row
from spurbench.published import Published, PublishedClass, packaged, read_classes, read_published
from spurbench.session import Session
from spurbench.verify import Check
from spurbench.verify.models import ABOUT, MODELS, data_checks, model_checks
from spurbench.verify.tables import headline, table_checks

Facts = tuple[tuple[Published, ...], tuple[PublishedClass, ...]]


@pytest.fixture(scope="module")
def facts() -> Facts:
    return read_published(packaged()), read_classes(packaged(), "counteranimal")


def test_the_published_tables_agree_but_for_what_is_known(facts: Facts) -> None:
    checks = list(table_checks(*facts))
    assert not [check for check in checks if check.status in ("off", "unchecked")]
    known = {(check.what, check.expected): round(check.found or 0, 2) for check in checks if check.status == "known"}
    assert known == {
        ("ViT-B/32-gelu:laion400m_e31, easy", 67.13): 67.18,
        ("ViT-B/32, hard", 45.62): 45.77,
        ("prairie chicken, prairie grouse, prairie fowl, easy", 25): 259,
        ("lion, king of beasts, Panthera leo, ViT-B/32, hard", 62.22): 62.16,
        ("Table 10: ViT/B/16, LAION400M", 18.18): 18.03,
        ("Table 10: ViT/G/14, LAION2B", 10.97): 9.97,
        ("Table 14: RN50, ImageNet", 15.29): 15.12,
    }
    means = [check for check in checks if check.part == "means over 45 classes"]
    assert len(means) == 10
    assert sum(check.status == "agrees" for check in means) == 8
    assert any("7,408 easy photos, not 7,174" in check.reason for check in checks)


def off(checks: Sequence[Check]) -> list[tuple[str, str]]:
    return [(check.part, check.what) for check in checks if check.status == "off"]


def test_a_changed_mean_is_off(facts: Facts) -> None:
    values, classes = facts
    changed = tuple(
        row.model_copy(update={"value": row.value + 0.02})
        if (row.backbone, row.where, row.metric) == ("ViT-B/16:laion400m_e31", "Table 3", "easy")
        else row
        for row in values
    )
    assert off(list(table_checks(changed, classes))) == [
        ("means over 45 classes", "ViT-B/16:laion400m_e31, easy"),
        ("drops: easy less hard", "Table 3: ViT/B/16, LAION400M"),
    ]


def test_a_changed_class_is_off(facts: Facts) -> None:
    values, classes = facts
    first = classes[0]
    accuracies = {**first.accuracies, "ViT-B/32": (first.accuracies["ViT-B/32"][0] + 1.0, 66.37)}
    changed = (first.model_copy(update={"accuracies": accuracies}), *classes[1:])
    assert off(list(table_checks(values, changed))) == [
        ("means over 45 classes", "ViT-B/32, easy"),
        ("class-wise accuracies", f"{first.name}, ViT-B/32, easy"),
    ]


def test_a_count_that_the_accuracies_do_not_bear_out_is_off(facts: Facts) -> None:
    values, classes = facts
    first = classes[0].model_copy(update={"n_easy": 2 * classes[0].n_easy})
    assert ("photos", f"{first.name}, easy") in off(list(table_checks(values, (first, *classes[1:]))))


def test_each_model_to_run_is_one_that_is_printed(facts: Facts) -> None:
    """The class-averaged numbers of the suggested check; the last two tell the activations apart."""
    expected = [(81.44, 66.07), (84.97, 74.98), (72.94, 48.74), (73.08, 56.56), (80.90, 63.31), (70.12, 41.29)]
    rows = [headline(facts[0], method, backbone) for method, backbone in MODELS["counteranimal"]]
    assert [(row.easy, row.hard) for row in rows if row] == [*expected, (67.13, 36.95)]


PLUGIN = '''
"""Features whose zero-shot predictions are known: photo i of a group is right if its class is said, wrong otherwise."""
import numpy as np
from spurbench.cards import DatasetCard
from spurbench.data import Examples, OwnFeatures
from spurbench.errors import DataError

RIGHT, TOTAL = {right}, {total}


class Animals:
    card = DatasetCard(name="animals", title="t", classes=("ant", "bee", "cat"), attributes={attributes},
                       licence="none", own_features=True)

    def prepare(self, root, *, download):
        if not (root / "animals").is_dir():
            raise DataError(f"data set 'animals' is not in {{root}}; put it there")

    def load(self, root):
        y, a, said = [], [], []
        for group, (right, total) in enumerate(zip(RIGHT, TOTAL)):
            y += [group // 2] * total
            a += [group % 2] * total
            said += [group // 2] * right + [2] * (total - right)
        features = OwnFeatures("features", np.eye(3, dtype=np.float32)[said], np.eye(3, dtype=np.float32))
        split = np.full(len(y), 2)
        return Examples([str(i) for i in range(len(y))], np.array(y), np.array(a), split, 3, 2, features=features)
'''
RIGHT, TOTAL = [8, 3, 9, 10], [10, 6, 10, 40]
"""Class averages 85 and 37.5 %: (8/10 + 9/10) / 2 and (3/6 + 10/40) / 2."""
MakeSession = Callable[..., Session]


@pytest.fixture
def session(tmp_path: Path) -> MakeSession:
    def make(attributes: tuple[str, str] = ("easy", "hard"), *, here: bool = True) -> Session:
        plugin = tmp_path / "animals.py"
        plugin.write_text(PLUGIN.format(right=RIGHT, total=TOTAL, attributes=attributes))
        if here:
            (tmp_path / "data" / "animals").mkdir(parents=True)
        return Session(
            rules_name="v1", data_root=tmp_path / "data", results=tmp_path / "results",
            cache=tmp_path / "cache", plugins=(str(plugin),), device="cpu",
        )  # fmt: skip

    return make


def value(metric: str, number: float, **changes: Any) -> Published:
    row = {
        "dataset": "animals", "method": "zero_shot", "backbone": "features", "model": "m", "pretraining": "",
        "average": "class", "label_space": "1v1000", "prompts": "synset", "split": "test", "source": "paper",
        "where": "Table 1", "reliable": True, "note": "",
    }  # fmt: skip
    return Published.model_validate({**row, "metric": metric, "value": number, **changes})


def quiet(row: Row, event: Event) -> None:
    pass


@pytest.mark.parametrize(
    ("easy", "hard", "changes", "expected"),
    [
        (85.0, 37.5, {}, ["agrees", "agrees"]),
        (84.71, 37.2, {}, ["agrees", "agrees"]),
        (84.69, 37.81, {}, ["off", "off"]),
        (85.0, 36.6, {"reliable": False, "note": "doubtful"}, ["agrees", "agrees"]),
        (86.1, 37.5, {"reliable": False, "note": "doubtful"}, ["off", "agrees"]),
    ],
)
def test_a_model_is_run_and_compared_within_the_tolerance(
    session: MakeSession, easy: float, hard: float, changes: dict[str, Any], expected: list[str]
) -> None:
    values = [value("easy", easy, **changes), value("hard", hard, **changes)]
    made = session()
    checks = list(model_checks(made, "animals", values, 0.3, quiet, [("zero_shot", "features")]))
    assert [check.status for check in checks] == expected
    assert [check.found for check in checks] == [pytest.approx(85.0), pytest.approx(37.5)]
    assert [check.expected for check in checks] == [easy, hard]
    assert [path.name for path in made.results.rglob("*.json")] == ["zero_shot.json"]
    # What was run once is read the next time.
    again = list(model_checks(made, "animals", values, 0.3, lambda row, event: pytest.fail("run again"), [
        ("zero_shot", "features")]))  # fmt: skip
    assert again == checks


def test_a_reproduction_alone_is_compared_with_more_leeway(session: MakeSession) -> None:
    values = [value("easy", 50.0, backbone="other"), value("easy", 85.0 - ABOUT + 0.01, source="again")]
    (check,) = model_checks(session(), "animals", values, 0.3, quiet, [("zero_shot", "features")])
    assert check.status == "agrees"


def test_what_is_missing_is_told_and_is_not_off(session: MakeSession) -> None:
    values = [value("easy", 85.0), value("easy", 80.0, backbone="torchvision:x", method="own_head")]
    asked = [("zero_shot", "RN51"), ("nothing", "features"), ("zero_shot", "features")]
    values += [value("easy", 1.0, method="lvlm")]
    checks = list(model_checks(session(), "animals", values, 0.3, quiet, asked))
    assert [check.status for check in checks] == ["unchecked", "unchecked", "agrees"]
    assert [check.what for check in checks[:2]] == ["RN51, zero_shot", "features, nothing"]
    (absent,) = model_checks(session(here=False), "animals", values, 0.3, quiet, [("own_head", "torchvision:x")])
    assert absent.status == "unchecked"
    assert absent.reason


def test_absent_data_is_told_with_how_to_get_it(session: MakeSession, facts: Facts) -> None:
    checks, here = data_checks(session(here=False), "animals", facts[1])
    assert not here
    assert [(check.status, "put it there" in check.reason) for check in checks] == [("unchecked", True)]


def classes(*counts: tuple[int, int]) -> list[PublishedClass]:
    return [
        PublishedClass(
            imagenet_idx=index, name=f"c{index}", easy_bg="sky", hard_bg="tree", n_easy_printed=1, n_easy=easy,
            n_hard=hard, accuracies={}, source="s", where="w",
        )
        for index, (easy, hard) in enumerate(counts)
    ]  # fmt: skip


def test_photos_are_counted_class_by_class(session: MakeSession) -> None:
    made = session()
    checks, here = data_checks(made, "animals", classes((10, 6), (10, 40)))
    assert here
    assert [(check.status, check.found) for check in checks] == [("agrees", 20), ("agrees", 46)]
    # As many in all, but not in each class.
    checks, _ = data_checks(made, "animals", classes((10, 7), (10, 39)))
    assert [check.status for check in checks] == ["agrees", "off"]
    assert "0: 6, not 7; 1: 40, not 39" in checks[1].reason


def test_data_of_another_kind_is_not_counted(session: MakeSession) -> None:
    checks, here = data_checks(session(("sky", "tree")), "animals", classes((10, 6)))
    assert here
    assert [check.status for check in checks] == ["unchecked"]


def test_photos_in_the_official_layout_are_judged_by_a_real_model(
    tmp_path: Path, counteranimal_layout: Callable[..., Any]
) -> None:
    """Accuracies averaged over classes, counted again photo by photo from the predictions that were kept."""
    layout = counteranimal_layout(tmp_path / "photos", [(0, "dog"), (1, "goat"), (2, "horse")], n=9)
    (layout.folder / "label_names.txt").write_text("0\tdog\n1\tgoat\n2\thorse\n")
    made = Session(rules_name="v1", results=tmp_path / "results", cache=tmp_path / "cache", device="cpu")
    own = {"backbone": "menagerie-vit"}
    values = [value("easy", 0.0, **own), value("hard", 0.0, **own)]
    asked = [("zero_shot", "menagerie-vit")]
    checks = list(model_checks(made, f"counteranimal:{layout.folder}", values, 0.3, quiet, asked))
    (path,) = made.results.rglob("zero_shot.npz")
    arrays = np.load(path)
    judged = list(zip(arrays["0.worst_group"], arrays["group"], strict=True))
    assert sorted(group for _, group in judged) == sorted(2 * y + a for y, a, _ in layout.photos.values())
    for check, a in zip(checks, (0, 1), strict=True):
        shares = [fmean(float(said == y) for said, group in judged if group == 2 * y + a) for y in range(3)]
        assert check.found == pytest.approx(100 * fmean(shares))
        assert 0 < fmean(shares) < 1


def test_photos_in_the_official_layout_are_counted(tmp_path: Path, counteranimal_layout: Callable[..., Any]) -> None:
    layout = counteranimal_layout(tmp_path / "counteranimal" / "LAION-final")
    made = Session(rules_name="v1", data_root=tmp_path, cache=tmp_path / "cache", device="cpu")
    easy, hard = ({y: 0 for y, _, _ in layout.photos.values()} for _ in range(2))
    for y, a, _ in layout.photos.values():
        (easy, hard)[a][y] += 1
    printed = [
        entry.model_copy(update={"n_easy": easy[entry.imagenet_idx], "n_hard": hard[entry.imagenet_idx]})
        for entry in read_classes(packaged(), "counteranimal")
    ]
    checks, here = data_checks(made, "counteranimal", printed)
    assert here
    assert [(check.status, check.found) for check in checks] == [
        ("agrees", sum(easy.values())),
        ("agrees", sum(hard.values())),
    ]
    short = [printed[0].model_copy(update={"n_hard": printed[0].n_hard + 1}), *printed[1:]]
    checks, _ = data_checks(made, "counteranimal", short)
    assert [check.status for check in checks] == ["agrees", "off"]
